//! Where `send` sends to: a ring of its own, or its lane of somebody's mpsc channel.

use partywall::SendError;
use partywall::mpsc;
use partywall::ring::{self, InPlaceProducer, Sent};

use std::time::Duration;

use crate::ended::Ended;

/// Reads into a place, as much as is there; how much, and whether that was the end of input.
pub(crate) type Fill<'a> = dyn FnMut(&mut [u8]) -> Result<(usize, bool), Ended> + 'a;

/// Something that takes records.
pub(crate) trait Sink {
    /// Records that become visible together.
    type Batch<'a>: Batch
    where
        Self: 'a;

    fn max_record(&self) -> usize;

    fn send_kind(&mut self, kind: u16, payload: &[u8]) -> Result<Sent, SendError>;

    fn batch(&mut self) -> Self::Batch<'_>;

    /// Fills one record of at most `len` bytes where it lies, if it can; whether that was the end of input. `None`: it cannot.
    fn fill_in_place(&mut self, len: usize, fill: &mut Fill<'_>) -> Result<Option<bool>, Ended>;

    /// Waits until everything was taken.
    fn flush(&mut self, timeout: Option<Duration>) -> Result<(), SendError>;
}

/// See [`Sink::Batch`].
pub(crate) trait Batch {
    fn push_kind(&mut self, kind: u16, payload: &[u8]) -> Result<Sent, SendError>;
    fn commit(self);
}

impl Batch for ring::Batch<'_> {
    fn push_kind(&mut self, kind: u16, payload: &[u8]) -> Result<Sent, SendError> {
        ring::Batch::push_kind(self, kind, payload)
    }

    fn commit(self) {
        ring::Batch::commit(self);
    }
}

impl Batch for mpsc::Batch<'_> {
    fn push_kind(&mut self, kind: u16, payload: &[u8]) -> Result<Sent, SendError> {
        mpsc::Batch::push_kind(self, kind, payload)
    }

    fn commit(self) {
        mpsc::Batch::commit(self);
    }
}

impl Sink for InPlaceProducer {
    type Batch<'a> = ring::Batch<'a>;

    fn max_record(&self) -> usize {
        ring::Producer::max_record(self)
    }

    fn send_kind(&mut self, kind: u16, payload: &[u8]) -> Result<Sent, SendError> {
        InPlaceProducer::send_kind(self, kind, payload)
    }

    fn batch(&mut self) -> ring::Batch<'_> {
        InPlaceProducer::batch(self)
    }

    fn fill_in_place(&mut self, len: usize, fill: &mut Fill<'_>) -> Result<Option<bool>, Ended> {
        let mut record = self.reserve_mut(len)?;
        let (filled, ended) = fill(&mut record)?;
        if filled > 0 {
            record.commit_len(filled);
        }
        Ok(Some(ended))
    }

    fn flush(&mut self, timeout: Option<Duration>) -> Result<(), SendError> {
        InPlaceProducer::flush(self, timeout)
    }
}

impl Sink for mpsc::Sender {
    type Batch<'a> = mpsc::Batch<'a>;

    fn max_record(&self) -> usize {
        mpsc::Sender::max_record(self)
    }

    fn send_kind(&mut self, kind: u16, payload: &[u8]) -> Result<Sent, SendError> {
        mpsc::Sender::send_kind(self, kind, payload)
    }

    fn batch(&mut self) -> mpsc::Batch<'_> {
        mpsc::Sender::batch(self)
    }

    fn fill_in_place(&mut self, _: usize, _: &mut Fill<'_>) -> Result<Option<bool>, Ended> {
        Ok(None)
    }

    fn flush(&mut self, timeout: Option<Duration>) -> Result<(), SendError> {
        mpsc::Sender::flush(self, timeout)
    }
}
