//! Somebody stands still in the middle of an operation (SIGSTOP), for as long as it takes the others to act; then it
//! goes on. To them it is slow, and nothing else: no lock was freed, so nobody takes what it holds, and nobody
//! waits longer than it meant to.
#![allow(unsafe_code)]

use std::io::Read;
use std::path::Path;
use std::process::Child;

use partywall::inspect::{self, Liveness};
use partywall::{Namespace, OpenError};

use crate::system;
use crate::victim::{self, Fault, Report};
use crate::world::CHANNEL;

/// Runs a victim to a point, where it stands still while the others act, and on to its end.
pub(crate) fn run(role: &str, place: &Path, point: u64, meanwhile: &mut dyn FnMut()) -> Report {
    let mut child = victim::command(role, place, Fault::Stop(point))
        .spawn()
        .unwrap();
    if stands_still(&child) {
        meanwhile();
        system::go_on(&child);
    }
    let mut said = String::new();
    let output = child.stdout.take();
    output.unwrap().read_to_string(&mut said).unwrap();
    let mut report = Report::default();
    said.lines().for_each(|line| report.hear(line));
    let status = child.wait().unwrap();
    assert!(status.success(), "{role}: the victim ended with {status}");
    report
}

/// Waits until a process stands still; not if it ends without having done so.
pub(crate) fn stands_still(child: &Child) -> bool {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let state = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.trim().chars().next());
        match state {
            Some('T') => return true,
            Some('Z') | None => return false,
            _ => std::thread::yield_now(),
        }
    }
}

/// Whoever has the owner lock keeps it, though it stands still: another who wants it is told so.
pub(crate) fn nobody_is_robbed<T: std::fmt::Debug>(
    namespace: &Namespace,
    open: impl FnOnce() -> Result<T, OpenError>,
) {
    // Looking works at any moment, or says what is not there yet.
    let _ = inspect::inspect(namespace, CHANNEL);
    if owner_is_locked(namespace) {
        let refused = open();
        assert!(
            matches!(refused, Err(OpenError::AlreadyOwned { .. })),
            "{refused:?}"
        );
    }
}

/// Somebody comes, and does not wait: it gets in, or is told what is not there yet.
pub(crate) fn gets_in_or_is_told<T: std::fmt::Debug>(came: Result<T, OpenError>) -> Option<T> {
    match came {
        Ok(came) => Some(came),
        Err(
            OpenError::Missing { .. } | OpenError::TimedOut { .. } | OpenError::NoFreeSeat { .. },
        ) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Whether a seat is a dead one's. Who comes may take it over, and then it is not the victim's to deal with.
pub(crate) fn has_dead_seat(namespace: &Namespace) -> bool {
    inspect::inspect(namespace, CHANNEL).is_ok_and(|info| {
        let mut seats = info.seats.iter();
        seats.any(|seat| seat.holder == Liveness::Dead)
    })
}

/// Whether somebody holds byte 0 of the channel's lock file, as the library says it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn owner_is_locked(namespace: &Namespace) -> bool {
    inspect::inspect(namespace, CHANNEL).is_ok_and(|info| info.owner != Liveness::Dead)
}

/// Whether somebody holds byte 0 of the channel's lock file.
#[cfg(target_os = "linux")]
pub(crate) fn owner_is_locked(namespace: &Namespace) -> bool {
    let path = namespace.path().join(CHANNEL).join("lock");
    use std::os::fd::AsRawFd;
    let Ok(file) = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
    else {
        return false;
    };
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: `lock` outlives the call, which only asks about a file that is open.
    let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    assert_eq!(asked, 0, "{}", std::io::Error::last_os_error());
    lock.l_type != libc::F_UNLCK as i16
}
