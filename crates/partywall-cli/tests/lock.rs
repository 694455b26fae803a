//! `lock`, as a user runs it.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Output, Stdio};

use common::{Place, lines};
use partywall::Namespace;
use partywall::guarded::RecordOptions;

fn run(place: &Place, arguments: &[&str]) -> Output {
    place
        .command(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A command, in the words of the shell that is there.
type Shell = [&'static str; 3];

const fn shell(posix: &'static str, windows: &'static str) -> Shell {
    if cfg!(windows) {
        ["cmd", "/c", windows]
    } else {
        ["sh", "-c", posix]
    }
}

const SUCCEED: Shell = shell("true", "exit 0");
const FAIL: Shell = shell("false", "exit 1");

/// Runs a command under the lock of `r`.
fn lock(place: &Place, options: &[&str], command: Shell) -> Output {
    run(
        place,
        &[&["lock", "r"], options, &["--"], &command].concat(),
    )
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn value(place: &Place) -> String {
    let output = run(place, &["get", "r", "--raw"]);
    assert_eq!(code(&output), 0, "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn guarded(place: &Place) -> serde_json::Value {
    let output = run(place, &["info", "r", "--json"]);
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    info["guarded"].clone()
}

/// A holder whose command runs until its input ends, or until it is killed.
fn holder(place: &Place) -> Child {
    let command = shell("echo held; exec cat", "echo held& set /p line=");
    let mut holder = place
        .command(&[&["lock", "r", "--"][..], &command].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line.trim_end(), "held");
    holder
}

fn finish(mut holder: Child) {
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
}

#[test]
fn values_are_set_and_edited_and_a_command_that_fails_changes_nothing() {
    let place = Place::new();
    assert_eq!(code(&run(&place, &["lock", "r", "--value", "one"])), 0);
    assert_eq!(value(&place), "one");
    // Its shell has nothing that edits a stream.
    let edit = shell("sed 's/one/one and two/'", "echo one and two");
    let edited = lock(&place, &["--edit"], edit);
    assert_eq!(code(&edited), 0, "{edited:?}");
    let two = value(&place);
    assert_eq!(two.trim_end(), "one and two");
    let spoilt = shell("echo bad; exit 12", "echo bad& exit 12");
    let failed = lock(&place, &["--edit"], spoilt);
    assert_eq!(code(&failed), 12);
    assert_eq!(value(&place), two);
    // Its own input and output are its command's.
    let plain = lock(&place, &[], shell("echo through", "echo through"));
    assert_eq!((code(&plain), &lines(&plain.stdout)[..]), (0, "through\n"));
    assert_eq!(value(&place), two);
    let many = shell(
        "head -c 5000 /dev/zero",
        "for /l %i in (1,1,500) do @echo 12345678",
    );
    let large = lock(&place, &["--edit"], many);
    assert_eq!(code(&large), 1, "{large:?}");
    assert!(complaint(&large).contains("5000") || complaint(&large).contains("4097"));
    assert_eq!(value(&place), two);
    // A command that reads nothing of it.
    let unread = lock(&place, &["--edit"], shell("echo three", "echo three"));
    assert_eq!(code(&unread), 0, "{unread:?}");
    assert_eq!(lines(value(&place).as_bytes()), "three\n");
    let guarded = guarded(&place);
    assert_eq!(guarded["owner_deaths"], 0, "{guarded}");
    assert_eq!(guarded["locked"], false, "{guarded}");
}

#[test]
fn one_holds_it_at_a_time_and_waiting_ends_as_asked() {
    let place = Place::new();
    let holder = holder(&place);
    let listed = String::from_utf8(run(&place, &["ls"]).stdout).unwrap();
    assert!(
        listed.contains(" locked ") && listed.contains(&holder.id().to_string()),
        "{listed}"
    );
    let shown = String::from_utf8(run(&place, &["info", "r"]).stdout).unwrap();
    assert!(
        shown.contains("locked") && shown.contains("seat 0"),
        "{shown}"
    );
    assert_eq!(guarded(&place)["holder_pid"], holder.id());
    assert_eq!(code(&lock(&place, &["--try"], SUCCEED)), 4);
    let timed_out = lock(&place, &["--timeout", "0.01"], SUCCEED);
    assert_eq!(code(&timed_out), 3, "{timed_out:?}");
    let waiting = |place: &Place| {
        let waiting = place
            .command(&[&["lock", "r", "--"][..], &shell("echo mine", "echo mine")].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let parked = || {
            let output = run(place, &["info", "r", "--json"]);
            let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            info["seats"]
                .as_array()
                .is_some_and(|seats| seats.iter().any(|seat| seat["parked"] == true))
        };
        place.wait_until("the waiter sleeps", parked);
        waiting
    };
    #[cfg(unix)] // a signal
    {
        let stopped = waiting(&place);
        common::interrupt(&stopped);
        let stopped = stopped.wait_with_output().unwrap();
        assert_eq!((code(&stopped), &stopped.stdout[..]), (130, &b""[..]));
    }
    let waiter = waiting(&place);
    finish(holder);
    let output = waiter.wait_with_output().unwrap();
    assert_eq!((code(&output), &lines(&output.stdout)[..]), (0, "mine\n"));
    let listed = String::from_utf8(run(&place, &["ls"]).stdout).unwrap();
    assert!(listed.contains(" unlocked "), "{listed}");
}

#[test]
fn a_killed_holder_is_told_to_the_next_until_one_succeeds() {
    let place = Place::new();
    run(&place, &["lock", "r", "--value", "good"]);
    let mut holder = holder(&place);
    holder.kill().unwrap();
    holder.wait().unwrap();
    // Its command runs on, and keeps nothing.
    let listed = String::from_utf8(run(&place, &["ls"]).stdout).unwrap();
    assert!(listed.contains("holder died"), "{listed}");
    let told = || {
        let command = shell(
            "echo ${PARTYWALL_OWNER_DIED:-no}; exit 3",
            "(if defined PARTYWALL_OWNER_DIED (echo %PARTYWALL_OWNER_DIED%) else (echo no))& exit 3",
        );
        lock(&place, &["--timeout", "60"], command)
    };
    for _ in 0..2 {
        let output = told();
        assert_eq!((code(&output), &lines(&output.stdout)[..]), (3, "1\n"));
        assert!(complaint(&output).contains("the holder before died"));
    }
    // Nobody who cannot be run judges either.
    let not_found = run(&place, &["lock", "r", "--", "/nowhere/to/be/found"]);
    assert_eq!(code(&not_found), 127, "{not_found:?}");
    let command = shell("echo $PARTYWALL_OWNER_DIED", "echo %PARTYWALL_OWNER_DIED%");
    let output = lock(&place, &[], command);
    assert_eq!((code(&output), &lines(&output.stdout)[..]), (0, "1\n"));
    let output = told();
    assert_eq!((code(&output), &lines(&output.stdout)[..]), (3, "no\n"));
    assert_eq!(complaint(&output), "");
    assert_eq!(value(&place), "good");
    assert_eq!(guarded(&place)["given_up"], 0);
    drop(holder.stdin.take());
}

#[test]
fn a_record_that_was_given_up_wants_to_be_repaired() {
    let place = Place::new();
    run(&place, &["lock", "r", "--value", "good"]);
    let namespace = Namespace::open(place.path()).unwrap();
    let options = RecordOptions::new().namespace(namespace);
    let mut record = options.open("r").unwrap();
    // Never let go: closing the handle looks like a death.
    std::mem::forget(record.lock().unwrap());
    drop(record);
    let mut record = options.open("r").unwrap();
    drop(record.lock().unwrap()); // told, and gives up
    let refused = lock(&place, &[], SUCCEED);
    assert_eq!(code(&refused), 7, "{refused:?}");
    assert!(complaint(&refused).contains("--repair"));
    let listed = String::from_utf8(run(&place, &["ls"]).stdout).unwrap();
    assert!(listed.contains("not recoverable"), "{listed}");
    // A repair that fails is none.
    let failed = lock(&place, &["--repair"], FAIL);
    assert_eq!(code(&failed), 1, "{failed:?}");
    assert_eq!(code(&lock(&place, &["--try"], SUCCEED)), 7);
    assert_eq!(code(&run(&place, &["lock", "r", "--repair"])), 0);
    let output = lock(&place, &[], SUCCEED);
    assert_eq!((code(&output), complaint(&output)), (0, String::new()));
    assert_eq!(guarded(&place)["repairs"], 1);
    // On a record that nothing befell it is a lock like any other.
    assert_eq!(code(&lock(&place, &["--repair"], FAIL)), 1);
    let output = lock(&place, &[], SUCCEED);
    assert_eq!((code(&output), complaint(&output)), (0, String::new()));
}

#[cfg(unix)] // signals
#[test]
fn sigterm_is_passed_on_and_the_lock_let_go_in_order() {
    let place = Place::new();
    let mut holder = holder(&place);
    // Waiting would close it, and the command would end by itself.
    let input = holder.stdin.take();
    common::terminate(&holder);
    assert_eq!(holder.wait().unwrap().code(), Some(143));
    drop(input);
    // Ctrl-C is for the command to answer; it goes on here, for only we were sent it.
    let interrupted = self::holder(&place);
    common::interrupt(&interrupted);
    assert_eq!(code(&lock(&place, &["--try"], SUCCEED)), 4);
    finish(interrupted);
    let next = lock(&place, &[], SUCCEED);
    assert_eq!((code(&next), complaint(&next)), (0, String::new()));
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let place = Place::new();
    for arguments in [
        &["lock", "r"][..],
        &["lock", "r", "--edit"],
        &["lock", "r", "--value", "x", "--", "true"],
        &["lock", "r", "--try", "--timeout", "1", "--", "true"],
    ] {
        let output = run(&place, arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {output:?}");
    }
    assert!(place.names().is_empty());
    run(&place, &["put", "s", "x"]);
    let other = run(&place, &["lock", "s", "--", "true"]);
    assert_eq!(code(&other), 6, "{other:?}");
}
