//! Directories, files and their space.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};

use super::super::Doubt;
use super::{LockFile, fault_point, kernel};

/// A directory, held by its descriptor.
#[derive(Debug)]
pub(crate) struct Directory {
    descriptor: OwnedFd,
}

/// An open file that holds a segment.
#[derive(Debug)]
pub(crate) struct File(OwnedFd);

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
    pub(crate) fn open_file(&self, name: &str, mode: OpenMode) -> io::Result<File> {
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
        Ok(File(file))
    }

    /// Opens the lock file, making it with mode 0600 if need be. Each call gives locks of their own.
    pub(crate) fn open_lock(&self, name: &str, create: bool) -> io::Result<LockFile> {
        LockFile::new(|| Ok(self.open_lock_file(name, create)?.0))
    }

    fn open_lock_file(&self, name: &str, create: bool) -> io::Result<File> {
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
    /// takes no memory, and must not be touched before [`File::reserve`].
    pub(crate) fn create_reserved(&self, name: &str, len: u64, reserved: u64) -> io::Result<File> {
        let file = self.create_private(name)?;
        let sized = if reserved < len {
            fault_point();
            fs::ftruncate(&file.0, len).map_err(io::Error::from)
        } else {
            Ok(())
        };
        match sized.and_then(|()| file.reserve(0, reserved)) {
            Ok(()) => Ok(file),
            Err(error) => {
                let _ = self.remove_file(name);
                Err(error)
            }
        }
    }

    /// Makes a new file of mode 0600, whatever the umask takes away.
    fn create_private(&self, name: &str) -> io::Result<File> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fault_point();
        let file = fs::openat(&self.descriptor, name, flags, mode)?;
        fault_point();
        fs::fchmod(&file, mode)?;
        Ok(File(file))
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

    /// Why this directory cannot be trusted with channels: not the user's own, open to others, or not in memory.
    pub(crate) fn doubt(&self) -> io::Result<Option<Doubt>> {
        let stat = fs::fstat(&self.descriptor)?;
        let (owner, user) = (stat.st_uid, rustix::process::geteuid().as_raw());
        if owner != user {
            return Ok(Some(Doubt {
                problem: format!("belongs to user {owner}, not to user {user}"),
                next: "choose a directory of your own with PARTYWALL_DIR",
            }));
        }
        let mode = stat.st_mode & 0o7777;
        if mode & 0o022 != 0 {
            return Ok(Some(Doubt {
                problem: format!("others may write to it (mode {mode:04o})"),
                next: "run `chmod go-w` on it",
            }));
        }
        kernel::doubt_of_medium(self.descriptor.as_fd())
    }

    /// Bytes that can still be reserved here.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let stat = fs::fstatvfs(&self.descriptor)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[cfg(test)]
impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> Self {
        File(file.into())
    }
}

impl File {
    /// Reserves memory for a part of the file: a store to it cannot fail afterwards. What was there stays.
    pub(crate) fn reserve(&self, at: u64, len: u64) -> io::Result<()> {
        fault_point();
        loop {
            match fs::fallocate(&self.0, fs::FallocateFlags::empty(), at, len) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl FileIdentity {
    fn of(stat: &fs::Stat) -> Self {
        FileIdentity {
            device: kernel::device_of(stat),
            inode: stat.st_ino,
        }
    }

    pub(super) fn of_descriptor(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self::of(&fs::fstat(descriptor)?))
    }
}
