//! Writing and reading records where they lie, without a copy.
//!
//! A Rust reference promises that nobody else changes the bytes behind it. In shared memory nobody can
//! promise that but the other processes. So these handles are opened by one `unsafe` call that names the
//! contract; everything else in the crate is safe, because it copies.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::time::Duration;

use super::{Batch, Consumer, Producer, Record, Reservation, Sent};
use crate::error::{GrowError, RecvError, SendError};
use crate::protocol::buffer::Found;

impl Producer {
    /// Lets records be written where they lie.
    ///
    /// # Safety
    /// For as long as the handle lives, no other process (and nothing else in this one) may write to the
    /// owner side of the channel. Everybody who keeps to the protocol maps it read-only; the caller vouches
    /// for every process that the file's permissions let write (those of this user, and root).
    #[must_use]
    pub unsafe fn in_place(self) -> InPlaceProducer {
        InPlaceProducer(self)
    }
}

impl Consumer {
    /// Lets records be read where they lie.
    ///
    /// # Safety
    /// For as long as the handle lives, the channel's producers must keep to the protocol: none changes a
    /// committed record before this consumer's `read_seq` has passed it. The caller vouches for every
    /// process that the files' permissions let write (those of this user, and root).
    #[must_use]
    pub unsafe fn in_place(self) -> InPlaceConsumer {
        InPlaceConsumer(self)
    }
}

/// A [`Producer`] that lends its memory; see [`Producer::in_place`].
#[derive(Debug)]
pub struct InPlaceProducer(Producer);

impl InPlaceProducer {
    /// Claims room for a record of `len` bytes. The slice holds whatever was there before.
    ///
    /// # Errors
    /// As [`Producer::reserve`].
    pub fn reserve_mut(&mut self, len: usize) -> Result<ReservationMut<'_>, SendError> {
        Ok(ReservationMut {
            reservation: self.0.reserve(len)?,
        })
    }
}

/// What changes the handle is told one by one: lending out `&mut Producer` would let it be exchanged for one
/// of a channel that nobody vouched for.
impl InPlaceProducer {
    /// As [`Producer::send`].
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub fn send(&mut self, payload: &[u8]) -> Result<Sent, SendError> {
        self.0.send(payload)
    }

    /// As [`Producer::send_kind`].
    ///
    /// # Errors
    /// As [`Producer::send_kind`].
    pub fn send_kind(&mut self, kind: u16, payload: &[u8]) -> Result<Sent, SendError> {
        self.0.send_kind(kind, payload)
    }

    /// As [`Producer::try_send`].
    ///
    /// # Errors
    /// As [`Producer::try_send`].
    pub fn try_send(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.0.try_send(payload)
    }

    /// As [`Producer::batch`].
    pub fn batch(&mut self) -> Batch<'_> {
        self.0.batch()
    }

    /// As [`Producer::flush`].
    ///
    /// # Errors
    /// As [`Producer::flush`].
    pub fn flush(&mut self, timeout: Option<Duration>) -> Result<(), SendError> {
        self.0.flush(timeout)
    }

    /// As [`Producer::grow`].
    ///
    /// # Errors
    /// As [`Producer::grow`].
    pub fn grow(&mut self, capacity: u64) -> Result<(), GrowError> {
        self.0.grow(capacity)
    }

    /// As [`Producer::wait_for_consumer`].
    ///
    /// # Errors
    /// As [`Producer::wait_for_consumer`].
    pub fn wait_for_consumer(&mut self, timeout: Option<Duration>) -> Result<(), SendError> {
        self.0.wait_for_consumer(timeout)
    }

    /// The handle that copies.
    #[must_use]
    pub fn into_inner(self) -> Producer {
        self.0
    }
}

impl Deref for InPlaceProducer {
    type Target = Producer;

    fn deref(&self) -> &Producer {
        &self.0
    }
}

/// Room for one record, as a slice. Dropping it sends nothing.
#[derive(Debug)]
pub struct ReservationMut<'a> {
    reservation: Reservation<'a>,
}

