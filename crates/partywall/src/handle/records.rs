//! What the senders of a ring and of an mpsc channel have in common: what to do when there is no room, and room
//! for one record or several.

use std::fmt;
use std::time::Duration;

use crate::error::SendError;
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

    /// The error of a forked child.
    fn forked(&self) -> SendError;

    /// The error of a record that is longer than [`Self::longest`].
    fn too_large(&self, len: usize) -> SendError;

    /// Copies bytes to a place in a claimed record.
    fn write_at(&mut self, claimed: Claimed, offset: usize, bytes: &[u8]);

    /// Commits a claimed record, and announces it.
    fn commit(&mut self, claimed: Claimed, len: usize, kind: u16);

    /// Adds a record behind those that are pending; `false` if there is no room.
    fn push(&mut self, pending: &mut Pending, kind: u16, payload: &[u8]) -> bool;

    /// Commits everything pending, and announces it.
    fn commit_pending(&mut self, pending: &mut Pending);
}
