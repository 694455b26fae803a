//! The receiver's handle.

use std::fmt;
use std::time::Duration;

use super::options::{ReceiverOptions, whole_lane};
use super::role::MappedReceiver;
use super::{Event, LaneCounters, Meta, Record, SenderId};
use crate::channel::generation::Wanted;
use crate::channel::liveness::GenerationLocks;
use crate::channel::owner::Owned;
use crate::error::{GrowError, OpenError, RecvError, SendError};
use crate::handle::OwnerHandle;
use crate::handle::accessors::owner_accessors;
use crate::layout::last_error::LastError;
use crate::layout::mpsc;
use crate::memory::{Region, Shared};
use crate::os::{self, LockFile};
use crate::protocol::mpsc::receiver::Event as Told;
use crate::record::{Difference, Schema, WrongLength};
use crate::wait::{SLICE, Step, StopToken, WaitStrategy, Waiter};

/// The one process that receives from many [`Sender`](super::Sender)s, and owns the channel. Dropping it closes the
/// channel: senders get [`SendError::Closed`], and what was not received is gone. Not so if the
/// thread is panicking: then it looks dead to its senders, as it should, and a successor goes on.
#[derive(Debug)]
pub struct Receiver {
    handle: OwnerHandle<MappedReceiver>,
    wait: WaitStrategy,
    stop: Option<StopToken>,
    /// When it looked around last: at locks, and at lanes whose notices tell nothing.
    looked_ms: u64,
    /// Of a receiver of values of one type: what is left from a growth, and is of another.
    pub(super) before: Option<Before>,
}

/// Records of generations before one that were made of something else.
#[derive(Debug)]
pub(super) struct Before {
    /// The first generation of what this handle is for.
    pub(super) generation: u64,
    /// In what they differ.
    pub(super) difference: Difference,
    /// Makes one of the bytes of the other, if somebody said how.
    pub(super) conversion: Option<Conversion>,
}

/// Makes of a record's bytes those of another.
pub(super) type Convert = dyn Fn(&mut Vec<u8>) -> Result<(), WrongLength> + Send + Sync;

/// Bytes of a record to those of another.
pub(super) struct Conversion(pub(super) Box<Convert>);

impl fmt::Debug for Conversion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Conversion")
    }
}

owner_accessors!(Receiver, self => self.handle);

impl Receiver {
    /// Creates or adopts a channel in the default namespace with default options.
    ///
    /// # Errors
    /// As [`ReceiverOptions::open`].
    pub fn open(channel: &str) -> Result<Receiver, OpenError> {
        ReceiverOptions::new().open(channel)
    }

    pub(super) fn new(
        owned: Owned<MappedReceiver>,
        options: &ReceiverOptions,
        heartbeat: bool,
    ) -> Result<Self, OpenError> {
        let mut receiver = Receiver {
            handle: OwnerHandle::new(owned, heartbeat)?,
            wait: options.wait,
            stop: options.stop.clone(),
            looked_ms: os::coarse_ms(),
            before: None,
        };
        receiver.leave_free_lanes();
        if receiver.handle.role().older().is_some()
            && let Some(schema) = &options.settings.schema
        {
            receiver.before = receiver.of_another_type(schema)?;
        }
        Ok(receiver)
    }

    /// Whether what is left of the growth before was made of something else.
    fn of_another_type(&self, schema: &Schema) -> Result<Option<Before>, OpenError> {
        let current = self.handle.owned.header.generation;
        match self.handle.owned.expect_older(current - 1, schema) {
            Err(OpenError::SchemaMismatch { difference, .. }) => Ok(Some(Before {
                generation: current,
                difference,
                conversion: None,
            })),
            other => other.map(|()| None),
        }
    }

    /// What comes next: a record, or that a sender has come or gone; waits for it. Asking for it says that what came
    /// before is done with.
    ///
    /// # Errors
    /// [`RecvError::Stopped`]; [`RecvError::Deleted`] if the channel was removed by force; [`RecvError::Damaged`] if
    /// somebody wrote over words that only this receiver writes; [`RecvError::Forked`].
    pub fn recv(&mut self) -> Result<Event, RecvError> {
        let mut payload = Vec::new();
        let event = self.recv_into_timeout(&mut payload, None)?;
        Ok(event.map(|meta| Record::new(meta, payload)))
    }

