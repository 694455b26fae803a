//! Linux: file descriptors, open-file-description locks, futexes, membarrier.
//!
//! `files`, `fork`, `locks`, `lost_pages` and `mapping` are what POSIX has, and macOS uses them as they are; what differs is
//! in `kernel`, `sleep` and `watch`.

mod files;
mod fork;
mod kernel;
mod locks;
mod lost_pages;
mod mapping;
mod sleep;
mod watch;

pub(crate) use files::{Directory, File, FileIdentity, OpenMode};
pub(crate) use fork::Process;
pub(crate) use locks::{LockFile, LockView};
pub use lost_pages::decline_sigbus_handler;
pub(crate) use lost_pages::pages_lost;
pub(crate) use mapping::Mapping;
pub(crate) use sleep::{fence_wakers, may_rely_on_wakers, register_waker, sleepers_fence_for_us};
pub(crate) use watch::DirectoryWatch;

use std::path::PathBuf;

use rustix::time::{ClockId, clock_gettime};

use super::Provision;

/// Called before each system call that changes something outside this process.
#[inline]
fn fault_point() {
    #[cfg(feature = "fault-points")]
    crate::memory::fault::point(crate::memory::fault::Kind::System);
}

/// Nanoseconds since boot, time asleep included; the same in every process of the machine.
pub(crate) fn boottime_ns() -> u64 {
    nanoseconds(ClockId::Boottime)
}

/// Milliseconds of a clock that is cheap to read and moves every few of them.
pub(crate) fn coarse_ms() -> u64 {
    nanoseconds(ClockId::MonotonicCoarse) / 1_000_000
}

/// Nanoseconds since 1970 by the wall clock, for people.
pub(crate) fn wall_ns() -> u64 {
    nanoseconds(ClockId::Realtime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

/// This process in its own pid namespace, for people.
pub(crate) fn process_id() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get() as u32
}

/// The effective user.
pub(crate) fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Where a user's channels lie if nobody says where: in a directory of that user's own.
pub(crate) fn namespace_of(user: u32) -> PathBuf {
    PathBuf::from(format!("/dev/shm/partywall-{user}"))
}

/// Stops this process before the call returns, until somebody lets it go on.
#[cfg(feature = "fault-points")]
pub(crate) fn stop_this_process() {
    signal_this_process(rustix::process::Signal::STOP);
}

/// Ends this process before the call returns, with no chance to tidy up.
#[cfg(feature = "fault-points")]
pub(crate) fn kill_this_process() {
    signal_this_process(rustix::process::Signal::KILL);
}

#[cfg(feature = "fault-points")]
fn signal_this_process(signal: rustix::process::Signal) {
    let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
}

/// Bytes that this process may keep out of swap; `None`: as many as it likes.
pub(crate) fn memory_lock_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Memlock).current
}

/// Segments lie in files here, whatever was asked for: and files are found from everywhere.
pub(crate) fn provided(_page_file: bool, _global: Option<bool>) -> Provision {
    Provision::default()
}

/// By modes of files and directories.
pub(crate) const SHARES_WITH_OTHERS: bool = true;

/// There is no such right here.
pub(crate) fn lacks_global_right() -> bool {
    false
}

/// A number that no other channel has.
pub(crate) fn random_word() -> u64 {
    // The standard library seeds its hash maps from the kernel; that is one dependency fewer.
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u64(boottime_ns());
    hasher.write_u32(process_id());
    hasher.finish() | 1
}
