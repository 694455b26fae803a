//! `--mode`, `--confidential`, `--lock-memory` and `--owner`: what they change, as the system and other users see it.
#![cfg(unix)] // modes, users, locked memory

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Output;

use common::{Place, system};

/// Another user than the one who runs the tests. No account is needed for a number.
const STRANGER: u32 = 47_112;

fn mode(path: std::path::PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_channel_is_private_unless_a_mode_says_otherwise_and_keeps_the_mode_that_it_has() {
    let place = Place::new();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
    succeeded(&place.command(&["put", "state", "1"]).output().unwrap());
    let file = |name: &str| mode(place.path().join("state").join(name));
    let modes = || ["root", "lock", "1.owner", "1.peers"].map(file);
    assert_eq!(modes(), [0o600; 4]);

    // Its readers could not come to it.
    let kept_out = place.command(&["put", "state", "2", "--mode", "0644"]);
    let kept_out = { kept_out }.output().unwrap();
    assert_eq!(kept_out.status.code(), Some(1));
    assert!(said(&kept_out).contains("keeps out"), "{kept_out:?}");
    assert_eq!(modes(), [0o600; 4]);

    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let put = |arguments: &[&str]| {
        let arguments: Vec<&str> = ["put", "state"].iter().chain(arguments).copied().collect();
        succeeded(&place.command(&arguments).output().unwrap());
    };
    put(&["2", "--mode", "0644"]);
    assert_eq!(modes(), [0o644, 0o600, 0o644, 0o644]);
    assert_eq!(mode(place.path().join("state")), 0o755);
    put(&["3"]);
    assert_eq!(modes(), [0o644, 0o600, 0o644, 0o644], "as it was");
    let info = succeeded(&place.command(&["info", "state"]).output().unwrap());
    assert!(info.contains("read by everybody (mode 0644)"), "{info}");
    put(&["4", "--mode", "640"]);
    assert_eq!(modes(), [0o640, 0o600, 0o640, 0o640]);
    put(&["5", "--mode", "0600"]);
    assert_eq!(modes(), [0o600; 4]);
    assert_eq!(mode(place.path().join("state")), 0o700);
}

#[test]
fn modes_that_would_let_others_write_or_take_seats_are_refused() {
    let place = Place::new();
    for wrong in ["0666", "0622", "0400", "0777", "0755"] {
        let refused = place.command(&["put", "c", "x", "--mode", wrong]);
        let refused = { refused }.output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{wrong}");
        assert!(said(&refused).contains("never write"), "{refused:?}");
    }
    for command in [
        &["send", "c", "--mode", "0644"][..],
        &["collect", "c", "--mode", "0640"],
        &["lock", "c", "--value", "x", "--mode", "0644"],
        &["frames", "publish", "c", "--size", "8", "--mode", "0644"],
    ] {
        let mut refused = place.command(command);
        let refused = refused.stdin(std::process::Stdio::null()).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{command:?}");
        let said = said(&refused);
        assert!(
            said.contains("only snapshots and broadcasts"),
            "{command:?}: {said}"
        );
    }
    assert_eq!(place.names(), Vec::<String>::new(), "nothing was made");
}

#[test]
fn confidential_stays_confidential_and_is_shown() {
    let place = Place::new();
    let put = |value: &str, more: &[&str]| {
        let arguments: Vec<&str> = ["put", "key", value].iter().chain(more).copied().collect();
        succeeded(&place.command(&arguments).output().unwrap());
    };
    let confidential = || {
        let info = succeeded(&place.command(&["info", "key", "--json"]).output().unwrap());
        serde_json::from_str::<serde_json::Value>(&info).unwrap()["confidential"] == true
    };
    put("open", &[]);
    assert!(!confidential());
    // Nobody has it open: it goes on in a new generation that is.
    put("secret", &["--confidential"]);
    assert!(confidential());
    put("larger than before", &["--size", "64K"]);
    assert!(confidential(), "a later writer need not say it again");
    let info = succeeded(&place.command(&["info", "key"]).output().unwrap());
    assert!(info.contains("not in core dumps"), "{info}");
}

#[test]
fn memory_is_locked_for_as_long_as_the_command_has_it() {
    let place = Place::new();
    let mut command = place.command(&["pub", "c", "--lock-memory", "--slots", "2"]);
    let mut sender = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    place.wait_until("its memory is locked", || {
        let status = fs::read_to_string(format!("/proc/{}/status", sender.id())).unwrap();
        let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
        // Two slots, a page of the owner's and one of seats.
        locked.is_some_and(|kilobytes| {
            kilobytes
                .trim()
                .trim_end_matches(" kB")
                .parse::<u64>()
                .unwrap()
                >= 12
        })
    });
    drop(sender.stdin.take());
    assert!(sender.wait().unwrap().success());
}

#[test]
fn another_user_reads_what_is_shared_by_naming_its_owner() {
    if !rustix::process::geteuid().is_root() {
        assert!(
            std::env::var_os("PARTYWALL_NO_SKIPS").is_none(),
            "only root can run a command as another user"
        );
        println!("skipped: only root can run a command as another user");
        return;
    }
    let place = Place::new();
    let shared = place.path().join("shared");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("partywall");
    fs::copy(env!("CARGO_BIN_EXE_partywall"), &program).unwrap();
    let in_shared = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("PARTYWALL_DIR", &shared);
        command.output().unwrap()
    };
    succeeded(&in_shared(&[
        "put",
        "state",
        "open to all",
        "--mode",
        "0644",
    ]));
    assert_eq!(mode(shared.clone()), 0o755, "made for those who will read");
    succeeded(&in_shared(&["put", "mine", "not for you"]));
    let stranger = |arguments: &[&str]| {
        let mut command = system::process(&program);
        command.args(arguments).env("PARTYWALL_DIR", &shared);
        command.env("HOME", "/").current_dir("/");
        command.uid(STRANGER).gid(STRANGER).output().unwrap()
    };
    let dir = shared.to_str().unwrap();
    let named = ["--dir", dir, "--owner", "0"];
    let with = |more: &[&str]| {
        let arguments: Vec<&str> = named.iter().chain(more).copied().collect();
        stranger(&arguments)
    };
    assert_eq!(
        succeeded(&with(&["get", "state"])).trim_end(),
        "open to all"
    );
    assert!(succeeded(&with(&["ls"])).contains("state"));
    assert!(succeeded(&with(&["info", "state"])).contains("everybody"));
    let unnamed = stranger(&["get", "state"]);
    assert!(said(&unnamed).contains("--owner"), "{unnamed:?}");
    let misnamed = stranger(&["--dir", dir, "--owner", "1", "get", "state"]);
    assert!(
        said(&misnamed).contains("belongs to user 0"),
        "{misnamed:?}"
    );
    for refused in [
        with(&["get", "mine"]),
        with(&["put", "state", "theirs"]),
        with(&["rm", "state", "--force"]),
    ] {
        let said = said(&refused);
        assert!(!refused.status.success(), "{said}");
        assert!(said.contains(&format!("user {STRANGER} may not")), "{said}");
    }
    assert_eq!(
        succeeded(&in_shared(&["get", "state"])).trim_end(),
        "open to all"
    );
}
