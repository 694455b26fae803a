//! Mpsc handles for records of one type.

use std::time::Duration;

use super::{Event, Meta, Receiver, ReceiverOptions, Sender, SenderOptions, Sent};
use crate::error::{OpenError, RecvError, SendError};
use crate::record::{Record, Schema, SendBytes, Typed, sealed};

/// A [`Sender`] of values; [`SenderOptions::attach_typed`] attaches one.
pub type TypedSender<T> = Typed<Sender, T>;
/// A [`Receiver`] of values; [`ReceiverOptions::open_typed`] opens one.
pub type TypedReceiver<T> = Typed<Receiver, T>;

/// A value that was received, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<T> {
    /// Who sent it, and the like.
    pub meta: Meta,
    /// The value.
    pub value: T,
}

impl ReceiverOptions {
    /// [`Self::open`] for values of one type, whose [schema](crate::record) is written into the channel. A channel that
    /// is in use with others is refused.
    ///
    /// # Errors
    /// [`OpenError::SchemaMismatch`], which names the field that differs; and as [`Self::open`].
    pub fn open_typed<T: Record>(&self, channel: &str) -> Result<TypedReceiver<T>, OpenError> {
        let options = self.clone().schema(Schema::of::<T>());
        options.open(channel).map(Typed::new)
    }
}

impl SenderOptions {
    /// [`Self::attach`] for values of one type. A channel of others, or of bytes without a schema, is refused.
    ///
    /// # Errors
    /// [`OpenError::SchemaMismatch`], which names the field that differs; and as [`Self::attach`].
    pub fn attach_typed<T: Record>(&self, channel: &str) -> Result<TypedSender<T>, OpenError> {
        let options = self.clone().schema(Schema::of::<T>());
        options.attach(channel).map(Typed::new)
    }
}

impl sealed::Handle for Sender {
    fn channel_name(&self) -> &str {
        self.channel()
    }
}

impl SendBytes for Sender {
    type Sent = Sent;

    #[inline]
    fn send_bytes(&mut self, bytes: &[u8]) -> Result<Sent, SendError> {
        self.send(bytes)
    }
}

impl sealed::Handle for Receiver {
    fn channel_name(&self) -> &str {
        self.channel()
    }
}

impl<T: Record> Typed<Receiver, T> {
    /// As [`Receiver::recv`].
    ///
    /// # Errors
    /// [`RecvError::WrongLength`] for something that is no `T`, which is passed over; and as [`Receiver::recv`].
    #[inline]
    pub fn recv(&mut self) -> Result<Event<Received<T>>, RecvError> {
        let event = self.handle.recv_into(&mut self.bytes)?;
        self.told(event)
    }

    /// As [`Receiver::recv_timeout`].
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and as [`Self::recv`].
    #[inline]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Event<Received<T>>, RecvError> {
        let event = self
            .handle
            .recv_into_timeout(&mut self.bytes, Some(timeout))?;
        self.told(event)
    }

    /// As [`Receiver::try_recv`].
    ///
    /// # Errors
    /// As [`Self::recv`], but for waiting.
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Event<Received<T>>>, RecvError> {
        let event = self.handle.try_recv_into(&mut self.bytes)?;
        event.map(|event| self.told(event)).transpose()
    }

    fn told(&self, event: Event<Meta>) -> Result<Event<Received<T>>, RecvError> {
        match event {
            Event::Record(meta) => {
                let value = self.received()?;
                Ok(Event::Record(Received { meta, value }))
            }
            Event::Opened(sender) => Ok(Event::Opened(sender)),
            Event::Closed(sender) => Ok(Event::Closed(sender)),
            Event::Died(sender) => Ok(Event::Died(sender)),
            Event::Lied(sender, lie) => Ok(Event::Lied(sender, lie)),
        }
    }
}
