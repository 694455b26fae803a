//! No process that a test has started outlives it, not even one that stands still when the test is killed.
#![cfg(target_os = "linux")] // elsewhere nothing takes children along

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::system;

/// Set for the process that starts children, and is killed.
const PARENT: &str = "PARTYWALL_ORPHANS_PARENT";

/// Not a test of its own: what the process that is killed does.
#[test]
fn the_parent() {
    if std::env::var_os(PARENT).is_none() {
        return;
    }
    let start = || system::process("sleep").arg("600").spawn().unwrap();
    let (runs, stands) = (start(), start());
    system::stop(&stands);
    println!("\nchildren {} {}", runs.id(), stands.id());
    for mut child in [runs, stands] {
        child.wait().unwrap();
    }
}

#[test]
fn nobody_outlives_a_test_that_is_killed() {
    let mut parent = system::this_program()
        .args(["--exact", "the_parent", "--nocapture"])
        .env(PARENT, "")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(parent.stdout.take().unwrap()).lines();
    let children: Vec<u32> = said
        .find_map(|line| {
            let line = line.unwrap();
            let numbers = line.strip_prefix("children ")?.split(' ');
            Some(numbers.map(|number| number.parse().unwrap()).collect())
        })
        .expect("it has children");
    assert!(children.iter().all(|&child| runs(child)), "{children:?}");
    system::kill(&parent);
    parent.wait().unwrap();
    let began = Instant::now();
    while children.iter().any(|&child| runs(child)) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "one of {children:?} lives on"
        );
        std::thread::yield_now();
    }
}

/// Whether a process is there that has not ended, though perhaps nobody has waited for it yet.
fn runs(process: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else {
        return false;
    };
    let state = stat.rsplit(") ").next().unwrap();
    !state.starts_with(['Z', 'X'])
}

#[test]
fn every_test_starts_its_processes_so() {
    // The one that starts them; programs that are to outlive who started them; and one that asks who its parent is.
    const OTHERWISE: [&str; 3] = ["common/system.rs", "fork/children.rs", "halves.rs"];
    // Not a name that this file contains.
    let directly = concat!("Command", "::new(");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for tests in [here.join("tests"), here.join("../partywall-cli/tests")] {
        sources(&tests, &mut files);
    }
    assert!(files.len() > 60, "{files:?}");
    for file in files {
        let allowed = OTHERWISE.iter().any(|end| file.ends_with(end));
        let found = fs::read_to_string(&file).unwrap().contains(directly);
        assert_eq!(
            found,
            allowed,
            "{}: start processes by `system::process`",
            file.display()
        );
    }
}

fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            files.push(path);
        }
    }
}
