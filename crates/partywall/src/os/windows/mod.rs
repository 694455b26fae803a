//! Windows: files with owner-only access, `LockFileEx`, sections of files and of the page file, named events.
//!
//! **Why segments are files unless somebody asks for the page file.** A section of the page file dies with its last handle.
//! If owner and peers are all killed (a crash of the service that starts them, a log-off), nothing is left to adopt, and
//! what the channel had committed is gone without anybody being told how much; recovery would mean something else here than on
//! Linux. A file under the user's own directory outlives them, is found by name without any kernel namespace, needs no
//! `SeCreateGlobalPrivilege`, and cannot be squatted on by another user. It is marked temporary, so that the cache writes it out
//! only when memory is short; the price is the lazy writer of a machine that is short of it, and a delete that waits for the last view.
//! Who would rather have no byte in a file, and can do without what nobody was there for, has [`sections`].
//!
//! Named objects are those and the events ([`sleep`]): `Local\` unless the segment's header says `Global\`.

mod files;
mod locks;
mod mapping;
mod sections;
mod security;
mod sleep;

pub(crate) use files::{Directory, DirectoryWatch, File, FileIdentity, OpenMode};
pub(crate) use locks::{LockFile, LockView};
pub(crate) use mapping::Mapping;
pub(crate) use sections::lacks_global_right;
pub(crate) use sleep::{fence_wakers, may_rely_on_wakers, register_waker, sleepers_fence_for_us};

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Provision;
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::SystemInformation::GetTickCount64;

/// There is no SIGBUS on Windows: the system cuts no file short that is mapped (`ERROR_USER_MAPPED_FILE`). Always `true`.
///
/// ```
/// assert!(partywall::decline_sigbus_handler());
/// ```
pub fn decline_sigbus_handler() -> bool {
    true
}

/// Whether a page of some mapping was found gone: a file that is mapped stays as long as it was.
#[inline(always)]
pub(crate) fn pages_lost() -> bool {
    false
}

/// Called before each system call that changes something outside this process.
#[inline]
fn fault_point() {
    #[cfg(feature = "fault-points")]
    crate::memory::fault::point(crate::memory::fault::Kind::System);
}

/// The process that a handle was opened in. Windows has no fork, so it is always this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process;

impl Process {
    pub(crate) fn current() -> Self {
        Process
    }

    #[inline(always)]
    pub(crate) fn is_this(self) -> bool {
        true
    }
}

/// Nanoseconds since boot, time asleep included; the same in every process of the machine.
#[allow(unsafe_code)]
pub(crate) fn boottime_ns() -> u64 {
    static FREQUENCY: OnceLock<u64> = OnceLock::new();
    let frequency = *FREQUENCY.get_or_init(|| {
        let mut frequency = 0_i64;
        // SAFETY: stores one number into one of our own.
        unsafe { QueryPerformanceFrequency(&raw mut frequency) };
        u64::try_from(frequency).unwrap_or(0).max(1)
    });
    let mut ticks = 0_i64;
    // SAFETY: as above.
    unsafe { QueryPerformanceCounter(&raw mut ticks) };
    let nanoseconds = u128::from(ticks as u64) * 1_000_000_000 / u128::from(frequency);
    nanoseconds as u64
}

/// Milliseconds of a clock that is cheap to read and moves every few of them.
#[allow(unsafe_code)]
pub(crate) fn coarse_ms() -> u64 {
    // SAFETY: reads a clock.
    unsafe { GetTickCount64() }
}

/// Nanoseconds since 1970 by the wall clock, for people.
pub(crate) fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// This process, for people.
pub(crate) fn process_id() -> u32 {
    std::process::id()
}

/// Users have no such numbers here; channels are not shared with others yet.
pub(crate) fn user_id() -> u32 {
    0
}

/// Bytes that this process may keep out of swap: the system does not say before it is tried.
pub(crate) fn memory_lock_limit() -> Option<u64> {
    None
}

/// Where channels lie if nobody says where: in the user's own part of the disk, which does not roam.
pub(crate) fn namespace_of(_user: u32) -> PathBuf {
    let local = std::env::var_os("LOCALAPPDATA").filter(|path| !path.is_empty());
    local
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join("partywall")
}

/// Access lists that let others read have never been tried, and what was never tried must not open anything to anybody.
pub(crate) const SHARES_WITH_OTHERS: bool = false;

/// What was asked for; unless it was said, `PARTYWALL_GLOBAL=1` makes named objects `Global\`.
pub(crate) fn provided(page_file: bool, global: Option<bool>) -> Provision {
    let by_default = || std::env::var("PARTYWALL_GLOBAL").is_ok_and(|value| value == "1");
    Provision {
        page_file,
        global: global.unwrap_or_else(by_default),
    }
}

/// Stops this thread before the call returns, until somebody lets it go on.
#[cfg(feature = "fault-points")]
#[allow(unsafe_code)]
pub(crate) fn stop_this_process() {
    use windows_sys::Win32::System::Threading::{GetCurrentThread, SuspendThread};
    // SAFETY: the handle means the calling thread.
    unsafe { SuspendThread(GetCurrentThread()) };
}

/// Ends this process before the call returns, with no chance to tidy up.
#[cfg(feature = "fault-points")]
#[allow(unsafe_code)]
pub(crate) fn kill_this_process() {
    use windows_sys::Win32::System::Threading::{GetCurrentProcess, TerminateProcess};
    // SAFETY: the handle means this process.
    unsafe { TerminateProcess(GetCurrentProcess(), 137) };
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

/// Text as the system wants it: UTF-16 with a zero behind it.
fn wide(text: &std::ffi::OsStr) -> Vec<u16> {
    use std::os::windows::ffi::OsStrExt;
    text.encode_wide().chain([0]).collect()
}
