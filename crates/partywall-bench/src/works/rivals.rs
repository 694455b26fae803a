//! Who else is measured: what the system has, and programs that were built for it.

use super::Entry;
use crate::arguments::Arguments;
use crate::system;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// All that somebody could ask for, and that have to be built or installed first.
const TO_BE_BUILT: [&str; 13] = [
    "aeron",
    "boost",
    "cloudtoid",
    "crossbar",
    "crossbeam",
    "iceoryx2",
    "ipc-channel",
    "mmap-sync",
    "python",
    "ringfire",
    "rtrb",
    "shaq",
    "subetha",
];

/// A rival: one line of JSON of what its program lists.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rival {
    name: String,
    /// What it does: `latency`, `stream`, `batch`, `frames`, `many frames`, `read idle`, `read busy`, `write busy`, `wake`.
    does: Vec<String>,
    /// The sizes it can do.
    #[serde(default)]
    at_least: usize,
    #[serde(default = "unlimited")]
    at_most: usize,
    /// Processes besides the leader; 0 if the other side is a thread.
    #[serde(default = "one")]
    followers: usize,
    #[serde(skip)]
    program: Option<PathBuf>,
}

fn unlimited() -> usize {
    usize::MAX
}

fn one() -> usize {
    1
}

impl Rival {
    pub(crate) fn does(&self, what: &str, size: usize) -> bool {
        (self.at_least..=self.at_most).contains(&size) && self.does.iter().any(|does| does == what)
    }

    pub(crate) fn entry(&self, what: &str, followers: usize) -> Entry {
        let followers = if self.followers == 0 { 0 } else { followers };
        Entry {
            program: self.program.clone(),
            rival: true,
            ..Entry::new(&self.name, what, followers)
        }
    }
}

/// What the operating system has.
fn of_the_system() -> Vec<Rival> {
    let rival = |&name: &&str| {
        let mut does = vec!["latency", "stream", "wake"];
        if system::is_stream(name) {
            does.extend(["batch", "frames"]);
        }
        Rival {
            name: name.to_owned(),
            does: does.into_iter().map(str::to_owned).collect(),
            at_least: 0,
            at_most: system::at_most(name),
            followers: 1,
            program: None,
        }
    };
    system::NAMES.iter().map(rival).collect()
}

/// Those that were asked for.
///
/// # Errors
/// If one is not there; how to build it is said.
pub(crate) fn chosen(arguments: &Arguments) -> Result<Vec<Rival>, String> {
    if arguments.against.is_empty() {
        return Ok(of_the_system());
    }
    let mut built = None;
    let mut chosen: Vec<Rival> = Vec::new();
    for name in &arguments.against {
        let more = match name.as_str() {
            "none" => Vec::new(),
            "system" => of_the_system(),
            name => {
                let built = match &built {
                    Some(built) => built,
                    None => built.insert(ask(&arguments.rivals)?),
                };
                let all = of_the_system().into_iter().chain(built.iter().cloned());
                let named: Vec<Rival> = all
                    .filter(|rival| {
                        name == "all"
                            || rival.name.split(' ').next() == Some(name)
                            || rival.name == name
                    })
                    .collect();
                if named.is_empty() {
                    return Err(missing(name, &arguments.rivals));
                }
                named
            }
        };
        for rival in more {
            if !chosen.iter().any(|chosen| chosen.name == rival.name) {
                chosen.push(rival);
            }
        }
    }
    Ok(chosen)
}

fn missing(name: &str, place: &Path) -> String {
    if TO_BE_BUILT.contains(&name) {
        format!(
            "{name} was not built: `rivals/build.sh {name}` does that, or says why it cannot (its program is looked for in \
             {}; --rivals names another place)",
            place.display()
        )
    } else {
        format!(
            "no rival is called {name}; there are {} of the system, and to be built by rivals/build.sh: {}",
            system::NAMES.join(", "),
            TO_BE_BUILT.join(", ")
        )
    }
}

/// What the programs in a directory offer.
fn ask(place: &Path) -> Result<Vec<Rival>, String> {
    let Ok(entries) = std::fs::read_dir(place) else {
        return Ok(Vec::new());
    };
    let mut programs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    programs.sort();
    let mut rivals = Vec::new();
    for program in programs {
        let listed = Command::new(&program)
            .arg("list")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            let rival: Rival = serde_json::from_str(line)
                .map_err(|error| format!("{} lists '{line}': {error}", program.display()))?;
            rivals.push(Rival {
                program: Some(program.clone()),
                ..rival
            });
        }
    }
    Ok(rivals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn against(names: &[&str], place: &Path) -> Result<Vec<String>, String> {
        let arguments = Arguments {
            against: names.iter().map(|&name| name.to_owned()).collect(),
            rivals: place.to_owned(),
            ..Arguments::default()
        };
        Ok(chosen(&arguments)?
            .into_iter()
            .map(|rival| rival.name)
            .collect())
    }

    #[test]
    fn without_a_wish_there_is_what_the_system_has() {
        let nowhere = Path::new("/nowhere");
        assert_eq!(against(&[], nowhere), against(&["system"], nowhere));
        assert_eq!(against(&["none"], nowhere), Ok(Vec::new()));
    }

    #[test]
    fn one_that_was_not_built_is_told_apart_from_one_that_does_not_exist() {
        let nowhere = Path::new("/nowhere");
        let told = against(&["iceoryx2"], nowhere).expect_err("it is not there");
        assert!(told.contains("rivals/build.sh iceoryx2"), "{told}");
        let told = against(&["carrier pigeon"], nowhere).expect_err("it is not there");
        assert!(told.contains("no rival is called carrier pigeon"), "{told}");
    }

    #[cfg(unix)]
    #[test]
    fn programs_are_asked_what_they_offer() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().expect("a directory");
        let program = place.path().join("other");
        let script =
            "#!/bin/sh\necho '{\"name\": \"rtrb\", \"does\": [\"latency\"], \"followers\": 0}'\n";
        std::fs::write(&program, script).expect("a file");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        assert_eq!(
            against(&["rtrb"], place.path()),
            Ok(vec!["rtrb".to_owned()])
        );
        let everybody = against(&["all"], place.path()).expect("they are there");
        assert_eq!(everybody.len(), system::NAMES.len() + 1);
    }
}
