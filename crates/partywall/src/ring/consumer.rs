//! The consumer's handle.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

use super::options::{ConsumerOptions, Delivery};
use super::record::{Losses, Meta, Record, Records};
use super::role::MappedConsumer;
use crate::channel::attach::Attached;
use crate::error::{OpenError, RecvError};
use crate::handle::PeerHandle;
use crate::handle::accessors::peer_accessors;
use crate::layout::verdict::{self, Evicted};
use crate::layout::{owner, seat};
use crate::memory::{Shared, SharedMut};
use crate::protocol::buffer::Found;
use crate::protocol::cursor;
use crate::wait::WaitStrategy;

/// A reader of a ring: gets every record that is committed while it is attached. Dropping it detaches: what
/// it received counts as processed then, unless the thread is panicking.
#[derive(Debug)]
pub struct Consumer {
    pub(super) handle: PeerHandle,
    pub(super) role: MappedConsumer,
    resumed: bool,
    durable: bool,
    delivery: Delivery,
    /// Records received that are not in the seat's counter yet.
    uncounted: u64,
}

/// Looks at the next header before a wait begins in earnest: some crossings between two cores. What was passed
/// is not published before, so a producer that waits for it waits as much longer.
const FIRST_LOOKS: u32 = 200;

peer_accessors!(Consumer, self => self.handle);

impl Consumer {
    /// Attaches to a channel of the default namespace with default options.
    ///
    /// # Errors
    /// As [`ConsumerOptions::attach`].
    pub fn attach(channel: &str) -> Result<Consumer, OpenError> {
        ConsumerOptions::new().attach(channel)
    }

    pub(super) fn new(attached: Attached<MappedConsumer>, options: &ConsumerOptions) -> Self {
        let resumed = attached.resumed;
        let (handle, role) = PeerHandle::seated(attached, options.settings.clone());
        Consumer {
            handle,
            role,
            resumed,
            durable: options.durable.is_some(),
            delivery: options.delivery,
            uncounted: 0,
        }
    }

    /// The next record; waits for it.
    ///
    /// # Errors
    /// [`RecvError::Closed`] at the clean end of the stream; [`RecvError::OwnerDied`] once everything that a
    /// dead producer committed was read (unless
    /// [`await_successor`](ConsumerOptions::await_successor) was chosen); [`RecvError::Stopped`];
    /// [`RecvError::Damaged`], [`RecvError::Evicted`], [`RecvError::Deleted`], [`RecvError::Forked`]. Where the producer
    /// [goes on](super::Producer::grow) in a larger generation, so does the consumer: [`RecvError::SchemaMismatch`] if
    /// the records there are others than it was attached for, [`RecvError::NotMoved`] if that could not be opened yet.
    pub fn recv(&mut self) -> Result<Record, RecvError> {
        self.recv_record(None)
    }

