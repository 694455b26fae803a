//! The consumer's handle.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use super::options::{ConsumerOptions, Delivery};
use super::record::{Losses, Meta, Record, Records};
use super::role::MappedConsumer;
use crate::channel::attach::Attached;
use crate::channel::heartbeat::Heartbeat;
use crate::channel::{liveness, removal, root};
use crate::error::{OpenError, RecvError};
use crate::layout::header::{self, State};
use crate::layout::last_error::LastError;
use crate::layout::verdict::{self, Evicted};
use crate::layout::{owner, peers, seat};
use crate::memory::{Shared, SharedMut};
use crate::os::{self, Process};
use crate::protocol::Lie;
use crate::protocol::buffer::Found;
use crate::protocol::cursor;
use crate::protocol::{park, seats};
use crate::wait::{SLICE, Step, StopToken, WaitStrategy, Waiter};

/// A reader of a ring: gets every record that is committed while it is attached. Dropping it detaches: what
/// it received counts as processed then, unless the thread is panicking.
#[derive(Debug)]
pub struct Consumer {
    heartbeat: Option<Heartbeat>,
    pub(super) process: Process,
    pub(super) attached: Attached<MappedConsumer>,
    durable: bool,
    delivery: Delivery,
    await_successor: bool,
    wait: WaitStrategy,
    stop: Option<StopToken>,
    /// Records received that are not in the seat's counter yet.
    uncounted: u64,
    /// What ended this handle for good.
    ended: Option<Ended>,
    /// When `try_recv` looked around last.
    looked_ms: u64,
}

/// Why a handle can give nothing more.
#[derive(Clone, Debug)]
enum Ended {
    Damaged(Lie),
    Evicted(crate::EvictionReason),
    Closed,
    Deleted,
    Superseded,
}

/// Looks at the next header before a wait begins in earnest: some crossings between two cores. What was passed
/// is not published before, so a producer that waits for it waits as much longer.
const FIRST_LOOKS: u32 = 200;

impl Consumer {
    /// Attaches to a channel of the default namespace with default options.
    ///
    /// # Errors
    /// As [`ConsumerOptions::attach`].
    pub fn attach(channel: &str) -> Result<Consumer, OpenError> {
        ConsumerOptions::new().attach(channel)
    }

    pub(super) fn new(attached: Attached<MappedConsumer>, options: &ConsumerOptions) -> Self {
        let peers = attached.role.peers();
        let at = attached.role.seat_at();
        peers.store(at + seat::PID, os::process_id().into(), Relaxed);
        peers.store(at + seat::SINCE_NS, os::boottime_ns(), Relaxed);
        peers.count(at + seat::ATTACHED, 1);
        // A dead holder may have slept.
        peers.store32(peers::parked(attached.role.seat()), 0, Relaxed);
        let heartbeat = options
            .heartbeat
            .then(|| Heartbeat::start(peers.clone(), at + seat::HEARTBEAT_NS));
        Consumer {
            heartbeat,
            process: Process::current(),
            attached,
            durable: options.durable.is_some(),
            delivery: options.delivery,
            await_successor: options.await_successor,
            wait: options.wait,
            stop: options.stop.clone(),
            uncounted: 0,
            ended: None,
            looked_ms: os::coarse_ms(),
        }
    }

