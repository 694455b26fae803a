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
//! - [`overwrite`]: zeros over everything that a file holds, before its name goes.
//! - [`LockView`]: whether a byte is locked, for a user who may not open the file of locks.
//! - [`futex_wait`] and friends: sleeping on a word, also through a read-only mapping.
//! - [`fence_all_registered`]: a full fence in every process that called [`register_waker`].

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

/// Who may read something besides its owner. Nobody but the owner ever writes, and the kernel sees to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readers {
    /// The members of its group.
    pub(crate) group: bool,
    /// Everybody else.
    pub(crate) others: bool,
}

impl Readers {
    /// From a file's mode: 0600, 0640, 0604 or 0644; `None` for others, which give somebody more than reading, or
    /// the owner less than he needs.
    pub(crate) fn from_mode(mode: u32) -> Option<Self> {
        let readers = Readers::in_mode(mode);
        (readers.mode() == mode).then_some(readers)
    }

    /// Whom the mode of a file lets read, whatever else it says.
    pub(crate) fn in_mode(mode: u32) -> Self {
        Readers {
            group: mode & 0o040 != 0,
            others: mode & 0o004 != 0,
        }
    }

    /// The mode of a file.
    pub(crate) fn mode(self) -> u32 {
        let bits = [(self.group, 0o040), (self.others, 0o004)];
        bits.iter()
            .filter(|(may, _)| *may)
            .fold(0o600, |mode, (_, bit)| mode | bit)
    }

    /// The mode of a directory: who may read files in it may list and search it.
    pub(crate) fn directory_mode(self) -> u32 {
        let mode = self.mode();
        mode | (mode & 0o444) >> 2
    }

    /// Somebody besides the owner.
    pub(crate) fn any(self) -> bool {
        self.group || self.others
    }
}

#[cfg(not(target_os = "linux"))]
compile_error!("Partywall runs on Linux so far; Windows and macOS backends are being written");