    /// [`Self::recv`], at most so long.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and as [`Self::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Record, RecvError> {
        self.recv_record(Some(timeout))
    }

    fn recv_record(&mut self, timeout: Option<Duration>) -> Result<Record, RecvError> {
        let mut payload = Vec::new();
        let meta = self.recv_into_timeout(&mut payload, timeout)?;
        Ok(Record {
            kind: meta.kind,
            position: meta.position,
            payload,
        })
    }

    /// The next record if there is one.
    ///
    /// # Errors
    /// As [`Self::recv`], but for waiting.
    pub fn try_recv(&mut self) -> Result<Option<Record>, RecvError> {
        let mut payload = Vec::new();
        let meta = self.try_recv_into(&mut payload)?;
        Ok(meta.map(|meta| Record {
            kind: meta.kind,
            position: meta.position,
            payload,
        }))
    }

    /// [`Self::recv`] into a buffer that is cleared first; once it is large enough nothing is allocated.
    ///
    /// # Errors
    /// As [`Self::recv`].
    #[inline(always)]
    pub fn recv_into(&mut self, payload: &mut Vec<u8>) -> Result<Meta, RecvError> {
        self.recv_into_timeout(payload, None)
    }

    /// [`Self::recv_into`], at most so long; `None`: no limit.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and as [`Self::recv`].
    #[inline(always)]
    pub fn recv_into_timeout(
        &mut self,
        payload: &mut Vec<u8>,
        timeout: Option<Duration>,
    ) -> Result<Meta, RecvError> {
        let found = match self.look()? {
            Some(found) => found,
            None => self.spin_for_record(timeout)?,
        };
        let meta = self.take(found, payload);
        self.handle.check_pages()?;
        Ok(meta)
    }

    /// [`Self::try_recv`] into a buffer.
    ///
    /// # Errors
    /// As [`Self::try_recv`].
    #[inline(always)]
    pub fn try_recv_into(&mut self, payload: &mut Vec<u8>) -> Result<Option<Meta>, RecvError> {
        let found = match self.look()? {
            Some(found) => Some(found),
            None => self.found_nothing()?,
        };
        let meta = found.map(|found| self.take(found, payload));
        self.handle.check_pages()?;
        Ok(meta)
    }

    /// Every record from here to the end of the stream.
    pub fn records(&mut self) -> Records<'_> {
        Records::new(self)
    }

    /// Everything received so far counts as processed, from now on.
    pub fn acknowledge(&mut self) {
        if !self.handle.has_ended() && self.handle.is_ours() {
            self.publish();
        }
    }

    /// Gives the seat up, as dropping does. A durable consumer's seat waits for it to come back.
    pub fn detach(self) {}

    /// Where the next record begins: bytes since the channel did.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.role.position()
    }

    /// The seat's number.
    #[must_use]
    pub fn seat(&self) -> u32 {
        self.role.seat()
    }

    /// Whether this went on where a consumer of the same name had stood.
    #[must_use]
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// What this seat lost so far.
    #[must_use]
    pub fn losses(&self) -> Losses {
        if !self.handle.is_ours() {
            return Losses::default();
        }
        let consumer = &self.role;
        let at = consumer.seat_at();
        let verdict = verdict::at(consumer.seat());
        let selector =
            Evicted(consumer.owner().load(verdict + verdict::EVICTED, Acquire)).selector();
        Losses {
            abandoned: consumer.peers().load(
                at + seat::ABANDONED_0 + 8 * (consumer.state().epoch() & 1),
                Relaxed,
            ),
            evicted: consumer
                .owner()
                .load(verdict + verdict::LOST_0 + 8 * selector, Relaxed),
            detached: consumer.peers().load(at + seat::UNREAD, Relaxed),
            former: consumer.owner().load(verdict + verdict::FORMER, Relaxed),
        }
    }

    /// One look, on the fast path. Asking for a record says that the one before is done with.
    #[inline(always)]
    fn look(&mut self) -> Result<Option<Found>, RecvError> {
        self.handle.check()?;
        if self.role.ought_to_publish() {
            self.publish();
        }
        self.peek()
    }

    #[inline(always)]
    fn peek(&mut self) -> Result<Option<Found>, RecvError> {
        match self.role.peek() {
            Ok(found) => Ok(found),
            Err(lie) => Err(self.handle.damaged(lie)),
        }
    }

    #[inline(always)]
    fn take(&mut self, found: Found, payload: &mut Vec<u8>) -> Meta {
        let len = found.len as usize;
        // Only what the buffer lacks is zeroed first; what it has is overwritten anyway.
        if payload.len() < len {
            payload.resize(len, 0);
        } else {
            payload.truncate(len);
        }
        self.role.owner().copy_out(found.payload_at, payload);
        self.pass(found);
        Meta {
            len,
            kind: found.kind,
            position: found.position,
        }
    }

    #[inline(always)]
    pub(super) fn pass(&mut self, found: Found) {
        self.role.pass(found);
        self.uncounted += 1;
        if self.delivery == Delivery::AtMostOnce {
            self.publish();
        }
    }

    /// For borrowing in place: the next record if there is one.
    #[inline(always)]
    pub(super) fn try_next_found(&mut self) -> Result<Option<Found>, RecvError> {
        match self.look()? {
            Some(found) => Ok(Some(found)),
            None => self.found_nothing(),
        }
    }

    /// For borrowing in place: the next record, which stays until it is passed.
    #[inline(always)]
    pub(super) fn next_found(&mut self, timeout: Option<Duration>) -> Result<Found, RecvError> {
        match self.look()? {
            Some(found) => Ok(found),
            None => self.spin_for_record(timeout),
        }
    }

    /// Lets the producer have what was passed.
    #[inline(never)]
    fn publish(&mut self) {
        if self.role.publish() {
            let consumer = &self.role;
            consumer
                .peers()
                .count(consumer.seat_at() + seat::RECEIVED, self.uncounted);
            self.uncounted = 0;
            self.handle.wake_owner();
            if let Err(lie) = self.role.compare() {
                // Told when the next record is asked for.
                self.handle.damaged(lie);
            }
        }
    }

    /// Nothing is there: let the producer have everything, and see whether there can be more.
    #[cold]
    #[inline(never)]
    fn found_nothing(&mut self) -> Result<Option<Found>, RecvError> {
        loop {
            self.publish();
            let role = &mut self.role;
            match self.handle.look_for_the_end(&mut || role.peek()) {
                Err(RecvError::Superseded { .. }) => self.move_over()?,
                other => return other,
            }
            if let Some(found) = self.peek()? {
                return Ok(Some(found));
            }
        }
    }

    /// The generation is over, and everything in it was passed: on in the next one, from its base.
    #[cold]
    fn move_over(&mut self) -> Result<(), RecvError> {
        // What the owner finds in the old seat, should we be killed on the way, is that nothing was left unread.
        self.publish();
        self.handle.move_over(&mut self.role).map(drop)
    }

    /// A few looks before anything else: what is under way arrives within them.
    #[inline(always)]
    fn spin_for_record(&mut self, timeout: Option<Duration>) -> Result<Found, RecvError> {
        if self.handle.strategy() != WaitStrategy::Park {
            for _ in 0..FIRST_LOOKS {
                std::hint::spin_loop();
                self.role.prefetch();
                if let Some(found) = self.peek()? {
                    return Ok(found);
                }
            }
        }
        self.wait_for_record(timeout)
    }

    #[cold]
    #[inline(never)]
    fn wait_for_record(&mut self, timeout: Option<Duration>) -> Result<Found, RecvError> {
        let started = Instant::now();
        let mut left = timeout;
        loop {
            self.publish();
            let role = &mut self.role;
            match self.handle.wait(left, &mut || role.peek()) {
                Err(RecvError::Superseded { .. }) => self.move_over()?,
                other => return other,
            }
            left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if !self.handle.is_ours() {
            return;
        }
        if !std::thread::panicking() && !self.handle.was_evicted() {
            self.publish();
        }
        let (consumer, durable) = (&self.role, self.durable);
        let records = |owner: &_| cursor::read(owner, owner::WRITE_SEQ).records;
        // What another stream has, behind the end of this one, is none that it left.
        let written = match self.handle.is_closed() {
            true => records(consumer.owner()),
            false => self.handle.with_current(records).flatten(),
        };
        self.handle.leave(durable, |_| {
            if !durable {
                let unread =
                    written.map_or(0, |records| records.saturating_sub(consumer.records()));
                consumer
                    .peers()
                    .count(consumer.seat_at() + seat::UNREAD, unread);
            }
        });
    }
}
