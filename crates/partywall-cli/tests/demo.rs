//! The demo as a user runs it, and proof that its accounts would show a loss.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn demo(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_partywall"))
        .arg("--dir")
        .arg(dir)
        .args(["demo", "--json"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts")
}

/// A place for channels in memory, which is where they may be.
fn place() -> tempfile::TempDir {
    let mut private = tempfile::Builder::new();
    private.permissions(fs::Permissions::from_mode(0o700));
    private
        .prefix("partywall-test-")
        .tempdir_in("/dev/shm")
        .expect("a directory")
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text
        .lines()
        .last()
        .unwrap_or_else(|| panic!("no report: {output:?}"));
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {last:?}"))
}

fn left_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("the directory is there");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

/// Each pattern: its name, options that make it quick, and the writer that is killed.
const PATTERNS: [(&str, &[&str], &str); 3] = [
    ("ring", &["--frame-size", "64x48x3"], "producer"),
    ("snapshot", &[], "exchange"),
    ("broadcast", &[], "sensor"),
];

/// The demo of a pattern, with the options that make it quick.
fn show(dir: &Path, (pattern, quick, _): (&str, &[&str], &str), arguments: &[&str]) -> Output {
    demo(dir, &[&["--pattern", pattern], quick, arguments].concat())
}

/// How many processes have their channels there.
fn processes_in(dir: &Path) -> usize {
    let wanted = format!("PARTYWALL_DIR={}", dir.display());
    let processes = fs::read_dir("/proc").expect("there are processes");
    processes
        .filter_map(|process| fs::read(process.ok()?.path().join("environ")).ok())
        .filter(|variables| {
            variables
                .split(|&byte| byte == 0)
                .any(|one| one == wanted.as_bytes())
        })
        .count()
}

/// Looks again and again, as long as a busy machine may need.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_killed_writer_costs_nothing_whatever_the_pattern() {
    let place = place();
    for pattern in PATTERNS {
        let output = show(place.path(), pattern, &["--seconds", "1", "--kills", "2"]);
        let report = report(&output);
        assert!(output.status.success(), "{report}");
        assert_eq!(report["pattern"], pattern.0);
        assert_eq!(report["ok"], true);
        for (what, expected) in [("lost", 0), ("torn", 0), ("repeated", 0), ("kills", 2)] {
            assert_eq!(report[what], expected, "{report}");
        }
        let count = |object: &Value, what: &str| {
            let count = object[what].as_u64();
            count.unwrap_or_else(|| panic!("no {what}: {object}"))
        };
        let records = count(&report, "records");
        assert!(records > 0, "{report}");
        assert_eq!(
            count(&report, "bytes"),
            records * count(&report, "record_size")
        );
        for what in ["seconds", "records_per_s", "gb_per_s", "recovery_ms"] {
            let number = report[what].as_f64();
            assert!(number > Some(0.0), "{what}: {report}");
        }
        assert!(count(&report, "p50_ns") <= count(&report, "p99_ns"));
        let consumers = report["consumers"].as_array().expect("a list");
        assert_eq!(consumers.len(), 2);
        for consumer in consumers {
            // What did not come was told by the channel, or is of no interest in a snapshot.
            let told = count(consumer, "overruns") + count(consumer, "missed");
            assert_eq!(count(consumer, "received") + told, records, "{report}");
            assert_eq!(consumer["recovery_ms"].as_array().map(Vec::len), Some(2));
        }
        assert_eq!(left_in(place.path()), Vec::<String>::new());
    }
}

#[test]
fn the_ring_shows_frames_and_no_consumer_misses_one() {
    let place = place();
    let output = demo(place.path(), &["--seconds", "1", "--frame-size", "64x48x3"]);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    let frames = report["frames"].as_u64().expect("a count");
    assert_eq!(report["bytes"], frames * 64 * 48 * 3);
    assert_eq!(
        (&report["overruns"], &report["missed"]),
        (&0.into(), &0.into())
    );
    for consumer in report["consumers"].as_array().expect("a list") {
        assert_eq!(consumer["received"], frames, "{report}");
    }
}

#[test]
fn frames_of_full_size_survive_several_kills() {
    let place = place();
    let output = demo(place.path(), &["--seconds", "2", "--kills", "4"]);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["frame_size"], 1920 * 1080 * 3);
    assert_eq!(report["kills"], 4);
    assert_eq!(report["lost"], 0);
    assert_eq!(report["torn"], 0);
}

#[test]
fn a_corrupted_record_is_counted_as_torn_by_each_watcher() {
    let place = place();
    for pattern in PATTERNS {
        let arguments = ["--seconds", "0.5", "--fault", "corrupt"];
        let output = show(place.path(), pattern, &arguments);
        let report = report(&output);
        assert_eq!(output.status.code(), Some(1), "{report}");
        assert_eq!(report["ok"], false, "{report}");
        assert_eq!(report["lost"], 0, "{report}");
        for consumer in report["consumers"].as_array().expect("a list") {
            assert_eq!(consumer["torn"], 1, "{report}");
        }
    }
}

