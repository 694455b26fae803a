//! The broadcast's handles for values of one type.

use std::time::Duration;

use super::{Receiver, Sender};
use crate::error::{RecvError, SendError};
use crate::handle::slots::typed_slot_writer;
use crate::record::{ReceiveBytes, Record, SendBytes, Typed, sealed};

/// A [`Sender`] of values; [`SenderOptions::open_typed`](super::SenderOptions::open_typed) opens one.
pub type TypedSender<T> = Typed<Sender, T>;
/// A [`Receiver`] of values; [`ReceiverOptions::attach_typed`](super::ReceiverOptions::attach_typed) opens one.
pub type TypedReceiver<T> = Typed<Receiver, T>;

typed_slot_writer!(Sender);

impl sealed::Handle for Sender {
    fn channel_name(&self) -> &str {
        self.channel()
    }
}

impl SendBytes for Sender {
    type Sent = u64;

    #[inline]
    fn send_bytes(&mut self, bytes: &[u8]) -> Result<u64, SendError> {
        self.send(bytes)
    }
}

impl sealed::Handle for Receiver {
    fn channel_name(&self) -> &str {
        self.channel()
    }
}

impl ReceiveBytes for Receiver {
    #[inline]
    fn receive(&mut self, bytes: &mut Vec<u8>, timeout: Option<Duration>) -> Result<(), RecvError> {
        self.recv_into(bytes, timeout).map(drop)
    }

    #[inline]
    fn try_receive(&mut self, bytes: &mut Vec<u8>) -> Result<bool, RecvError> {
        self.try_recv_into(bytes).map(|meta| meta.is_some())
    }
}
