//! The guarded record's handles for values of one type.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::guard::Consistent;
use super::{Guard, Lock, Record};
use crate::error::{LockError, RecvError, SendError};
use crate::record::{self, Typed, sealed};

/// A [`Record`] of values; [`RecordOptions::open_typed`](super::RecordOptions::open_typed) opens one.
///
/// ```
/// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
/// # let namespace = partywall::Namespace::open(place.path()).unwrap();
/// use partywall::guarded::RecordOptions;
/// use partywall::record::Record;
///
/// #[derive(Record)]
/// #[repr(C)]
/// struct Config {
///     #[record(unit = "us")]
///     exposure: u32,
///     gain: f32,
/// }
///
/// let mut config = RecordOptions::new().namespace(namespace).open_typed::<Config>("config")?;
/// let mut guard = config.lock()?.consistent();
/// guard.exposure = 1200;
/// guard.gain = 1.5;
/// guard.commit()?; // both, or neither
/// drop(guard);
/// assert_eq!(config.get()?.expect("one was committed").exposure, 1200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type TypedRecord<T> = Typed<Record, T>;

impl sealed::Handle for Record {
    fn channel_name(&self) -> &str {
        self.channel()
    }
}

/// The lock of a record, and a copy of its value to edit; all zero before the first commit. As [`Guard`].
#[derive(Debug)]
pub struct TypedGuard<'a, T> {
    guard: Guard<'a>,
    value: T,
}

impl<'a, T: record::Record> TypedGuard<'a, T> {
    fn new(guard: Guard<'a>) -> Result<Self, LockError> {
        let value = if guard.sequence() == 0 {
            record::zeroed()
        } else {
            match record::from_bytes(guard.value()) {
                Ok(value) => value,
                Err(wrong) => {
                    let channel = guard.channel().to_owned();
                    // Whatever we were told of holders before, somebody who can read it shall hear.
                    guard.leave_news();
                    return Err(LockError::WrongLength {
                        channel,
                        expected: wrong.expected,
                        found: wrong.found,
                    });
                }
            }
        };
        Ok(TypedGuard { guard, value })
    }

    fn lock(lock: Lock<Guard<'a>>) -> Result<Lock<Self>, LockError> {
        Ok(match lock {
            Lock::Clean(guard) => Lock::Clean(Self::new(guard)?),
            Lock::OwnerDied(guard) => Lock::OwnerDied(Self::new(guard)?),
        })
    }

    /// As [`Guard::commit`].
    ///
    /// # Errors
    /// As [`Guard::commit`].
    pub fn commit(&mut self) -> Result<u64, SendError> {
        let bytes = self.guard.value_mut();
        bytes.clear();
        bytes.extend_from_slice(record::bytes_of(&self.value));
        self.guard.commit()
    }

    /// As [`Guard::mark_consistent`].
    pub fn mark_consistent(&mut self) {
        self.guard.mark_consistent();
    }

    /// As [`Guard::leave_news`].
    pub fn leave_news(self) {
        self.guard.leave_news();
    }

    /// As [`Guard::sequence`].
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.guard.sequence()
    }
}

impl<T: record::Record> Consistent for TypedGuard<'_, T> {
    fn mark_consistent(&mut self) {
        self.guard.mark_consistent();
    }
}

impl<T> Deref for TypedGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for TypedGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: record::Record> Typed<Record, T> {
    /// As [`Record::lock`].
    ///
    /// # Errors
    /// [`LockError::WrongLength`] for a value that is no `T`; and as [`Record::lock`].
    pub fn lock(&mut self) -> Result<Lock<TypedGuard<'_, T>>, LockError> {
        TypedGuard::lock(self.handle.lock()?)
    }

    /// As [`Record::lock_timeout`].
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and as [`Self::lock`].
    pub fn lock_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Lock<TypedGuard<'_, T>>, LockError> {
        TypedGuard::lock(self.handle.lock_timeout(timeout)?)
    }

    /// As [`Record::try_lock`].
    ///
    /// # Errors
    /// [`LockError::Busy`], and as [`Self::lock`].
    pub fn try_lock(&mut self) -> Result<Lock<TypedGuard<'_, T>>, LockError> {
        TypedGuard::lock(self.handle.try_lock()?)
    }

    /// As [`Record::repair`].
    ///
    /// # Errors
    /// As [`Record::repair`], and [`LockError::WrongLength`].
    pub fn repair(&mut self, timeout: Option<Duration>) -> Result<TypedGuard<'_, T>, LockError> {
        TypedGuard::new(self.handle.repair(timeout)?)
    }

    /// As [`Record::get`].
    ///
    /// # Errors
    /// [`RecvError::WrongLength`] for a value that is no `T`; and as [`Record::get`].
    pub fn get(&mut self) -> Result<Option<T>, RecvError> {
        let Some(value) = self.handle.get()? else {
            return Ok(None);
        };
        self.bytes = value.payload;
        self.received().map(Some)
    }
}
