//! The demo as a user runs it, and proof that its accounts would show a loss.

mod common;

use common::{command, system};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
#[cfg(unix)]
use std::process::Child;
use std::process::{Output, Stdio};
#[cfg(unix)]
use std::time::{Duration, Instant};

fn demo(dir: &Path, arguments: &[&str]) -> Output {
    command()
        .arg("--dir")
        .arg(dir)
        .args(["demo", "--json"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts")
}

fn place() -> tempfile::TempDir {
    system::directory()
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
    system::names(dir)
}

/// A pattern's demo.
#[derive(Clone, Copy)]
struct Demo {
    pattern: &'static str,
    /// Options that make it quick.
    quick: &'static [&'static str],
    /// The writer that is killed.
    victim: &'static str,
    watchers: usize,
}

impl Demo {
    const fn of(
        pattern: &'static str,
        quick: &'static [&'static str],
        victim: &'static str,
        watchers: usize,
    ) -> Demo {
        Demo {
            pattern,
            quick,
            victim,
            watchers,
        }
    }
}

const SMALL: &[&str] = &["--frame-size", "64x48x3"];
const FRAMES: Demo = Demo::of("frames", SMALL, "camera", 2);
const RING: Demo = Demo::of("ring", SMALL, "producer", 2);
const SNAPSHOT: Demo = Demo::of("snapshot", &[], "exchange", 2);
const BROADCAST: Demo = Demo::of("broadcast", &[], "sensor", 2);
const MPSC: Demo = Demo::of("mpsc", &[], "worker", 1);
const GUARDED: Demo = Demo::of("guarded", &[], "operator", 2);

const DEMOS: [Demo; 6] = [FRAMES, RING, SNAPSHOT, BROADCAST, MPSC, GUARDED];

/// The demo of a pattern, with the options that make it quick.
fn show(dir: &Path, of: Demo, arguments: &[&str]) -> Output {
    demo(
        dir,
        &[&["--pattern", of.pattern], of.quick, arguments].concat(),
    )
}

fn count(object: &Value, what: &str) -> u64 {
    let count = object[what].as_u64();
    count.unwrap_or_else(|| panic!("no {what}: {object}"))
}

/// How many processes have their channels there: `/proc` tells.
#[cfg(target_os = "linux")]
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
#[cfg(unix)]
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
    for of in DEMOS {
        let output = show(place.path(), of, &["--seconds", "1", "--kills", "2"]);
        let report = report(&output);
        assert!(output.status.success(), "{report}");
        assert_eq!(report["pattern"], of.pattern);
        assert_eq!(report["ok"], true);
        for (what, expected) in [("lost", 0), ("torn", 0), ("repeated", 0), ("kills", 2)] {
            assert_eq!(report[what], expected, "{report}");
        }
        let records = count(&report, "records");
        assert!(records > 0, "{report}");
        let size = count(&report, "record_size");
        assert!(size > 0, "{report}");
        // Where records differ in length, their size is the mean, rounded down.
        let rounded = if of.pattern == "mpsc" { records - 1 } else { 0 };
        let bytes = records * size..=records * size + rounded;
        assert!(bytes.contains(&count(&report, "bytes")), "{report}");
        for what in ["seconds", "records_per_s", "gb_per_s", "recovery_ms"] {
            let number = report[what].as_f64();
            assert!(number > Some(0.0), "{what}: {report}");
        }
        assert!(count(&report, "p50_ns") <= count(&report, "p99_ns"));
        let consumers = report["consumers"].as_array().expect("a list");
        assert_eq!(consumers.len(), of.watchers);
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
fn no_consumer_misses_a_frame() {
    let place = place();
    for of in [FRAMES, RING] {
        let output = show(place.path(), of, &["--seconds", "1"]);
        let report = report(&output);
        assert!(output.status.success(), "{report}");
        let frames = count(&report, "frames");
        assert_eq!(report["bytes"], frames * 64 * 48 * 3);
        assert_eq!(
            (&report["overruns"], &report["missed"]),
            (&0.into(), &0.into())
        );
        for consumer in report["consumers"].as_array().expect("a list") {
            assert_eq!(consumer["received"], frames, "{report}");
        }
    }
}

#[test]
fn the_collector_is_told_of_each_death_and_each_end_in_order() {
    let place = place();
    let output = show(place.path(), MPSC, &["--seconds", "2", "--kills", "5"]);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!((count(&report, "kills"), count(&report, "deaths")), (5, 5));
    assert_eq!(
        (count(&report, "closes"), count(&report, "disorder")),
        (3, 0)
    );
}

#[test]
fn an_operator_that_is_killed_with_the_lock_in_hand_is_news_and_costs_no_edit() {
    let place = place();
    // A kill falls where it likes: into a lock that is held about every third time.
    let heard = (0..20).any(|_| {
        let arguments = ["--seconds", "0.5", "--kills", "4"];
        let output = show(place.path(), GUARDED, &arguments);
        let report = report(&output);
        assert!(output.status.success(), "{report}");
        assert_eq!((count(&report, "lost"), count(&report, "torn")), (0, 0));
        assert!(count(&report, "owner_died") <= 4, "{report}");
        count(&report, "owner_died") > 0
    });
    assert!(heard, "80 kills, and none with the lock in hand");
}

#[test]
fn frames_of_full_size_survive_several_kills() {
    let place = place();
    let output = demo(place.path(), &["--seconds", "2", "--kills", "4"]);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["pattern"], "frames", "nobody chose another");
    assert_eq!(report["frame_size"], 1920 * 1080 * 3);
    assert_eq!(report["kills"], 4);
    assert_eq!(report["lost"], 0);
    assert_eq!(report["torn"], 0);
}

