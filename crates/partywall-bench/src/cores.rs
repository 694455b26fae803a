//! Which cores the processes are bound to, and how these lie to each other.

use crate::os;
use serde::Serialize;
use std::fmt;

/// How the core of the leader lies to that of the first follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Both on one core: only what sleeps can be measured
    SameCore,
    /// Two threads of one core
    SmtSibling,
    /// Two cores that share a last-level cache
    CrossCore,
    /// Two cores that share none
    CrossCache,
}

impl fmt::Display for Placement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Placement::SameCore => "the same core",
            Placement::SmtSibling => "two threads of one core",
            Placement::CrossCore => "two cores with one last-level cache",
            Placement::CrossCache => "two cores without a common cache",
        })
    }
}

/// What the machine says of a core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    core: usize,
    /// The threads that share its core, in the kernel's words.
    siblings: Option<String>,
    /// Those that share its last-level cache.
    cache: Option<String>,
}

impl Place {
    fn of(core: usize) -> Place {
        let cpu = format!("/sys/devices/system/cpu/cpu{core}");
        let read = |path: String| std::fs::read_to_string(path).ok();
        let siblings = read(format!("{cpu}/topology/thread_siblings_list"));
        // The highest index is the last level.
        let cache = (0..10)
            .rev()
            .find_map(|index| read(format!("{cpu}/cache/index{index}/shared_cpu_list")));
        Place {
            core,
            siblings,
            cache,
        }
    }

    fn to(&self, other: &Place) -> Placement {
        let same = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
        if self.core == other.core {
            Placement::SameCore
        } else if same(&self.siblings, &other.siblings) {
            Placement::SmtSibling
        } else if same(&self.cache, &other.cache) || self.cache.is_none() {
            Placement::CrossCore
        } else {
            Placement::CrossCache
        }
    }
}

/// The cores of a run: the leader's, then those of followers in turn.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    pub(crate) placement: Placement,
    pub(crate) leader: usize,
    pub(crate) followers: Vec<usize>,
}

impl Cores {
    /// Cores that this process may use, lying to each other as wished; without a wish as two cores that share a cache, or
    /// as near to that as the machine has it.
    pub(crate) fn choose(wish: Option<Placement>) -> Result<Cores, String> {
        let allowed = os::cores().map_err(|error| format!("cannot ask for the cores: {error}"))?;
        let places: Vec<Place> = allowed.iter().map(|&core| Place::of(core)).collect();
        choose(&places, wish)
    }

    /// All of them, the leader's first.
    pub(crate) fn all(&self) -> Vec<usize> {
        let mut all = vec![self.leader];
        all.extend(&self.followers);
        all
    }
}

fn choose(places: &[Place], wish: Option<Placement>) -> Result<Cores, String> {
    let Some(leader) = places.first() else {
        return Err("this process may use no core".to_owned());
    };
    let preferred = match wish {
        Some(wish) => vec![wish],
        None => vec![
            Placement::CrossCore,
            Placement::CrossCache,
            Placement::SmtSibling,
        ],
    };
    for placement in preferred {
        // The leader shares its core with nobody, if that can be.
        let others = places
            .iter()
            .filter(|place| leader.to(place) == placement)
            .map(|place| place.core)
            .collect::<Vec<_>>();
        if !others.is_empty() {
            return Ok(Cores {
                placement,
                leader: leader.core,
                followers: others,
            });
        }
    }
    Err(match wish {
        Some(wish) => format!("this process may not use {wish}"),
        None => {
            "two cores are needed, and this process may use one; --placement same-core measures \
                 what can be measured there"
                .to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(core: usize, siblings: &str, cache: &str) -> Place {
        Place {
            core,
            siblings: Some(siblings.to_owned()),
            cache: Some(cache.to_owned()),
        }
    }

    fn chosen(places: &[Place], wish: Option<Placement>) -> Option<(Placement, usize, Vec<usize>)> {
        let cores = choose(places, wish).ok()?;
        Some((cores.placement, cores.leader, cores.followers))
    }

    #[test]
    fn cores_are_preferred_to_threads_and_near_ones_to_far_ones() {
        let places = [
            place(0, "0-1", "0-3"),
            place(1, "0-1", "0-3"),
            place(2, "2-3", "0-3"),
            place(3, "2-3", "0-3"),
            place(4, "4-5", "4-7"),
        ];
        let cross = Some((Placement::CrossCore, 0, vec![2, 3]));
        assert_eq!(chosen(&places, None), cross);
        let sibling = Some((Placement::SmtSibling, 0, vec![1]));
        assert_eq!(chosen(&places, Some(Placement::SmtSibling)), sibling);
        let far = Some((Placement::CrossCache, 0, vec![4]));
        assert_eq!(chosen(&places, Some(Placement::CrossCache)), far);
        let same = Some((Placement::SameCore, 0, vec![0]));
        assert_eq!(chosen(&places, Some(Placement::SameCore)), same);
    }

    #[test]
    fn a_machine_that_says_nothing_of_its_cores_has_them_all_the_same() {
        let places = [4, 7].map(|core| Place {
            core,
            ..Place::default()
        });
        assert_eq!(
            chosen(&places, None),
            Some((Placement::CrossCore, 4, vec![7]))
        );
        assert_eq!(chosen(&places[..1], None), None);
        assert_eq!(chosen(&[], None), None);
    }

    #[test]
    fn two_threads_are_better_than_nothing() {
        let places = [place(0, "0-1", "0-1"), place(1, "0-1", "0-1")];
        assert_eq!(
            chosen(&places, None),
            Some((Placement::SmtSibling, 0, vec![1]))
        );
        assert_eq!(chosen(&places, Some(Placement::CrossCache)), None);
    }
}
