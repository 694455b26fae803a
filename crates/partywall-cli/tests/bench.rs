//! The bench runs, and its rows are what programs expect. Never how fast: this may be any machine.

mod common;

use common::command;
use serde_json::Value;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Mutex;

/// Two benches on the same two cores would wait for each other's turns at the scheduler.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn bench(arguments: &[&str]) -> Output {
    let _turn = ONE_AT_A_TIME.lock();
    command()
        .args(["bench", "--rounds", "2"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts")
}

/// There is nothing to measure between two processes on one core.
fn has_two_cores() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() >= 2)
}

fn rows(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn names<'a>(rows: &'a [Value], work: &str) -> Vec<&'a str> {
    let of_work = rows.iter().filter(|row| row["work"] == work);
    of_work
        .filter_map(|row| row["contender"].as_str())
        .collect()
}

#[test]
fn every_work_has_rows_with_a_ratio_and_what_it_was_made_of() {
    if !has_two_cores() {
        return;
    }
    let rows = rows(&bench(&["--quick", "--json"]));
    for work in ["W1", "W2", "W3", "W4", "W6", "W7", "W8", "W9"] {
        assert!(!names(&rows, work).is_empty(), "{work}: {rows:?}");
    }
    for contender in ["ring", "ring in place", "frames", "mpsc"] {
        assert!(names(&rows, "W1").contains(&contender), "{rows:?}");
    }
    if cfg!(target_os = "linux") {
        for pattern in ["ring", "snapshot", "broadcast", "frames", "mpsc", "guarded"] {
            assert!(names(&rows, "W5").contains(&pattern), "{rows:?}");
        }
        for rival in ["pipe", "unix stream", "unix seqpacket", "posix queue"] {
            assert!(names(&rows, "W1").contains(&rival), "{rows:?}");
        }
    }
    for row in &rows {
        let number = |what: &Value| {
            what.as_f64()
                .unwrap_or_else(|| panic!("no number in {row}"))
        };
        assert!(
            row["contender"].is_string() && row["unit"].is_string(),
            "{row}"
        );
        assert!(
            row["size"].is_u64() && row["placement"].is_string(),
            "{row}"
        );
        let ratio = number(&row["ratio_to_limit"]);
        assert!(ratio.is_finite() && ratio >= 0.0, "{row}");
        for side in [row, &row["limit"]] {
            let [min, median, max] = ["min", "median", "max"].map(|what| number(&side[what]));
            assert!(0.0 <= min && min <= median && median <= max, "{row}");
        }
        assert!(row["faults"].is_null() || row["rival"] == true, "{row}");
        if row["work"] == "W1" {
            let [p50, p99, longest] = ["p50", "p99", "latency_max"].map(|what| number(&row[what]));
            assert!(0.0 < p50 && p50 <= p99 && p99 <= longest, "{row}");
            assert_eq!(
                (&row["size"], &row["rounds"]),
                (&64.into(), &2.into()),
                "{row}"
            );
        }
    }
}

#[test]
fn only_the_work_that_was_asked_for_is_done() {
    if !has_two_cores() {
        return;
    }
    let rows = rows(&bench(&[
        "--quick",
        "--json",
        "--work",
        "W1,W9",
        "--against",
        "none",
    ]));
    assert_eq!(
        names(&rows, "W1").len() + names(&rows, "W9").len(),
        rows.len(),
        "{rows:?}"
    );
    assert!(
        !names(&rows, "W1").is_empty() && !names(&rows, "W9").is_empty(),
        "{rows:?}"
    );
    assert!(rows.iter().all(|row| row["rival"] == false), "{rows:?}");
}

