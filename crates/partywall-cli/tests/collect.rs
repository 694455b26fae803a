//! `collect` and `send --to-collector`, as a user runs them.

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Child, Output, Stdio};
use std::thread;

use common::Place;

fn sender(place: &Place, arguments: &[&str]) -> Child {
    let arguments = [&["send", "log", "--to-collector"], arguments].concat();
    place
        .command(&arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn collector(place: &Place, arguments: &[&str]) -> Child {
    let arguments = [&["collect", "log"], arguments].concat();
    place
        .command(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn feed(child: &mut Child, input: &[u8]) {
    child.stdin.take().unwrap().write_all(input).unwrap();
}

#[test]
fn any_bytes_of_one_sender_come_out_as_they_went_in() {
    let long_lines: Vec<u8> = (0..3_000_000_u32)
        .map(|n| {
            if n % 1_000_003 == 7 {
                b'\n'
            } else {
                (n % 251) as u8
            }
        })
        .collect();
    let records: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 7 % 256) as u8).collect();
    let inputs: [(&[u8], &[&str]); 5] = [
        (b"", &[]),
        (b"one\n\nthree\n", &[]),
        (b"one\nan end without a newline", &[]),
        (&long_lines, &[]),
        (&records, &["--record-size", "1000"]),
    ];
    for (input, arguments) in inputs {
        for receiver_first in [true, false] {
            let place = Place::new();
            let mut sending;
            let mut collecting;
            if receiver_first {
                collecting = collector(&place, &["--once", "--lane", "64K"]);
                sending = sender(&place, arguments);
            } else {
                sending = sender(&place, arguments);
                collecting = collector(&place, &["--once", "--lane", "64K"]);
            }
            let output = thread::scope(|scope| {
                scope.spawn(|| feed(&mut sending, input));
                let mut output = Vec::new();
                let stdout = collecting.stdout.as_mut().unwrap();
                stdout.read_to_end(&mut output).unwrap();
                output
            });
            assert!(output == input, "{} as {} bytes", input.len(), output.len());
            assert!(sending.wait().unwrap().success());
            assert!(collecting.wait().unwrap().success());
            assert_eq!(place.names(), Vec::<String>::new(), "nothing is left");
        }
    }
}

#[test]
fn lines_of_many_stay_whole_and_in_order_and_say_whose_they_are() {
    let place = Place::new();
    let mut collecting = collector(&place, &["--tag", "--seats", "9"]);
    let mut stdout = collecting.stdout.take().unwrap();
    let reading = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let mut senders: Vec<Child> = (0..8).map(|_| sender(&place, &[])).collect();
    thread::scope(|scope| {
        for (which, child) in senders.iter_mut().enumerate() {
            scope.spawn(move || {
                let lines: String = (0..20_000)
                    .map(|number| format!("{which} {number} {}\n", "x".repeat(number % 40)))
                    .collect();
                feed(child, lines.as_bytes());
            });
        }
    });
    // One that never ends its line, and is killed; what it had sent of it is in the channel.
    let mut torn = sender(&place, &[]);
    let mut stdin = torn.stdin.take().unwrap();
    stdin.write_all(b"whole\n").unwrap();
    stdin.write_all(&vec![b'y'; 3 << 20]).unwrap();
    for sender in &mut senders {
        assert!(sender.wait().unwrap().success());
    }
    torn.kill().unwrap();
    torn.wait().unwrap();
    place.wait_until("the death is told", || evictions(&place) == 1);
    let output = end(&place, collecting);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("died; the line that it was sending is not written"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
    let mut next: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut whole = 0;
    for line in reading.join().unwrap().lines() {
        let (tag, line) = line.split_once(": ").unwrap();
        if line == "whole" {
            whole += 1;
            continue;
        }
        let mut words = line.split(' ');
        let which = words.next().unwrap().to_owned();
        let expected = next.entry((tag.to_owned(), which)).or_default();
        assert_eq!(words.next().unwrap(), expected.to_string(), "{line}");
        assert_eq!(words.next().unwrap().len(), *expected % 40, "{line}");
        *expected += 1;
    }
    assert_eq!(next.len(), 8, "one tag for each");
    assert!(next.values().all(|&lines| lines == 20_000));
    assert_eq!(whole, 1);
    assert_eq!(place.names(), Vec::<String>::new(), "nothing is left");
}

/// Ends a collector in order, where it can be asked to; else by force, and removes what it leaves.
fn end(place: &Place, collecting: Child) -> Output {
    #[cfg(unix)]
    common::terminate(&collecting);
    #[cfg(not(unix))]
    common::system::kill(&collecting);
    let output = collecting.wait_with_output().unwrap();
    if cfg!(unix) {
        assert_eq!(output.status.code(), Some(143), "{output:?}");
    } else {
        let removed = place.command(&["rm", "log", "--force"]).output().unwrap();
        assert!(removed.status.success(), "{removed:?}");
    }
    output
}

fn evictions(place: &Place) -> u64 {
    let output = place.command(&["info", "log", "--json"]).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    info["counters"]["evictions"].as_u64().unwrap()
}

#[cfg(unix)] // a signal closes it in order
#[test]
fn senders_end_when_the_collector_does_and_others_take_over_from_a_killed_one() {
    let place = Place::new();
    let mut killed = collector(&place, &["--timeout", "20"]);
    let mut sending = sender(&place, &[]);
    let mut stdin = sending.stdin.take().unwrap();
    stdin.write_all(b"before\n").unwrap();
    let mut line = [0; 7];
    killed
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut line)
        .unwrap();
    assert_eq!(&line, b"before\n");
    killed.kill().unwrap();
    killed.wait().unwrap();
    // Nobody is there: it goes on.
    stdin.write_all(b"meanwhile\n").unwrap();
    let mut heir = collector(&place, &[]);
    let mut output = Vec::new();
    while !output.ends_with(b"meanwhile\n") {
        let mut byte = [0];
        heir.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        output.push(byte[0]);
    }
    assert!(
        [&b"meanwhile\n"[..], b"before\nmeanwhile\n"].contains(&&output[..]),
        "{output:?}"
    );
    common::interrupt(&heir);
    assert_eq!(heir.wait().unwrap().code(), Some(130));
    let _ = stdin.write_all(b"nobody will get this\n");
    drop(stdin);
    let told = sending.wait_with_output().unwrap();
    assert!(!told.status.success());
    let message = String::from_utf8(told.stderr).unwrap();
    assert!(message.contains("closed by its receiver"), "{message}");
    assert_eq!(place.names(), Vec::<String>::new(), "nothing is left");
}

#[test]
fn whoever_comes_with_the_wrong_command_is_told_the_right_one() {
    let place = Place::new();
    let collecting = collector(&place, &[]);
    place.wait_until("the channel exists", || place.has("log"));
    let refused = place.command(&["recv", "log"]).output().unwrap();
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(6), "{message}");
    assert!(message.contains("`partywall collect log`"), "{message}");
    let taken = place.command(&["collect", "log"]).output().unwrap();
    assert_eq!(taken.status.code(), Some(4), "{taken:?}");
    let listed = place.command(&["ls"]).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("mpsc"));
    let shown = place.command(&["info", "log"]).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("0 records were received"), "{text}");
    end(&place, collecting);
    assert_eq!(place.names(), Vec::<String>::new());
}
