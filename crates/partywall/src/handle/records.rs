//! What the senders of a ring and of an mpsc channel have in common: what to do when there is no room, and room
//! for one record or several.

use std::fmt;
use std::time::Duration;

use super::reservation::Reservation;
use crate::error::SendError;
use crate::layout::last_error::LastError;
use crate::protocol::buffer::{Claimed, Pending};

/// What a send does when the receiving side has not made room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Wait until it has.
    #[default]
    Block,
    /// Fail with [`SendError::Full`](crate::SendError::Full).
    Fail,
    /// Drop the record that was to be sent, and count it.
    DropNewest,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is committed: it will be received, whatever happens to this process.
    Committed,
    /// It was dropped and counted, by [`Overflow::DropNewest`].
    Dropped,
}

/// What a look for room ends with.
pub(crate) enum Room {
    Claimed(Claimed),
    /// The policy says to drop the record.
    Drop,
}

/// Whether, and how long, a call may wait.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    None,
    Policy,
    Time(Duration),
}

impl Patience {
    /// How long to wait for room: `Ok(None)` for ever; the error says what else to do.
    pub(crate) fn limit(
        self,
        overflow: Overflow,
        block_timeout: Option<Duration>,
    ) -> Result<Option<Duration>, Refusal> {
        match (self, overflow) {
            (Patience::None, _) | (Patience::Policy, Overflow::Fail) => Err(Refusal::Full),
            (Patience::Policy, Overflow::DropNewest) => Err(Refusal::Drop),
            (Patience::Policy, Overflow::Block) => Ok(block_timeout),
            (Patience::Time(timeout), _) => Ok(Some(timeout)),
        }
    }
}

/// What becomes of a record that there is no room for.
#[derive(Clone, Copy)]
pub(crate) enum Refusal {
    Full,
    Drop,
}

/// A handle that writes records into a buffer.
pub(crate) trait RecordWriter: fmt::Debug {
    /// Whether this is the process that opened the handle, and not a fork of it.
    fn is_ours(&self) -> bool;

    /// The largest record, in bytes.
    fn longest(&self) -> usize;

    /// Room for a record of `len` bytes, as the policy wants it.
    fn claim(&mut self, len: usize, patience: Patience) -> Result<Room, SendError>;

    /// The channel's name.
    fn name(&self) -> &str;

    /// Stores what went wrong last, for tools.
    fn note(&self, error: LastError);

    /// Copies all of a record to its claimed place, the beginning last.
    fn write_all(&mut self, claimed: Claimed, payload: &[u8]);

    /// Copies bytes to a place in a claimed record.
    fn write_at(&mut self, claimed: Claimed, offset: usize, bytes: &[u8]);

    /// Whether every page was there that was accessed so far.
    fn check_pages(&self) -> Result<(), SendError>;

    /// Commits a claimed record, and announces it.
    fn commit(&mut self, claimed: Claimed, len: usize, kind: u16);

    /// Adds a record behind those that are pending; `false` if there is no room.
    fn push(&mut self, pending: &mut Pending, kind: u16, payload: &[u8]) -> bool;

    /// Commits everything pending, and announces it.
    fn commit_pending(&mut self, pending: &mut Pending);

    /// The error of a forked child.
    #[cold]
    #[inline(never)]
    fn forked(&self) -> SendError {
        SendError::Forked {
            channel: self.name().to_owned(),
        }
    }

    /// The error of a buffer that is full.
    #[cold]
    #[inline(never)]
    fn full(&self) -> SendError {
        self.note(LastError::Full);
        SendError::Full {
            channel: self.name().to_owned(),
        }
    }

    /// The error of a record that is longer than [`Self::longest`].
    #[cold]
    #[inline(never)]
    fn too_large(&self, len: usize) -> SendError {
        self.note(LastError::TooLarge);
        SendError::TooLarge {
            channel: self.name().to_owned(),
            len,
            max: self.longest(),
        }
    }

    /// Sends a record, with as much patience.
    #[inline(always)]
    fn send_with(
        &mut self,
        kind: u16,
        payload: &[u8],
        patience: Patience,
    ) -> Result<Sent, SendError> {
        let claimed = match self.claim(payload.len(), patience)? {
            Room::Claimed(claimed) => claimed,
            Room::Drop => return Ok(Sent::Dropped),
        };
        self.write_all(claimed, payload);
        self.commit(claimed, payload.len(), kind);
        self.check_pages()?;
        Ok(Sent::Committed)
    }

    /// Lends the room for a record, with as much patience.
    fn reserve_with(
        &mut self,
        len: usize,
        patience: Patience,
    ) -> Result<Reservation<'_, Self>, SendError>
    where
        Self: Sized,
    {
        match self.claim(len, patience)? {
            Room::Claimed(claimed) => Ok(Reservation::new(self, claimed, len)),
            Room::Drop => Err(self.full()),
        }
    }
}

/// The methods of a [`RecordWriter`] by which records are sent, but for `send`, which has each one's own words.
macro_rules! record_writer {
    ($writer:ident) => {
        impl $writer {
            /// [`Self::send`] with a number of the application's own, which is received with the record.
            ///
            /// # Errors
            /// As [`Self::send`].
            #[inline]
            pub fn send_kind(&mut self, kind: u16, payload: &[u8]) -> Result<Sent, SendError> {
                self.send_with(kind, payload, Patience::Policy)
            }

            /// Waits for room at most so long, whatever the [`Overflow`].
            ///
            /// # Errors
            /// [`SendError::TimedOut`], and as [`Self::send`].
            pub fn send_timeout(
                &mut self,
                payload: &[u8],
                timeout: Duration,
            ) -> Result<Sent, SendError> {
                self.send_with(0, payload, Patience::Time(timeout))
            }

            /// Sends if there is room, and never waits or drops.
            ///
            /// # Errors
            /// [`SendError::Full`], and as [`Self::send`].
            #[inline]
            pub fn try_send(&mut self, payload: &[u8]) -> Result<(), SendError> {
                self.send_with(0, payload, Patience::None).map(drop)
            }

            /// Claims room for a record of `len` bytes and lends it for writing; nothing is visible before it is
            /// committed, and dropping it sends nothing.
            ///
            /// # Errors
            /// As [`Self::send`]; with [`Overflow::DropNewest`] where there is no room [`SendError::Full`], which is
            /// counted.
            pub fn reserve(&mut self, len: usize) -> Result<Reservation<'_>, SendError> {
                self.reserve_with(len, Patience::Policy)
            }

            /// [`Self::reserve`] that never waits.
            ///
            /// # Errors
            /// [`SendError::Full`], and as [`Self::send`].
            pub fn try_reserve(&mut self, len: usize) -> Result<Reservation<'_>, SendError> {
                self.reserve_with(len, Patience::None)
            }

            /// Collects records and commits them together, which costs less for each.
            pub fn batch(&mut self) -> Batch<'_> {
                Batch::new(self)
            }
        }
    };
}

pub(crate) use record_writer;
