//! Writing and reading frames as slices, where they lie.
//!
//! A Rust reference promises that nobody else changes the bytes behind it. In shared memory nobody can
//! promise that but the other processes. So these handles are opened by one `unsafe` call that names the
//! contract; everything else in the crate is safe, because it copies.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::{Frame, Loan, Publisher, Subscriber};
use crate::error::{GrowError, RecvError, SendError};

impl Publisher {
    /// Lets frames be written where they lie.
    ///
    /// # Safety
    /// For as long as the handle lives, no other process (and nothing else in this one) may write to the
    /// owner side of the channel. Everybody who keeps to the protocol maps it read-only; the caller vouches
    /// for every process that the file's permissions let write (those of this user, and root).
    #[must_use]
    pub unsafe fn in_place(self) -> InPlacePublisher {
        InPlacePublisher(self)
    }
}

impl Subscriber {
    /// Lets frames be read where they lie.
    ///
    /// # Safety
    /// For as long as the handle or a frame of it lives, the channel's publishers must keep to the protocol: none
    /// writes into a slot that this subscriber has pinned, and nobody else writes into its seat. The caller vouches
    /// for every process that the files' permissions let write (those of this user, and root).
    #[must_use]
    pub unsafe fn in_place(self) -> InPlaceSubscriber {
        InPlaceSubscriber(self)
    }
}

/// A [`Publisher`] that lends its memory; see [`Publisher::in_place`].
///
/// ```
/// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
/// # let namespace = partywall::Namespace::open(place.path()).unwrap();
/// use partywall::frames::{PublisherOptions, SubscriberOptions};
///
/// let publisher = PublisherOptions::new().namespace(namespace.clone()).open("cam0")?;
/// let subscriber = SubscriberOptions::new().namespace(namespace).attach("cam0")?;
/// // SAFETY: the namespace is this program's own; nobody else writes there.
/// let (publisher, mut subscriber) = unsafe { (publisher.in_place(), subscriber.in_place()) };
///
/// let mut loan = publisher.loan(1000)?;
/// loan.fill(7);
/// loan.publish()?;
/// assert_eq!(subscriber.recv()?[..], [7; 1000]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct InPlacePublisher(Publisher);

impl InPlacePublisher {
    /// As [`Publisher::loan`]. The slice holds whatever was there before.
    ///
    /// # Errors
    /// As [`Publisher::loan`].
    pub fn loan(&self, len: usize) -> Result<InPlaceLoan<'_>, SendError> {
        self.0.loan(len).map(InPlaceLoan)
    }

    /// As [`Publisher::try_loan`].
    ///
    /// # Errors
    /// As [`Publisher::try_loan`].
    pub fn try_loan(&self, len: usize) -> Result<InPlaceLoan<'_>, SendError> {
        self.0.try_loan(len).map(InPlaceLoan)
    }

    /// As [`Publisher::loan_timeout`].
    ///
    /// # Errors
    /// As [`Publisher::loan_timeout`].
    pub fn loan_timeout(
        &self,
        len: usize,
        timeout: Duration,
    ) -> Result<InPlaceLoan<'_>, SendError> {
        self.0.loan_timeout(len, timeout).map(InPlaceLoan)
    }

    /// As [`Publisher::grow`].
    ///
    /// # Errors
    /// As [`Publisher::grow`].
    pub fn grow(&mut self, slots: u32, frame_size: u32) -> Result<(), GrowError> {
        self.0.grow(slots, frame_size)
    }

    /// The handle that copies.
    #[must_use]
    pub fn into_inner(self) -> Publisher {
        self.0
    }
}

impl Deref for InPlacePublisher {
    type Target = Publisher;

    fn deref(&self) -> &Publisher {
        &self.0
    }
}

/// Room for one frame, as a slice. Dropping it gives it up.
#[derive(Debug)]
pub struct InPlaceLoan<'a>(Loan<'a>);

impl<'a> InPlaceLoan<'a> {
    /// As [`Loan::publish`].
    ///
    /// # Errors
    /// As [`Loan::publish`].
    pub fn publish(self) -> Result<u64, SendError> {
        self.0.publish()
    }

