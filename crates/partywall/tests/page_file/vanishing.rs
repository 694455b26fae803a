//! What is Windows' own: memory that is gone, names that clash, sessions, access.
#![allow(unsafe_code)]

use std::fs;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use partywall::inspect::{self, Liveness};
use partywall::manage;
use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, GetLastError, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, MapViewOfFile, OpenFileMappingW,
    PAGE_READWRITE, SEC_RESERVE,
};
use windows_sys::Win32::System::Threading::CreateEventW;

use super::actor::{Actor, CHANNEL, Pattern};
use super::{Place, pair};

/// A channel whose memory is gone.
fn gone(pattern: Pattern) -> Place {
    let place = Place::new();
    let (owner, peer) = pair(&place.path, pattern);
    owner.dies_by_force();
    peer.dies_by_force();
    place
}

/// The name of a section, as its stub says it.
fn name_of(place: &Place, file: &str) -> String {
    let stub = fs::read(place.file(file)).unwrap();
    assert_eq!(&stub[..8], b"PRTYSECT");
    let len = u32::from_le_bytes(stub[20..24].try_into().unwrap());
    String::from_utf8(stub[24..][..len as usize].to_vec()).unwrap()
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

pub(super) fn when_everybody_was_killed_the_next_owner_begins_anew_and_nobody_hangs() {
    for pattern in Pattern::ALL {
        let place = gone(pattern);
        let mut successor = Actor::new(&place.path);
        let mut peer = Actor::new(&place.path);
        if pattern != Pattern::Guarded {
            let waited = peer.does(&format!("peer-now {}", pattern.name()));
            assert!(waited.contains("went with the last process"), "{waited}");
        }
        let made = successor.does(&format!("owner {}", pattern.name()));
        assert!(
            made.starts_with("made") || made.starts_with("ok"),
            "{pattern:?}: {made}"
        );
        let info = inspect::inspect(&place.namespace, CHANNEL).unwrap();
        assert_eq!((info.generation, info.state), (2, "ready"), "{pattern:?}");
        assert_eq!(info.counters.last_error, Some("vanished"), "{pattern:?}");
        assert_eq!(peer.does(&format!("peer {}", pattern.name())), "ok");
        let (from, to) = match pattern {
            Pattern::Mpsc => (&mut peer, &mut successor),
            _ => (&mut successor, &mut peer),
        };
        // Nothing of before comes again, and the death of a holder is forgotten with the record.
        assert_eq!(from.does("say new"), "ok");
        assert_eq!(to.does("hear"), "new", "{pattern:?}");
    }
}

pub(super) fn who_waits_for_a_channel_whose_memory_is_gone_gets_the_new_one() {
    let place = gone(Pattern::Ring);
    let (mut waiting, mut successor) = (Actor::new(&place.path), Actor::new(&place.path));
    waiting.begins("peer ring");
    assert!(successor.does("owner ring").starts_with("made"));
    assert_eq!(waiting.has_done().as_deref(), Some("ok"));
    assert_eq!(successor.does("say new"), "ok");
    assert_eq!(waiting.does("hear"), "new");
}

pub(super) fn tools_see_that_the_memory_is_gone_and_remove_what_is_left() {
    for pattern in Pattern::ALL {
        let place = gone(pattern);
        let all = inspect::list(&place.namespace).unwrap();
        let [info] = &all[..] else {
            panic!("{all:?}");
        };
        assert_eq!(info.problem, None);
        assert_eq!(
            (info.state, info.pattern, info.owner, info.generation),
            ("vanished", pattern.name(), Liveness::Dead, 1)
        );
        let cleaned = manage::clean(&place.namespace).unwrap();
        assert!(cleaned.iter().all(|row| row.removed), "{cleaned:?}");
        assert_eq!(place.names(), Vec::<String>::new());
    }
    let place = gone(Pattern::Snapshot);
    manage::remove(&place.namespace, CHANNEL, false).unwrap();
    assert_eq!(place.names(), Vec::<String>::new());
}

pub(super) fn memory_of_another_session_is_never_taken_for_gone() {
    let place = Place::new();
    let (owner, peer) = pair(&place.path, Pattern::Ring);
    // As if it had been made in another one.
    for file in ["1.owner", "1.peers"] {
        let mut stub = fs::read(place.file(file)).unwrap();
        stub[16..20].copy_from_slice(&4711_u32.to_le_bytes());
        fs::write(place.file(file), stub).unwrap();
    }
    let mut other = Actor::new(&place.path);
    let told = "belongs to log-on session 4711";
    let refused = other.does("peer-now ring");
    assert!(refused.contains(told), "{refused}");
    let refused = other.does("owner ring");
    assert!(refused.contains("already owned"), "{refused}");
    owner.dies_by_force();
    for verb in ["peer-now ring", "owner ring"] {
        let refused = other.does(verb);
        assert!(refused.contains(told), "{refused}");
    }
    let cleaned = manage::clean(&place.namespace).unwrap();
    assert!(cleaned.iter().all(|row| !row.removed), "{cleaned:?}");
    drop(peer);
    // Nobody sits there now, but that it is gone cannot be seen from here.
    let refused = other.does("owner ring");
    assert!(refused.contains(told), "{refused}");
}

pub(super) fn another_kind_of_object_on_the_name_is_explained_and_the_owner_takes_another() {
    let place = gone(Pattern::Ring);
    let name = name_of(&place, "1.owner");
    // SAFETY: the name ends with a zero.
    let event = unsafe { CreateEventW(std::ptr::null(), 1, 0, wide(&name).as_ptr()) };
    assert!(!event.is_null());
    // SAFETY: just made, and owned by nobody else.
    let _event = unsafe { OwnedHandle::from_raw_handle(event) };
    let mut actor = Actor::new(&place.path);
    let refused = actor.does("peer-now ring");
    assert!(
        refused.contains("ERROR_INVALID_HANDLE") && refused.contains(&name),
        "{refused}"
    );
    let state = inspect::inspect(&place.namespace, CHANNEL).unwrap().state;
    assert_eq!(state, "vanished");
    assert!(actor.does("owner ring").starts_with("made"));
    assert_ne!(name_of(&place, "2.owner"), name);
    let mut peer = Actor::new(&place.path);
    assert_eq!(peer.does("peer-now ring"), "ok");
}

/// Whoever writes the stub is the same user; what he may do to others is to keep them out.
pub(super) fn a_stub_that_lies_is_told_and_harms_nobody() {
    let place = Place::new();
    let (_owner, _peer) = pair(&place.path, Pattern::Ring);
    let honest = fs::read(place.file("1.owner")).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut stub = honest.clone();
        stub[at..][..bytes.len()].copy_from_slice(bytes);
        stub
    };
    // A section that has no memory, under a name as ours.
    let reserved = format!("Local\\partywall-{:032x}.section", 0xbad);
    // SAFETY: the name ends with a zero.
    let section = unsafe {
        let (size, kind) = (8192, PAGE_READWRITE | SEC_RESERVE);
        let name = wide(&reserved);
        CreateFileMappingW(
            INVALID_HANDLE_VALUE,
            std::ptr::null(),
            kind,
            0,
            size,
            name.as_ptr(),
        )
    };
    assert!(!section.is_null());
    // SAFETY: just made, and owned by nobody else.
    let _section = unsafe { OwnedHandle::from_raw_handle(section) };
    assert_eq!(reserved.len(), name_of(&place, "1.owner").len());
    let other_side = name_of(&place, "1.peers");
    for (lie, stub) in [
        ("longer than it is", with(8, &(1_u64 << 20).to_le_bytes())),
        ("longer than anything", with(8, &u64::MAX.to_le_bytes())),
        ("shorter than it is", with(8, &4096_u64.to_le_bytes())),
        ("empty", with(8, &0_u64.to_le_bytes())),
        ("without memory", with(24, reserved.as_bytes())),
        ("the other side", with(24, other_side.as_bytes())),
        ("no name", with(20, &[0; 4])),
        ("a name without an end", with(20, &[255; 4])),
        ("cut short", honest[..100].to_vec()),
    ] {
        fs::write(place.file("1.owner"), stub).unwrap();
        let mut actor = Actor::new(&place.path);
        let told = actor.does("peer-now ring");
        assert!(told.starts_with("channel c: "), "{lie}: {told}");
        let looked = inspect::inspect(&place.namespace, CHANNEL);
        assert!(looked.is_err(), "{lie}: {looked:?}");
    }
    fs::write(place.file("1.owner"), &honest).unwrap();
    assert_eq!(Actor::new(&place.path).does("peer-now ring"), "ok");
}

