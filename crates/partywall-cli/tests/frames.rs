//! `frames publish` and `frames recv`, as a user runs them.

mod common;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Output, Stdio};

use common::{Place, system};
use partywall::Namespace;
use partywall::frames::PublisherOptions;
use partywall::record::Record;
use serde_json::Value;

/// Larger than a pipe holds: whoever writes it where nobody reads holds it.
const LARGE: usize = 300_000;

/// Frame `number`, no two bytes of a row alike.
fn frame(number: u32, len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|at| (at.wrapping_mul(7) ^ at >> 8 ^ number) as u8)
        .collect()
}

fn publisher(place: &Place, arguments: &[&str]) -> Child {
    let arguments = [&["frames", "publish", "cam"], arguments].concat();
    place
        .command(&arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn subscriber(place: &Place, arguments: &[&str]) -> Child {
    let arguments = [&["frames", "recv", "cam"], arguments].concat();
    place
        .command(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn feed(child: &mut Child, input: Vec<u8>) -> std::thread::JoinHandle<()> {
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || stdin.write_all(&input).unwrap())
}

fn ended(child: Child, code: i32) -> Output {
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    output
}

fn info(place: &Place) -> Value {
    let output = place.command(&["info", "cam", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// Seats of which this is so.
fn seats(place: &Place, wanted: impl Fn(&Value) -> bool) -> usize {
    let info = info(place);
    let seats = info["seats"].as_array();
    seats.map_or(0, |seats| seats.iter().filter(|seat| wanted(seat)).count())
}

/// Stops a child, and sees it stopped.
fn stop(place: &Place, child: &Child) {
    system::stop(child);
    // Elsewhere it stands still once the call returns.
    #[cfg(target_os = "linux")]
    {
        let stat = format!("/proc/{}/stat", child.id());
        place.wait_until("it is stopped", || {
            std::fs::read_to_string(&stat).unwrap().contains(") T ")
        });
    }
    #[cfg(not(target_os = "linux"))]
    let _ = place;
}

fn rows(output: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(output).unwrap().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn files_in(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn any_bytes_come_out_as_they_went_in_in_either_starting_order() {
    let sizes: [(usize, &str); 4] = [(0, "7"), (1, "64k"), (1_000_003, "100k"), (9_000, "1000")];
    for (len, size) in sizes {
        for subscriber_first in [true, false] {
            let place = Place::new();
            let input = frame(0, len);
            let publishing = || publisher(&place, &["--size", size, "--wait", "park"]);
            let receiving = || subscriber(&place, &["--wait", "park"]);
            let (mut sending, receiving) = if subscriber_first {
                let receiving = receiving();
                (publishing(), receiving)
            } else {
                let sending = publishing();
                place.wait_until("the channel exists", || place.has("cam"));
                (sending, receiving())
            };
            let feeding = feed(&mut sending, input.clone());
            let output = ended(receiving, 0);
            feeding.join().unwrap();
            ended(sending, 0);
            assert!(output.stdout == input, "{len} bytes by {size}");
            assert_eq!(place.names(), Vec::<String>::new(), "nothing is left");
        }
    }
}

#[test]
fn a_publisher_protects_its_channel_as_every_owner_may() {
    let place = Place::new();
    let protected = [
        "--size",
        "100",
        "--confidential",
        "--lock-memory",
        "--page-file",
    ];
    let mut sending = publisher(&place, &protected);
    place.wait_until("the channel is told to be confidential", || {
        info(&place)["confidential"] == true
    });
    // Where memory can be of the page file, its name stands in a small file instead.
    let segment = std::fs::metadata(place.path().join("cam").join("1.owner")).unwrap();
    assert_eq!(segment.len() < 1000, cfg!(windows), "{segment:?}");
    let receiving = subscriber(&place, &[]);
    feed(&mut sending, frame(0, 100)).join().unwrap();
    assert!(ended(receiving, 0).stdout == frame(0, 100));
    ended(sending, 0);
    // What goes with the last process cannot be kept.
    let refused = publisher(&place, &["--size", "100", "--keep", "--page-file"]);
    let told = String::from_utf8(ended(refused, 1).stderr).unwrap();
    assert!(told.contains("page file"), "{told}");
}

#[test]
fn files_become_frames_and_files_again_which_are_never_overwritten() {
    let place = Place::new();
    let from = tempfile::tempdir().unwrap();
    let paths: Vec<String> = (0..4)
        .map(|number| {
            let path = from.path().join(format!("{number}.yuv"));
            std::fs::write(&path, frame(number, 17)).unwrap();
            path.into_os_string().into_string().unwrap()
        })
        .collect();
    let publish: Vec<&str> = ["--image", "3x3:i420", "--kind", "9"]
        .into_iter()
        .chain(paths.iter().map(String::as_str))
        .collect();
    let to = from.path().join("not/yet/there");
    let to_text = to.to_str().unwrap();
    let receiving = subscriber(&place, &["--json", "--output", to_text]);
    ended(publisher(&place, &publish), 0);
    let rows = rows(&ended(receiving, 0).stdout);
    let files = files_in(&to);
    assert_eq!((rows.len(), files.len()), (4, 4));
    for (number, (row, (name, bytes))) in (0..).zip(rows.iter().zip(&files)) {
        assert_eq!(name, &format!("cam-{:08}.raw", number + 1));
        assert_eq!(row["file"], to.join(name).to_str().unwrap());
        assert_eq!(bytes, &frame(number, 17));
        assert_eq!(row["sequence"], number + 1);
        assert!(row["time_ns"].as_u64().unwrap() > 0);
        assert!(row["age_ns"].is_u64());
        let expected = serde_json::json!({
            "kind": 9, "content": "image", "format": "YU12", "width": 3, "height": 3,
            "stride": 3, "len": 17, "missed": 0,
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&row[key], value, "{key}");
        }
        assert!(row.get("fields").is_none());
    }
    // Another run of the same names: the first one that is there ends it, and stays as it was.
    let receiving = subscriber(&place, &["--output", to_text]);
    let other = [
        "--size",
        "100",
        "--no-subscriber",
        "wait",
        paths[3].as_str(),
    ];
    ended(publisher(&place, &other), 0);
    let told = ended(receiving, 1).stderr;
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("cam-00000001.raw exists already"), "{told}");
    assert_eq!(
        files_in(&to),
        files,
        "nothing was changed, and nothing added"
    );
}

#[test]
fn a_killed_subscriber_gives_its_frames_back_and_others_get_every_one() {
    let place = Place::new();
    let size = LARGE.to_string();
    // Just what they may hold, and one in hand.
    let numbers = [
        "--seats",
        "2",
        "--held",
        "1",
        "--history",
        "0",
        "--slots",
        "3",
    ];
    let arguments = [&["--size", size.as_str()], &numbers[..]].concat();
    let mut killed = subscriber(&place, &[]);
    let mut sending = publisher(&place, &arguments);
    place.wait_until("both have come", || {
        seats(&place, |seat| seat["state"] == "active") == 1
    });
    let whole = subscriber(&place, &[]);
    place.wait_until("all three have come", || {
        seats(&place, |seat| seat["state"] == "active") == 2
    });
    let input: Vec<u8> = (0..12).flat_map(|number| frame(number, LARGE)).collect();
    let feeding = feed(&mut sending, input.clone());
    // It cannot write the frame that it has: its output is full.
    let mut begun = [0; 10];
    killed
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut begun)
        .unwrap();
    assert_eq!(begun[..], frame(0, LARGE)[..10]);
    assert_eq!(
        seats(&place, |seat| seat["held"] == 1
            && seat["pid"] == killed.id()),
        1
    );
    killed.kill().unwrap();
    killed.wait().unwrap();
    let output = ended(whole, 0);
    feeding.join().unwrap();
    ended(sending, 0);
    assert!(output.stdout == input, "{} bytes", output.stdout.len());
    assert_eq!(place.names(), Vec::<String>::new(), "nothing is left");
}

#[test]
fn a_publisher_killed_in_the_middle_of_a_frame_leaves_whole_ones_and_its_successor_goes_on() {
    let place = Place::new();
    let size = LARGE.to_string();
    let receiving = subscriber(&place, &["--timeout", "60"]);
    let mut killed = publisher(&place, &["--size", size.as_str()]);
    let mut stdin = killed.stdin.take().unwrap();
    let half = LARGE / 2;
    stdin.write_all(&frame(1, LARGE)).unwrap();
    stdin.write_all(&frame(2, LARGE)).unwrap();
    stdin.write_all(&frame(3, LARGE)[..half]).unwrap();
    place.wait_until("two frames are published", || info(&place)["records"] == 2);
    killed.kill().unwrap();
    killed.wait().unwrap();
    drop(stdin);
    let mut next = publisher(&place, &["--size", size.as_str()]);
    let feeding = feed(&mut next, frame(4, LARGE));
    ended(next, 0);
    feeding.join().unwrap();
    let output = ended(receiving, 0);
    let expected = [frame(1, LARGE), frame(2, LARGE), frame(4, LARGE)].concat();
    assert!(output.stdout == expected, "{} bytes", output.stdout.len());
    assert_eq!(place.names(), Vec::<String>::new(), "nothing is left");
}

#[test]
fn a_lossy_subscriber_holds_nobody_up_and_says_what_it_missed() {
    let place = Place::new();
    let mut slow = subscriber(&place, &["--lossy", "--json"]);
    let mut sending = publisher(&place, &["--size", "100", "--seats", "1"]);
    place.wait_until("it has come", || {
        seats(&place, |seat| {
            seat["lossy"] == true && seat["parked"] == true
        }) == 1
    });
    stop(&place, &slow);
    let input: Vec<u8> = (0..100).flat_map(|number| frame(number, 100)).collect();
    let mut stdin = sending.stdin.take().unwrap();
    stdin.write_all(&input).unwrap();
    place.wait_until("all of it is published", || info(&place)["records"] == 100);
    system::go_on(&slow);
    let mut line = Vec::new();
    let stdout = slow.stdout.as_mut().unwrap();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    drop(stdin);
    ended(sending, 0);
    let output = ended(slow, 0);
    line.extend_from_slice(&output.stdout);
    let rows = rows(&line);
    // The history is what was kept for it, or a little more of what nobody needed the memory of.
    let (first, missed) = (&rows[0]["sequence"], &rows[0]["missed"]);
    assert_eq!(first.as_u64().unwrap(), missed.as_u64().unwrap() + 1);
    assert!(missed.as_u64().unwrap() >= 90, "{rows:?}");
    assert_eq!(rows.last().unwrap()["sequence"], 100);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains(&format!("{missed} frames missed in all")),
        "{told}"
    );
}

#[test]
fn what_cannot_be_published_is_dropped_or_ends_it_by_choice() {
    for (policy, code, words) in [
        ("drop", 0, "frames dropped"),
        ("fail", 1, "full"),
        ("block", 3, "waited"),
    ] {
        let place = Place::new();
        let stopped = subscriber(&place, &[]);
        let arguments = ["--size", "100", "--seats", "1", "--timeout", "0.01"];
        let waited = ["--no-subscriber", "wait", "--overflow", policy];
        // It need not come within the time that the publisher waits for room.
        let mut opening = publisher(&place, &["--size", "100", "--seats", "1"]);
        place.wait_until("it has come", || {
            seats(&place, |seat| seat["parked"] == true) == 1
        });
        stop(&place, &stopped);
        opening.kill().unwrap();
        opening.wait().unwrap();
        let mut sending = publisher(&place, &[&arguments[..], &waited].concat());
        let mut stdin = sending.stdin.take().unwrap();
        // Whoever gives up does not read it all.
        let _ = stdin.write_all(&vec![1; 100 * 100]);
        drop(stdin);
        let told = ended(sending, code).stderr;
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains(words), "{policy}: {told}");
        system::go_on(&stopped);
        let received = ended(stopped, 0).stdout.len();
        let dropped = told.split(' ').nth(1).unwrap().parse::<usize>();
        if let Ok(dropped) = dropped {
            assert_eq!(received, 100 * (100 - dropped), "what was not dropped");
        }
        assert!(received > 0 && received < 100 * 100, "{policy}: {received}");
    }
}

#[cfg(unix)] // signals
#[test]
fn signals_end_both_sides_in_order() {
    use common::{interrupt, terminate};

    let place = Place::new();
    let size = LARGE.to_string();
    // One waits for frames, one for whoever should read its output.
    let waiting = subscriber(&place, &[]);
    let mut sending = publisher(&place, &["--size", size.as_str()]);
    place.wait_until("it has come", || {
        seats(&place, |seat| seat["parked"] == true) == 1
    });
    interrupt(&waiting);
    ended(waiting, 130);
    let holding = subscriber(&place, &[]);
    place.wait_until("the other has come", || {
        seats(&place, |seat| seat["parked"] == true) == 1
    });
    let mut stdin = sending.stdin.take().unwrap();
    stdin.write_all(&frame(0, LARGE)).unwrap();
    place.wait_until("it has a frame", || {
        seats(&place, |seat| seat["held"] == 1) == 1
    });
    terminate(&holding);
    ended(holding, 143);
    place.wait_until("its seat is free", || seats(&place, |_| true) == 0);
    // It waits for input, and then, with a frame in hand, for a subscriber.
    stdin.write_all(&frame(1, LARGE)).unwrap();
    interrupt(&sending);
    ended(sending, 130);
    drop(stdin);
    assert_eq!(place.names(), Vec::<String>::new(), "nothing is left");
    let in_vain = subscriber(&place, &["--timeout", "0.01"]);
    ended(in_vain, 3);
    let alone = publisher(&place, &["--size", "1", "--timeout", "0.01"]);
    ended(alone, 3);
    assert_eq!(place.names(), Vec::<String>::new(), "nothing is left");
}

#[test]
fn the_end_of_the_input_is_the_end_when_all_subscribers_have_left() {
    for policy in ["block", "drop"] {
        let place = Place::new();
        let receiving = subscriber(&place, &["--count", "1"]);
        let mut sending = publisher(&place, &["--size", "2", "--overflow", policy]);
        let mut stdin = sending.stdin.take().unwrap();
        stdin.write_all(b"ab").unwrap();
        assert_eq!(ended(receiving, 0).stdout, b"ab");
        drop(stdin);
        ended(sending, 0);
        assert_eq!(place.names(), Vec::<String>::new(), "nothing is left");
    }
}

#[test]
fn frames_that_are_kept_are_there_for_who_comes_later() {
    let place = Place::new();
    let arguments = ["--size", "4", "--no-subscriber", "discard", "--keep"];
    let mut first = publisher(&place, &arguments);
    first
        .stdin
        .take()
        .unwrap()
        .write_all(b"abcdefghijk")
        .unwrap();
    ended(first, 0);
    let late = subscriber(&place, &["--history", "9", "--count", "2"]);
    assert_eq!(ended(late, 0).stdout, b"efghijk");
    // The next one goes on where the first stood.
    let next = subscriber(&place, &["--json"]);
    place.wait_until("it waits", || {
        seats(&place, |seat| seat["parked"] == true) == 1
    });
    let mut second = publisher(&place, &["--size", "4"]);
    second.stdin.take().unwrap().write_all(b"lmno").unwrap();
    ended(second, 0);
    let rows = rows(&ended(next, 0).stdout);
    assert_eq!((rows.len(), &rows[0]["sequence"]), (1, &4.into()));
}

#[derive(Record, Clone, Copy)]
#[repr(C)]
struct Sample {
    time: u64,
    value: [f32; 2],
}

#[test]
fn typed_frames_are_shown_field_by_field() {
    let place = Place::new();
    let namespace = Namespace::open(place.path()).unwrap();
    let options = PublisherOptions::new().namespace(namespace);
    let mut typed = options.open_typed::<Sample>("cam").unwrap();
    for time in [7, 8] {
        let value = [0.5, -1.0];
        typed.send(&Sample { time, value }).unwrap();
    }
    let shown = |arguments: &[&str]| {
        let arguments = [&["--history", "2", "--count", "2"], arguments].concat();
        ended(subscriber(&place, &arguments), 0).stdout
    };
    let text = String::from_utf8(shown(&["--fields"])).unwrap();
    assert_eq!(text, "time=7 value=[0.5 -1.0]\ntime=8 value=[0.5 -1.0]\n");
    let rows = rows(&shown(&["--json"]));
    let fields = serde_json::json!({ "time": 8, "value": [0.5, -1.0] });
    assert_eq!((&rows[1]["fields"], &rows[1]["len"]), (&fields, &16.into()));
    assert_eq!(shown(&[]).len(), 32);
}

#[test]
fn nonsense_is_refused_with_a_reason_and_nothing_is_made() {
    let place = Place::new();
    let short = tempfile::NamedTempFile::new().unwrap();
    let short = short.path().to_str().unwrap();
    for (arguments, code, reason) in [
        (&["publish", "cam"][..], 2, "--size"),
        (&["publish", "cam", "--image", "3x3:mp4"], 2, "one of grey"),
        (&["publish", "cam", "--image", "3x3:jpeg"], 1, "as files"),
        (
            &["publish", "cam", "--image", "3x3:rgb", short],
            1,
            "0 bytes, but such an image has 27",
        ),
        (&["publish", "cam", "/dev/null"], 1, "not a regular file"),
        (&["publish", "cam", "/nowhere/1.raw"], 1, "/nowhere/1.raw"),
        (&["publish", "cam", "--size", "2G"], 1, "frame size must be"),
        (
            &["publish", "cam", "--size", "1", "--slots", "3"],
            1,
            "seats 4 * held 2",
        ),
        (
            &["recv", "cam", "--output", "/dev/null/x", "--timeout", "0"],
            1,
            "/dev/null/x",
        ),
        (&["recv", "cam", "--timeout", "0"], 5, "cam"),
        (
            &["recv", "cam", "--fields", "--json"],
            2,
            "cannot be used with",
        ),
    ] {
        // Devices lie in no directory there.
        if cfg!(windows) && arguments.iter().any(|word| word.starts_with("/dev/")) {
            continue;
        }
        let all = [&["frames"], arguments].concat();
        let output = place.command(&all).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(reason), "{arguments:?}: {told}");
    }
    assert!(place.names().is_empty());
    // An image of which the input has a part is no frame.
    let receiving = subscriber(&place, &[]);
    let mut torn = publisher(&place, &["--image", "3x3:grey"]);
    torn.stdin.take().unwrap().write_all(&[1; 13]).unwrap();
    let told = ended(torn, 1).stderr;
    assert!(String::from_utf8_lossy(&told).contains("4 bytes of 9"));
    assert_eq!(ended(receiving, 0).stdout, [1; 9]);
    // The wrong command is told the right one.
    let mut sending = publisher(&place, &["--size", "1"]);
    place.wait_until("the channel exists", || place.has("cam"));
    let wrong = place.command(&["recv", "cam"]).output().unwrap();
    let told = String::from_utf8_lossy(&wrong.stderr);
    assert!(told.contains("`partywall frames recv cam`"), "{told}");
    sending.kill().unwrap();
    sending.wait().unwrap();
}
