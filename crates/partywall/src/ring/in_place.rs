//! Writing and reading records where they lie, without a copy.
//!
//! A Rust reference promises that nobody else changes the bytes behind it. In shared memory nobody can
//! promise that but the other processes. So these handles are opened by one `unsafe` call that names the
//! contract; everything else in the crate is safe, because it copies.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::{Consumer, Producer, Reservation};
use crate::error::{RecvError, SendError};
use crate::protocol::ring::consumer::Found;

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

impl Deref for InPlaceProducer {
    type Target = Producer;

    fn deref(&self) -> &Producer {
        &self.0
    }
}

impl DerefMut for InPlaceProducer {
    fn deref_mut(&mut self) -> &mut Producer {
        &mut self.0
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

    fn pointer(&self) -> *mut u8 {
        let reservation = &self.reservation;
        reservation
            .producer
            .payload_pointer(reservation.claimed, reservation.len())
    }
}

impl Deref for ReservationMut<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range lies in the mapping (`payload_pointer` checks it), which the reservation keeps
        // alive through the producer it borrows. Nobody else writes it: consumers do not touch bytes that
        // are not committed, and the caller of `in_place` vouched for the rest. Bytes are always
        // initialised: the kernel zeroes new pages.
        unsafe { std::slice::from_raw_parts(self.pointer(), self.reservation.len()) }
    }
}

impl DerefMut for ReservationMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; and the reservation is borrowed mutably, so this is the only slice.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(), self.reservation.len()) }
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
    pub fn try_recv_ref(&mut self) -> Result<Option<RecordRef<'_>>, RecvError> {
        let found = self.0.try_next_found()?;
        Ok(found.map(|found| RecordRef {
            consumer: &mut self.0,
            found,
        }))
    }
}

impl Deref for InPlaceConsumer {
    type Target = Consumer;

    fn deref(&self) -> &Consumer {
        &self.0
    }
}

impl DerefMut for InPlaceConsumer {
    fn deref_mut(&mut self) -> &mut Consumer {
        &mut self.0
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

    fn deref(&self) -> &[u8] {
        let len = u64::from(self.found.len);
        let owner = self.consumer.attached.consumer.owner();
        let pointer = owner.pointer(self.found.payload_at, len);
        // SAFETY: the range lies in the mapping (`pointer` checks it), which the consumer keeps alive. The
        // record is committed, our Acquire load of its header saw it, and `read_seq` does not pass it while
        // `self` borrows the consumer; that nobody changes it meanwhile the caller of `in_place` vouched
        // for.
        unsafe { std::slice::from_raw_parts(pointer, self.found.len as usize) }
    }
}

impl Drop for RecordRef<'_> {
    fn drop(&mut self) {
        self.consumer.pass(self.found);
    }
}
