//! `put`, `get`, `watch`, `pub` and `sub`, as a user runs them.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};

use common::Place;

fn run(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Who does not read it all closes the pipe.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn done(output: &Output) -> &[u8] {
    assert!(output.status.success(), "{output:?}");
    &output.stdout
}

#[test]
fn a_value_stays_after_the_command_that_put_it() {
    let place = Place::new();
    let missing = run(place.command(&["get", "s"]), b"");
    assert_eq!(missing.status.code(), Some(5), "{missing:?}");
    done(&run(
        place.command(&["put", "s", "hello", "--kind", "3"]),
        b"",
    ));
    assert_eq!(done(&run(place.command(&["get", "s"]), b"")), b"hello\n");
    // Any bytes, and larger ones than it was made for.
    let bytes: Vec<u8> = (0..70_000_u32).map(|n| (n * 7 % 256) as u8).collect();
    done(&run(place.command(&["put", "s", "--checksums"]), &bytes));
    assert_eq!(
        done(&run(place.command(&["get", "s", "--raw"]), b"")),
        bytes
    );
    done(&run(place.command(&["put", "s", "--kind", "9"]), b""));
    let json = run(place.command(&["get", "s", "--json"]), b"");
    let json: serde_json::Value = serde_json::from_slice(done(&json)).unwrap();
    // The second was put again into the larger one that replaced the first.
    assert_eq!((&json["text"], &json["kind"]), (&"".into(), &9.into()));
    let kept = run(place.command(&["clean"]), b"");
    assert!(String::from_utf8_lossy(done(&kept)).contains("made to stay"));
    done(&run(place.command(&["rm", "s"]), b""));
    assert!(place.names().is_empty());
}

#[test]
fn a_snapshot_grows_for_a_larger_value_while_somebody_watches() {
    let place = Place::new();
    done(&run(place.command(&["put", "s", "small"]), b""));
    let watcher = place
        .command(&["watch", "s", "--count", "2", "--raw"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It sleeps in a seat.
    let asleep = || {
        let info = run(place.command(&["info", "s", "--json"]), b"");
        let info: serde_json::Value = serde_json::from_slice(done(&info)).unwrap();
        info["seats"][0]["parked"] == true
    };
    while !asleep() {
        std::thread::yield_now();
    }
    let large = vec![b'x'; 70_000];
    done(&run(place.command(&["put", "s"]), &large));
    let watched = watcher.wait_with_output().unwrap();
    assert_eq!(done(&watched).len(), "small".len() + large.len());
    let info = run(place.command(&["info", "s", "--json"]), b"");
    let info: serde_json::Value = serde_json::from_slice(done(&info)).unwrap();
    assert_eq!(info["generation"], 2);
    done(&run(place.command(&["rm", "s"]), b""));
}

#[test]
fn watch_sees_what_is_put_while_it_runs_and_ends_with_the_writer_or_by_count() {
    let place = Place::new();
    let watcher = place
        .command(&["watch", "s", "--count", "2", "--wait", "park"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    done(&run(place.command(&["put", "s", "one"]), b""));
    let seats = || {
        let info = run(place.command(&["info", "s", "--json"]), b"");
        let info: serde_json::Value = serde_json::from_slice(done(&info)).unwrap();
        info["seats"][0]["received"].is_number() && info["seats"][0]["parked"] == true
    };
    place.wait_until("the watcher sleeps", seats);
    done(&run(place.command(&["put", "s", "two"]), b""));
    let output = watcher.wait_with_output().unwrap();
    assert_eq!(done(&output), b"one\ntwo\n");

    let mut stopped = place.command(&["watch", "s"]);
    let stopped = stopped.stdout(Stdio::piped()).spawn().unwrap();
    place.wait_until("the next watcher sleeps", seats);
    #[cfg(unix)]
    {
        common::interrupt(&stopped);
        let output = stopped.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
    }
    #[cfg(not(unix))]
    common::system::kill(&stopped);
    let timed_out = run(place.command(&["watch", "t", "--timeout", "0.01"]), b"");
    assert_eq!(timed_out.status.code(), Some(3), "{timed_out:?}");
}

#[test]
fn what_is_published_arrives_line_by_line_and_losses_are_told() {
    let place = Place::new();
    let mut subscriber = place
        .command(&["sub", "b", "--from", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut publisher = place
        .command(&["pub", "b", "--slots", "4096"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = publisher.stdin.take().unwrap();
    let lines: String = (0..1000).map(|n| format!("line {n}\n")).collect();
    stdin.write_all(lines.as_bytes()).unwrap();
    place.wait_until("all of it is there", || {
        let late = run(
            place.command(&["sub", "b", "--from", "1000", "--count", "1"]),
            b"",
        );
        done(&late) == b"line 999\n"
    });
    // It may be slow to start, and a channel that is closed is gone.
    let mut received = String::new();
    let mut output = BufReader::new(subscriber.stdout.take().unwrap());
    output.read_line(&mut received).unwrap();
    drop(stdin);
    assert!(publisher.wait().unwrap().success());
    output.read_to_string(&mut received).unwrap();
    assert!(subscriber.wait().unwrap().success());
    assert_eq!(received, lines);
    assert!(place.names().is_empty(), "closed, and nobody needs it");
}

#[test]
fn a_subscriber_that_is_too_late_says_how_many_were_lost() {
    let place = Place::new();
    let mut publisher = place
        .command(&["pub", "b", "--slots", "8", "--record-size", "4"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = publisher.stdin.take().unwrap();
    let records: Vec<u8> = (0..100_u32).flat_map(u32::to_le_bytes).collect();
    stdin.write_all(&records).unwrap();
    let last = 99_u32.to_le_bytes();
    place.wait_until("all of it is there", || {
        place.has("b")
            && run(
                place.command(&["sub", "b", "--count", "1", "--raw", "--timeout", "9"]),
                b"",
            )
            .stdout
                == last
    });
    let late = run(
        place.command(&["sub", "b", "--from", "1", "--count", "1", "--raw"]),
        b"",
    );
    let first = u32::from_le_bytes(done(&late).try_into().unwrap());
    let complaint = String::from_utf8_lossy(&late.stderr).into_owned();
    // Counted from 0 here and from 1 in the channel: as many were lost as come before it.
    assert!(
        complaint.contains(&format!("{first} records lost")),
        "{complaint}"
    );
    drop(stdin);
    assert!(publisher.wait().unwrap().success());
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let place = Place::new();
    for (arguments, code, reason) in [
        (&["sub", "b", "--from", "0"][..], 2, "a sequence from 1"),
        (&["sub", "b", "--from", "soon"], 2, "oldest, newest, next"),
        (&["pub", "b", "--slots", "1"], 1, "slots must be 2 or more"),
        (&["put", "s", "--size", "2G", "x"], 1, "value size must be"),
        (&["put", ".s", "x"], 1, "channel name"),
        (&["get", "s", "--timeout", "0.01"], 3, "waited"),
    ] {
        let output = run(place.command(arguments), b"");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
    let long = run(
        place.command(&["pub", "b", "--size", "16"]),
        &[b'a'; 70_000],
    );
    assert_eq!(long.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&long.stderr).contains("--size"));
    assert!(place.names().is_empty());
}
