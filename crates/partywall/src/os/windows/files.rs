//! Directories, files and their space.
//!
//! Paths are made absolute and verbatim (`\\?\`) when a directory is opened, so that `con`, `a.` and the like are names
//! as any other. Names do not differ by case here, as everywhere on Windows.
//!
//! A file that somebody has open or mapped keeps its name after `DeleteFile` until he closes it, and with a view it
//! cannot be deleted at all. So a file is first moved aside, into a directory of removed files, and deleted there if that
//! is possible; what is not is deleted by whoever opens the namespace, or removes something, after the last view has gone.
//!
//! Directories are not moved: one that is deleted while somebody has it open keeps its name for that moment, and every use of
//! the name is denied. That is no matter of rights, and whoever comes by then finds it gone ([`unless_going`]).
#![allow(unsafe_code)]

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::windows::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, CreateDirectoryW, FILE_ATTRIBUTE_REPARSE_POINT,
    FILE_ATTRIBUTE_TEMPORARY, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT,
    FILE_GENERIC_READ, FILE_NOTIFY_CHANGE_DIR_NAME, FILE_NOTIFY_CHANGE_FILE_NAME,
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FindCloseChangeNotification,
    FindFirstChangeNotificationW, FindNextChangeNotification, GetDiskFreeSpaceExW, GetDriveTypeW,
    GetFileInformationByHandle, GetVolumePathNameW, MOVEFILE_REPLACE_EXISTING, MoveFileExW,
};
use windows_sys::Win32::System::Memory::{CreateFileMappingW, PAGE_READONLY, PAGE_READWRITE};
use windows_sys::Win32::System::Threading::WaitForSingleObject;

use super::super::{Doubt, FileKind, Provision, Readers, Unreachable};
use super::sections::{self, STUB, Section, Stub};
use super::{LockFile, Mapping, fault_point, random_word, security, sleep, wide};

/// Everybody may open the file meanwhile, and move or delete it.
const SHARE: u32 = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

/// Where removed files wait for their last view to go. No channel has such a name.
const REMOVED: &str = ".removed";

/// How often something is tried at most that others prevent for moments.
const TRIES: u32 = 64;

/// `STATUS_DELETE_PENDING` of ntstatus.h.
const DELETE_PENDING: i32 = 0xC000_0056_u32.cast_signed();

/// How long whoever has something open that is being deleted may need to close it.
const PAUSE: Duration = Duration::from_millis(1);

#[link(name = "ntdll")]
unsafe extern "system" {
    fn RtlGetLastNtStatus() -> i32;
}

/// What a directory of the user's own would have as its mode.
const OWNER_ONLY: u32 = 0o700;

fn unshared() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "channels are not shared with other users on Windows",
    )
}

/// `DRIVE_REMOTE` of winbase.h.
const REMOTE: u32 = 4;

/// A directory, known by its path, and which one that was when it was opened.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    identity: FileIdentity,
}

/// An open file that holds a segment, or says where it is.
#[derive(Debug)]
pub(crate) struct File {
    file: fs::File,
    memory: Memory,
}

/// Where the bytes of a segment are.
#[derive(Debug)]
enum Memory {
    /// In the file itself.
    Here,
    Section(Section),
    Unreachable(Unreachable),
}

/// Which file a name or a handle means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    volume: u32,
    index: u64,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenMode {
    Read,
    ReadWrite,
}