    /// [`Self::recv`], at most so long.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and as [`Self::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Event, RecvError> {
        let mut payload = Vec::new();
        let event = self.recv_into_timeout(&mut payload, Some(timeout))?;
        Ok(event.map(|meta| Record::new(meta, payload)))
    }

    /// What comes next if it is there.
    ///
    /// # Errors
    /// As [`Self::recv`], but for waiting.
    pub fn try_recv(&mut self) -> Result<Option<Event>, RecvError> {
        let mut payload = Vec::new();
        let event = self.try_recv_into(&mut payload)?;
        Ok(event.map(|event| event.map(|meta| Record::new(meta, payload))))
    }

    /// [`Self::recv`] into a buffer, which gets the bytes of a record and is empty for other news; once it is large
    /// enough nothing is allocated.
    ///
    /// # Errors
    /// As [`Self::recv`].
    #[inline]
    pub fn recv_into(&mut self, payload: &mut Vec<u8>) -> Result<Event<Meta>, RecvError> {
        self.recv_into_timeout(payload, None)
    }

    /// [`Self::recv_into`], at most so long; `None`: no limit.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and as [`Self::recv`].
    #[inline]
    pub fn recv_into_timeout(
        &mut self,
        payload: &mut Vec<u8>,
        timeout: Option<Duration>,
    ) -> Result<Event<Meta>, RecvError> {
        let told = match self.look()? {
            Some(told) => told,
            None => self.wait_for_event(timeout)?,
        };
        let event = self.take(told, payload);
        self.check_pages()?;
        Ok(event)
    }

    /// [`Self::try_recv`] into a buffer.
    ///
    /// # Errors
    /// As [`Self::try_recv`].
    #[inline]
    pub fn try_recv_into(
        &mut self,
        payload: &mut Vec<u8>,
    ) -> Result<Option<Event<Meta>>, RecvError> {
        let told = self.look()?;
        let event = told.map(|told| self.take(told, payload));
        self.check_pages()?;
        Ok(event)
    }

    /// The next record, for who does not mind who comes and goes; waits for it.
    ///
    /// # Errors
    /// As [`Self::recv`].
    pub fn recv_record(&mut self) -> Result<Record, RecvError> {
        loop {
            if let Event::Record(record) = self.recv()? {
                return Ok(record);
            }
        }
    }

    /// Every record, without what is said of senders; ends when the stop token is used, and after any other error.
    pub fn records(&mut self) -> Records<'_> {
        Records {
            receiver: self,
            ended: false,
        }
    }

    /// Everything received so far counts as processed, from now on: a successor will not receive it again, and its
    /// room is the senders'.
    pub fn acknowledge(&mut self) {
        if self.handle.is_ours() {
            self.handle.role_mut().publish_all();
            self.tell_senders();
        }
    }

    /// Goes on with lanes of at least `lane_capacity` bytes (rounded up to a power of two), in a new generation, while
    /// traffic runs: each sender comes over with its next send, and of each everything is received, in order, and
    /// nothing twice. The old memory goes when the last one has come and everything there was received; until then both are
    /// reserved. Lanes that have so many bytes already stay.
    ///
    /// ```
    /// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
    /// # let namespace = partywall::Namespace::open(place.path()).unwrap();
    /// use partywall::mpsc::{ReceiverOptions, SenderOptions};
    /// let options = ReceiverOptions::new().namespace(namespace.clone()).lane_capacity(4096);
    /// let mut receiver = options.open("log")?;
    /// let mut sender = SenderOptions::new().namespace(namespace).attach("log")?;
    /// sender.send(b"small")?;
    /// receiver.grow(1 << 20)?;
    /// sender.send(&[7; 100_000])?;
    /// assert_eq!(&receiver.recv_record()?[..], b"small");
    /// assert_eq!(receiver.recv_record()?.len(), 100_000);
    /// assert_eq!((receiver.generation(), sender.generation()), (2, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`GrowError::Unfinished`] while a sender, or something to receive, is left from the growth before: a sender that
    /// sends nothing, or is stopped, holds the next growth up, and nothing else.
    /// [`OpenError::InvalidOption`], [`OpenError::NoSpace`] and what the system says; [`SendError::Deleted`],
    /// [`SendError::Superseded`], [`SendError::Damaged`], [`SendError::Forked`]. Nothing was changed then.
    pub fn grow(&mut self, lane_capacity: u64) -> Result<(), GrowError> {
        self.handle.check_process()?;
        let lane = whole_lane(lane_capacity)?;
        if lane <= self.lane_capacity() {
            return Ok(());
        }
        self.go_on_with(|wanted| wanted.payload_size = lane)
    }

    /// Goes on with records that are made of something else, in a new generation, as [`Self::grow`] does. Senders that
    /// were attached for the old ones get [`SendError::SchemaMismatch`], and are told of as [`Event::Closed`] behind their
    /// last record; those that send bytes go on. What was sent before still comes: [`Record::generation`] tells.
    /// `None`: bytes without a schema. Lanes grow if a record needs that.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub fn reschema(&mut self, schema: Option<Schema>) -> Result<(), GrowError> {
        self.handle.check_process()?;
        let record = schema.as_ref().map_or(0, |schema| schema.size() as u64);
        let mut lane = self.lane_capacity();
        while record > mpsc::max_payload(lane) {
            lane = whole_lane(lane.saturating_mul(2))?;
        }
        self.go_on_with(|wanted| {
            wanted.payload_size = lane;
            wanted.schema = schema;
        })
    }

    fn go_on_with(&mut self, change: impl FnOnce(&mut Wanted)) -> Result<(), GrowError> {
        self.leave_free_lanes();
        let unfinished = self.handle.unfinished();
        self.handle.check_pages()?;
        if let Some(generation) = unfinished {
            return Err(GrowError::Unfinished {
                channel: self.channel().to_owned(),
                generation,
            });
        }
        self.handle.grow(change)?;
        self.leave_free_lanes();
        Ok(())
    }

    /// Goes on in the current generation in lanes of the one before that nobody needs any more.
    fn leave_free_lanes(&mut self) {
        let owned = &mut self.handle.owned;
        let [_, older] = locks(&owned.lock, owned.header.generation);
        owned.role.leave_free(&older);
        self.handle.reclaim();
        self.tell_senders();
    }

    /// Ends the channel: senders get [`SendError::Closed`]. What they have sent
    /// and was not received is gone. Dropping the receiver does the same.
    ///
    /// # Errors
    /// [`RecvError::Forked`].
    pub fn close(self) -> Result<(), RecvError> {
        self.check()
    }

    /// Gives the channel up without ending it: senders see the same as after a death, and the next receiver goes on
    /// behind what was received here.
    pub fn abandon(mut self) {
        self.handle.abandon();
    }

    /// Whether this took over what a dead or abandoning receiver left.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.handle.owned.adopted
    }

    /// Records received since the channel began, by all of its receivers, and done with: the last one is counted when
    /// the next is asked for. One that is received again by a successor is counted once.
    #[must_use]
    pub fn received(&self) -> u64 {
        let role = self.handle.role();
        (0..role.shape().seats)
            .map(|seat| role.records(seat))
            .fold(0, u64::wrapping_add)
    }

    /// The account of one seat's lane; `None` if there is no such seat.
    #[must_use]
    pub fn lane(&self, seat: u32) -> Option<LaneCounters> {
        let role = self.handle.role();
        if seat >= role.shape().seats || !self.handle.is_ours() {
            return None;
        }
        let [dropped, blocked, blocked_ns] = mpsc::COUNTED.map(|words| role.counted(seat, words));
        Some(LaneCounters {
            received: role.records(seat),
            dropped,
            blocked,
            blocked_ns,
        })
    }

    /// How many senders there can be at once.
    #[must_use]
    pub fn seats(&self) -> u32 {
        self.handle.role().shape().seats
    }

    /// Bytes of each lane.
    #[must_use]
    pub fn lane_capacity(&self) -> u64 {
        self.handle.role().shape().lane
    }

    fn check(&self) -> Result<(), RecvError> {
        self.handle.check_process().map_err(recv_error)
    }

    #[inline(always)]
    fn check_pages(&self) -> Result<(), RecvError> {
        self.handle.check_pages().map_err(recv_error)
    }

    /// What is there now. Asking for it says that what came before is done with. Once a slice it looks around first, however much
    /// there is: a busy lane must not hide that another one's sender has died.
    #[inline]
    fn look(&mut self) -> Result<Option<Told>, RecvError> {
        self.check()?;
        let now = os::coarse_ms();
        if now.wrapping_sub(self.looked_ms) >= SLICE.as_millis() as u64
            && let Some(told) = self.look_around()?
        {
            return Ok(Some(told));
        }
        Ok(self.next())
    }

    #[inline]
    fn next(&mut self) -> Option<Told> {
        let told = self.handle.role_mut().next();
        self.tell_senders();
        told
    }

    /// Wakes senders that sleep, if a cursor was stored since the last time.
    #[inline]
    fn tell_senders(&mut self) {
        if self.handle.role_mut().take_published() {
            self.handle.wake_sleepers();
        }
    }

    /// Is the channel there, has a sender died, and did one die between a record and its notice?
    #[cold]
    #[inline(never)]
    fn look_around(&mut self) -> Result<Option<Told>, RecvError> {
        self.looked_ms = os::coarse_ms();
        self.handle.look_at_channel().map_err(recv_error)?;
        let owned = &mut self.handle.owned;
        owned.role.sweep();
        let [current, older] = locks(&owned.lock, owned.header.generation);
        let died = owned.role.find_dead(&current, &older);
        self.handle.reclaim();
        self.tell_senders();
        Ok(died)
    }

    #[cold]
    #[inline(never)]
    fn wait_for_event(&mut self, timeout: Option<Duration>) -> Result<Told, RecvError> {
        let stop = self.stop.clone();
        let mut waiter = Waiter::new(self.wait, timeout, stop.as_ref());
        loop {
            match waiter.step() {
                Step::Spin => {}
                Step::LookAround => {
                    if let Some(told) = self.look_around()? {
                        return Ok(told);
                    }
                }
                Step::Park(longest) => self.park(longest),
                Step::TimedOut => {
                    self.check_pages()?;
                    self.handle.note(LastError::TimedOut);
                    return Err(RecvError::TimedOut {
                        channel: self.channel().to_owned(),
                        waited: waiter.waited(),
                    });
                }
                Step::Stopped => {
                    self.check_pages()?;
                    return Err(RecvError::Stopped {
                        channel: self.channel().to_owned(),
                    });
                }
            }
            if let Some(told) = self.next() {
                return Ok(told);
            }
        }
    }

    /// Sleeps until a sender rings. Every seat may: who comes rings too.
    fn park(&mut self, longest: Duration) {
        let role = self.handle.role_mut();
        let peers = role.peers().clone();
        // Without one there are no bells either.
        let older = role.older().map(|older| older.1.clone());
        let older = older.as_ref().unwrap_or(&peers);
        role.park(|bells, old_bells| {
            let here = bells.iter().map(|&(at, value)| (&peers, at, value));
            let there = old_bells.iter().map(|&(at, value)| (older, at, value));
            let words: Vec<_> = here.chain(there).collect();
            Region::sleep_any(&words, longest);
        });
    }

    /// What was told, in the words of the public; the bytes of a record go into the buffer.
    #[inline]
    fn take(&self, told: Told, payload: &mut Vec<u8>) -> Event<Meta> {
        let id = |seat, epoch| SenderId { seat, epoch };
        let event = match told {
            Told::Record { seat, epoch, found } => {
                let len = found.len as usize;
                // Only what the buffer lacks is zeroed first; what it has is overwritten anyway.
                payload.resize(len, 0);
                let role = self.handle.role();
                role.peers_of(seat).copy_out(found.payload_at, payload);
                return Event::Record(Meta {
                    sender: id(seat, epoch),
                    len,
                    kind: found.kind,
                    position: found.position,
                    generation: self.generation() - u64::from(role.is_older(seat)),
                });
            }
            Told::Opened { seat, epoch } => Event::Opened(id(seat, epoch)),
            Told::Closed { seat, epoch } => Event::Closed(id(seat, epoch)),
            Told::Died { seat, epoch } => Event::Died(id(seat, epoch)),
            Told::Lied { seat, epoch, lie } => Event::Lied(id(seat, epoch), lie),
        };
        payload.clear();
        event
    }
}

