//! The snapshot's handles for values of one type.

use std::time::Duration;

use super::{Reader, Writer};
use crate::error::{RecvError, SendError};
use crate::handle::slots::typed_slot_writer;
use crate::record::{Record, Typed, bytes_of, sealed};

/// A [`Writer`] of values; [`WriterOptions::open_typed`](super::WriterOptions::open_typed) opens one.
pub type TypedWriter<T> = Typed<Writer, T>;
/// A [`Reader`] of values; [`ReaderOptions::attach_typed`](super::ReaderOptions::attach_typed) opens one.
pub type TypedReader<T> = Typed<Reader, T>;

typed_slot_writer!(Writer);

impl sealed::Handle for Reader {
    fn channel_name(&self) -> &str {
        self.channel()
    }
}

impl<T: Record> Typed<Writer, T> {
    /// As [`Writer::put`].
    ///
    /// # Errors
    /// As [`Writer::put`].
    #[inline]
    pub fn put(&mut self, value: &T) -> Result<u64, SendError> {
        self.handle.put(bytes_of(value))
    }
}

impl<T: Record> Typed<Reader, T> {
    /// As [`Reader::get`].
    ///
    /// # Errors
    /// [`RecvError::WrongLength`] for a value that is no `T`; and as [`Reader::get`].
    #[inline]
    pub fn get(&mut self) -> Result<Option<T>, RecvError> {
        match self.handle.get_into(&mut self.bytes)? {
            Some(_) => self.received().map(Some),
            None => Ok(None),
        }
    }

    /// As [`Reader::changed`].
    ///
    /// # Errors
    /// [`RecvError::WrongLength`] for a value that is no `T`; and as [`Reader::changed`].
    pub fn changed(&mut self) -> Result<T, RecvError> {
        self.handle.changed_into(&mut self.bytes, None)?;
        self.received()
    }

    /// As [`Reader::changed_timeout`].
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and as [`Self::changed`].
    pub fn changed_timeout(&mut self, timeout: Duration) -> Result<T, RecvError> {
        self.handle.changed_into(&mut self.bytes, Some(timeout))?;
        self.received()
    }
}
