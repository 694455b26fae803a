//! The bench runs, and its rows are what programs expect. Never how fast: this may be any machine.

mod common;

use common::command;
use serde_json::Value;
use std::process::{Output, Stdio};
use std::sync::Mutex;

/// Two benches on the same two cores would wait for each other's turns at the scheduler.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn bench(arguments: &[&str]) -> Output {
    let _turn = ONE_AT_A_TIME.lock();
    command()
        .args(["bench", "--quick", "--rounds", "3"])
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

#[test]
fn every_row_has_a_ratio_and_what_it_was_made_of() {
    if !has_two_cores() {
        return;
    }
    let rows = rows(&bench(&["--json"]));
    for work in ["W1", "W2"] {
        assert!(rows.iter().any(|row| row["work"] == work), "{rows:?}");
    }
    for row in &rows {
        let ratio = row["ratio_to_limit"].as_f64().expect("a ratio");
        assert!(ratio.is_finite() && ratio > 0.0, "{row}");
        assert_eq!(row["rounds"], 3, "{row}");
        assert_eq!(row["size"], 64, "{row}");
        assert!(
            row["contender"].is_string() && row["unit"].is_string(),
            "{row}"
        );
        assert_ne!(row["cores"][0], row["cores"][1], "{row}");
        for side in ["contender_ns", "limit_ns"] {
            let at = |what: &str| row[side][what].as_f64().expect("nanoseconds");
            assert!(
                0.0 < at("min") && at("min") <= at("median") && at("median") <= at("max"),
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
    let rows = rows(&bench(&["--json", "--work", "W1"]));
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| row["work"] == "W1"), "{rows:?}");
}

#[test]
fn people_get_a_table() {
    if !has_two_cores() {
        return;
    }
    let output = bench(&[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("W1 one-way latency"),
        "{output:?}"
    );
}

#[test]
fn an_unknown_work_is_refused() {
    let output = bench(&["--work", "W99"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("W99"));
}

#[cfg(unix)] // signals
#[test]
fn ctrl_c_ends_both_processes() {
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
    // Where it is by then does not matter; that it has its handlers does.
    std::thread::sleep(std::time::Duration::from_millis(500));
    common::interrupt(&running);
    assert_eq!(running.wait().expect("it ends").code(), Some(130));
}
