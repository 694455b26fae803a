//! A frame before it is published.

use std::io;

use super::{About, Publisher, content};
use crate::error::SendError;
use crate::handle::reservation::assert_fits;
use crate::layout::frames::Info;
use crate::memory::SharedMut;
use crate::protocol::frames::Loan as Slot;

/// Room for one frame, not visible to anybody until it is published; dropping it gives it up.
///
/// Its bytes are what they were: write all of them, or publish fewer.
#[derive(Debug)]
pub struct Loan<'a> {
    publisher: &'a Publisher,
    /// There until it is published.
    slot: Option<Slot>,
    /// Where its bytes lie in the owner side.
    at: u64,
    len: usize,
    written: usize,
    kind: u16,
    content: u16,
    time_ns: Option<u64>,
    about: About,
}

impl<'a> Loan<'a> {
    pub(super) fn new(publisher: &'a Publisher, slot: Slot, at: u64, len: usize) -> Self {
        Loan {
            publisher,
            slot: Some(slot),
            at,
            len,
            written: 0,
            kind: 0,
            content: content::BYTES,
            time_ns: None,
            about: About::default(),
        }
    }

    /// Bytes of the frame.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "an empty frame is nothing special"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes to a place in the frame.
    ///
    /// # Panics
    /// If they do not fit into it.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        assert_fits(offset, bytes.len(), self.len);
        // A forked child does not have the mapping.
        if self.publisher.is_ours() {
            let at = self.at + offset as u64;
            self.publisher.memory().copy_in(at, bytes);
        }
    }

    /// The application's own number for the frame; default 0.
    pub fn set_kind(&mut self, kind: u16) {
        self.kind = kind;
    }

    /// What the bytes are: see [`content`]; default [`content::BYTES`].
    pub fn set_content(&mut self, content: u16) {
        self.content = content;
    }

    /// A time of the application's own, in nanoseconds, in place of that at which the frame is published.
    pub fn set_time_ns(&mut self, time_ns: u64) {
        self.time_ns = Some(time_ns);
    }

    /// What there is to say about the bytes.
    pub fn set_about(&mut self, about: About) {
        self.about = about;
    }

    /// Says that it is an image: pixels in a row, rows, bytes from row to row, and the pixels' [format](super::format).
    pub fn set_image(&mut self, width: u32, height: u32, stride: u32, format: u32) {
        self.content = content::IMAGE;
        self.about = About {
            width,
            height,
            stride,
            format,
            ..self.about
        };
    }

    /// The application's own 16 bytes about the frame.
    pub fn set_user(&mut self, user: [u8; 16]) {
        self.about.user = user;
    }

    /// Publishes it; its sequence.
    ///
    /// # Errors
    /// [`SendError::Forked`].
    pub fn publish(self) -> Result<u64, SendError> {
        let len = self.len;
        self.publish_len(len)
    }

    /// Publishes the first `len` bytes.
    ///
    /// # Errors
    /// [`SendError::Forked`].
    ///
    /// # Panics
    /// If it has fewer.
    pub fn publish_len(mut self, len: usize) -> Result<u64, SendError> {
        assert!(len <= self.len, "{len} bytes of {}", self.len);
        let slot = self.slot.take().expect("it is published once");
        // No frame is longer than 1 GiB.
        let info = Info::new(len as u32, self.kind, self.content);
        self.publisher
            .publish(slot, info, self.time_ns, &self.about)
    }

    /// Where the bytes are, and how many; none in a forked child, which does not have the mapping.
    pub(super) fn room(&self) -> Option<(*mut u8, usize)> {
        if !self.publisher.is_ours() {
            return None;
        }
        let memory = self.publisher.memory();
        Some((memory.pointer(self.at, self.len as u64), self.len))
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.publisher.abort(slot);
        }
    }
}

/// Writes one after the other, up to the length of the loan.
impl io::Write for Loan<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.len - self.written);
        self.write_at(self.written, &bytes[..len]);
        self.written += len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
