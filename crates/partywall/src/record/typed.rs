//! Values as bytes, and handles that deal in values.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use crate::error::{RecvError, SendError};
use crate::memory::plain::{self, Record};

/// There are more or fewer bytes than a record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} bytes, and the record has {expected}")]
pub struct WrongLength {
    /// Bytes that a record has.
    pub expected: usize,
    /// Bytes that there are.
    pub found: usize,
}

/// The bytes of a record.
#[inline]
#[must_use]
pub fn bytes_of<T: Record>(value: &T) -> &[u8] {
    plain::bytes_of(value)
}

/// A record of its bytes.
///
/// ```
/// use partywall::record::{self, Record};
///
/// #[derive(Record, Debug, PartialEq)]
/// #[repr(C)]
/// struct Point {
///     x: i16,
///     y: i16,
/// }
/// assert_eq!(record::from_bytes::<Point>(&[1, 0, 0xff, 0xff]), Ok(Point { x: 1, y: -1 }));
/// assert!(record::from_bytes::<Point>(&[1, 0]).is_err());
/// ```
///
/// # Errors
/// If there are more or fewer bytes than a record has.
#[inline]
pub fn from_bytes<T: Record>(bytes: &[u8]) -> Result<T, WrongLength> {
    plain::from_bytes(bytes).ok_or(WrongLength {
        expected: size_of::<T>(),
        found: bytes.len(),
    })
}

/// The record that lies in bytes, such as those of a record borrowed in place; `None` if they are not as many, or do not
/// lie at a multiple of its alignment. (The bytes of a channel's records do.)
#[inline]
#[must_use]
pub fn ref_from_bytes<T: Record>(bytes: &[u8]) -> Option<&T> {
    plain::ref_from_bytes(bytes)
}

/// The record that lies in bytes, to be written there; `None` as for [`ref_from_bytes`].
#[inline]
#[must_use]
pub fn mut_from_bytes<T: Record>(bytes: &mut [u8]) -> Option<&mut T> {
    plain::mut_from_bytes(bytes)
}

/// A record whose bytes are all 0; also for the padding of others: `Quote { price, size, ..zeroed() }`.
#[inline]
#[must_use]
pub fn zeroed<T: Record>() -> T {
    plain::zeroed()
}

/// A handle of any pattern, for values of one type: a `Typed<Producer, Quote>` sends quotes.
///
/// Whatever does not concern the values is asked of the handle itself, which this derefs to; what changes the handle and
/// is not here needs [`into_inner`](Self::into_inner).
pub struct Typed<Handle, T> {
    pub(crate) handle: Handle,
    /// Where the bytes of a value are received before they are one; kept, so that nothing is allocated each time.
    pub(crate) bytes: Vec<u8>,
    values: PhantomData<fn(T) -> T>,
}

/// Handles that send records one by one, in bytes.
pub trait SendBytes: sealed::Handle {
    /// What is told of a record that was sent.
    type Sent;

    #[doc(hidden)]
    fn send_bytes(&mut self, bytes: &[u8]) -> Result<Self::Sent, SendError>;
}

/// Handles that receive records one by one, in bytes.
pub trait ReceiveBytes: sealed::Handle {
    #[doc(hidden)]
    fn receive(&mut self, bytes: &mut Vec<u8>, timeout: Option<Duration>) -> Result<(), RecvError>;

    /// Whether there was one.
    #[doc(hidden)]
    fn try_receive(&mut self, bytes: &mut Vec<u8>) -> Result<bool, RecvError>;
}

pub(crate) mod sealed {
    /// Handles of this library.
    pub trait Handle {
        /// The channel's name, for errors.
        #[doc(hidden)]
        fn channel_name(&self) -> &str;
    }
}

impl<Handle, T: Record> Typed<Handle, T> {
    /// For a handle that was opened with the schema of `T`.
    pub(crate) fn new(handle: Handle) -> Self {
        Typed {
            handle,
            bytes: Vec::new(),
            values: PhantomData,
        }
    }

    /// The handle that deals in bytes. What it sends need not be a `T` any more.
    #[must_use]
    pub fn into_inner(self) -> Handle {
        self.handle
    }
}

impl<Handle: sealed::Handle, T: Record> Typed<Handle, T> {
    /// The value whose bytes were just received.
    #[inline]
    pub(crate) fn received(&self) -> Result<T, RecvError> {
        from_bytes(&self.bytes).map_err(|wrong| RecvError::WrongLength {
            channel: self.handle.channel_name().to_owned(),
            expected: wrong.expected,
            found: wrong.found,
        })
    }
}

impl<Handle: SendBytes, T: Record> Typed<Handle, T> {
    /// Sends a value, as the handle sends its bytes.
    ///
    /// # Errors
    /// As the handle's own `send`.
    #[inline]
    pub fn send(&mut self, value: &T) -> Result<Handle::Sent, SendError> {
        self.handle.send_bytes(bytes_of(value))
    }
}

impl<Handle: ReceiveBytes, T: Record> Typed<Handle, T> {
    /// The next value; waits for it.
    ///
    /// # Errors
    /// [`RecvError::WrongLength`] for something that is no `T`, which is passed over; and as the handle's own `recv`.
    #[inline]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.handle.receive(&mut self.bytes, None)?;
        self.received()
    }

    /// [`Self::recv`], at most so long.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and as [`Self::recv`].
    #[inline]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvError> {
        self.handle.receive(&mut self.bytes, Some(timeout))?;
        self.received()
    }

    /// The next value if there is one.
    ///
    /// # Errors
    /// As [`Self::recv`], but for waiting.
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<T>, RecvError> {
        if self.handle.try_receive(&mut self.bytes)? {
            self.received().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Every value from here to the end of the stream. Other errors are items too, and after one that ends the handle
    /// it comes again and again.
    pub fn values(&mut self) -> impl Iterator<Item = Result<T, RecvError>> {
        std::iter::from_fn(|| match self.recv() {
            Err(RecvError::Closed { .. }) => None,
            other => Some(other),
        })
    }
}

impl<Handle, T> Deref for Typed<Handle, T> {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl<Handle: fmt::Debug, T> fmt::Debug for Typed<Handle, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Typed").field(&self.handle).finish()
    }
}
