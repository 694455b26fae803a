//! The operating system: everything that is a system call, and nothing else.
//!
//! One folder a system; the rest of the crate sees the types and functions below and never asks which it runs on.
//! What each has to give, by these names:
//!
//! | name | what it is |
//! |---|---|
//! | [`Directory`] | a directory that was opened once; names in it are single components, never followed when they are links; [`Directory::doubt`] says why it cannot be trusted with channels |
//! | [`File`] | an open file that holds a segment; [`File::reserve`] makes sure that no later store to a part of it fails |
//! | [`File::read_at`], [`File::overwrite`] | bytes of it without a mapping; zeros over everything that it holds, before its name goes |
//! | [`Readers`] | who may read something besides its owner |
//! | [`provided`], [`Provision`] | where a new segment's memory comes from, and who finds its named objects: what was asked for, as far as there is a choice |
//! | [`File::unreachable`], [`Unreachable`] | why there is no memory behind a file, where the two are not the same |
//! | `SHARES_WITH_OTHERS` | whether somebody besides its owner can be let read a channel |
//! | [`lacks_global_right`] | whether this process may not make memory that every log-on session finds |
//! | [`Mapping::serve_all_sessions`] | whoever sleeps on it, or wakes sleepers, is found from every log-on session |
//! | [`LockView`] | whether a byte is locked, for a user who may not open the file of locks |
//! | [`FileIdentity`] | which file a name means, to find out whether it still means the one that we have |
//! | [`OpenMode`] | to read only, or to read and write |
//! | [`DirectoryWatch`] | sleeps until names in a directory change |
//! | [`LockFile`] | exclusive locks on single bytes, of one handle each, released by the kernel whatever ends the process |
//! | [`Mapping`] | a shared mapping of a file or a part of one, which a forked child does not inherit; [`Mapping::sleep`], [`Mapping::sleep_any`] and [`Mapping::wake`]: sleeping on a half-word of it, also where it is mapped read-only |
//! | [`Mapping::glance`] | for one look: a small file copied, where that is cheaper than a mapping |
//! | [`Mapping::populate`] | makes sure that reading a part of a mapping does not fail |
//! | [`pages_lost`], [`Mapping::lost`], [`decline_sigbus_handler`] | whether a page of a mapping went away under us |
//! | [`register_waker`], [`sleepers_fence_for_us`] | whether this process may leave the waker's fence to the sleepers |
//! | [`fence_wakers`], [`may_rely_on_wakers`] | the sleeper's fence here and in every process that leaves it to us; whether there can be none that we miss |
//! | [`Process`] | tells a forked child from its parent |
//! | [`boottime_ns`], [`coarse_ms`], [`wall_ns`] | clocks: one for all processes of the machine, a cheap one, one for people |
//! | [`process_id`], [`user_id`], [`namespace_of`], [`random_word`] | what their names say |
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

/// What a name in a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(windows, allow(dead_code, reason = "not everything is there"))]
pub(crate) enum FileKind {
    File,
    Directory,
    Link,
    Pipe,
    Socket,
    Device,
}

impl FileKind {
    /// As people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FileKind::File => "a file",
            FileKind::Directory => "a directory",
            FileKind::Link => "a symbolic link",
            FileKind::Pipe => "a pipe",
            FileKind::Socket => "a socket",
            FileKind::Device => "a device",
        }
    }
}

/// Why a directory cannot be trusted with channels.
#[derive(Debug)]
pub(crate) struct Doubt {
    /// What is wrong with it: "belongs to ...".
    pub(crate) problem: String,
    /// What to do next.
    pub(crate) next: &'static str,
}

/// Where the memory of a new segment comes from, and who finds it, where the system offers a choice. The defaults are
/// what every system has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Provision {
    /// From the page file: it goes with the last process that has it open. Else it is a file's.
    pub(crate) page_file: bool,
    /// Named objects of the channel are found from every log-on session, and not from the owner's alone.
    pub(crate) global: bool,
}

/// Why the memory of a segment cannot be had, though its name is there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "only where memory is not its file's")]
pub(crate) enum Unreachable {
    /// It went with the last process that had it open.
    Gone,
    /// Another kind of object has its name, or another user's, so it is gone, too.
    ForeignObject { object: String },
    /// It belongs to another log-on session, and may well be in use there.
    OtherSession { theirs: u32, ours: u32 },
}

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
