//! The sender's handle.

use super::SenderOptions;
use crate::error::{OpenError, SendError};
use crate::handle::slots::{SlotPattern, Writing, slot_writer};
use crate::layout::header::Pattern;

#[derive(Debug)]
pub(super) struct Broadcasts;

impl SlotPattern for Broadcasts {
    const PATTERN: Pattern = Pattern::Broadcast;
    const KEEPS_LATEST: bool = false;
}

/// The one process that writes a broadcast. Dropping it closes the channel, unless the thread is panicking: then
/// it looks dead to its receivers, as it should.
#[derive(Debug)]
pub struct Sender {
    writing: Writing<Broadcasts>,
}

slot_writer!(Sender);

impl Sender {
    /// Creates or adopts a channel in the default namespace with default options.
    ///
    /// # Errors
    /// As [`SenderOptions::open`].
    pub fn open(channel: &str) -> Result<Sender, OpenError> {
        SenderOptions::new().open(channel)
    }

    pub(super) fn new(writing: Writing<Broadcasts>) -> Self {
        Sender { writing }
    }

    /// Sends a record to whoever listens, and gives its sequence. Never waits, whatever the receivers do.
    ///
    /// # Errors
    /// [`SendError::TooLarge`]; [`SendError::Forked`]; [`SendError::Deleted`] and [`SendError::Damaged`], which
    /// are noticed within about a tenth of a second.
    #[inline]
    pub fn send(&mut self, record: &[u8]) -> Result<u64, SendError> {
        self.writing.put(0, record)
    }

    /// [`Self::send`] with a number of the application's own, which receivers get with the record.
    ///
    /// # Errors
    /// As [`Self::send`].
    #[inline]
    pub fn send_kind(&mut self, kind: u16, record: &[u8]) -> Result<u64, SendError> {
        self.writing.put(kind, record)
    }
}