#[test]
fn a_corrupted_record_is_counted_as_torn_by_each_watcher() {
    let place = place();
    for of in DEMOS {
        let arguments = ["--seconds", "0.5", "--fault", "corrupt"];
        let output = show(place.path(), of, &arguments);
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
    for of in DEMOS {
        let output = show(place.path(), of, &["--seconds", "0.5", "--fault", "lose"]);
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
    for (of, size) in [
        (FRAMES, "100x100x1"),
        (FRAMES, "10000"),
        (RING, "100x100x1"),
    ] {
        let options = ["--pattern", of.pattern, "--seconds", "0.5"];
        let file = ["--input", path, "--frame-size", size];
        let output = demo(place.path(), &[options, file].concat());
        let good = report(&output);
        assert!(output.status.success(), "{good}");
        assert!(count(&good, "frames") > 3, "more than one round");
        let fault = &["--fault", "corrupt"];
        let output = demo(place.path(), &[&options[..], &file, fault].concat());
        assert_eq!(report(&output)["torn"], 2);
    }
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
        // Devices lie in no directory there.
        if cfg!(windows) && arguments.contains(&"/dev/zero") {
            continue;
        }
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
    for Demo { pattern, .. } in [SNAPSHOT, BROADCAST, MPSC, GUARDED] {
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
    for of in DEMOS {
        let output = show(place.path(), of, &["--seconds", "5", "--fault", "fail"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        let expected = format!("the {} ended before its time", of.victim);
        assert!(said.contains(&expected), "{said}");
        assert_eq!(left_in(place.path()), Vec::<String>::new());
    }
}

/// A demo that is at work, for a minute.
#[cfg(unix)]
fn running(dir: &Path, of: Demo) -> Child {
    let running = command()
        .arg("--dir")
        .arg(dir)
        .args(["demo", "--seconds", "60", "--pattern", of.pattern])
        .args(of.quick)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the command starts");
    wait_until("the channel is there", || !left_in(dir).is_empty());
    #[cfg(target_os = "linux")]
    assert!(processes_in(dir) > 0, "its children can be found");
    running
}

#[cfg(unix)] // signals
#[test]
fn ctrl_c_ends_everything_and_tidies_up() {
    let place = place();
    for of in DEMOS {
        let mut running = running(place.path(), of);
        common::interrupt(&running);
        let status = running.wait().expect("it ends");
        assert_eq!(status.code(), Some(130));
        assert_eq!(left_in(place.path()), Vec::<String>::new());
        #[cfg(target_os = "linux")]
        assert_eq!(processes_in(place.path()), 0, "{}", of.pattern);
    }
}

#[cfg(target_os = "linux")] // /proc
#[test]
fn nobody_outlives_a_conductor_that_is_killed() {
    for of in DEMOS {
        let place = place();
        let mut running = running(place.path(), of);
        system::kill(&running);
        running.wait().expect("it ends");
        wait_until("its children have gone", || processes_in(place.path()) == 0);
    }
}
