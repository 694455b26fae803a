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
