//! Directories, files and their space.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, inotify};

use super::fault_point;

/// A directory, held by its descriptor.
#[derive(Debug)]
pub(crate) struct Directory {
    descriptor: OwnedFd,
}

/// Which file a name or a descriptor means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenMode {
    Read,
    ReadWrite,
}

/// File systems that live in memory: `TMPFS_MAGIC`, `RAMFS_MAGIC`, `HUGETLBFS_MAGIC` (statfs(2)).
const IN_MEMORY: [u64; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];

impl Directory {
    /// Opens a directory by its path; a symbolic link in the last place is refused.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let descriptor = fs::open(path, flags, Mode::empty())?;
        Ok(Directory { descriptor })
    }

    /// Makes a directory by its path with mode 0700 whatever the umask takes away.
    pub(crate) fn create(path: &Path) -> io::Result<()> {
        fault_point();
        fs::mkdir(path, Mode::RWXU)?;
        fault_point();
        Ok(fs::chmod(path, Mode::RWXU)?)
    }

    /// Opens a directory in this one.
    pub(crate) fn open_child(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let descriptor = fs::openat(&self.descriptor, name, flags, Mode::empty())?;
        Ok(Directory { descriptor })
    }

    /// Makes a directory of mode 0700 in this one.
    pub(crate) fn create_child(&self, name: &str) -> io::Result<()> {
        fault_point();
        fs::mkdirat(&self.descriptor, name, Mode::RWXU)?;
        // The umask may have taken bits away that the owner needs.
        fault_point();
        Ok(fs::chmodat(
            &self.descriptor,
            name,
            Mode::RWXU,
            AtFlags::empty(),
        )?)
    }

    /// Removes an empty directory.
    pub(crate) fn remove_child(&self, name: &str) -> io::Result<()> {
        fault_point();
        Ok(fs::unlinkat(&self.descriptor, name, AtFlags::REMOVEDIR)?)
    }

    /// Opens an existing regular file. Never waits (a planted pipe) and never follows a link.
    pub(crate) fn open_file(&self, name: &str, mode: OpenMode) -> io::Result<OwnedFd> {
        let access = match mode {
            OpenMode::Read => OFlags::RDONLY,
            OpenMode::ReadWrite => OFlags::RDWR,
        };
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = fs::openat(&self.descriptor, name, flags, Mode::empty())?;
        if FileType::from_raw_mode(fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        Ok(file)
    }

    /// Opens the lock file for reading and writing, making it with mode 0600 if need be.
    pub(crate) fn open_lock_file(&self, name: &str, create: bool) -> io::Result<OwnedFd> {
        if !create {
            return self.open_file(name, OpenMode::ReadWrite);
        }
        loop {
            match self.open_file(name, OpenMode::ReadWrite) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return other,
            }
            match self.create_private(name) {
                // Another claimant made it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
    }

    /// Makes a new file of `len` bytes and mode 0600, all zero, and reserves memory for the first `reserved` of
    /// them. A full file system is an error here rather than a SIGBUS at some later store; what is not reserved
    /// takes no memory, and must not be touched before [`reserve`].
    pub(crate) fn create_reserved(
        &self,
        name: &str,
        len: u64,
        reserved: u64,
    ) -> io::Result<OwnedFd> {
        let file = self.create_private(name)?;
        let sized = if reserved < len {
            fault_point();
            fs::ftruncate(&file, len).map_err(io::Error::from)
        } else {
            Ok(())
        };
        match sized.and_then(|()| reserve(&file, 0, reserved)) {
            Ok(()) => Ok(file),
            Err(error) => {
                let _ = self.remove_file(name);
                Err(error)
            }
        }
    }

    /// Makes a new file of mode 0600, whatever the umask takes away.
    fn create_private(&self, name: &str) -> io::Result<OwnedFd> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fault_point();
        let file = fs::openat(&self.descriptor, name, flags, mode)?;
        fault_point();
        fs::fchmod(&file, mode)?;
        Ok(file)
    }

    /// Gives a complete file its final name, replacing whatever had it.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fault_point();
        Ok(fs::renameat(&self.descriptor, from, &self.descriptor, to)?)
    }

    /// Removes a file.
    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        fault_point();
        Ok(fs::unlinkat(&self.descriptor, name, AtFlags::empty())?)
    }

    /// Every name here but `.` and `..`; names that are not UTF-8 are left out, for none of ours is.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            let name: &CStr = entry.file_name();
            if let Ok(name) = name.to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Which file a name here means now.
    pub(crate) fn identity_of(&self, name: &str) -> io::Result<FileIdentity> {
        let stat = fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileIdentity::of(&stat))
    }

    /// Bytes of memory that a file here takes.
    pub(crate) fn bytes_of(&self, name: &str) -> io::Result<u64> {
        let stat = fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(stat.st_blocks as u64 * 512)
    }

    /// Which directory this is.
    pub(crate) fn identity(&self) -> io::Result<FileIdentity> {
        FileIdentity::of_descriptor(self.descriptor.as_fd())
    }

    /// Owner and permission bits.
    pub(crate) fn owner_and_mode(&self) -> io::Result<(u32, u32)> {
        let stat = fs::fstat(&self.descriptor)?;
        Ok((stat.st_uid, stat.st_mode & 0o7777))
    }

    /// Whether files here live in memory; else the file system's magic number.
    pub(crate) fn lives_in_memory(&self) -> io::Result<Result<(), u64>> {
        let magic = fs::fstatfs(&self.descriptor)?.f_type as u64 & 0xffff_ffff;
        Ok(if IN_MEMORY.contains(&magic) {
            Ok(())
        } else {
            Err(magic)
        })
    }

    /// Bytes that can still be reserved here.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let stat = fs::fstatvfs(&self.descriptor)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Reserves memory for a part of a file: a store to it cannot fail afterwards. What was there stays.
pub(crate) fn reserve(file: &OwnedFd, at: u64, len: u64) -> io::Result<()> {
    fault_point();
    loop {
        match fs::fallocate(file, fs::FallocateFlags::empty(), at, len) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl FileIdentity {
    fn of(stat: &fs::Stat) -> Self {
        FileIdentity {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }

    pub(crate) fn of_descriptor(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self::of(&fs::fstat(descriptor)?))
    }
}

/// Wakes when names in a directory appear or change; made *before* looking, it misses nothing.
#[derive(Debug)]
pub(crate) struct DirectoryWatch {
    queue: OwnedFd,
}

impl DirectoryWatch {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let queue = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let watch = DirectoryWatch { queue };
        watch.add(path)?;
        Ok(watch)
    }

    /// Watches another directory as well.
    pub(crate) fn add(&self, path: &Path) -> io::Result<()> {
        let events = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::ONLYDIR
            | inotify::WatchFlags::DONT_FOLLOW;
        inotify::add_watch(&self.queue, path, events)?;
        Ok(())
    }

    /// Sleeps until something changed or the time is over.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut poll = [rustix::event::PollFd::new(
            &self.queue,
            rustix::event::PollFlags::IN,
        )];
        let timeout = rustix::time::Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // Any error (EINTR among them) only means that the caller looks again early.
        let _ = rustix::event::poll(&mut poll, Some(&timeout));
        let mut buffer = [0_u8; 4096];
        while rustix::io::read(&self.queue, &mut buffer).is_ok_and(|read| read > 0) {}
    }
}
