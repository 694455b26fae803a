//! `ls`, `info`, `rm`, `clean`, `abi` and `completions`, on channels that real senders made.

mod common;

use std::io::Write;
use std::process::Stdio;

use common::{Place, system};

fn json(place: &Place, arguments: &[&str]) -> serde_json::Value {
    let output = place.command(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_live_a_stopped_a_dead_and_a_cleaned_channel_look_like_it() {
    let place = Place::new();
    let mut sender = place
        .command(&[
            "send",
            "cam0",
            "--no-consumer",
            "discard",
            "--lines",
            "--capacity",
            "1M",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = sender.stdin.take().unwrap();
    stdin.write_all(b"a line\n").unwrap();
    // START and the line.
    place.wait_until("both records are committed", || {
        place.has("cam0") && json(&place, &["info", "cam0", "--json"])["records"] == 2
    });
    let info = json(&place, &["info", "cam0", "--json"]);
    assert_eq!(info["owner"], "alive");
    assert_eq!(info["owner_pid"], sender.id());
    assert_eq!(info["state"], "ready");
    assert_eq!(info["payload_size"], 1 << 20);
    assert_eq!(info["counters"]["discarded"], 2);
    assert_eq!(json(&place, &["ls", "--json"])[0]["name"], "cam0");

    let second = place
        .command(&["send", "cam0"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&second.stderr).contains("already owned"));
    let refused = place.command(&["rm", "cam0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(4));
    let kept = place.command(&["clean"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "nothing to clean\n");

    system::stop(&sender);
    place.wait_until("it is stuck", || {
        json(&place, &["info", "cam0", "--json"])["owner"] == "stuck"
    });
    sender.kill().unwrap();
    sender.wait().unwrap();
    assert_eq!(json(&place, &["ls", "--json"])[0]["owner"], "dead");
    let table = place.command(&["ls"]).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("cam0") && table.contains("dead"), "{table}");
    assert!(!table.contains('\x1b'), "no colour in a pipe");
    let text = place.command(&["info", "cam0"]).output().unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains("2 records"));

    let cleaned = json(&place, &["clean", "--json"]);
    assert_eq!(cleaned[0]["channel"], "cam0");
    assert_eq!(cleaned[0]["removed"], true);
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn a_live_channel_is_removed_by_force_and_its_receiver_is_told() {
    let place = Place::new();
    let mut sender = place
        .command(&["send", "c"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let receiver = place
        .command(&["recv", "c"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    place.wait_until("it is attached", || {
        place.has("c")
            && json(&place, &["info", "c", "--json"])["seats"]
                .as_array()
                .is_some_and(|seats| !seats.is_empty())
    });
    let removed = place.command(&["rm", "c", "--force"]).output().unwrap();
    assert!(removed.status.success(), "{removed:?}");
    let output = receiver.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("removed"));
    sender.kill().unwrap();
    sender.wait().unwrap();
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn help_completions_and_the_layout_are_there() {
    let place = Place::new();
    for (arguments, words) in [
        (&["--help"][..], "Exit codes"),
        (&["send", "--help"], "ffmpeg"),
        (&["completions", "bash"], "_partywall"),
        (&["completions", "fish"], "complete"),
        (&["completions", "zsh"], "no-subscriber"),
        (&["frames", "publish", "--help"], "ffmpeg"),
        (&["abi"], "write_seq"),
        (&["ls"], "no channels"),
        (&["--version"], "partywall"),
    ] {
        let output = place.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}
