//! The ring's handles for values.

use std::time::Duration;

use super::{Consumer, Producer, Sent};
use crate::error::{GrowError, RecvError, SendError, Unchanged};
use crate::record::{ReceiveBytes, Record, Schema, SendBytes, Typed, bytes_of, sealed};

/// A [`Producer`] of values; [`ProducerOptions::open_typed`](super::ProducerOptions::open_typed) opens one.
pub type TypedProducer<T> = Typed<Producer, T>;
/// A [`Consumer`] of values; [`ConsumerOptions::attach_typed`](super::ConsumerOptions::attach_typed) opens one.
pub type TypedConsumer<T> = Typed<Consumer, T>;

impl sealed::Handle for Producer {
    fn channel_name(&self) -> &str {
        self.channel()
    }
}

impl SendBytes for Producer {
    type Sent = Sent;

    #[inline]
    fn send_bytes(&mut self, bytes: &[u8]) -> Result<Sent, SendError> {
        self.send(bytes)
    }
}

impl sealed::Handle for Consumer {
    fn channel_name(&self) -> &str {
        self.channel()
    }
}

impl ReceiveBytes for Consumer {
    #[inline]
    fn receive(&mut self, bytes: &mut Vec<u8>, timeout: Option<Duration>) -> Result<(), RecvError> {
        self.recv_into_timeout(bytes, timeout).map(drop)
    }

    #[inline]
    fn try_receive(&mut self, bytes: &mut Vec<u8>) -> Result<bool, RecvError> {
        self.try_recv_into(bytes).map(|meta| meta.is_some())
    }
}

impl<T: Record> Typed<Producer, T> {
    /// As [`Producer::try_send`].
    ///
    /// # Errors
    /// As [`Producer::try_send`].
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        self.handle.try_send(bytes_of(value))
    }

    /// As [`Producer::send_timeout`].
    ///
    /// # Errors
    /// As [`Producer::send_timeout`].
    pub fn send_timeout(&mut self, value: &T, timeout: Duration) -> Result<Sent, SendError> {
        self.handle.send_timeout(bytes_of(value), timeout)
    }

    /// Sends values together, as a [`batch`](Producer::batch); how many of them were not dropped.
    ///
    /// # Errors
    /// As [`Producer::send`]; then none of those that were not committed yet will be.
    pub fn send_all<'a>(
        &mut self,
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<usize, SendError> {
        let mut batch = self.handle.batch();
        let mut committed = 0;
        for value in values {
            if batch.push(bytes_of(value))? == Sent::Committed {
                committed += 1;
            }
        }
        batch.commit();
        Ok(committed)
    }

    /// As [`Producer::flush`].
    ///
    /// # Errors
    /// As [`Producer::flush`].
    pub fn flush(&mut self, timeout: Option<Duration>) -> Result<(), SendError> {
        self.handle.flush(timeout)
    }

    /// As [`Producer::grow`].
    ///
    /// # Errors
    /// As [`Producer::grow`].
    pub fn grow(&mut self, capacity: u64) -> Result<(), GrowError> {
        self.handle.grow(capacity)
    }

    /// Goes on with values of another type: see [`Producer::reschema`].
    ///
    /// # Errors
    /// As [`Producer::reschema`], with this handle, which is as it was.
    pub fn reschema<U: Record>(mut self) -> Result<TypedProducer<U>, Unchanged<Self>> {
        match self.handle.reschema(Some(Schema::of::<U>())) {
            Ok(()) => Ok(Typed::new(self.handle)),
            Err(error) => Err(Unchanged::new(self, error)),
        }
    }

    /// As [`Producer::wait_for_consumer`].
    ///
    /// # Errors
    /// As [`Producer::wait_for_consumer`].
    pub fn wait_for_consumer(&mut self, timeout: Option<Duration>) -> Result<(), SendError> {
        self.handle.wait_for_consumer(timeout)
    }
}

impl<T: Record> Typed<Consumer, T> {
    /// As [`Consumer::acknowledge`].
    pub fn acknowledge(&mut self) {
        self.handle.acknowledge();
    }
}