pub(super) fn a_durable_consumer_is_refused() {
    let place = Place::new();
    let mut owner = Actor::new(&place.path);
    assert!(owner.does("owner ring").starts_with("made"));
    let refused = Actor::new(&place.path).does("durable");
    assert!(refused.contains("must outlive every process"), "{refused}");
}

pub(super) fn readers_cannot_write_and_the_name_is_the_owners_alone() {
    let place = Place::new();
    let (_owner, _peer) = pair(&place.path, Pattern::Snapshot);
    let name = name_of(&place, "1.owner");
    assert!(
        name.starts_with("Local\\partywall-") && name.ends_with(".section"),
        "{name}"
    );
    // SAFETY: the name ends with a zero.
    let section = unsafe { OpenFileMappingW(FILE_MAP_READ, 0, wide(&name).as_ptr()) };
    assert!(!section.is_null());
    // SAFETY: just opened, and owned by nobody else.
    let section = unsafe { OwnedHandle::from_raw_handle(section) };
    // SAFETY: the system chooses the place.
    let (view, error) = unsafe {
        let view = MapViewOfFile(section.as_raw_handle(), FILE_MAP_WRITE, 0, 0, 0);
        (view, GetLastError())
    };
    assert!(view.Value.is_null());
    assert_eq!(error, ERROR_ACCESS_DENIED);
}

