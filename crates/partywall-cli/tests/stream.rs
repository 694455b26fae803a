//! `send` and `recv` as a user runs them: real processes, pipes and signals.

mod common;

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Place, system};

/// Bytes that do not repeat where a lap or a chunk would.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64 (Marsaglia 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Feeds a process from another thread, as a pipe does.
fn feed(child: &mut Child, input: Vec<u8>) -> std::thread::JoinHandle<()> {
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || stdin.write_all(&input).unwrap())
}

fn goes_through(place: &Place, input: &[u8], send: &[&str], recv: &[&str], receiver_first: bool) {
    let send_arguments = [&["send", "c"], send].concat();
    let recv_arguments = [&["recv", "c"], recv].concat();
    let start_receiver = || {
        place
            .command(&recv_arguments)
            .stdout(Stdio::piped())
            .spawn()
    };
    let start_sender = || place.command(&send_arguments).stdin(Stdio::piped()).spawn();
    let (mut receiver, mut sender) = if receiver_first {
        let receiver = start_receiver().unwrap();
        (receiver, start_sender().unwrap())
    } else {
        let sender = start_sender().unwrap();
        place.wait_until("the channel exists", || place.has("c"));
        (start_receiver().unwrap(), sender)
    };
    let feeding = feed(&mut sender, input.to_vec());
    let mut output = Vec::new();
    let mut stdout = receiver.stdout.take().unwrap();
    stdout.read_to_end(&mut output).unwrap();
    feeding.join().unwrap();
    assert!(receiver.wait().unwrap().success());
    assert!(sender.wait().unwrap().success());
    assert!(
        output == input,
        "{} bytes came as {}",
        input.len(),
        output.len()
    );
    assert_eq!(place.names(), Vec::<String>::new(), "nothing is left");
}

#[test]
fn any_bytes_go_through_in_either_starting_order() {
    let place = Place::new();
    let lines: Vec<u8> = (0..200_000)
        .flat_map(|number| format!("line {number} {}\n", "x".repeat(number % 50)).into_bytes())
        .collect();
    let unterminated = b"one\n\nthree without an end".to_vec();
    for input in [vec![], vec![7], noise(50_000_003), lines, unterminated] {
        for receiver_first in [true, false] {
            goes_through(&place, &input, &[], &[], receiver_first);
            // Through lines and back, bytes are the same too, whatever they are.
            goes_through(&place, &input, &["--lines"], &["--lines"], receiver_first);
        }
        goes_through(&place, &input, &["--lines"], &[], true);
        goes_through(&place, &input, &["--record-size", "6220800"], &[], false);
    }
}

#[test]
fn lines_longer_than_a_record_go_through_in_pieces() {
    let place = Place::new();
    let mut input = noise(3_000_000);
    for (index, byte) in input.iter_mut().enumerate() {
        // Lines of 1, 10, ... 1,000,000 bytes and one that is not ended.
        *byte = if index.to_string().bytes().skip(1).all(|digit| digit == b'0') && index < 2_000_000
        {
            b'\n'
        } else {
            *byte | 0x80
        };
    }
    for recv in [&["--lines"][..], &[]] {
        goes_through(
            &place,
            &input,
            &["--lines", "--capacity", "64k"],
            recv,
            true,
        );
    }
}