impl Directory {
    /// Opens a directory by its path; a link or junction in the last place is refused.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let identity = FileIdentity::of_directory(path)?;
        let path = fs::canonicalize(path)?;
        sweep(&path.join(REMOVED));
        Ok(Directory { path, identity })
    }

    /// Opens a directory of another user's, who must let us list it.
    pub(crate) fn open_to_search(path: &Path) -> io::Result<Self> {
        Self::open(path)
    }

    /// Makes a directory that only this user, and the system, can open; what is made in it inherits that. Modes for
    /// others are not to be had.
    pub(crate) fn create(path: &Path, mode: u32) -> io::Result<()> {
        if mode != OWNER_ONLY {
            return Err(unshared());
        }
        fault_point();
        let attributes = security::OwnerOnly::of_directory()?.attributes();
        // SAFETY: the name ends with a zero; the attributes' descriptor lives as long as the process.
        let made =
            unsafe { CreateDirectoryW(wide(path.as_os_str()).as_ptr(), &raw const attributes) };
        match made {
            0 => match io::Error::last_os_error() {
                error if is_going(&error) => Err(io::ErrorKind::AlreadyExists.into()),
                error => Err(error),
            },
            _ => Ok(()),
        }
    }

    /// Opens a directory in this one.
    pub(crate) fn open_child(&self, name: &str) -> io::Result<Self> {
        let path = self.path.join(name);
        let identity = FileIdentity::of_directory(&path)?;
        Ok(Directory { path, identity })
    }

    /// Makes a directory in this one.
    pub(crate) fn create_child(&self, name: &str) -> io::Result<()> {
        Self::create(&self.path.join(name), OWNER_ONLY)
    }

    /// Removes an empty directory.
    pub(crate) fn remove_child(&self, name: &str) -> io::Result<()> {
        fault_point();
        let path = self.path.join(name);
        let removed = patiently(|| unless_going(fs::remove_dir(&path)));
        // The last views of earlier removals may have gone meanwhile.
        sweep(&self.path.join(REMOVED));
        removed
    }

    /// Opens an existing regular file; never follows a link.
    pub(crate) fn open_file(&self, name: &str, mode: OpenMode) -> io::Result<File> {
        let file = unless_going(options(mode).open(self.path.join(name)))?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        let memory = match stub_of(&file, metadata.len())? {
            None => Memory::Here,
            Some(stub) => match stub.open(mode == OpenMode::ReadWrite)? {
                Ok(section) => Memory::Section(section),
                Err(why) => Memory::Unreachable(why),
            },
        };
        Ok(File { file, memory })
    }

    /// Opens the lock file, making it if need be. Each call gives locks of their own.
    pub(crate) fn open_lock(&self, name: &str, create: bool) -> io::Result<LockFile> {
        if create {
            fault_point();
        }
        let mut options = options(OpenMode::ReadWrite);
        let file = unless_going(options.create(create).open(self.path.join(name)))?;
        Ok(LockFile::new(file))
    }

    /// Makes a new file of `len` bytes, all zero, or a section of so many and a file that names it. The space on the disk,
    /// or in the page file, is reserved at once, all of it, so a full one is an error here.
    pub(crate) fn create_reserved(
        &self,
        name: &str,
        len: u64,
        _reserved: u64,
        readers: Readers,
        provision: Provision,
    ) -> io::Result<File> {
        if readers.any() {
            return Err(unshared());
        }
        let section = match provision.page_file {
            true => Some(Section::create(len, provision.global)?),
            false => None,
        };
        fault_point();
        let mut file = options(OpenMode::ReadWrite)
            .create_new(true)
            .attributes(FILE_ATTRIBUTE_TEMPORARY)
            .open(self.path.join(name))?;
        fault_point();
        let filled = match &section {
            None => file.set_len(len),
            Some((_, stub)) => file.write_all(&stub.to_bytes()),
        };
        let memory = section.map_or(Memory::Here, |(section, _)| Memory::Section(section));
        match filled {
            Ok(()) => Ok(File { file, memory }),
            Err(error) => {
                drop(file);
                let _ = self.remove_file(name);
                Err(error)
            }
        }
    }

    /// Gives a complete file its final name, replacing whatever had it.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fault_point();
        self.expect_to_be_there()?;
        let (from, place) = (self.path.join(from), self.path.join(to));
        match rename(&from, &place) {
            // What a dead maker or remover left there is mapped by somebody yet, and cannot be replaced.
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    && fs::symlink_metadata(&place).is_ok() =>
            {
                self.remove_file(to)?;
                rename(&from, &place)
            }
            done => done,
        }
    }

    /// Paths mean whatever has the name: who was stopped until this directory was removed must change nothing in the next.
    fn expect_to_be_there(&self) -> io::Result<()> {
        match self.is_gone() {
            true => Err(io::ErrorKind::NotFound.into()),
            false => Ok(()),
        }
    }

    /// Removes a file: its name is free at once, its bytes go with the last who has it open.
    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        fault_point();
        self.expect_to_be_there()?;
        let path = self.path.join(name);
        let Some(namespace) = self.path.parent() else {
            return fs::remove_file(path);
        };
        let removed = namespace.join(REMOVED);
        for _ in 0..TRIES {
            match Self::create(&removed, OWNER_ONLY) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => break,
                _ => {}
            }
            let aside = removed.join(format!("{:016x}", random_word()));
            match rename(&path, &aside) {
                // Whoever has just emptied the directory has removed it, too.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        && fs::symlink_metadata(&path).is_ok() => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    // Somebody may still have a view of it; then a later sweep does it.
                    let _ = fs::remove_file(aside);
                    return Ok(());
                }
            }
        }
        // Nowhere to move it to: then as well as it goes.
        fs::remove_file(path)
    }

    /// Every name here; none if the directory was removed meanwhile.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let listed = patiently(|| {
            let entries = fs::read_dir(&self.path)?;
            // Names that are not Unicode are left out, for none of ours is.
            let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
            names.collect::<io::Result<Vec<Option<String>>>>()
        });
        let mut names: Vec<String> = match listed {
            Ok(names) => names.into_iter().flatten().collect(),
            Err(_) if self.is_gone() => Vec::new(),
            Err(error) => return Err(error),
        };
        names.sort_unstable();
        Ok(names)
    }

    /// Whether there is no such directory any more, or another one of that name.
    fn is_gone(&self) -> bool {
        match FileIdentity::of_directory(&self.path) {
            Ok(found) => found != self.identity,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Which file a name here means now.
    pub(crate) fn identity_of(&self, name: &str) -> io::Result<FileIdentity> {
        let file = OpenOptions::new()
            .access_mode(0)
            .share_mode(SHARE)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
            .open(self.path.join(name));
        FileIdentity::of(&unless_going(file)?)
    }

    /// Bytes that a file here takes, or the section that it names if that is there.
    pub(crate) fn bytes_of(&self, name: &str) -> io::Result<u64> {
        let len = unless_going(fs::symlink_metadata(self.path.join(name)))?.len();
        if len != STUB {
            return Ok(len);
        }
        self.open_file(name, OpenMode::Read)?.len()
    }

    /// Which directory this was when it was opened.
    #[allow(clippy::unnecessary_wraps)]
    pub(crate) fn identity(&self) -> io::Result<FileIdentity> {
        Ok(self.identity)
    }

    /// Why this directory cannot be trusted with channels: not the user's own, open to others, or on another machine.
    pub(crate) fn doubt(&self, _user: u32) -> io::Result<Option<Doubt>> {
        if drive_type(&self.path)? == REMOTE {
            return Ok(Some(Doubt {
                problem: "is on a network drive".into(),
                next: "choose a directory on a disk of this machine with PARTYWALL_DIR",
            }));
        }
        let directory = OpenOptions::new()
            .access_mode(FILE_GENERIC_READ)
            .share_mode(SHARE)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
            .open(&self.path)?;
        security::doubt(&directory)
    }

    /// How many files there can be in this file system, if there are so many now: there is no such limit here.
    pub(crate) fn most_files(&self) -> Option<u64> {
        None
    }

    /// Whether a name here lacks the rights of its owner: there is no umask that could take them.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    pub(crate) fn mend_owner_rights(&self, _name: &str) -> io::Result<bool> {
        Ok(false)
    }

    /// Lets these read here: nobody else, so far.
    #[allow(clippy::unused_self)]
    pub(crate) fn set_readers(&self, readers: Readers) -> io::Result<()> {
        match readers.any() {
            true => Err(unshared()),
            false => Ok(()),
        }
    }

    /// Lets these read a file here: nobody else, so far.
    pub(crate) fn set_readers_of(&self, _name: &str, readers: Readers) -> io::Result<()> {
        self.set_readers(readers)
    }

    /// Who may read a file here.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    pub(crate) fn readers_of(&self, _name: &str) -> io::Result<Readers> {
        Ok(Readers::default())
    }

    /// As who owns it, and may do everything, alone; `doubt` has looked at the real list.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    pub(crate) fn owner_and_mode(&self) -> io::Result<(u32, u32)> {
        Ok((super::user_id(), OWNER_ONLY))
    }

    /// The same of a name here.
    pub(crate) fn owner_and_mode_of(&self, name: &str) -> io::Result<(u32, u32)> {
        unless_going(fs::symlink_metadata(self.path.join(name)))?;
        Ok((super::user_id(), 0o600))
    }

    /// What a name here is.
    pub(crate) fn kind_of(&self, name: &str) -> io::Result<FileKind> {
        let found = fs::symlink_metadata(self.path.join(name))?.file_type();
        Ok(if found.is_symlink() {
            FileKind::Link
        } else if found.is_dir() {
            FileKind::Directory
        } else {
            FileKind::File
        })
    }

    /// Whether this user may remove and make names here: what was opened as his own is his own.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    pub(crate) fn expect_names_to_change(&self) -> io::Result<()> {
        Ok(())
    }

    /// Bytes that can still be reserved here, or of the page file.
    pub(crate) fn free_bytes(&self, provision: Provision) -> io::Result<u64> {
        if provision.page_file {
            return sections::free_bytes();
        }
        let mut free = 0_u64;
        let path = wide(self.path.as_os_str());
        let nowhere = std::ptr::null_mut();
        // SAFETY: the path ends with a zero; one number is stored into one of our own.
        match unsafe { GetDiskFreeSpaceExW(path.as_ptr(), &raw mut free, nowhere, nowhere) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(free),
        }
    }
}

