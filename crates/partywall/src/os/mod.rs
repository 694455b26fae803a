//! The operating system: everything that is a system call, and nothing else.
//!
//! One folder a system; the rest of the crate sees the functions below and never asks which it runs on.
//! What each needs and gives:
//!
//! - [`Directory`]: a directory held by its descriptor, so that renaming or replacing its path cannot
//!   redirect us; names in it are single components, never followed when they are links.
//! - [`LockFile`]: exclusive locks on single bytes of a file, owned by the open file description,
//!   released by the kernel when the last descriptor goes, whatever ends the process.
//! - [`Mapping`]: a shared mapping of a file or a part of one, which a forked child does not inherit.
//! - [`reserve`]: memory for a part of a file, so that no later store to it fails.
//! - [`pages_lost`]: whether a page of some mapping was found gone when it was accessed; [`Mapping::lost`] tells which.
//! - [`futex_wait`] and friends: sleeping on a word, also through a read-only mapping.
//! - [`fence_all_registered`]: a full fence in every process that called [`register_waker`].

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::decline_sigbus_handler;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

#[cfg(not(target_os = "linux"))]
compile_error!("Partywall runs on Linux so far; Windows and macOS backends are being written");
