//! One user who may read, trying everything against the one who owns.

use std::fs;
use std::path::Path;

use crate::stage::{Actor, OWNER, STRANGER, Stage, Test, is_root};

pub(crate) const TESTS: &[Test] = &[(
    "a_reader_can_try_what_it_likes_and_harms_nothing",
    a_reader_can_try_what_it_likes_and_harms_nothing,
)];

/// Everything below a directory: names, modes, owners, and the bytes that no clock stamps.
fn everything(path: &Path) -> Vec<(String, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let about = format!(
            "{} {:o} {} {} {}",
            path.display(),
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.nlink()
        );
        if meta.is_dir() {
            found.push((about, Vec::new()));
            found.extend(everything(&path));
        } else {
            let mut bytes = fs::read(&path).unwrap();
            // The heartbeat, and when it was last written.
            if bytes.len() > 1024 {
                bytes[128..136].fill(0);
                bytes[704..712].fill(0);
            }
            // Seats, whose own holders stamp and ring.
            if path.extension().is_some_and(|name| name == "peers") {
                bytes.truncate(256);
            }
            found.push((about, bytes));
        }
    }
    found.sort();
    found
}

fn a_reader_can_try_what_it_likes_and_harms_nothing() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let place = stage.home_of(OWNER).join("namespace");
    let home = stage.home_of(STRANGER);
    let (place, home) = (place.to_str().unwrap(), home.to_str().unwrap());
    let owner = OWNER.user.to_string();
    for (channel, write, read) in [("s", "put", "watch"), ("b", "send", "receive")] {
        let mut writer = Actor::of(OWNER, write, &[place, "644"]);
        assert_eq!(writer.hear(), "open");
        assert_eq!(writer.ask("1"), "1");
        // One of the owner's own, who sleeps in a seat, and one of another user's.
        let mut readers =
            [OWNER, STRANGER].map(|who| Actor::of(who, read, &[place, &owner, channel]));
        for reader in &mut readers {
            assert!(["live", "attached"].contains(&reader.hear().as_str()));
            assert_eq!(reader.hear(), "1");
        }
        let before = everything(Path::new(place));
        let pid = writer.pid().to_string();
        let mut intruder = Actor::of(STRANGER, "intrude", &[place, home, &pid, channel]);
        let mut tried = 0;
        loop {
            let line = intruder.hear();
            if line == "disturbing" {
                break;
            }
            assert!(
                line.starts_with("denied ") || line.starts_with("harmless "),
                "{channel}: {line}"
            );
            tried += 1;
        }
        // If it drops, something is no longer tried.
        assert!(tried >= 100, "{tried} attempts");
        assert_eq!(
            everything(Path::new(place)),
            before,
            "{channel}: nothing has changed"
        );
        // While it keeps on waking and moving sleepers, everything still arrives, in order and whole.
        for number in 2..=20_u32 {
            let value = number.to_string();
            assert_eq!(writer.ask(&value), value);
            for reader in &mut readers {
                assert_eq!(reader.hear(), value, "{channel}");
            }
        }
        intruder.finish();
        // It keeps no lock that the next owner needs, and has forged no death.
        writer.kill();
        for mut reader in readers {
            assert_eq!(reader.hear(), "owner died", "{channel}");
        }
        let mut successor = Actor::of(OWNER, write, &[place, "644"]);
        assert_eq!(successor.hear(), "open");
        assert_eq!(
            successor.ask("21"),
            "21",
            "{channel}: it goes on behind the last"
        );
        successor.finish();
    }
}
