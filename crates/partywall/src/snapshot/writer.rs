//! The writer's handle.

use super::WriterOptions;
use crate::error::{OpenError, SendError};
use crate::handle::slots::{SlotPattern, Writing, slot_writer};
use crate::layout::header::Pattern;

#[derive(Debug)]
pub(super) struct Snapshots;

impl SlotPattern for Snapshots {
    const PATTERN: Pattern = Pattern::Snapshot;
    const KEEPS_LATEST: bool = true;
}

/// The one process that writes a snapshot. Dropping it closes the channel, unless the thread is panicking: then
/// it looks dead to its readers, as it should.
#[derive(Debug)]
pub struct Writer {
    writing: Writing<Snapshots>,
}

slot_writer!(Writer);

impl Writer {
    /// Creates or adopts a channel in the default namespace with default options.
    ///
    /// # Errors
    /// As [`WriterOptions::open`].
    pub fn open(channel: &str) -> Result<Writer, OpenError> {
        WriterOptions::new().open(channel)
    }

    pub(super) fn new(writing: Writing<Snapshots>) -> Self {
        Writer { writing }
    }

    /// Makes `value` the latest, and gives its sequence. Never waits, whatever the readers do.
    ///
    /// # Errors
    /// [`SendError::TooLarge`]; [`SendError::Forked`]; [`SendError::Deleted`] and [`SendError::Damaged`], which
    /// are noticed within about a tenth of a second.
    #[inline]
    pub fn put(&mut self, value: &[u8]) -> Result<u64, SendError> {
        self.writing.put(0, value)
    }

    /// [`Self::put`] with a number of the application's own, which readers get with the value.
    ///
    /// # Errors
    /// As [`Self::put`].
    #[inline]
    pub fn put_kind(&mut self, kind: u16, value: &[u8]) -> Result<u64, SendError> {
        self.writing.put(kind, value)
    }
}
