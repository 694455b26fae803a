//! Channels whose memory is of the page file ([`partywall::Backing::PageFile`]), between real processes that are killed: as long
//! as one of them lives nothing is lost; when all are gone the next owner begins anew, and nobody hangs. On other
//! systems than Windows the option is accepted and changes nothing, which is tested too.
//!
//! This program is its own tests and the processes that they kill (`actor`).

mod actor;
#[path = "../common/system.rs"]
mod system;
#[cfg(windows)]
mod vanishing;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use actor::{Actor, CHANNEL, Pattern};
use partywall::ring::ProducerOptions;
use partywall::{Backing, Namespace, OpenError, inspect, manage};

/// A namespace of the test's own.
struct Place {
    path: PathBuf,
    namespace: Namespace,
    _directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let parent = if cfg!(windows) {
            std::env::temp_dir()
        } else {
            PathBuf::from("/dev/shm")
        };
        let directory = tempfile::tempdir_in(parent).unwrap();
        // Made by the library, for the user alone.
        let path = directory.path().join("channels");
        Place {
            namespace: Namespace::open(&path).unwrap(),
            path,
            _directory: directory,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(CHANNEL).join(name)
    }

    /// What is in the namespace, but for what waits to be removed.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".removed")
            .collect()
    }
}

/// An owner and a peer, and one record from one to the other.
fn pair(place: &Path, pattern: Pattern) -> (Actor, Actor) {
    let (mut owner, mut peer) = (Actor::new(place), Actor::new(place));
    let made = owner.does(&format!("owner {}", pattern.name()));
    assert!(made.starts_with("made") || made.starts_with("ok"), "{made}");
    assert_eq!(peer.does(&format!("peer {}", pattern.name())), "ok");
    if pattern == Pattern::Mpsc {
        assert_eq!(peer.does("say one"), "ok");
        assert_eq!(owner.does("hear"), "one");
    } else {
        assert_eq!(owner.does("say one"), "ok");
        assert_eq!(peer.does("hear"), "one");
    }
    (owner, peer)
}

fn a_successor_adopts_what_a_killed_owner_left_while_a_peer_lives() {
    for pattern in Pattern::ALL {
        let place = Place::new();
        let (mut owner, mut peer) = pair(&place.path, pattern);
        let mut successor = Actor::new(&place.path);
        let opens = format!("owner {}", pattern.name());
        match pattern {
            Pattern::Mpsc => {
                assert_eq!(peer.does("say two"), "ok");
                owner.dies_by_force();
                let adopted = successor.does(&opens);
                assert!(adopted.starts_with("adopted"), "{pattern:?}: {adopted}");
                // At least once: what a killed receiver had not acknowledged comes again.
                let again = successor.does("hear");
                assert!(again == "one" || again == "two", "{again}");
                if again == "one" {
                    assert_eq!(successor.does("hear"), "two");
                }
                assert_eq!(peer.does("say three"), "ok");
                assert_eq!(successor.does("hear"), "three");
            }
            Pattern::Guarded => {
                assert_eq!(owner.does("hold"), "ok");
                owner.dies_by_force();
                assert!(successor.does(&opens).starts_with("ok"));
                assert_eq!(successor.does("hear"), "died:one");
                assert_eq!(successor.does("say two"), "ok");
                assert_eq!(peer.does("hear"), "two");
            }
            _ => {
                assert_eq!(owner.does("say two"), "ok");
                owner.dies_by_force();
                let adopted = successor.does(&opens);
                assert!(adopted.starts_with("adopted"), "{pattern:?}: {adopted}");
                assert_eq!(peer.does("hear"), "two");
                assert_eq!(successor.does("say three"), "ok");
                assert_eq!(peer.does("hear"), "three");
            }
        }
        let info = inspect::inspect(&place.namespace, CHANNEL).unwrap();
        assert_eq!((info.generation, info.state), (1, "ready"), "{pattern:?}");
    }
}