/// The locks of a generation's seats, and of the one before it.
fn locks(lock: &LockFile, generation: u64) -> [GenerationLocks<'_>; 2] {
    [generation, generation.wrapping_sub(1)].map(|generation| GenerationLocks { lock, generation })
}

/// What an owner's handle says, as a receiver says it.
fn recv_error(error: SendError) -> RecvError {
    match error {
        SendError::Deleted { channel } => RecvError::Deleted { channel },
        SendError::Superseded { channel } => RecvError::Superseded { channel },
        SendError::Damaged { channel, lie } => RecvError::Damaged { channel, lie },
        SendError::Forked { channel } => RecvError::Forked { channel },
        // Of sending; an owner's handle says none of them by itself.
        SendError::TooLarge { channel, .. }
        | SendError::Full { channel }
        | SendError::TimedOut { channel, .. }
        | SendError::NoConsumer { channel, .. }
        | SendError::TooManyLoans { channel, .. }
        | SendError::Stopped { channel }
        | SendError::Closed { channel }
        | SendError::SchemaMismatch { channel, .. }
        | SendError::NotMoved { channel, .. }
        | SendError::Evicted { channel, .. } => RecvError::Closed { channel },
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.handle.is_ours() && !std::thread::panicking() {
            self.acknowledge();
        }
    }
}

/// Iterates over records; see [`Receiver::records`].
#[derive(Debug)]
pub struct Records<'a> {
    receiver: &'a mut Receiver,
    ended: bool,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.receiver.recv_record();
        self.ended = next.is_err();
        match next {
            Err(RecvError::Stopped { .. }) => None,
            other => Some(other),
        }
    }
}
