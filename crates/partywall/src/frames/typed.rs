//! Frames of one type each, such as a batch of a fixed number of samples.

use std::time::Duration;

use super::{Frame, Publisher, PublisherOptions, Subscriber, SubscriberOptions};
use crate::error::{GrowError, OpenError, RecvError, SendError, Unchanged};
use crate::record::{ReceiveBytes, Record, Schema, SendBytes, Typed, sealed};

/// A [`Publisher`] of values; [`PublisherOptions::open_typed`] opens one.
pub type TypedPublisher<T> = Typed<Publisher, T>;
/// A [`Subscriber`] of values; [`SubscriberOptions::attach_typed`] attaches one.
pub type TypedSubscriber<T> = Typed<Subscriber, T>;

impl PublisherOptions {
    /// [`Self::open`] for values of one type, whose [schema](crate::record) is written into the channel, and whose size
    /// is that of the frames. A channel that is in use with others is refused.
    ///
    /// # Errors
    /// [`OpenError::SchemaMismatch`], which names the field that differs; and as [`Self::open`].
    pub fn open_typed<T: Record>(&self, channel: &str) -> Result<TypedPublisher<T>, OpenError> {
        let size = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
        let options = self.clone().frame_size(size).schema(Schema::of::<T>());
        options.open(channel).map(Typed::new)
    }
}

impl SubscriberOptions {
    /// [`Self::attach`] for values of one type. A channel of others, or of bytes without a schema, is refused.
    ///
    /// # Errors
    /// [`OpenError::SchemaMismatch`], which names the field that differs; and as [`Self::attach`].
    pub fn attach_typed<T: Record>(&self, channel: &str) -> Result<TypedSubscriber<T>, OpenError> {
        let options = self.clone().schema(Schema::of::<T>());
        options.attach(channel).map(Typed::new)
    }
}

impl sealed::Handle for Publisher {
    fn channel_name(&self) -> &str {
        self.channel()
    }
}

impl<T: Record> Typed<Publisher, T> {
    /// As [`Publisher::grow`], with frames of the same size.
    ///
    /// # Errors
    /// As [`Publisher::grow`].
    pub fn grow(&mut self, slots: u32) -> Result<(), GrowError> {
        self.handle.grow(slots, 0)
    }

    /// Goes on with values of another type: see [`Publisher::reschema`].
    ///
    /// # Errors
    /// As [`Publisher::reschema`], with this handle, which is as it was.
    pub fn reschema<U: Record>(mut self) -> Result<TypedPublisher<U>, Unchanged<Self>> {
        match self.handle.reschema(Some(Schema::of::<U>())) {
            Ok(()) => Ok(Typed::new(self.handle)),
            Err(error) => Err(Unchanged::new(self, error)),
        }
    }
}

impl SendBytes for Publisher {
    /// The frame's number; `None` if it was dropped.
    type Sent = Option<u64>;

    #[inline]
    fn send_bytes(&mut self, bytes: &[u8]) -> Result<Option<u64>, SendError> {
        self.publish_copy(bytes)
    }
}

impl sealed::Handle for Subscriber {
    fn channel_name(&self) -> &str {
        self.channel()
    }
}

/// The values are copied, and their frames given back at once; who wants to hold them takes [`Frame`]s from the handle
/// that deals in bytes.
impl ReceiveBytes for Subscriber {
    #[inline]
    fn receive(&mut self, bytes: &mut Vec<u8>, timeout: Option<Duration>) -> Result<(), RecvError> {
        let frame: Frame = match timeout {
            None => self.recv()?,
            Some(timeout) => self.recv_timeout(timeout)?,
        };
        frame.copy_to(bytes);
        Ok(())
    }

    #[inline]
    fn try_receive(&mut self, bytes: &mut Vec<u8>) -> Result<bool, RecvError> {
        let frame = self.try_recv()?;
        if let Some(frame) = &frame {
            frame.copy_to(bytes);
        }
        Ok(frame.is_some())
    }
}
