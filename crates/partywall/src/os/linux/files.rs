//! Directories, files and their space.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};

use super::super::{Doubt, FileKind, Provision, Readers, Unreachable};
use super::{LockFile, fault_point, kernel};

/// A directory, held by its descriptor.
#[derive(Debug)]
pub(crate) struct Directory {
    descriptor: OwnedFd,
}

/// The bit of a directory whose files take its group.
const SET_GROUP: u32 = 0o2000;

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

    /// Opens a directory of another user's, who may let us search it and not list it.
    pub(crate) fn open_to_search(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                // Names can be looked up through such a descriptor; it needs no permission on the directory itself.
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | kernel::LOOK | OFlags::CLOEXEC;
                let descriptor = fs::open(path, flags, Mode::empty())?;
                Ok(Directory { descriptor })
            }
            other => other,
        }
    }

    /// Makes a directory by its path, with that mode whatever the umask takes away.
    pub(crate) fn create(path: &Path, mode: u32) -> io::Result<()> {
        fault_point();
        fs::mkdir(path, Mode::RWXU)?;
        // Where others may write (/tmp without the sticky bit), the name may mean something else already: only what
        // is a directory of our own is changed, through its descriptor.
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | kernel::LOOK | OFlags::CLOEXEC;
        let made = fs::open(path, flags, Mode::empty())?;
        if fs::fstat(&made)?.st_uid != super::user_id() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fault_point();
        let opened = fs::open(path, flags & !kernel::LOOK, Mode::empty());
        match opened {
            Ok(opened) if same_file(&opened, &made)? => {
                Ok(fs::fchmod(&opened, kernel::mode(mode))?)
            }
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            // The umask took even our own rights away, and what cannot be opened cannot be changed by its descriptor,
            // but for this name of it.
            Err(_) => {
                let name = format!("/proc/self/fd/{}", made.as_raw_fd());
                Ok(fs::chmod(name, kernel::mode(mode))?)
            }
        }
    }

    /// Opens a directory in this one.
    pub(crate) fn open_child(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let descriptor = fs::openat(&self.descriptor, name, flags, Mode::empty())?;
        Ok(Directory { descriptor })
    }

    /// Makes a directory of mode 0700 in this one. Somebody may have removed it again by the time that this returns.
    pub(crate) fn create_child(&self, name: &str) -> io::Result<()> {
        fault_point();
        fs::mkdirat(&self.descriptor, name, Mode::RWXU)?;
        match self.give_owner_rights(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Gives the owner what the umask took away of a name here. What a directory has of its parent's group stays.
    fn give_owner_rights(&self, name: &str) -> io::Result<()> {
        let stat = fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Mode::RWXU | Mode::from_raw_mode(stat.st_mode) & Mode::SGID,
            FileType::RegularFile => Mode::RUSR | Mode::WUSR,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        fault_point();
        Ok(fs::chmodat(&self.descriptor, name, mode, AtFlags::empty())?)
    }

    /// Whether a name here is our own and lacks the rights of its owner, and was mended, or is gone by now: then it is
    /// worth looking again. Under some umasks it is so between its making and the change of its mode, and its maker may
    /// have died there.
    pub(crate) fn mend_owner_rights(&self, name: &str) -> io::Result<bool> {
        match self.try_to_mend(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            other => other,
        }
    }

    fn try_to_mend(&self, name: &str) -> io::Result<bool> {
        let stat = fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let needed = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => 0o700,
            _ => 0o600,
        };
        if stat.st_uid != super::user_id() || stat.st_mode & needed == needed {
            return Ok(false);
        }
        self.give_owner_rights(name)?;
        Ok(true)
    }

    /// Lets these read here, and nobody else.
    pub(crate) fn set_readers(&self, readers: Readers) -> io::Result<()> {
        let found = kernel::permissions(&fs::fstat(&self.descriptor)?);
        // New files take the group of a directory with this bit.
        let wanted = readers.directory_mode() | found & SET_GROUP;
        if found == wanted {
            return Ok(());
        }
        fault_point();
        let mode = kernel::mode(wanted);
        Ok(fs::fchmod(&self.descriptor, mode)?)
    }

    /// Lets these read a file here, and nobody else. That it is not there is no error.
    pub(crate) fn set_readers_of(&self, name: &str, readers: Readers) -> io::Result<()> {
        let file = match self.open_file(name, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        if kernel::permissions(&fs::fstat(&file.0)?) == readers.mode() {
            return Ok(());
        }
        fault_point();
        Ok(fs::fchmod(&file.0, kernel::mode(readers.mode()))?)
    }

    /// Who may read a file here.
    pub(crate) fn readers_of(&self, name: &str) -> io::Result<Readers> {
        Ok(Readers::in_mode(self.owner_and_mode_of(name)?.1))
    }

    /// Owner and permission bits.
    pub(crate) fn owner_and_mode(&self) -> io::Result<(u32, u32)> {
        let stat = fs::fstat(&self.descriptor)?;
        Ok((stat.st_uid, kernel::permissions(&stat)))
    }

    /// Owner and permission bits of a name here.
    pub(crate) fn owner_and_mode_of(&self, name: &str) -> io::Result<(u32, u32)> {
        let stat = fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((stat.st_uid, kernel::permissions(&stat)))
    }

    /// What a name here is.
    pub(crate) fn kind_of(&self, name: &str) -> io::Result<FileKind> {
        let stat = fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Link,
            FileType::Fifo => FileKind::Pipe,
            FileType::Socket => FileKind::Socket,
            _ => FileKind::Device,
        })
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
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && self.mend_owner_rights(name).unwrap_or(false) =>
                {
                    continue;
                }
                other => return other,
            }
            match self.create_file(name, Readers::default()) {
                // Another claimant made it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
    }

    /// Makes a new file of `len` bytes, all zero, that these may read, and reserves memory for the first `reserved` of
    /// them. A full file system is an error here rather than a SIGBUS at some later store; what is not reserved
    /// takes no memory, and must not be touched before [`File::reserve`].
    pub(crate) fn create_reserved(
        &self,
        name: &str,
        len: u64,
        reserved: u64,
        readers: Readers,
        _provision: Provision,
    ) -> io::Result<File> {
        let file = self.create_file(name, readers)?;
        let sized = if reserved < len {
            fault_point();
            expect_allowed(len).and_then(|()| fs::ftruncate(&file.0, len).map_err(io::Error::from))
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

    /// Makes a new file that these may read, whatever the umask takes away.
    fn create_file(&self, name: &str, readers: Readers) -> io::Result<File> {
        let mode = kernel::mode(readers.mode());
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

    /// Whether this user may remove and make names here; the system's error if not.
    pub(crate) fn expect_names_to_change(&self) -> io::Result<()> {
        let needed = fs::Access::WRITE_OK | fs::Access::EXEC_OK;
        Ok(fs::accessat(
            &self.descriptor,
            ".",
            needed,
            AtFlags::EACCESS,
        )?)
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

    /// Why this directory cannot be trusted with channels of this user: it is another's, open to others, or not in memory.
    pub(crate) fn doubt(&self, user: u32) -> io::Result<Option<Doubt>> {
        let stat = fs::fstat(&self.descriptor)?;
        let owner = stat.st_uid;
        if owner != user {
            return Ok(Some(Doubt {
                problem: format!("belongs to user {owner}, not to user {user}"),
                next: if user == super::user_id() {
                    "choose a directory of your own with PARTYWALL_DIR; or, to read what that user shares, name him (`--owner UID`)"
                } else {
                    "name the user whose channels you want to read, and his directory"
                },
            }));
        }
        let mode = kernel::permissions(&stat);
        if mode & 0o022 != 0 {
            return Ok(Some(Doubt {
                problem: format!("others may write to it (mode {mode:04o})"),
                next: "run `chmod go-w` on it",
            }));
        }
        kernel::doubt_of_medium(self.descriptor.as_fd())
    }

    /// How many files there can be in this file system, if there are so many now and none can be added.
    pub(crate) fn most_files(&self) -> Option<u64> {
        let stat = fs::fstatvfs(&self.descriptor).ok()?;
        // Without a limit both are 0.
        (stat.f_files != 0 && stat.f_favail == 0).then_some(stat.f_files)
    }

    /// Bytes that can still be reserved here.
    pub(crate) fn free_bytes(&self, _provision: Provision) -> io::Result<u64> {
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

/// A file may be so long. Beyond RLIMIT_FSIZE the kernel would send SIGXFSZ, which ends a process that does not expect it.
fn expect_allowed(len: u64) -> io::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    match limit.current {
        Some(longest) if len > longest => Err(rustix::io::Errno::FBIG.into()),
        _ => Ok(()),
    }
}

/// Reserves a part of a file, in one call if that is not interrupted. On many kernels (6.18 is none of them) a signal undoes
/// all of its call's work: where they come often, a large reservation would never end, and so each one that was
/// interrupted is tried again in smaller pieces.
fn in_pieces(
    at: u64,
    len: u64,
    mut reserve: impl FnMut(u64, u64) -> rustix::io::Result<()>,
) -> io::Result<()> {
    /// So much is got between two signals on the slowest machine.
    const LEAST: u64 = 64 << 10;
    let (mut done, mut piece) = (0, len);
    while done < len {
        let wanted = piece.min(len - done);
        match reserve(at + done, wanted) {
            Ok(()) => done += wanted,
            Err(rustix::io::Errno::INTR) => piece = (piece / 2).max(LEAST),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl File {
    /// Why there is no memory behind it: the memory is the file's, so there always is.
    #[allow(clippy::unused_self)]
    pub(crate) fn unreachable(&self) -> Option<Unreachable> {
        None
    }

    /// Reserves memory for a part of the file: a store to it cannot fail afterwards. What was there stays.
    pub(crate) fn reserve(&self, at: u64, len: u64) -> io::Result<()> {
        fault_point();
        expect_allowed(at.saturating_add(len))?;
        in_pieces(at, len, |at, len| {
            fs::fallocate(&self.0, fs::FallocateFlags::empty(), at, len)
        })
    }

    /// Reads from a file into a buffer; how many bytes there were.
    pub(crate) fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::pread(&self.0, &mut *buffer, at) {
                Err(rustix::io::Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Writes zeros over everything that a file holds from `from` on. What takes no memory is left so.
    pub(crate) fn overwrite(&self, from: u64) -> io::Result<()> {
        const ZEROS: [u8; 16384] = [0; 16384];
        fault_point();
        let mut at = from;
        loop {
            at = match fs::seek(&self.0, fs::SeekFrom::Data(at)) {
                Ok(data) => data,
                // Nothing more.
                Err(rustix::io::Errno::NXIO) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let end = fs::seek(&self.0, fs::SeekFrom::Hole(at))?;
            while at < end {
                let piece = ZEROS.len().min((end - at) as usize);
                match rustix::io::pwrite(&self.0, &ZEROS[..piece], at) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => at += written as u64,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether two descriptors are of one file.
fn same_file(one: &OwnedFd, other: &OwnedFd) -> io::Result<bool> {
    Ok(FileIdentity::of_descriptor(one.as_fd())? == FileIdentity::of_descriptor(other.as_fd())?)
}

impl FileIdentity {
    /// As the kernel's list of locks names it.
    pub(super) fn in_lock_list(self) -> String {
        let (major, minor) = kernel::numbers_of(self.device);
        format!("{major:02x}:{minor:02x}:{}", self.inode)
    }

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

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::in_pieces;

    #[test]
    fn a_large_reservation_ends_though_signals_come_faster_than_it() {
        let mut reserved = Vec::new();
        let mut calls = 0;
        // A kernel that gets a megabyte done between two signals.
        in_pieces(4096, (100 << 20) + 4096, |at, len| {
            calls += 1;
            assert!(calls < 1000, "it does not end");
            if len > 1 << 20 {
                return Err(Errno::INTR);
            }
            reserved.push((at, len));
            Ok(())
        })
        .unwrap();
        let mut end = 4096;
        for (at, len) in reserved {
            assert_eq!(at, end);
            end += len;
        }
        assert_eq!(end, (100 << 20) + 2 * 4096);
    }

    #[test]
    fn an_interrupted_reservation_of_little_is_tried_again_as_it_is() {
        let mut signals = 5;
        in_pieces(0, 4096, |_, len| {
            assert_eq!(len, 4096);
            signals -= 1;
            if signals > 0 {
                Err(Errno::INTR)
            } else {
                Ok(())
            }
        })
        .unwrap();
        let full = in_pieces(0, 4096, |_, _| Err(Errno::NOSPC)).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }
}
