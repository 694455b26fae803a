//! Locks on single bytes of a file: `F_OFD_SETLK` (fcntl(2), "Open file description locks").
//!
//! Such a lock belongs to the open file description. The kernel releases it when the last descriptor of
//! that description goes, whatever ends the process: liveness is this, and nothing else.
#![allow(unsafe_code)]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::files::FileIdentity;
use super::{fault_point, fork, kernel};

/// A lock file, opened anew for each handle: a duplicate of a descriptor would share its locks.
#[derive(Debug)]
pub(crate) struct LockFile {
    descriptor: ManuallyDrop<OwnedFd>,
    process: fork::Process,
}

impl LockFile {
    /// `open` opens the file; no fork comes between that and the note that children have to close it.
    pub(super) fn new(open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<Self> {
        Ok(LockFile {
            descriptor: ManuallyDrop::new(fork::open_and_note(open)?),
            process: fork::Process::current(),
        })
    }

    /// Which file the locks lie in.
    pub(crate) fn identity(&self) -> io::Result<FileIdentity> {
        FileIdentity::of_descriptor(self.descriptor.as_fd())
    }

    /// Locks a byte; `false` if somebody else holds it.
    pub(crate) fn try_lock(&self, byte: u64) -> io::Result<bool> {
        fault_point();
        match self.control(libc::F_OFD_SETLK, kernel::WRITE, byte) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives a byte up.
    pub(crate) fn unlock(&self, byte: u64) -> io::Result<()> {
        fault_point();
        self.control(libc::F_OFD_SETLK, kernel::NONE, byte)
            .map(drop)
    }

    /// Whether somebody *else* holds a byte. Takes no lock, so it makes nobody wait or fail.
    pub(crate) fn is_locked(&self, byte: u64) -> io::Result<bool> {
        let found = self.control(libc::F_OFD_GETLK, kernel::WRITE, byte)?;
        Ok(i32::from(found.l_type) != kernel::NONE)
    }

    fn control(&self, command: i32, kind: i32, byte: u64) -> io::Result<kernel::Lock> {
        // SAFETY: `Lock` is plain data for which zero bytes are a value; OFD locks require l_pid = 0.
        let mut request: kernel::Lock = unsafe { std::mem::zeroed() };
        request.l_type = kind as _;
        request.l_whence = libc::SEEK_SET as _;
        request.l_start = byte as _;
        request.l_len = 1;
        loop {
            let descriptor = self.descriptor.as_raw_fd();
            // SAFETY: the descriptor is open, and `request` is the `Lock` of this call and outlives it.
            let result = unsafe { kernel::control(descriptor, command, &raw mut request) };
            if result != -1 {
                return Ok(request);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// A look at the locks of a file that this user may not open: the kernel lists every lock, with the file's number,
/// for everybody (`/proc/locks`, proc(5)). Who may only look can hold no lock that another would wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockView {
    file: FileIdentity,
}

impl LockView {
    /// How often a lock must be missing before it is believed to be free: the list is read in pieces, and one that
    /// stands in it can be passed over when others before it go meanwhile.
    const LOOKS: u32 = 3;

    pub(crate) fn new(file: FileIdentity) -> Self {
        LockView { file }
    }

    /// The file whose locks are looked at.
    pub(crate) fn identity(&self) -> FileIdentity {
        self.file
    }

    /// Whether somebody holds a byte.
    ///
    /// # Errors
    /// Where the system does not show the list.
    pub(crate) fn is_locked(&self, byte: u64) -> io::Result<bool> {
        let (file, byte) = (self.file.in_lock_list(), byte.to_string());
        for _ in 0..Self::LOOKS {
            let list = std::fs::read_to_string("/proc/locks")?;
            if list.lines().any(|line| is_lock_on(line, &file, &byte)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a line of the list is a lock that is held on exactly this byte of this file, such as
/// `1: OFDLCK ADVISORY  WRITE -1 00:1b:1928910 0 0`. One that is only waited for has an arrow behind its number.
fn is_lock_on(line: &str, file: &str, byte: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words[..], [_, "OFDLCK", _, "WRITE", _, found, first, last] if found == file && first == byte && last == byte)
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // In a forked child the handler has closed the descriptor already, and its number may be
        // somebody else's by now.
        if !self.process.is_this() {
            return;
        }
        fault_point();
        let descriptor = self.descriptor.as_raw_fd();
        fork::forget(descriptor, || {
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.descriptor) };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_told_from_others_in_the_kernels_list() {
        let (file, byte) = ("00:1b:1928910", "0");
        assert!(is_lock_on(
            "1: OFDLCK ADVISORY  WRITE -1 00:1b:1928910 0 0",
            file,
            byte
        ));
        for line in [
            "",
            "1: OFDLCK ADVISORY  WRITE -1 00:1b:1928910 0 EOF",
            "1: OFDLCK ADVISORY  WRITE -1 00:1b:1928910 256 256",
            "1: OFDLCK ADVISORY  WRITE -1 00:1c:1928910 0 0",
            "1: OFDLCK ADVISORY  READ -1 00:1b:1928910 0 0",
            "1: POSIX  ADVISORY  WRITE 17 00:1b:1928910 0 0",
            "1: -> OFDLCK ADVISORY  WRITE -1 00:1b:1928910 0 0",
        ] {
            assert!(!is_lock_on(line, file, byte), "{line}");
        }
    }

    #[test]
    fn who_only_looks_sees_the_lock_come_and_go() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let place = super::super::Directory::open(directory.path()).unwrap();
        let lock = place.open_lock("lock", true).unwrap();
        let view = LockView::new(place.identity_of("lock").unwrap());
        assert!(!view.is_locked(0).unwrap());
        assert!(lock.try_lock(0).unwrap());
        assert!(view.is_locked(0).unwrap());
        assert!(!view.is_locked(1).unwrap());
        drop(lock);
        assert!(!view.is_locked(0).unwrap());
    }
}