/// Points at which an owner is killed, at the most: ten times as many as of an operation of the sweep, `PARTYWALL_SWEEP`; all
/// unless that is a number.
fn most() -> Option<u64> {
    let asked = std::env::var("PARTYWALL_SWEEP").ok()?;
    asked.parse::<u64>().ok().map(|most| 10 * most)
}

/// Kills an owner before each store and system call of its opening; then the next one must go on.
pub(super) fn whoever_is_killed_at_whatever_point_of_making_it_the_next_owner_goes_on() {
    let mut visited = 0;
    for vanished in [false, true] {
        let stage = || match vanished {
            true => gone(Pattern::Ring),
            false => Place::new(),
        };
        // At no point; how many there are is told.
        let place = stage();
        let mut victim = Actor::with_fault(&place.path, Some(u64::MAX));
        let made = victim.does("owner ring");
        let points: u64 = made.strip_prefix("made ").unwrap().parse().unwrap();
        assert!(points > 50, "only {points} points");
        let step = most().map_or(1, |most| points.div_ceil(most));
        for at in (1..=points).step_by(step as usize) {
            visited += 1;
            let place = stage();
            let mut victim = Actor::with_fault(&place.path, Some(at));
            victim.begins("owner ring");
            assert_eq!(victim.has_done(), None, "point {at}");
            victim.dies_by_force();
            // Whatever there is can be looked at.
            inspect::list(&place.namespace).unwrap();
            let (mut owner, mut peer) = (Actor::new(&place.path), Actor::new(&place.path));
            let made = owner.does("owner ring");
            assert!(made.starts_with("made"), "killed at {at}: {made}");
            assert_eq!(peer.does("peer-now ring"), "ok", "killed at {at}");
            assert_eq!(owner.does("say new"), "ok");
            assert_eq!(peer.does("hear"), "new");
            // Nothing of the dead ones is left.
            let stubs = |side: &str| {
                let there = |number: &u64| place.file(&format!("{number}.{side}")).exists();
                (1..9).filter(there).count()
            };
            assert_eq!([stubs("owner"), stubs("peers")], [1; 2], "killed at {at}");
        }
    }
    println!("{visited} points were visited");
}
