//! Torture as a user runs it, and proof that each of its oracles would find a broken promise.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::process::Child;
use std::process::{Command, Output, Stdio};

use common::command;
use serde_json::Value;

const PATTERNS: [&str; 6] = ["ring", "snapshot", "broadcast", "frames", "mpsc", "guarded"];

/// What is found is kept in `kept`.
fn torture(kept: &Path, arguments: &[&str]) -> Command {
    let mut command = command();
    command
        .args(["torture", "--json"])
        .args(arguments)
        .env("TMPDIR", kept)
        .env("TMP", kept)
        .stdin(Stdio::null());
    command
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last();
    let last = last.unwrap_or_else(|| panic!("no report: {output:?}"));
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {last:?}"))
}

fn count(object: &Value, what: &str) -> u64 {
    let count = object[what].as_u64();
    count.unwrap_or_else(|| panic!("no {what}: {object}"))
}

fn kept_in(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).expect("the directory is there");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

#[cfg(target_os = "linux")]
fn left_in_memory() -> Vec<String> {
    let entries = fs::read_dir("/dev/shm").expect("there is shared memory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with("partywall-torture-"))
        .collect()
}

#[test]
fn a_round_of_each_pattern_finds_nothing() {
    let kept = tempfile::tempdir().expect("a directory");
    let mut kills = 0;
    for pattern in PATTERNS {
        let mut records = 0;
        // How far a round gets is for the machine to say.
        for seed in 1..21 {
            let seed_text = seed.to_string();
            let arguments = ["--seconds", "1", "--seed", &seed_text, "--pattern", pattern];
            let output = torture(kept.path(), &arguments)
                .output()
                .expect("it starts");
            let told = report(&output);
            assert!(output.status.success(), "{output:?}");
            assert_eq!(kept_in(kept.path()), Vec::<std::path::PathBuf>::new());
            for what in ["lost", "torn", "problems"] {
                assert_eq!(count(&told, what), 0, "{told}");
            }
            assert_eq!(count(&told, "seed"), seed);
            assert_eq!(told["patterns"][0]["pattern"], pattern);
            assert!(count(&told, "rounds") > 0, "{told}");
            records += count(&told, "records");
            kills += count(&told, "kills");
            if records > 0 {
                break;
            }
        }
        assert!(records > 0, "{pattern}: nobody received anything");
    }
    assert!(kills > 20, "{kills}");
}

/// Two of the stops overlap, and a slow machine comes to the end of the round while both last.
#[test]
fn who_was_stopped_twice_goes_on_when_the_round_ends() {
    let kept = tempfile::tempdir().expect("a directory");
    let mut stops = 0;
    for _ in 0..20 {
        let round = ["--seconds", "1", "--seed", "17", "--round", "0"];
        let output = torture(kept.path(), &[&round[..], &["--pattern", "ring"]].concat())
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{output:?}");
        stops += count(&report(&output), "stops");
        if stops > 2 {
            return;
        }
    }
    panic!("{stops} stops");
}

/// Whether a channel grows in a second is not for us to say; in many seconds each does.
#[test]
fn channels_grow_and_change_their_schemas_meanwhile_and_nothing_is_found() {
    let kept = tempfile::tempdir().expect("a directory");
    for pattern in PATTERNS.into_iter().filter(|&pattern| pattern != "guarded") {
        let (mut growths, mut reschemas) = (0, 0);
        for seed in 1.. {
            assert!(
                seed < 40,
                "{pattern}: {growths} growths, {reschemas} reschemas"
            );
            let seed = seed.to_string();
            let arguments = ["--seconds", "1", "--seed", &seed, "--pattern", pattern];
            let output = torture(kept.path(), &arguments)
                .output()
                .expect("it starts");
            assert!(output.status.success(), "{output:?}");
            let told = report(&output);
            growths += count(&told, "growths");
            reschemas += count(&told, "reschemas");
            if growths > 0 && reschemas > 0 && count(&told, "rejoins") > 0 {
                break;
            }
        }
    }
}

/// Fewer records than this, where processes start slowly, and perhaps none had a fault.
const ENOUGH: u64 = 200;

/// The report of a run in which enough records were received for a fault to be among them: of the first seed that has so many.
fn torture_with(fault: &str, pattern: &str) -> (tempfile::TempDir, u64, Output) {
    for seed in 3..23 {
        let kept = tempfile::tempdir().expect("a directory");
        let seed_text = seed.to_string();
        let arguments = ["--seconds", "1", "--seed", &seed_text, "--pattern", pattern];
        let output = torture(kept.path(), &[&arguments[..], &["--fault", fault]].concat())
            .output()
            .expect("it starts");
        if !output.status.success() || count(&report(&output), "records") >= ENOUGH {
            return (kept, seed, output);
        }
    }
    panic!("{pattern} {fault}: never were {ENOUGH} records received");
}

#[test]
fn every_oracle_finds_every_fault_and_the_round_is_kept() {
    for fault in ["corrupt", "skip", "twice"] {
        for pattern in PATTERNS {
            let (kept, seed, output) = torture_with(fault, pattern);
            assert_eq!(
                output.status.code(),
                Some(1),
                "{pattern} {fault} {output:?}"
            );
            let told = report(&output);
            let found: u64 = ["lost", "torn", "problems"]
                .iter()
                .map(|what| count(&told, what))
                .sum();
            assert!(found > 0, "{pattern} {fault} {told}");
            if fault == "corrupt" {
                assert!(count(&told, "torn") > 0, "{pattern} {told}");
            }
            let rounds = kept_in(kept.path());
            let plan = fs::read(rounds[0].join("plan.json")).expect("the plan is kept");
            let plan: Value = serde_json::from_slice(&plan).expect("it is JSON");
            assert_eq!(
                (count(&plan, "seed"), &plan["pattern"]),
                (seed, &pattern.into())
            );
            assert!(rounds[0].join("findings.json").exists(), "{rounds:?}");
        }
    }
}

/// A torture that is at work, the numbers of its processes, and what it has open in memory.
#[cfg(target_os = "linux")] // /proc tells its files and children
fn at_work(kept: &Path) -> (Child, Vec<u32>, Vec<String>) {
    let child = torture(kept, &["--seconds", "600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let called = |process: u32| fs::read(format!("/proc/{process}/cmdline"));
    // Just begun, it has no name yet.
    let mut conductor = Vec::new();
    wait_until("it has a name", || {
        conductor = called(child.id()).expect("it runs");
        !conductor.is_empty()
    });
    let children = || -> Vec<u32> {
        let of = format!("/proc/{0}/task/{0}/children", child.id());
        let numbers = fs::read_to_string(of).unwrap_or_default();
        let numbers = numbers.split_whitespace();
        let numbers = numbers.map(|one| one.parse().expect("a number"));
        // One that is called as the conductor is was forked just now. The conductor waits until such a one has begun, and
        // stops none before; and a test that did would keep it from asking to die with the conductor.
        numbers
            .filter(|&one| called(one).is_ok_and(|name| name != conductor))
            .collect()
    };
    // It is at work once its processes write down what they do.
    let ours = |name: &String| {
        let notes = Path::new("/dev/shm").join(name).join("notes");
        notes.exists() && children().len() > 1
    };
    wait_until("it begins", || left_in_memory().iter().any(ours));
    let running = children();
    let open: Vec<String> = fs::read_dir(format!("/proc/{}/fd", child.id()))
        .expect("it has files")
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .map(|path| path.to_string_lossy().into_owned())
        .filter(|path| path.starts_with("/dev/shm/partywall-torture-"))
        .collect();
    assert!(!running.is_empty() && !open.is_empty());
    (child, running, open)
}

#[cfg(target_os = "linux")]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    use std::time::{Duration, Instant};

    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_it_with_a_report_and_nothing_is_left() {
    let kept = tempfile::tempdir().expect("a directory");
    let (child, running, open) = at_work(kept.path());
    common::interrupt(&child);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(count(&report(&output), "problems"), 0);
    let seed_is_said = String::from_utf8_lossy(&output.stderr).starts_with("seed ");
    assert!(seed_is_said, "{output:?}");
    for path in open {
        assert!(!Path::new(&path).exists(), "{path}");
    }
    for process in running {
        let there = Path::new("/proc").join(process.to_string()).exists();
        assert!(!there, "{process}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_outlives_a_conductor_that_is_killed() {
    use rustix::process::{Pid, Signal, kill_process};

    let kept = tempfile::tempdir().expect("a directory");
    let (mut child, running, open) = at_work(kept.path());
    // Not even one that stands still, as some do whom the conductor has stopped.
    for process in &running {
        let process = Pid::from_raw(process.cast_signed()).expect("not 0");
        // It may have ended meanwhile.
        let _ = kill_process(process, Signal::STOP);
    }
    common::system::kill(&child);
    child.wait().expect("it ends");
    // Who has ended, and was not waited for, has no memory any more.
    let runs = |process: &u32| {
        let memory = fs::read_to_string(format!("/proc/{process}/statm"));
        memory.is_ok_and(|pages| !pages.starts_with("0 "))
    };
    wait_until("its children have gone", || !running.iter().any(runs));
    for path in open {
        // What the next torture would sweep up.
        let _ = fs::remove_dir_all(path);
    }
}

#[test]
fn a_seed_gives_the_same_plans_again() {
    let kept = tempfile::tempdir().expect("a directory");
    let mut plans = Vec::new();
    // A round in which nobody came to receive a wrong record is not kept.
    for _ in 0..20 {
        let arguments = [
            "--seconds",
            "1",
            "--seed",
            "5",
            "--round",
            "2",
            "--fault",
            "corrupt",
        ];
        let output = torture(kept.path(), &arguments)
            .output()
            .expect("it starts");
        let told = report(&output);
        if let Some(path) = told["kept"][0].as_str() {
            plans.push(fs::read(Path::new(path).join("plan.json")).expect("the plan is kept"));
        }
        if plans.len() == 2 {
            break;
        }
    }
    assert_eq!(plans.len(), 2, "too few rounds were kept");
    assert_eq!(plans[0], plans[1]);
}

#[test]
fn with_another_program_both_play_every_part_of_every_pattern() {
    let kept = tempfile::tempdir().expect("a directory");
    for pattern in PATTERNS {
        // Nobody owns a guarded record: who has it locked does, for that time.
        let owner = if pattern == "guarded" {
            "peer"
        } else {
            "owner"
        };
        let mut missing: BTreeSet<(&str, &str)> = ["this", "other"]
            .iter()
            .flat_map(|&build| [(build, owner), (build, "peer")])
            .collect();
        // Who plays what follows from the seed; how far they get in the time, from the machine.
        for seed in 0..20 {
            let seed = seed.to_string();
            let arguments = ["--seconds", "2", "--seed", &seed, "--pattern", pattern];
            let other = ["--other", env!("CARGO_BIN_EXE_partywall")];
            let output = torture(kept.path(), &[&arguments[..], &other].concat())
                .output()
                .expect("it starts");
            let told = report(&output);
            assert!(output.status.success(), "{pattern} {told}");
            missing.retain(|&(build, part)| {
                let share = &told["patterns"][0]["builds"][build][part];
                share["operations"].as_u64().is_none_or(|done| done == 0)
            });
            if missing.is_empty() {
                break;
            }
        }
        assert_eq!(missing, BTreeSet::new(), "{pattern}: who did nothing");
    }
}
