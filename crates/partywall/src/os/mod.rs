//! The operating system: everything that is a system call, and nothing else.
//!
//! One folder a system; the rest of the crate sees the types and functions below and never asks which it runs on.
//! What each has to give, by these names:
//!
//! | name | what it is |
//! |---|---|
//! | [`Directory`] | a directory that was opened once; names in it are single components, never followed when they are links; [`Directory::doubt`] says why it cannot be trusted with channels |
//! | [`File`] | an open file that holds a segment; [`File::reserve`] makes sure that no later store to a part of it fails |
//! | [`FileIdentity`] | which file a name means, to find out whether it still means the one that we have |
//! | [`OpenMode`] | to read only, or to read and write |
//! | [`DirectoryWatch`] | sleeps until names in a directory change |
//! | [`LockFile`] | exclusive locks on single bytes, of one handle each, released by the kernel whatever ends the process |
//! | [`Mapping`] | a shared mapping of a file or a part of one, which a forked child does not inherit; [`Mapping::sleep`], [`Mapping::sleep_any`] and [`Mapping::wake`]: sleeping on a half-word of it, also where it is mapped read-only |
//! | [`Mapping::populate`] | makes sure that reading a part of a mapping does not fail |
//! | [`pages_lost`], `Mapping::lost` | whether a page of some mapping was found gone when it was accessed, and which |
//! | [`Mapping::populate`] | makes sure that reading a part of a mapping does not fail |
//! | [`pages_lost`], [`Mapping::lost`], [`decline_sigbus_handler`] | whether a page of a mapping went away under us |
//! | [`register_waker`], [`sleepers_fence_for_us`] | whether this process may leave the waker's fence to the sleepers |
//! | [`fence_wakers`], [`may_rely_on_wakers`] | the sleeper's fence here and in every process that leaves it to us; whether there can be none that we miss |
//! | [`Process`] | tells a forked child from its parent |
//! | [`boottime_ns`], [`coarse_ms`], [`wall_ns`] | clocks: one for all processes of the machine, a cheap one, one for people |
//! | [`process_id`], [`random_word`], [`default_namespace`] | what their names say |
//! | `kill_this_process`, `stop_this_process` | for the kill sweep only |

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::decline_sigbus_handler;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub use windows::decline_sigbus_handler;
#[cfg(windows)]
pub(crate) use windows::*;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub use macos::decline_sigbus_handler;
#[cfg(target_os = "macos")]
pub(crate) use macos::*;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
compile_error!("Partywall runs on Linux and Windows, and compiles for macOS");

/// Why a directory cannot be trusted with channels.
#[derive(Debug)]
pub(crate) struct Doubt {
    /// What is wrong with it: "belongs to ...".
    pub(crate) problem: String,
    /// What to do next.
    pub(crate) next: &'static str,
}
