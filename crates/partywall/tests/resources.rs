//! What the system does not give is a typed error; nothing half-made is left, and everything works once it is given again.
#![cfg(unix)] // limits of a process are set by setrlimit

mod common;

use common::{Place, system};
use partywall::{OpenError, broadcast, frames, guarded, mpsc, ring, snapshot};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Which limit the child of a test is to live with.
const CASE: &str = "PARTYWALL_RESOURCE";

/// Limits belong to a process, so each test has one of its own.
fn in_child(case: &str) {
    let program = std::env::current_exe().unwrap();
    let output = system::process(program)
        .args(["--exact", "the_child", "--nocapture"])
        .env(CASE, case)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("lived with it"));
}

#[test]
fn a_file_longer_than_allowed_is_an_error_and_no_signal() {
    in_child("fsize");
}

#[test]
fn too_many_open_files_are_an_error() {
    in_child("nofile");
}

#[test]
fn no_room_in_the_address_space_is_an_error() {
    in_child("as");
}

/// Does nothing unless a test has started it.
#[test]
fn the_child() {
    let Ok(case) = std::env::var(CASE) else {
        return;
    };
    let place = Place::new();
    let resource = match &case[..] {
        "fsize" => Resource::Fsize,
        "nofile" => Resource::Nofile,
        "as" => Resource::As,
        other => panic!("{other}"),
    };
    let before = getrlimit(resource);
    // Of files every number, so that each one of those that are opened is the one too many.
    let scarce: Vec<u64> = match resource {
        Resource::Fsize => vec![0, 4 << 10, 100 << 10],
        Resource::Nofile => (3..40).collect(),
        _ => vec![mapped() + (2 << 20), mapped() + (8 << 20)],
    };
    for (pattern, open) in owners() {
        let mut refusals = 0;
        for &scarce in &scarce {
            let lower = Rlimit {
                current: Some(scarce),
                maximum: before.maximum,
            };
            setrlimit(resource, lower).unwrap();
            let opened = open(&place);
            setrlimit(resource, before).unwrap();
            match opened {
                Ok(()) => {
                    let _ = partywall::manage::remove(&place.namespace, "c", true);
                }
                Err(OpenError::System { .. } | OpenError::Namespace { .. }) => refusals += 1,
                Err(error) => panic!("{case} {scarce} {pattern} {error}"),
            }
            assert_eq!(
                place.files(),
                Vec::<String>::new(),
                "{case} {scarce} {pattern}"
            );
        }
        assert!(refusals > 0, "{case} {pattern}");
        open(&place).unwrap_or_else(|error| panic!("{case} {pattern}: {error}"));
        let _ = partywall::manage::remove(&place.namespace, "c", true);
    }
    println!("lived with it");
}

/// Bytes of address space that are taken.
fn mapped() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut words = status
        .split_whitespace()
        .skip_while(|&word| word != "VmSize:");
    1024 * words.nth(1).unwrap().parse::<u64>().unwrap()
}

type Open = fn(&Place) -> Result<(), OpenError>;

/// Each pattern's owner, of a channel of 16 MiB or more.
fn owners() -> [(&'static str, Open); 6] {
    const SIZE: u64 = 16 << 20;
    [
        ("ring", |place| {
            let options = ring::ProducerOptions::new().capacity(SIZE);
            options
                .namespace(place.namespace.clone())
                .heartbeat(false)
                .open("c")
                .map(drop)
        }),
        ("snapshot", |place| {
            let options = snapshot::WriterOptions::new().value_size(4 << 20);
            options
                .namespace(place.namespace.clone())
                .heartbeat(false)
                .open("c")
                .map(drop)
        }),
        ("broadcast", |place| {
            let options = broadcast::SenderOptions::new().value_size(1 << 16);
            options
                .namespace(place.namespace.clone())
                .heartbeat(false)
                .open("c")
                .map(drop)
        }),
        ("frames", |place| {
            let options = frames::PublisherOptions::new().frame_size(1 << 20);
            options
                .namespace(place.namespace.clone())
                .heartbeat(false)
                .open("c")
                .map(drop)
        }),
        ("mpsc", |place| {
            let options = mpsc::ReceiverOptions::new().lane_capacity(2 << 20);
            options
                .namespace(place.namespace.clone())
                .heartbeat(false)
                .open("c")
                .map(drop)
        }),
        ("guarded", |place| {
            let options = guarded::RecordOptions::new().value_size(4 << 20);
            options
                .namespace(place.namespace.clone())
                .heartbeat(false)
                .open("c")
                .map(drop)
        }),
    ]
}