#[test]
fn a_killed_and_restarted_sender_leaves_an_unbroken_prefix_of_each_run() {
    let place = Place::new();
    let mut receiver = place
        .command(&["recv", "c", "--lines"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = receiver.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text).unwrap()
    });
    let seed = std::process::id();
    println!("moments follow from {seed}");
    let runs = 20;
    for run in 0..runs {
        let mut sender = place
            .command(&["send", "c", "--lines", "--capacity", "64k"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = sender.stdin.take().unwrap();
        // Now and then a line that needs several records.
        let line = move |number: usize| {
            let len = if number % 50 == 49 {
                100_000
            } else {
                number % 90
            };
            format!("{run} {number} {}\n", "y".repeat(len))
        };
        let feeding = std::thread::spawn(move || {
            // Until the sender is gone.
            for number in 0.. {
                if stdin.write_all(line(number).as_bytes()).is_err() {
                    return;
                }
            }
        });
        let end = Instant::now()
            + Duration::from_micros(u64::from(seed) * 7919 * u64::from(run + 1) % 40_000);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        sender.kill().unwrap();
        sender.wait().unwrap();
        feeding.join().unwrap();
    }
    // The last one ends properly.
    let mut last = place
        .command(&["send", "c", "--lines", "--capacity", "64k"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    feed(&mut last, format!("{runs} 0 \n").into_bytes())
        .join()
        .unwrap();
    assert!(last.wait().unwrap().success());
    let text = reading.join().unwrap();
    assert!(receiver.wait().unwrap().success());
    let mut next = std::collections::BTreeMap::new();
    let mut newest = 0;
    for line in text.lines() {
        let mut parts = line.splitn(3, ' ');
        let run: u32 = parts.next().unwrap().parse().unwrap();
        let number: usize = parts.next().unwrap().parse().unwrap();
        let rest = parts.next().unwrap();
        assert!(run >= newest, "runs come one after the other");
        newest = run;
        let expected = next.entry(run).or_insert(0);
        assert_eq!(number, *expected, "run {run}: none missing, none twice");
        let len = if number % 50 == 49 {
            100_000
        } else {
            number % 90
        };
        assert_eq!(
            rest.len(),
            if run == runs { 0 } else { len },
            "no line is torn"
        );
        *expected += 1;
    }
    assert_eq!(newest, runs);
    assert!(text.ends_with('\n'));
}

#[cfg(unix)] // signals
#[test]
fn signals_and_broken_pipes_end_both_sides_in_an_orderly_way() {
    use common::{interrupt, terminate};

    let place = Place::new();
    // A receiver that waits for its channel, and a sender that waits for a consumer.
    let mut receiver = place.command(&["recv", "other"]).spawn().unwrap();
    let mut sender = place
        .command(&["send", "c"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    place.wait_until("the channel exists", || place.has("c"));
    #[cfg(target_os = "linux")]
    place.wait_until("the receiver waits", || place.is_open_in(&receiver));
    interrupt(&receiver);
    terminate(&sender);
    assert_eq!(receiver.wait().unwrap().code(), Some(130));
    assert_eq!(sender.wait().unwrap().code(), Some(143));
    assert_eq!(place.names(), Vec::<String>::new());

    // A sender that waits for input, and a receiver that waits for records.
    let mut sender = place
        .command(&["send", "c"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut receiver = place
        .command(&["recv", "c"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    sender.stdin.as_mut().unwrap().write_all(b"some").unwrap();
    let mut some = [0; 4];
    receiver
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut some)
        .unwrap();
    interrupt(&sender);
    assert_eq!(sender.wait().unwrap().code(), Some(130));
    // It closed cleanly.
    assert!(receiver.wait().unwrap().success());

    // Whoever reads the receiver's output has seen enough.
    let mut receiver = place
        .command(&["recv", "c"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut sender = place
        .command(&["send", "c", "--detach"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = sender.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || while stdin.write_all(&[1; 4096]).is_ok() {});
    let mut stdout = receiver.stdout.take().unwrap();
    stdout.read_exact(&mut some).unwrap();
    drop(stdout);
    assert_eq!(receiver.wait().unwrap().code(), Some(0));
    terminate(&sender);
    sender.wait().unwrap();
    feeding.join().unwrap();
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn time_outs_and_misuse_say_so() {
    let place = Place::new();
    for (arguments, code, words) in [
        (&["recv", "c", "--timeout", "0.05"][..], 3, "waited"),
        (&["send", "c", "--timeout", "0.05"], 3, "room"),
        (&["info", "c"], 5, "there is none"),
        (&["rm", "c"], 5, "there is none"),
        (&["send", "a/b"], 1, "not allowed"),
        (&["send", ".hidden"], 1, "begins with"),
        (&["recv", ""], 1, "empty"),
        (&["send", &"n".repeat(65)], 1, "too long"),
        (&["send", "c", "--capacity", "0"], 2, "size"),
        (&["send", "c", "--capacity", "2T"], 1, "1 TiB"),
        (&["send", "c", "--seats", "65"], 1, "1 to 64"),
        (
            &[
                "send",
                "c",
                "--record-size",
                "100",
                "--capacity",
                "4k",
                "--lines",
            ],
            2,
            "cannot be used",
        ),
        (
            &["send", "c", "--record-size", "1M", "--capacity", "1M"],
            1,
            "does not fit",
        ),
        (&["recv", "c", "--timeout", "soon"], 2, "seconds"),
        (&["recv", "c", "--at-most-once"], 2, "--name"),
    ] {
        let output = place
            .command(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
        assert_eq!(place.names(), Vec::<String>::new(), "{arguments:?}");
    }
}

#[test]
fn a_named_receiver_goes_on_where_it_was_killed() {
    let place = Place::new();
    let mut sender = place
        .command(&["send", "c", "--lines"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = sender.stdin.take().unwrap();
    let receive = || {
        place
            .command(&["recv", "c", "--lines", "--name", "archive"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut receiver = receive();
    stdin.write_all(b"first\n").unwrap();
    let mut first = [0; 6];
    receiver
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    receiver.kill().unwrap();
    receiver.wait().unwrap();
    stdin.write_all(b"second\nthird\n").unwrap();
    drop(stdin);
    let output = receive().wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    // The one in hand when it was killed may come again; none is missing.
    assert!(
        ["second\nthird\n", "first\nsecond\nthird\n"].contains(&text.as_str()),
        "{text}"
    );
    assert!(sender.wait().unwrap().success());
    let forgot = place.command(&["forget", "c", "archive"]).output().unwrap();
    assert!(forgot.status.success(), "{forgot:?}");
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn a_stopped_receiver_holds_the_sender_back_and_then_gets_everything() {
    let place = Place::new();
    let mut receiver = place
        .command(&["recv", "c"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut sender = place
        .command(&["send", "c", "--capacity", "64k"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let input = noise(20_000_000);
    let feeding = feed(&mut sender, input.clone());
    let mut stdout = receiver.stdout.take().unwrap();
    let mut output = vec![0; 1000];
    stdout.read_exact(&mut output).unwrap();
    system::stop(&receiver);
    let blocked = || {
        let info = place.command(&["info", "c", "--json"]).output().unwrap();
        let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
        info["seats"][0]["depth_bytes"].as_u64().unwrap() > 16 << 10
            && info["seats"][0]["holder"] != "dead"
    };
    place.wait_until("the ring fills up", blocked);
    system::go_on(&receiver);
    stdout.read_to_end(&mut output).unwrap();
    feeding.join().unwrap();
    assert!(output == input);
    assert!(receiver.wait().unwrap().success());
    assert!(sender.wait().unwrap().success());
    assert_eq!(place.names(), Vec::<String>::new());
}