fn options(mode: OpenMode) -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(mode == OpenMode::ReadWrite)
        .share_mode(SHARE)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    options
}

/// What a file says about a section, if it does.
fn stub_of(file: &fs::File, len: u64) -> io::Result<Option<Stub>> {
    let mut bytes = [0; STUB as usize];
    if len != STUB || file.seek_read(&mut bytes, 0)? != bytes.len() {
        return Ok(None);
    }
    Ok(Stub::from_bytes(&bytes))
}

/// Deletes what nobody has open any more.
fn sweep(removed: &Path) {
    for entry in fs::read_dir(removed).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
    let _ = fs::remove_dir(removed);
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (wide(from.as_os_str()), wide(to.as_os_str()));
    // SAFETY: both names end with a zero.
    match unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), MOVEFILE_REPLACE_EXISTING) } {
        0 => unless_going(Err(io::Error::last_os_error())),
        _ => Ok(()),
    }
}

/// Whether the call that has just failed in this thread did so because what has the name is being deleted. By then whoever has
/// it open has had a moment to close it.
fn is_going(error: &io::Error) -> bool {
    let denied = error.raw_os_error() == Some(ERROR_ACCESS_DENIED.cast_signed());
    // SAFETY: reads a number of this thread's.
    let going = denied && unsafe { RtlGetLastNtStatus() } == DELETE_PENDING;
    if going {
        std::thread::sleep(PAUSE);
    }
    going
}

