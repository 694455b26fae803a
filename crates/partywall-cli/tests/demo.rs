//! The demo as a user runs it, and proof that its accounts would show a loss.

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
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

#[test]
fn a_killed_camera_costs_no_frame() {
    let place = place();
    let output = demo(place.path(), &["--seconds", "1", "--frame-size", "64x48x3"]);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    for (what, expected) in [("lost", 0), ("torn", 0), ("repeated", 0), ("kills", 1)] {
        assert_eq!(report[what], expected, "{report}");
    }
    let frames = report["frames"].as_u64().expect("a count");
    assert!(frames > 0);
    assert_eq!(report["bytes"], frames * 64 * 48 * 3);
    for what in ["seconds", "gb_per_s", "recovery_ms"] {
        assert!(
            report[what].as_f64().expect("a number") > 0.0,
            "{what}: {report}"
        );
    }
    assert!(report["p50_ns"].as_u64() <= report["p99_ns"].as_u64());
    let consumers = report["consumers"].as_array().expect("a list");
    assert_eq!(consumers.len(), 2);
    for consumer in consumers {
        assert_eq!(consumer["received"], frames, "{report}");
    }
    assert_eq!(left_in(place.path()), Vec::<String>::new());
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
fn a_corrupted_frame_is_counted_as_torn_by_both() {
    let place = place();
    let output = demo(
        place.path(),
        &[
            "--seconds",
            "0.5",
            "--frame-size",
            "5000",
            "--fault",
            "corrupt",
        ],
    );
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert_eq!(report["torn"], 2, "{report}");
    assert_eq!(report["lost"], 0, "{report}");
}

#[test]
fn an_overlooked_frame_is_counted_as_lost_by_the_viewer() {
    let place = place();
    let output = demo(
        place.path(),
        &[
            "--seconds",
            "0.5",
            "--frame-size",
            "5000",
            "--fault",
            "lose",
        ],
    );
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert_eq!(report["lost"], 1, "{report}");
    assert_eq!(report["consumers"][0]["lost"], 0, "{report}");
    assert_eq!(report["consumers"][1]["lost"], 1, "{report}");
    assert_eq!(report["torn"], 0, "{report}");
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
fn a_camera_that_fails_ends_the_demo() {
    let place = place();
    let output = demo(place.path(), &["--seconds", "5", "--fault", "fail"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("the producer ended before its time"),
        "{said}"
    );
    assert_eq!(left_in(place.path()), Vec::<String>::new());
}

#[test]
fn ctrl_c_ends_everything_and_tidies_up() {
    let place = place();
    let mut running = Command::new(env!("CARGO_BIN_EXE_partywall"))
        .arg("--dir")
        .arg(place.path())
        .args(["demo", "--seconds", "60", "--frame-size", "1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the command starts");
    let deadline = Instant::now() + Duration::from_secs(30);
    while left_in(place.path()).is_empty() {
        assert!(Instant::now() < deadline, "the channel did not come up");
        std::thread::sleep(Duration::from_millis(5));
    }
    let process = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("a signal");
    let status = running.wait().expect("it ends");
    assert_eq!(status.code(), Some(130));
    assert_eq!(left_in(place.path()), Vec::<String>::new());
}