#[test]
fn an_overlooked_record_is_counted_as_lost_by_who_overlooked_it() {
    let place = place();
    for pattern in PATTERNS {
        let output = show(
            place.path(),
            pattern,
            &["--seconds", "0.5", "--fault", "lose"],
        );
        let report = report(&output);
        assert_eq!(output.status.code(), Some(1), "{report}");
        assert_eq!(report["ok"], false, "{report}");
        assert_eq!(report["torn"], 0, "{report}");
        assert_eq!(report["lost"], 1, "{report}");
        let last = report["consumers"].as_array().and_then(|list| list.last());
        assert_eq!(last.expect("there is one")["lost"], 1, "{report}");
    }
}

#[test]
fn a_file_is_sent_frame_by_frame() {
    let place = place();
    let mut video = tempfile::NamedTempFile::new().expect("a file");
    let content: Vec<u8> = (0..3 * 10_000_u32).map(|n| ((n * n) >> 7) as u8).collect();
    video.write_all(&content).expect("written");
    let path = video.path().to_str().expect("a path of letters");
    let arguments = [
        "--seconds",
        "0.5",
        "--input",
        path,
        "--frame-size",
        "100x100x1",
    ];
    let report_of = demo(place.path(), &arguments);
    let good = report(&report_of);
    assert!(report_of.status.success(), "{good}");
    assert!(good["frames"].as_u64() > Some(3), "more than one round");
    let bad = demo(
        place.path(),
        &[&arguments[..], &["--fault", "corrupt"]].concat(),
    );
    assert_eq!(report(&bad)["torn"], 2);
}

#[test]
fn nonsense_is_refused_by_name_and_leaves_nothing() {
    let place = place();
    let small = tempfile::NamedTempFile::new().expect("a file");
    fs::write(small.path(), [0; 99]).expect("written");
    let small = small.path().to_str().expect("a path of letters");
    for (arguments, word) in [
        (
            &["--input", "/nowhere/at/all", "--frame-size", "100"][..],
            "/nowhere/at/all",
        ),
        (&["--input", small, "--frame-size", "100"], "99 bytes"),
        (&["--input", small], "--frame-size"),
        (
            &["--input", "/dev/zero", "--frame-size", "100"],
            "not a regular file",
        ),
        (&["--frame-size", "0"], "at least one byte"),
        (&["--frame-size", "3x"], "1920x1080x3"),
        (&["--frame-size", "2147483648"], "1 GiB"),
        (&["--seconds", "0"], "0.1"),
        (&["--seconds", "nan"], "0.1"),
        (&["--fps", "0"], "0.1"),
        (&["--kills", "0"], "1..="),
    ] {
        let output = demo(place.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(word), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    assert_eq!(left_in(place.path()), Vec::<String>::new());
}

#[test]
fn options_for_frames_are_refused_where_there_are_none() {
    let place = place();
    for (pattern, _, _) in &PATTERNS[1..] {
        let file: &[&str] = &["--input", "/dev/null", "--frame-size", "9"];
        for arguments in [&file[2..], file] {
            let arguments = [&["--pattern", pattern], arguments].concat();
            let output = demo(place.path(), &arguments);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(
                said.contains(arguments[2]) && said.contains(pattern),
                "{said}"
            );
        }
    }
    assert_eq!(left_in(place.path()), Vec::<String>::new());
}

#[test]
fn a_writer_that_fails_ends_the_demo() {
    let place = place();
    for pattern in PATTERNS {
        let output = show(
            place.path(),
            pattern,
            &["--seconds", "5", "--fault", "fail"],
        );
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        let expected = format!("the {} ended before its time", pattern.2);
        assert!(said.contains(&expected), "{said}");
        assert_eq!(left_in(place.path()), Vec::<String>::new());
    }
}

/// A demo that is at work, for a minute.
fn running(dir: &Path, (pattern, quick, _): (&str, &[&str], &str)) -> Child {
    let running = Command::new(env!("CARGO_BIN_EXE_partywall"))
        .arg("--dir")
        .arg(dir)
        .args(["demo", "--seconds", "60", "--pattern", pattern])
        .args(quick)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the command starts");
    wait_until("the channel is there", || !left_in(dir).is_empty());
    assert!(processes_in(dir) > 0, "its children can be found");
    running
}

fn signal(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).expect("a signal");
}

#[test]
fn ctrl_c_ends_everything_and_tidies_up() {
    let place = place();
    for pattern in PATTERNS {
        let mut running = running(place.path(), pattern);
        signal(&running, Signal::INT);
        let status = running.wait().expect("it ends");
        assert_eq!(status.code(), Some(130));
        assert_eq!(left_in(place.path()), Vec::<String>::new());
        assert_eq!(processes_in(place.path()), 0, "{}", pattern.0);
    }
}

#[test]
fn nobody_outlives_a_conductor_that_is_killed() {
    for pattern in PATTERNS {
        let place = place();
        let mut running = running(place.path(), pattern);
        signal(&running, Signal::KILL);
        running.wait().expect("it ends");
        wait_until("its children have gone", || processes_in(place.path()) == 0);
    }
}