fn what_a_channel_grows_into_outlives_a_killed_owner_though_nobody_came_over_yet() {
    let place = Place::new();
    let (mut owner, mut peer) = pair(&place.path, Pattern::Ring);
    assert_eq!(owner.does("say two"), "ok");
    assert_eq!(owner.does("grow"), "ok");
    assert_eq!(owner.does("say three"), "ok");
    owner.dies_by_force();
    let info = inspect::inspect(&place.namespace, CHANNEL).unwrap();
    assert_eq!((info.generation, info.oldest_generation), (2, 1));
    let mut successor = Actor::new(&place.path);
    assert!(successor.does("owner ring").starts_with("adopted"));
    assert_eq!(successor.does("say four"), "ok");
    for expected in ["two", "three", "four"] {
        assert_eq!(peer.does("hear"), expected);
    }
}

fn a_channel_that_is_kept_cannot_be_of_the_page_file() {
    let place = Place::new();
    let options = ProducerOptions::new()
        .namespace(place.namespace.clone())
        .backing(Backing::PageFile);
    let refused = options.clone().keep_when_closed(true).open(CHANNEL);
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, OpenError::InvalidOption { .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("last process"), "{refused}");
    options.open(CHANNEL).unwrap();
}

fn a_channel_is_removed_by_force_whatever_became_of_its_memory() {
    let place = Place::new();
    for pattern in Pattern::ALL {
        let (owner, peer) = pair(&place.path, pattern);
        owner.dies_by_force();
        peer.dies_by_force();
        assert_eq!(place.names(), [CHANNEL]);
        manage::remove(&place.namespace, CHANNEL, true).unwrap();
        assert_eq!(place.names(), Vec::<String>::new(), "{pattern:?}");
    }
}

fn the_option_changes_nothing_but_on_windows() {
    let place = Place::new();
    let mut owner = Actor::new(&place.path);
    assert!(owner.does("global ring").starts_with("made"));
    let len = std::fs::metadata(place.file("1.owner")).unwrap().len();
    let flags = inspect::inspect(&place.namespace, CHANNEL).unwrap().flags;
    if cfg!(windows) {
        // The stub; and bits 3 and 4 of the flags.
        assert_eq!((len, flags & 24), (256, 24));
    } else {
        assert_eq!((len, flags & 24), (8192, 0));
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, place] = &arguments[..]
        && role == "actor"
    {
        actor::run(Path::new(place));
        return ExitCode::SUCCESS;
    }
    let mut tests: Vec<(&str, fn())> = Vec::new();
    macro_rules! tests {
        ($($module:ident :: $name:ident),* $(,)?) => {
            $(tests.push((stringify!($name), $module::$name));)*
        };
        ($($name:ident),* $(,)?) => {
            $(tests.push((stringify!($name), $name));)*
        };
    }
    tests!(
        a_successor_adopts_what_a_killed_owner_left_while_a_peer_lives,
        what_a_channel_grows_into_outlives_a_killed_owner_though_nobody_came_over_yet,
        a_channel_that_is_kept_cannot_be_of_the_page_file,
        a_channel_is_removed_by_force_whatever_became_of_its_memory,
        the_option_changes_nothing_but_on_windows,
    );
    #[cfg(windows)]
    tests!(
        vanishing::when_everybody_was_killed_the_next_owner_begins_anew_and_nobody_hangs,
        vanishing::who_waits_for_a_channel_whose_memory_is_gone_gets_the_new_one,
        vanishing::tools_see_that_the_memory_is_gone_and_remove_what_is_left,
        vanishing::memory_of_another_session_is_never_taken_for_gone,
        vanishing::another_kind_of_object_on_the_name_is_explained_and_the_owner_takes_another,
        vanishing::a_stub_that_lies_is_told_and_harms_nobody,
        vanishing::a_durable_consumer_is_refused,
        vanishing::readers_cannot_write_and_the_name_is_the_owners_alone,
        vanishing::whoever_is_killed_at_whatever_point_of_making_it_the_next_owner_goes_on,
    );
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests {
        if wanted.is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        match catch_unwind(AssertUnwindSafe(test)) {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok");
            }
            Err(_) => {
                failed += 1;
                println!("test {name} ... FAILED");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