    /// The next record; waits for it.
    ///
    /// # Errors
    /// [`RecvError::Closed`] at the clean end of the stream; [`RecvError::OwnerDied`] once everything that a
    /// dead producer committed was read (unless
    /// [`await_successor`](ConsumerOptions::await_successor) was chosen); [`RecvError::Stopped`];
    /// [`RecvError::Damaged`], [`RecvError::Evicted`], [`RecvError::Deleted`], [`RecvError::Forked`].
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
        Ok(self.take(found, payload))
    }

    /// [`Self::try_recv`] into a buffer.
    ///
    /// # Errors
    /// As [`Self::try_recv`].
    #[inline(always)]
    pub fn try_recv_into(&mut self, payload: &mut Vec<u8>) -> Result<Option<Meta>, RecvError> {
        match self.look()? {
            Some(found) => Ok(Some(self.take(found, payload))),
            None => Ok(self.found_nothing()?.map(|found| self.take(found, payload))),
        }
    }

    /// Every record from here to the end of the stream.
    pub fn records(&mut self) -> Records<'_> {
        Records::new(self)
    }

    /// Everything received so far counts as processed, from now on.
    pub fn acknowledge(&mut self) {
        if self.ended.is_none() && self.process.is_this() {
            self.publish();
        }
    }

    /// Gives the seat up, as dropping does. A durable consumer's seat waits for it to come back.
    pub fn detach(self) {}

    /// Where the next record begins: bytes since the channel did.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.attached.role.position()
    }

    /// The seat's number.
    #[must_use]
    pub fn seat(&self) -> u32 {
        self.attached.role.seat()
    }

    /// Whether this went on where a consumer of the same name had stood.
    #[must_use]
    pub fn resumed(&self) -> bool {
        self.attached.resumed
    }

    /// What this seat lost so far.
    #[must_use]
    pub fn losses(&self) -> Losses {
        if !self.process.is_this() {
            return Losses::default();
        }
        let consumer = &self.attached.role;
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
        }
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.attached.channel.name()
    }

    /// Counts the channel's generations from 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.attached.header.generation
    }

    /// Counts the owners of this generation from 1: changes when a new producer adopts the channel.
    #[must_use]
    pub fn owner_epoch(&self) -> u64 {
        if !self.process.is_this() {
            return 0;
        }
        self.attached
            .role
            .owner()
            .load(header::OWNER_EPOCH, Acquire)
    }

    /// One look, on the fast path. Asking for a record says that the one before is done with.
    #[inline(always)]
    fn look(&mut self) -> Result<Option<Found>, RecvError> {
        if !self.process.is_this() {
            return Err(self.forked());
        }
        if self.ended.is_some() {
            return Err(self.ended());
        }
        if self.attached.role.ought_to_publish() {
            self.publish();
        }
        self.peek()
    }

    #[inline(always)]
    fn peek(&mut self) -> Result<Option<Found>, RecvError> {
        match self.attached.role.peek() {
            Ok(found) => Ok(found),
            Err(lie) => Err(self.damaged(lie)),
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
        self.attached
            .role
            .owner()
            .copy_out(found.payload_at, payload);
        self.pass(found);
        Meta {
            len,
            kind: found.kind,
            position: found.position,
        }
    }

    #[inline(always)]
    pub(super) fn pass(&mut self, found: Found) {
        self.attached.role.pass(found);
        self.uncounted += 1;
        if self.delivery == Delivery::AtMostOnce {
            self.publish();
        }
    }

    /// For borrowing in place: the next record if there is one.
    pub(super) fn try_next_found(&mut self) -> Result<Option<Found>, RecvError> {
        match self.look()? {
            Some(found) => Ok(Some(found)),
            None => self.found_nothing(),
        }
    }

    /// For borrowing in place: the next record, which stays until it is passed.
    pub(super) fn next_found(&mut self, timeout: Option<Duration>) -> Result<Found, RecvError> {
        match self.look()? {
            Some(found) => Ok(found),
            None => self.spin_for_record(timeout),
        }
    }

    /// Lets the producer have what was passed.
    #[inline(never)]
    fn publish(&mut self) {
        if self.attached.role.publish() {
            let consumer = &self.attached.role;
            consumer
                .peers()
                .count(consumer.seat_at() + seat::RECEIVED, self.uncounted);
            self.uncounted = 0;
            park::wake_owner(consumer.owner(), consumer.peers(), consumer.seat());
        }
    }

    /// Nothing is there: let the producer have everything, and see whether there can be more.
    #[cold]
    #[inline(never)]
    fn found_nothing(&mut self) -> Result<Option<Found>, RecvError> {
        self.publish();
        let now = os::coarse_ms();
        if now.wrapping_sub(self.looked_ms) >= SLICE.as_millis() as u64 {
            self.looked_ms = now;
            if let Some(found) = self.look_around()? {
                return Ok(Some(found));
            }
        }
        self.look_at_state()
    }

    /// A few looks before anything else: what is under way arrives within them.
    #[inline(always)]
    fn spin_for_record(&mut self, timeout: Option<Duration>) -> Result<Found, RecvError> {
        if self.wait != WaitStrategy::Park {
            for _ in 0..FIRST_LOOKS {
                std::hint::spin_loop();
                self.attached.role.prefetch();
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
        self.publish();
        if let Some(found) = self.look_at_state()? {
            return Ok(found);
        }
        let stop = self.stop.clone();
        let mut waiter = Waiter::new(self.wait, timeout, stop.as_ref());
        loop {
            match waiter.step() {
                Step::Spin => {}
                Step::LookAround => {
                    if let Some(found) = self.look_around()? {
                        return Ok(found);
                    }
                }
                Step::Park(longest) => {
                    if let Some(found) = self.park(longest)? {
                        return Ok(found);
                    }
                    if let Some(found) = self.look_at_state()? {
                        return Ok(found);
                    }
                }
                Step::TimedOut => {
                    self.note(LastError::TimedOut);
                    return Err(RecvError::TimedOut {
                        channel: self.channel().to_owned(),
                        waited: waiter.waited(),
                    });
                }
                Step::Stopped => {
                    return Err(RecvError::Stopped {
                        channel: self.channel().to_owned(),
                    });
                }
            }
            if let Some(found) = self.peek()? {
                return Ok(found);
            }
        }
    }

    fn park(&mut self, longest: Duration) -> Result<Option<Found>, RecvError> {
        let owner = self.attached.role.owner().clone();
        let peers = self.attached.role.peers().clone();
        let seat = self.attached.role.seat();
        let mut seen = Ok(None);
        park::park_peer(
            &owner,
            &peers,
            seat,
            || {
                seen = self.peek();
                let state = State(owner.load32(header::STATE, Acquire));
                !matches!(seen, Ok(None)) || state != State::READY
            },
            |bell| os::futex_wait(owner.half_word(owner::OWNER_BELL), bell, longest),
        );
        seen
    }

    /// Nothing is there: is the stream at its end? One load while it is not.
    fn look_at_state(&mut self) -> Result<Option<Found>, RecvError> {
        // SYNC close
        let state = State(self.attached.role.owner().load32(header::STATE, Acquire));
        if state == State::READY {
            return Ok(None);
        }
        // The header again, behind the state: the last record may have come in between.
        if let Some(found) = self.peek()? {
            return Ok(Some(found));
        }
        Err(self.end(match state {
            State::CLOSED => Ended::Closed,
            State::RETIRED => Ended::Superseded,
            _ => Ended::Damaged(Lie {
                word: "state",
                place: header::STATE,
                expected: "READY, RETIRED or CLOSED",
                found: state.0.into(),
            }),
        }))
    }

    /// Once a slice: is the channel there, the seat ours, the owner alive?
    fn look_around(&mut self) -> Result<Option<Found>, RecvError> {
        if root::state(&self.attached.root) == State::DELETED {
            // What was committed before is still delivered.
            return match self.peek()? {
                Some(found) => Ok(Some(found)),
                None => Err(self.end(Ended::Deleted)),
            };
        }
        if let Err(lie) = self.attached.role.seat_is_ours() {
            return Err(self.end(Ended::Damaged(lie)));
        }
        if let Some(reason) = self.attached.role.evicted() {
            return Err(self.end(Ended::Evicted(reason)));
        }
        if self.await_successor || self.owner_lives() {
            return Ok(None);
        }
        // Dead. State and header once more, both behind the look at the lock: it may have closed properly,
        // or committed, just before.
        if let Some(found) = self.look_at_state()? {
            return Ok(Some(found));
        }
        match self.peek()? {
            Some(found) => Ok(Some(found)),
            None => {
                self.note(LastError::OwnerDied);
                Err(RecvError::OwnerDied {
                    channel: self.channel().to_owned(),
                })
            }
        }
    }

    fn owner_lives(&self) -> bool {
        // An error is no proof of death.
        self.attached
            .lock
            .is_locked(liveness::OWNER)
            .unwrap_or(true)
    }

    /// Notes what went wrong, for whoever looks from outside.
    fn note(&self, error: LastError) {
        let consumer = &self.attached.role;
        let at = consumer.seat_at() + seat::LAST_ERROR;
        consumer.peers().store(at, error as u64, Relaxed);
    }

    #[cold]
    #[inline(never)]
    fn forked(&self) -> RecvError {
        RecvError::Forked {
            channel: self.channel().to_owned(),
        }
    }

    #[cold]
    #[inline(never)]
    fn damaged(&mut self, lie: Lie) -> RecvError {
        self.end(Ended::Damaged(lie))
    }

    fn end(&mut self, ended: Ended) -> RecvError {
        match ended {
            Ended::Damaged(_) => self.note(LastError::Damaged),
            Ended::Evicted(_) => self.note(LastError::Evicted),
            Ended::Deleted => self.note(LastError::Deleted),
            Ended::Superseded => self.note(LastError::Superseded),
            // As it should be.
            Ended::Closed => {}
        }
        self.ended = Some(ended);
        self.ended()
    }

    #[cold]
    #[inline(never)]
    fn ended(&self) -> RecvError {
        let channel = self.channel().to_owned();
        match self.ended.clone() {
            Some(Ended::Damaged(lie)) => RecvError::Damaged { channel, lie },
            Some(Ended::Evicted(reason)) => RecvError::Evicted { channel, reason },
            Some(Ended::Deleted) => RecvError::Deleted { channel },
            Some(Ended::Superseded) => RecvError::Superseded { channel },
            Some(Ended::Closed) | None => RecvError::Closed { channel },
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if !self.process.is_this() {
            return;
        }
        // The stamping stops before the seat is another's.
        self.heartbeat = None;
        if matches!(self.ended, Some(Ended::Evicted(_))) {
            // The seat is not ours to write any more, but for saying that it is free.
            let consumer = &self.attached.role;
            seats::leave(consumer.peers(), consumer.seat(), consumer.state(), false);
            return;
        }
        if !std::thread::panicking() {
            self.publish();
        }
        let consumer = &self.attached.role;
        let peers = consumer.peers();
        let at = consumer.seat_at();
        if !self.durable {
            let written = cursor::read(consumer.owner(), owner::WRITE_SEQ);
            let unread = written
                .records
                .map_or(0, |records| records.saturating_sub(consumer.records()));
            peers.count(at + seat::UNREAD, unread);
        }
        peers.count(at + seat::DETACHED, 1);
        seats::leave(peers, consumer.seat(), consumer.state(), self.durable);
        park::wake_owner(consumer.owner(), peers, consumer.seat());
        let byte = liveness::seat_byte(self.attached.header.generation, consumer.seat());
        let _ = self.attached.lock.unlock(byte);
        let state = State(consumer.owner().load32(header::STATE, Acquire));
        if state == State::CLOSED {
            removal::remove_if_closed_and_unused(&self.attached.channel, &self.attached.lock);
        }
    }
}