    /// As [`Loan::publish_len`].
    ///
    /// # Errors
    /// As [`Loan::publish_len`].
    ///
    /// # Panics
    /// If it has fewer bytes.
    pub fn publish_len(self, len: usize) -> Result<u64, SendError> {
        self.0.publish_len(len)
    }

    /// The loan as one that is written by copies, to say what there is to say about the frame.
    #[must_use]
    pub fn into_inner(self) -> Loan<'a> {
        self.0
    }
}

impl Deref for InPlaceLoan<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let Some((pointer, len)) = self.0.room() else {
            return &[];
        };
        // SAFETY: the range lies in the mapping (`room` checks it), which the loan keeps alive through the publisher
        // it borrows. Nobody else writes it: no other loan has the slot, subscribers do not write there, and the
        // caller of `in_place` vouched for the rest. Bytes are always initialised: the kernel zeroes new pages.
        unsafe { std::slice::from_raw_parts(pointer, len) }
    }
}

impl DerefMut for InPlaceLoan<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        let Some((pointer, len)) = self.0.room() else {
            return &mut [];
        };
        // SAFETY: as in `deref`; the loan is borrowed mutably, so this is the only slice. Subscribers who read the
        // frame that lay there before have given it back: nobody has the slot pinned.
        unsafe { std::slice::from_raw_parts_mut(pointer, len) }
    }
}

/// A [`Subscriber`] that lends frames; see [`Subscriber::in_place`].
#[derive(Debug)]
pub struct InPlaceSubscriber(Subscriber);

/// What changes the handle is told one by one: lending out `&mut Subscriber` would let it be exchanged for one of a
/// channel that nobody vouched for.
impl InPlaceSubscriber {
    /// As [`Subscriber::recv`].
    ///
    /// # Errors
    /// As [`Subscriber::recv`].
    pub fn recv(&mut self) -> Result<InPlaceFrame, RecvError> {
        self.0.recv().map(InPlaceFrame)
    }

    /// As [`Subscriber::recv_timeout`].
    ///
    /// # Errors
    /// As [`Subscriber::recv_timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<InPlaceFrame, RecvError> {
        self.0.recv_timeout(timeout).map(InPlaceFrame)
    }

    /// As [`Subscriber::try_recv`].
    ///
    /// # Errors
    /// As [`Subscriber::try_recv`].
    pub fn try_recv(&mut self) -> Result<Option<InPlaceFrame>, RecvError> {
        Ok(self.0.try_recv()?.map(InPlaceFrame))
    }

    /// As [`Subscriber::skip_to_newest`].
    ///
    /// # Errors
    /// As [`Subscriber::skip_to_newest`].
    pub fn skip_to_newest(&mut self) -> Result<u64, RecvError> {
        self.0.skip_to_newest()
    }

    /// The handle that copies.
    #[must_use]
    pub fn into_inner(self) -> Subscriber {
        self.0
    }
}

impl Deref for InPlaceSubscriber {
    type Target = Subscriber;

    fn deref(&self) -> &Subscriber {
        &self.0
    }
}

/// A [`Frame`] whose bytes are a slice.
#[derive(Debug)]
pub struct InPlaceFrame(Frame);

impl InPlaceFrame {
    /// The frame itself: what there is to know of it besides its bytes.
    #[must_use]
    pub fn frame(&self) -> &Frame {
        &self.0
    }

    /// The frame that copies.
    #[must_use]
    pub fn into_inner(self) -> Frame {
        self.0
    }
}

impl Deref for InPlaceFrame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let Some((pointer, len)) = self.0.room() else {
            return &[];
        };
        // SAFETY: the range lies in the mapping (`room` checks it), which the frame keeps alive. The frame was
        // published, our Acquire load of its mark saw it, and its slot is pinned until the frame is dropped, which
        // `self` prevents; that nobody changes it meanwhile the caller of `in_place` vouched for.
        unsafe { std::slice::from_raw_parts(pointer, len) }
    }
}
