//! Locks on single bytes of a file: `LockFileEx`.
//!
//! Such a lock belongs to the open file: each handle has its own, and the kernel releases it when the handle goes, whatever
//! ends the process. The bytes lie behind the end of an empty file, where nobody reads or writes, so that
//! the locks, which on Windows keep others from doing that, keep nobody from anything.
//!
//! There is no call that only asks. Whoever wants to know takes a *shared* lock for a moment: those who ask do not
//! disturb each other, and a claimant who finds the byte busy for that moment tries again for a while, as with every byte.
//! Two things an exclusive lock of Linux does by itself are kept in a list here: locking twice what one holds is no error, and
//! nobody sees his own lock as another's.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::sync::{Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, ERROR_LOCK_VIOLATION};
use windows_sys::Win32::Storage::FileSystem::{
    LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
};
use windows_sys::Win32::System::IO::{OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0};

use super::fault_point;
use super::files::FileIdentity;

/// A lock file, opened anew for each handle.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    held: Mutex<Vec<u64>>,
}

impl LockFile {
    pub(super) fn new(file: File) -> Self {
        LockFile {
            file,
            held: Mutex::new(Vec::new()),
        }
    }

    /// Which file the locks lie in.
    pub(crate) fn identity(&self) -> io::Result<FileIdentity> {
        FileIdentity::of(&self.file)
    }

    /// Locks a byte; `false` if somebody else holds it.
    pub(crate) fn try_lock(&self, byte: u64) -> io::Result<bool> {
        fault_point();
        let mut held = self.held();
        if held.contains(&byte) {
            return Ok(true);
        }
        let locked = self.lock(byte, LOCKFILE_EXCLUSIVE_LOCK)?;
        if locked {
            held.push(byte);
        }
        Ok(locked)
    }

    /// Gives a byte up.
    pub(crate) fn unlock(&self, byte: u64) -> io::Result<()> {
        fault_point();
        let mut held = self.held();
        let Some(index) = held.iter().position(|&other| other == byte) else {
            return Ok(());
        };
        self.release(byte)?;
        held.swap_remove(index);
        Ok(())
    }

    /// Whether somebody *else* holds a byte.
    pub(crate) fn is_locked(&self, byte: u64) -> io::Result<bool> {
        if self.held().contains(&byte) {
            return Ok(false);
        }
        if self.lock(byte, 0)? {
            self.release(byte)?;
            return Ok(false);
        }
        Ok(true)
    }

    fn held(&self) -> MutexGuard<'_, Vec<u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false` if another handle has it.
    fn lock(&self, byte: u64, kind: u32) -> io::Result<bool> {
        let mut place = place(byte);
        let flags = kind | LOCKFILE_FAIL_IMMEDIATELY;
        let handle = self.file.as_raw_handle();
        // SAFETY: the handle is open and does no overlapped operations, so the call is over when it returns.
        if unsafe { LockFileEx(handle, flags, 0, 1, 0, &raw mut place) } != 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error().map(i32::cast_unsigned) {
            Some(ERROR_LOCK_VIOLATION | ERROR_IO_PENDING) => Ok(false),
            _ => Err(error),
        }
    }

    fn release(&self, byte: u64) -> io::Result<()> {
        let mut place = place(byte);
        let handle = self.file.as_raw_handle();
        // SAFETY: as above.
        match unsafe { UnlockFileEx(handle, 0, 1, 0, &raw mut place) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

/// A look at the locks of a file that this user may not open: there is none here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockView {
    file: FileIdentity,
}

impl LockView {
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
    /// Always: the system has no list of locks.
    #[allow(clippy::unused_self)]
    pub(crate) fn is_locked(&self, _byte: u64) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn place(byte: u64) -> OVERLAPPED {
    OVERLAPPED {
        Anonymous: OVERLAPPED_0 {
            Anonymous: OVERLAPPED_0_0 {
                Offset: byte as u32,
                OffsetHigh: (byte >> 32) as u32,
            },
        },
        ..Default::default()
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        fault_point();
        // Closing the handle would do it too, but leaves the system free to choose when.
        let held = std::mem::take(&mut *self.held());
        for byte in held {
            let _ = self.release(byte);
        }
    }
}
