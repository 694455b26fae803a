//! What a consumer gets.

use std::ops::Deref;

use super::Consumer;
use crate::error::RecvError;

/// A record that was received, with its own copy of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The application's own number.
    pub kind: u16,
    /// Where it began: bytes since the channel did. Grows from record to record.
    pub position: u64,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl Deref for Record {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.payload
    }
}

/// What there is to know of a record besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Bytes.
    pub len: usize,
    /// The application's own number.
    pub kind: u16,
    /// Where it began: bytes since the channel did.
    pub position: u64,
}

/// Records of this seat that nobody received, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Left unread by consumers that died, when another took over their seat.
    pub abandoned: u64,
    /// Left unread by consumers that died, when the producer evicted them.
    pub evicted: u64,
    /// Left unread by consumers that detached.
    pub detached: u64,
    /// All of these in the generations before this consumer's, where the channel has grown. What happens there yet is
    /// added when the last one has come over.
    pub former: u64,
}

/// Iterates over records; ends at the clean end of the stream, and after any other error.
#[derive(Debug)]
pub struct Records<'a> {
    consumer: &'a mut Consumer,
}

impl<'a> Records<'a> {
    pub(super) fn new(consumer: &'a mut Consumer) -> Self {
        Records { consumer }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.consumer.recv() {
            Err(RecvError::Closed { .. }) => None,
            other => Some(other),
        }
    }
}