impl ReservationMut<'_> {
    /// Commits all of it.
    pub fn commit(self) {
        self.reservation.commit();
    }

    /// Commits the first `len` bytes.
    ///
    /// # Panics
    /// If fewer were reserved.
    pub fn commit_len(self, len: usize) {
        self.reservation.commit_len(len);
    }

    /// Commits all of it with a number of the application's own.
    pub fn commit_kind(mut self, kind: u16) {
        self.reservation.set_kind(kind);
        self.reservation.commit();
    }

    /// Where the room is, and how much; nothing in a forked child, which does not have the mapping.
    fn room(&self) -> (*mut u8, usize) {
        if !self.reservation.writer.handle.is_ours() {
            return (NonNull::dangling().as_ptr(), 0);
        }
        let reservation = &self.reservation;
        let len = reservation.len();
        let producer = &reservation.writer;
        (producer.payload_pointer(reservation.claimed, len), len)
    }
}

impl Deref for ReservationMut<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let (pointer, len) = self.room();
        // SAFETY: the range lies in the mapping (`payload_pointer` checks it), which the reservation keeps
        // alive through the producer it borrows. Nobody else writes it: consumers do not touch bytes that
        // are not committed, and the caller of `in_place` vouched for the rest. Bytes are always
        // initialised: the kernel zeroes new pages.
        unsafe { std::slice::from_raw_parts(pointer, len) }
    }
}

impl DerefMut for ReservationMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        let (pointer, len) = self.room();
        // SAFETY: as in `deref`; and the reservation is borrowed mutably, so this is the only slice.
        unsafe { std::slice::from_raw_parts_mut(pointer, len) }
    }
}

/// A [`Consumer`] that lends records; see [`Consumer::in_place`].
#[derive(Debug)]
pub struct InPlaceConsumer(Consumer);

impl InPlaceConsumer {
    /// The next record, where it lies; waits for it, at most `timeout`. It is passed when the borrow is
    /// dropped, whatever its [`Delivery`](super::Delivery), and given back with the next call.
    ///
    /// # Errors
    /// As [`Consumer::recv_timeout`].
    #[inline(always)]
    pub fn recv_ref(&mut self, timeout: Option<Duration>) -> Result<RecordRef<'_>, RecvError> {
        let found = self.0.next_found(timeout)?;
        Ok(RecordRef {
            consumer: &mut self.0,
            found,
        })
    }
}

impl InPlaceConsumer {
    /// The next record, where it lies, if there is one.
    ///
    /// # Errors
    /// As [`Consumer::try_recv`].
    #[inline(always)]
    pub fn try_recv_ref(&mut self) -> Result<Option<RecordRef<'_>>, RecvError> {
        let found = self.0.try_next_found()?;
        Ok(found.map(|found| RecordRef {
            consumer: &mut self.0,
            found,
        }))
    }
}

impl InPlaceConsumer {
    /// As [`Consumer::recv`].
    ///
    /// # Errors
    /// As [`Consumer::recv`].
    pub fn recv(&mut self) -> Result<Record, RecvError> {
        self.0.recv()
    }

    /// As [`Consumer::try_recv`].
    ///
    /// # Errors
    /// As [`Consumer::try_recv`].
    pub fn try_recv(&mut self) -> Result<Option<Record>, RecvError> {
        self.0.try_recv()
    }

    /// As [`Consumer::acknowledge`].
    pub fn acknowledge(&mut self) {
        self.0.acknowledge();
    }

    /// The handle that copies.
    #[must_use]
    pub fn into_inner(self) -> Consumer {
        self.0
    }
}

impl Deref for InPlaceConsumer {
    type Target = Consumer;

    fn deref(&self) -> &Consumer {
        &self.0
    }
}

/// A record where it lies. The producer cannot reuse its bytes before this is dropped.
#[derive(Debug)]
pub struct RecordRef<'a> {
    consumer: &'a mut Consumer,
    found: Found,
}

impl RecordRef<'_> {
    /// The application's own number.
    #[must_use]
    pub fn kind(&self) -> u16 {
        self.found.kind
    }

    /// Where it began: bytes since the channel did.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.found.position
    }
}

impl Deref for RecordRef<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // A forked child does not have the mapping.
        if !self.consumer.handle.is_ours() {
            return &[];
        }
        let len = u64::from(self.found.len);
        let owner = self.consumer.role.owner();
        let pointer = owner.pointer(self.found.payload_at, len);
        // SAFETY: the range lies in the mapping (`pointer` checks it), which the consumer keeps alive. The
        // record is committed, our Acquire load of its header saw it, and `read_seq` does not pass it while
        // `self` borrows the consumer; that nobody changes it meanwhile the caller of `in_place` vouched
        // for.
        unsafe { std::slice::from_raw_parts(pointer, self.found.len as usize) }
    }
}

impl Drop for RecordRef<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.consumer.handle.is_ours() {
            self.consumer.pass(self.found);
        }
    }
}