/// Does what is refused while somebody has a directory open in a way that is not shared: who lists or removes it, for moments.
fn patiently<T>(act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..TRIES {
        match act() {
            Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION.cast_signed()) => {
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
    act()
}

/// What is being deleted is not there any more, though its name still is.
fn unless_going<T>(done: io::Result<T>) -> io::Result<T> {
    match done {
        Err(error) if is_going(&error) => Err(io::ErrorKind::NotFound.into()),
        done => done,
    }
}

fn drive_type(path: &Path) -> io::Result<u32> {
    let mut volume = [0_u16; 512];
    let path = wide(path.as_os_str());
    // SAFETY: the path ends with a zero, and so does what is stored into as much room as is said.
    let found = unsafe { GetVolumePathNameW(path.as_ptr(), volume.as_mut_ptr(), 512) };
    if found == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it ends with a zero.
    Ok(unsafe { GetDriveTypeW(volume.as_ptr()) })
}

impl File {
    /// Why there is no memory behind it.
    pub(crate) fn unreachable(&self) -> Option<Unreachable> {
        match &self.memory {
            Memory::Unreachable(why) => Some(why.clone()),
            Memory::Here | Memory::Section(_) => None,
        }
    }

    /// Reserves memory for a part of the file: all of it was when it was made.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    pub(crate) fn reserve(&self, _at: u64, _len: u64) -> io::Result<()> {
        fault_point();
        Ok(())
    }

    /// Reads from the file into a buffer; how many bytes there were.
    pub(crate) fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.memory {
            Memory::Here => self.file.seek_read(buffer, at),
            _ => Mapping::new(self, false)?.read(at, buffer),
        }
    }

    /// Writes zeros over everything that the file holds from `from` on.
    pub(crate) fn overwrite(&self, from: u64) -> io::Result<()> {
        const ZEROS: [u8; 16384] = [0; 16384];
        fault_point();
        let view = match &self.memory {
            Memory::Here => None,
            _ => Some(Mapping::new(self, true)?),
        };
        let (mut at, end) = (from, self.len()?);
        while at < end {
            let piece = &ZEROS[..(ZEROS.len() as u64).min(end - at) as usize];
            let written = match &view {
                None => self.file.seek_write(piece, at)?,
                Some(view) => view.write(at, piece)?,
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            at += written as u64;
        }
        Ok(())
    }

    /// A section to map it by, and whether that has to be kept as long as the mapping.
    pub(super) fn section(&self, writable: bool) -> io::Result<(OwnedHandle, bool)> {
        match &self.memory {
            Memory::Here => Ok((unnamed_section(&self.file, writable)?, false)),
            // Its name goes with its last handle, whoever has views of it.
            Memory::Section(section) => Ok((section.another_handle()?, true)),
            Memory::Unreachable(why) => Err(io::Error::other(format!("{why:?}"))),
        }
    }

    /// Bytes of the segment.
    pub(super) fn len(&self) -> io::Result<u64> {
        match &self.memory {
            Memory::Section(section) => Ok(section.len()),
            Memory::Here | Memory::Unreachable(_) => Ok(self.file.metadata()?.len()),
        }
    }

    pub(super) fn identity(&self) -> io::Result<FileIdentity> {
        FileIdentity::of(&self.file)
    }
}

/// A section of a file. It has no name: whoever wants it opens the file, which its access control decides.
fn unnamed_section(file: &fs::File, writable: bool) -> io::Result<OwnedHandle> {
    let (handle, nothing) = (file.as_raw_handle(), std::ptr::null());
    let protection = if writable {
        PAGE_READWRITE
    } else {
        PAGE_READONLY
    };
    // SAFETY: the handle is open.
    let section =
        unsafe { CreateFileMappingW(handle, nothing, protection, 0, 0, std::ptr::null()) };
    if section.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and owned by nobody else.
    Ok(unsafe { OwnedHandle::from_raw_handle(section) })
}

impl FileIdentity {
    pub(super) fn of(file: &fs::File) -> io::Result<Self> {
        let mut found = BY_HANDLE_FILE_INFORMATION::default();
        // SAFETY: the handle is open, and `found` is what the call fills.
        if unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut found) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(FileIdentity {
            volume: found.dwVolumeSerialNumber,
            index: u64::from(found.nFileIndexHigh) << 32 | u64::from(found.nFileIndexLow),
        })
    }

    fn of_directory(path: &Path) -> io::Result<Self> {
        let directory = OpenOptions::new()
            .access_mode(FILE_GENERIC_READ)
            .share_mode(SHARE)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
            .open(path);
        let directory = unless_going(directory)?;
        let metadata = directory.metadata()?;
        if metadata.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 || !metadata.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                "not a directory, but a file, a link or a junction",
            ));
        }
        Self::of(&directory)
    }

    /// As a part of the names of events.
    pub(super) fn name(self) -> String {
        format!("{:08x}-{:016x}", self.volume, self.index)
    }
}