#[test]
fn people_get_a_table_and_a_report_and_markdown_of_what_was_measured() {
    if !has_two_cores() {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name).display().to_string();
    let output = bench(&["--quick", "--work", "W1", "--report", &path("report.html")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("W1: one-way latency"),
        "{output:?}"
    );
    let report = std::fs::read_to_string(path("report.html")).expect("a report");
    assert!(
        report.contains("<svg") && report.contains("ring in place"),
        "{report}"
    );

    let lines = bench(&["--quick", "--work", "W1", "--json"]);
    std::fs::write(path("rows"), &lines.stdout).expect("a file");
    let output = bench(&["--markdown", &path("rows")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("| **ring** |"),
        "{output:?}"
    );
}

/// A recorded run in which each ratio is so many times what it is.
fn record(rows: &[Value], times: f64, file: &Path) {
    let text: String = rows
        .iter()
        .map(|row| {
            let mut row = row.clone();
            let ratio = row["ratio_to_limit"].as_f64().expect("a ratio") * times;
            row["ratio_to_limit"] = ratio.into();
            row["ratio_quartiles"] = vec![ratio, ratio].into();
            format!("{row}\n")
        })
        .collect();
    std::fs::write(file, text).expect("a file");
}

#[test]
fn a_ratio_far_beyond_what_was_recorded_fails_the_check() {
    if !has_two_cores() {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("recorded");
    let check = [
        "--quick",
        "--json",
        "--work",
        "W9",
        "--against",
        "none",
        "--check",
        "--recorded",
    ];
    let check = |file: &Path| bench(&[&check[..], &[&file.display().to_string()]].concat());
    let measured = rows(&bench(&[
        "--quick",
        "--json",
        "--work",
        "W9",
        "--against",
        "none",
    ]));

    // Memory is the same each time. As if there had been a millionth of it, and a million times as much.
    record(&measured, 1e-6, &file);
    let output = check(&file);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("beyond what is tolerated"), "{output:?}");
    record(&measured, 1e6, &file);
    let output = check(&file);
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    let output = check(&place.path().join("missing"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot read"),
        "{output:?}"
    );
}

#[test]
fn an_unknown_work_and_an_unknown_rival_are_refused() {
    let output = bench(&["--work", "W99"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("W99"));
    let output = bench(&["--against", "pigeon"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no rival is called pigeon"));
    let output = bench(&["--against", "iceoryx2", "--rivals", "/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("rivals/build.sh iceoryx2"));
}

/// A rival in a few lines of shell: what it says is believed only as far as it goes.
#[cfg(target_os = "linux")]
#[test]
fn a_rival_that_fails_dies_or_lies_is_told_and_the_others_go_on() {
    use std::os::unix::fs::PermissionsExt;
    if !has_two_cores() {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    for (name, script) in [
        ("fails", "echo failed a record is wrong"),
        ("dies", "exit 3"),
        (
            "lies",
            "echo up; read -r line; echo met; read -r line; echo turn on",
        ),
    ] {
        let program = place.path().join(name);
        let listed = format!(r#"{{"name": "{name}", "does": ["latency"], "followers": 0}}"#);
        let script =
            format!("#!/bin/sh\n[ $1 = list ] && {{ echo '{listed}'; exit; }}\n{script}\n");
        std::fs::write(&program, script).expect("a file");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let rivals = place.path().display().to_string();
    let output = bench(&[
        "--quick",
        "--json",
        "--work",
        "W1",
        "--against",
        "fails,dies,lies",
        "--rivals",
        &rivals,
    ]);
    // What a rival does wrong is no failure of ours.
    let rows = rows(&output);
    assert!(names(&rows, "W1").contains(&"ring"), "{rows:?}");
    assert!(rows.iter().all(|row| row["rival"] == false), "{rows:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    for told in [
        "fails: a record is wrong",
        "dies: process 0 ended before its time",
        "lies: the leader said 'turn on'",
    ] {
        assert!(said.contains(told), "{told} in {said}");
    }
}

/// The processes that it started, while they run.
#[cfg(target_os = "linux")]
fn children(of: &std::process::Child) -> Vec<String> {
    let path = format!("/proc/{0}/task/{0}/children", of.id());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_all_processes_and_leaves_nothing() {
    if !has_two_cores() {
        return;
    }
    let _turn = ONE_AT_A_TIME.lock();
    let mut running = command()
        .args(["bench", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the command starts");
    // Its handlers are there before its first child.
    let mut found = children(&running);
    while found.is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(1));
        found = children(&running);
    }
    common::interrupt(&running);
    assert_eq!(running.wait().expect("it ends").code(), Some(130));
    // They end when they notice, and cannot be waited for by us.
    let alive = |pid: &String| Path::new("/proc").join(pid).exists();
    for _ in 0..1000 {
        if !found.iter().any(alive) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("children are left: {found:?}");
}
