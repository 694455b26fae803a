//! macOS: what POSIX has is the same code as on Linux; the rest stands in for what there is not.
//!
//! **Never run.** That it compiles is all that is tested.
//!
//! - *Locks.* The kernel has open-file-description locks (`F_OFD_SETLK`), by the same names and with the same meaning
//!   as on Linux: owned by the open file, released when its last descriptor goes, whatever ends the process. So
//!   nothing stands in for them. A kernel that does not know them answers `EINVAL`, and opening a channel fails with that.
//! - *Sleeping.* `os_sync_wait_on_address` with the flag for shared memory, from macOS 14.4 on; it is looked up at run time, and where
//!   there is none, sleepers look every millisecond. For several words at once there is nothing: they are looked at as often.
//! - *Fences.* There is no membarrier, so every waker fences for itself.
//! - *Memory.* There is no tmpfs by default, so segments are files on the local disk, which the pager writes out now and then.
//! - *New names.* They are looked for ten times a slice.

#[path = "../linux/files.rs"]
mod files;
#[path = "../linux/fork.rs"]
mod fork;
mod kernel;
#[path = "../linux/locks.rs"]
mod locks;
#[path = "../linux/lost_pages.rs"]
mod lost_pages;
#[path = "../linux/mapping.rs"]
mod mapping;
mod sleep;

pub(crate) use files::{Directory, File, FileIdentity, OpenMode};
pub(crate) use fork::Process;
pub(crate) use kernel::DirectoryWatch;
pub(crate) use locks::{LockFile, LockView};
pub use lost_pages::decline_sigbus_handler;
pub(crate) use lost_pages::pages_lost;
pub(crate) use mapping::Mapping;
pub(crate) use sleep::{fence_wakers, may_rely_on_wakers, register_waker, sleepers_fence_for_us};

use std::path::PathBuf;

use rustix::time::{ClockId, clock_gettime};

use super::Provision;

/// Called before each system call that changes something outside this process.
#[inline]
fn fault_point() {
    #[cfg(feature = "fault-points")]
    crate::memory::fault::point(crate::memory::fault::Kind::System);
}

/// Nanoseconds since boot, time asleep included (as `CLOCK_MONOTONIC` counts here); the same in every process.
pub(crate) fn boottime_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Milliseconds of a clock that is cheap to read.
pub(crate) fn coarse_ms() -> u64 {
    nanoseconds(ClockId::Monotonic) / 1_000_000
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

/// This process, for people.
pub(crate) fn process_id() -> u32 {
    std::process::id()
}

/// The effective user.
pub(crate) fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Bytes that this process may keep out of swap; `None`: as many as it likes.
pub(crate) fn memory_lock_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Memlock).current
}

/// Where a user's channels lie if nobody says where: in this user's directory for temporary files.
pub(crate) fn namespace_of(user: u32) -> PathBuf {
    std::env::temp_dir().join(format!("partywall-{user}"))
}

/// Stops this process before the call returns, until somebody lets it go on.
#[cfg(feature = "fault-points")]
pub(crate) fn stop_this_process() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
}

/// Ends this process before the call returns, with no chance to tidy up.
#[cfg(feature = "fault-points")]
pub(crate) fn kill_this_process() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
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