/// Wakes when names in a directory or below appear or change; made *before* looking, it misses nothing.
#[derive(Debug)]
pub(crate) struct DirectoryWatch {
    handle: HANDLE,
}

// SAFETY: a handle belongs to the process, not to a thread.
unsafe impl Send for DirectoryWatch {}

impl DirectoryWatch {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let what = FILE_NOTIFY_CHANGE_FILE_NAME | FILE_NOTIFY_CHANGE_DIR_NAME;
        // SAFETY: the path ends with a zero.
        let handle =
            unsafe { FindFirstChangeNotificationW(wide(path.as_os_str()).as_ptr(), 1, what) };
        if handle == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        Ok(DirectoryWatch { handle })
    }

    /// Watches a directory in this one as well, which it does anyway.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    pub(crate) fn add(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Sleeps until something changed or the time is over.
    pub(crate) fn wait(&self, timeout: Duration) {
        // SAFETY: the handle is open as long as `self` is.
        unsafe {
            WaitForSingleObject(self.handle, sleep::milliseconds(timeout));
            FindNextChangeNotification(self.handle);
        }
    }
}

impl Drop for DirectoryWatch {
    fn drop(&mut self) {
        // SAFETY: closed once, here.
        unsafe { FindCloseChangeNotification(self.handle) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[test]
    fn a_section_is_read_measured_and_overwritten_as_a_file_is() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("channel");
        Directory::create(&path, OWNER_ONLY).unwrap();
        let directory = Directory::open(&path).unwrap();
        for page_file in [false, true] {
            let provision = Provision {
                page_file,
                global: false,
            };
            let made = directory
                .create_reserved("s", 8192, 8192, Readers::default(), provision)
                .unwrap();
            let mapping = Mapping::new(&made, true).unwrap();
            for at in [0, 256, 8188] {
                mapping.half_word(at).store(7, Relaxed);
            }
            drop(made);
            assert_eq!(directory.bytes_of("s").unwrap(), 8192);
            let found = directory.open_file("s", OpenMode::ReadWrite).unwrap();
            assert_eq!(found.unreachable(), None);
            let mut bytes = [0; 20];
            assert_eq!(found.read_at(8180, &mut bytes).unwrap(), 12);
            assert_eq!(bytes[..12], [0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]);
            found.overwrite(256).unwrap();
            let words = [0, 256, 8188].map(|at| mapping.half_word(at).load(Relaxed));
            assert_eq!(words, [7, 0, 0]);
            drop((mapping, found));
            let left = directory.open_file("s", OpenMode::Read).unwrap();
            let gone = page_file.then_some(Unreachable::Gone);
            assert_eq!(left.unreachable(), gone);
            assert_eq!(
                directory.bytes_of("s").unwrap(),
                if page_file { STUB } else { 8192 }
            );
            drop(left);
            directory.remove_file("s").unwrap();
        }
    }
}
