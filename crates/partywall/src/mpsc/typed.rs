//! Mpsc handles for records of one type.

use std::time::Duration;

use super::receiver::{Before, Conversion};
use super::{Event, Meta, Receiver, ReceiverOptions, Sender, SenderOptions, Sent};
use crate::error::{GrowError, OpenError, RecvError, SendError, Unchanged};
use crate::record::{self, Record, Schema, SendBytes, Typed, bytes_of, sealed};

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
    /// [`RecvError::WrongLength`] for something that is no `T`, which is passed over, and
    /// [`RecvError::SchemaMismatch`] for what was sent before the channel's records changed, likewise; and as
    /// [`Receiver::recv`].
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

    /// As [`Receiver::grow`].
    ///
    /// # Errors
    /// As [`Receiver::grow`].
    pub fn grow(&mut self, lane_capacity: u64) -> Result<(), GrowError> {
        self.handle.grow(lane_capacity)
    }

    /// Goes on with values of another type: see [`Receiver::reschema`]. Of what was sent before, `convert` makes values
    /// of the new type, so that nothing is lost. Should this process die before it has received all that, its
    /// successor knows no `convert`: it is told of each such value by [`RecvError::SchemaMismatch`], or receives bytes
    /// and looks at their [generation](Meta::generation).
    ///
    /// ```
    /// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
    /// # let namespace = partywall::Namespace::open(place.path()).unwrap();
    /// use partywall::mpsc::{ReceiverOptions, SenderOptions};
    /// use partywall::record::Record;
    ///
    /// #[derive(Record)]
    /// #[repr(C)]
    /// struct Metres {
    ///     height: f64,
    /// }
    ///
    /// #[derive(Record, Debug, PartialEq)]
    /// #[repr(C)]
    /// struct Millimetres {
    ///     height: u64,
    /// }
    ///
    /// let options = ReceiverOptions::new().namespace(namespace.clone());
    /// let metres = options.open_typed::<Metres>("height")?;
    /// let senders = SenderOptions::new().namespace(namespace);
    /// let mut old = senders.attach_typed::<Metres>("height")?;
    /// old.send(&Metres { height: 1.5 })?;
    ///
    /// let mut receiver = metres.reschema(|old| Millimetres {
    ///     height: (old.height * 1000.0) as u64,
    /// })?;
    /// let mut new = senders.attach_typed::<Millimetres>("height")?;
    /// new.send(&Millimetres { height: 1700 })?;
    /// assert!(old.send(&Metres { height: 2.5 }).is_err()); // it is told that the records are others now
    ///
    /// let mut heights = Vec::new();
    /// while let Some(event) = receiver.try_recv()? {
    ///     heights.extend(event.record().map(|received| received.value.height));
    /// }
    /// assert_eq!(heights, [1500, 1700]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Receiver::reschema`], with this handle, which is as it was.
    pub fn reschema<U: Record>(
        mut self,
        convert: impl Fn(T) -> U + Send + Sync + 'static,
    ) -> Result<TypedReceiver<U>, Unchanged<Self>>
    where
        T: 'static,
    {
        let schema = Schema::of::<U>();
        let difference = schema.difference(&Schema::of::<T>());
        if let Err(error) = self.handle.reschema(Some(schema)) {
            return Err(Unchanged::new(self, error));
        }
        self.handle.before = difference.map(|difference| Before {
            generation: self.handle.generation(),
            difference,
            conversion: Some(Conversion(Box::new(move |bytes| {
                let value = convert(record::from_bytes(bytes)?);
                bytes.clear();
                bytes.extend_from_slice(bytes_of(&value));
                Ok(())
            }))),
        });
        Ok(Typed::new(self.handle))
    }

    /// A value that was sent before the channel's records changed becomes one of this type.
    #[cold]
    fn convert(&mut self, before: &Before) -> Result<(), RecvError> {
        let channel = || self.handle.channel().to_owned();
        match &before.conversion {
            None => Err(RecvError::SchemaMismatch {
                channel: channel(),
                difference: before.difference.clone(),
            }),
            Some(Conversion(convert)) => {
                convert(&mut self.bytes).map_err(|wrong| RecvError::WrongLength {
                    channel: channel(),
                    expected: wrong.expected,
                    found: wrong.found,
                })
            }
        }
    }

    fn told(&mut self, event: Event<Meta>) -> Result<Event<Received<T>>, RecvError> {
        match event {
            Event::Record(meta) => {
                if let Some(before) = self.handle.before.take() {
                    let converted = if meta.generation < before.generation {
                        self.convert(&before)
                    } else {
                        Ok(())
                    };
                    self.handle.before = Some(before);
                    converted?;
                }
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
