//! The publisher's handle.

use std::cell::{RefCell, RefMut};
use std::time::{Duration, Instant};

use super::options::{grown, refit};
use super::role::MappedPublisher;
use super::{Loan, Overflow, PublisherOptions};
use crate::channel::generation::Wanted;
use crate::channel::owner::Owned;
use crate::error::{GrowError, OpenError, SendError};
use crate::handle::OwnerHandle;
use crate::handle::owner::Waiting;
use crate::layout::frames::{About, Info};
use crate::layout::last_error::LastError;
use crate::layout::owner;
use crate::memory::{Region, SharedMut, Writable};
use crate::os::{self, Process};
use crate::protocol::frames::{Busy, Loan as Slot, Shape};
use crate::record::Schema;
use crate::wait::{StopToken, WaitStrategy};

/// The one process that publishes frames. Dropping it closes the channel, unless the thread is panicking: then it looks
/// dead to its subscribers, as it should.
///
/// It and its [`Loan`]s belong to one thread at a time; slices that an [`InPlacePublisher`](super::InPlacePublisher)'s loans lend can be filled
/// by several.
#[derive(Debug)]
pub struct Publisher {
    /// Borrowed for moments only, and never while the application's code runs: several loans share it.
    handle: RefCell<OwnerHandle<MappedPublisher>>,
    process: Process,
    /// Where loans are written, which needs nothing of the handle.
    owner: Region<Writable>,
    shape: Shape,
    channel: String,
    facts: Facts,
    overflow: Overflow,
    block_timeout: Option<Duration>,
    wait: WaitStrategy,
    stop: Option<StopToken>,
    time_stamps: bool,
}

/// What was settled when the channel was opened.
#[derive(Clone, Copy, Debug)]
struct Facts {
    adopted: bool,
    generation: u64,
    owner_epoch: u64,
}

/// Whether, and how long, a call may wait.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    None,
    Policy,
    Time(Duration),
}

impl Publisher {
    /// Creates or adopts a channel in the default namespace with default options.
    ///
    /// # Errors
    /// As [`PublisherOptions::open`].
    pub fn open(channel: &str) -> Result<Publisher, OpenError> {
        PublisherOptions::new().open(channel)
    }

    pub(super) fn new(
        owned: Owned<MappedPublisher>,
        options: &PublisherOptions,
        heartbeat: bool,
    ) -> Result<Self, OpenError> {
        let facts = Facts {
            adopted: owned.adopted,
            generation: owned.header.generation,
            owner_epoch: owned.epoch,
        };
        Ok(Publisher {
            process: Process::current(),
            owner: owned.role.owner().clone(),
            shape: *owned.role.shape(),
            channel: owned.channel.name().to_owned(),
            facts,
            overflow: options.overflow,
            block_timeout: options.block_timeout,
            wait: options.wait,
            stop: options.stop.clone(),
            time_stamps: options.time_stamps,
            handle: RefCell::new(OwnerHandle::new(owned, heartbeat)?),
        })
    }

    /// Borrows a slot for a frame of `len` bytes. Nobody sees it before it is published; dropping the loan gives it up.
    /// When reliable subscribers have not come to the frames that are in the way, the chosen [`Overflow`] decides.
    ///
    /// # Errors
    /// [`SendError::TooLarge`]; [`SendError::TooManyLoans`]; [`SendError::Full`] with [`Overflow::Fail`], and with
    /// [`Overflow::DropNewest`], which counts; [`SendError::TimedOut`] with a
    /// [`block_timeout`](PublisherOptions::block_timeout); [`SendError::Stopped`]; [`SendError::Forked`];
    /// [`SendError::Deleted`] and [`SendError::Damaged`], which are noticed within about a tenth of a second.
    #[inline]
    pub fn loan(&self, len: usize) -> Result<Loan<'_>, SendError> {
        self.loan_with(len, Patience::Policy)?
            .ok_or_else(|| self.full())
    }

    /// [`Self::loan`] that never waits.
    ///
    /// # Errors
    /// [`SendError::Full`], and as [`Self::loan`].
    #[inline]
    pub fn try_loan(&self, len: usize) -> Result<Loan<'_>, SendError> {
        self.loan_with(len, Patience::None)?
            .ok_or_else(|| self.full())
    }

    /// [`Self::loan`] that waits at most so long, whatever the [`Overflow`].
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and as [`Self::loan`].
    pub fn loan_timeout(&self, len: usize, timeout: Duration) -> Result<Loan<'_>, SendError> {
        self.loan_with(len, Patience::Time(timeout))?
            .ok_or_else(|| self.full())
    }

    /// Publishes a copy of `bytes`; the frame's sequence. `None` if it was dropped and counted, by
    /// [`Overflow::DropNewest`].
    ///
    /// # Errors
    /// As [`Self::loan`], but for that.
    pub fn publish_copy(&self, bytes: &[u8]) -> Result<Option<u64>, SendError> {
        let Some(mut loan) = self.loan_with(bytes.len(), Patience::Policy)? else {
            return Ok(None);
        };
        loan.write_at(0, bytes);
        loan.publish().map(Some)
    }

    /// `None` where the policy says to drop the frame.
    #[inline]
    fn loan_with(&self, len: usize, patience: Patience) -> Result<Option<Loan<'_>>, SendError> {
        if !self.is_ours() {
            return Err(self.forked());
        }
        let mut handle = self.handle();
        if len > self.max_frame() {
            return Err(handle.too_large(len, self.max_frame()));
        }
        handle.check_pages()?;
        handle.look_at_channel_once_a_slice()?;
        let slot = match handle.role_mut().loan() {
            Ok(slot) => slot,
            Err(busy) => match self.make_room(&mut handle, busy, patience)? {
                Some(slot) => slot,
                None => return Ok(None),
            },
        };
        // Where seats are gone nobody seems to need a frame.
        if let Err(lost) = handle.check_pages() {
            handle.role_mut().abort(slot);
            return Err(lost);
        }
        let at = handle.role().data_at(&slot);
        Ok(Some(Loan::new(self, slot, at, len)))
    }

    /// No slot is free: evicts the dead among those that are in the way, and waits if that is not enough.
    #[cold]
    #[inline(never)]
    fn make_room(
        &self,
        handle: &mut OwnerHandle<MappedPublisher>,
        busy: Busy,
        patience: Patience,
    ) -> Result<Option<Slot>, SendError> {
        if busy.loans >= self.shape.pool.loans {
            return Err(SendError::TooManyLoans {
                channel: self.channel.clone(),
                loans: busy.loans,
            });
        }
        if handle.evict_dead_once_a_slice(busy.seats())
            && let Ok(slot) = handle.role_mut().loan()
        {
            return Ok(Some(slot));
        }
        handle.check_pages()?;
        let timeout = match (patience, self.overflow) {
            (Patience::None, _) | (Patience::Policy, Overflow::Fail) => {
                handle.note(LastError::Full);
                return Err(self.full());
            }
            (Patience::Policy, Overflow::DropNewest) => {
                handle.owner().count(owner::DROPPED, 1);
                return Ok(None);
            }
            (Patience::Policy, Overflow::Block) => self.block_timeout,
            (Patience::Time(timeout), _) => Some(timeout),
        };
        handle.owner().count(owner::BLOCKED, 1);
        let started = Instant::now();
        let waiting = self.waiting(timeout, "a free slot");
        let outcome = handle.wait(&waiting, &mut |handle| {
            handle.role_mut().loan().map_err(|busy| busy.seats())
        });
        let blocked = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        handle.owner().count(owner::BLOCKED_NS, blocked);
        outcome.map(Some)
    }

    fn waiting(&self, timeout: Option<Duration>, awaited: &'static str) -> Waiting<'_> {
        Waiting {
            strategy: self.wait,
            timeout,
            stop: self.stop.as_ref(),
            awaited,
        }
    }

    /// Publishes a loan.
    #[inline]
    pub(super) fn publish(
        &self,
        slot: Slot,
        info: Info,
        time_ns: Option<u64>,
        about: &About,
    ) -> Result<u64, SendError> {
        if !self.is_ours() {
            return Err(self.forked());
        }
        let now = || {
            if self.time_stamps {
                os::boottime_ns()
            } else {
                0
            }
        };
        let mut handle = self.handle();
        let role = handle.role_mut();
        let sequence = role.publish(slot, info, time_ns.unwrap_or_else(now), about);
        handle.wake_sleepers();
        handle.check_pages()?;
        Ok(sequence)
    }

    /// Gives a loan up.
    pub(super) fn abort(&self, slot: Slot) {
        if self.is_ours() {
            self.handle().role_mut().abort(slot);
        }
    }

    /// Goes on in a pool of at least `slots` slots for frames of at least `frame_size` bytes, in a new generation, while
    /// traffic runs: subscribers take what is left in the old one and come over by themselves, in order; nothing is lost
    /// or repeated. The frames that they hold stay where they are and do not change. The old memory goes when the last
    /// subscriber has come over and the last of those frames was dropped; until then both are reserved. A pool that is
    /// as large already stays.
    ///
    /// No [`Loan`] can be in hand meanwhile. A reliable subscriber that does not come for its frames keeps the old
    /// memory, and holds the publisher back once the new pool is full, as it would have in the old one. What a subscriber
    /// may hold at once, it may hold again in the new pool.
    ///
    /// ```
    /// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
    /// # let namespace = partywall::Namespace::open(place.path()).unwrap();
    /// use partywall::frames::{PublisherOptions, SubscriberOptions};
    /// let options = PublisherOptions::new().namespace(namespace.clone()).frame_size(1000);
    /// let mut publisher = options.open("cam0")?;
    /// let mut subscriber = SubscriberOptions::new().namespace(namespace).attach("cam0")?;
    /// publisher.publish_copy(&[1; 1000])?;
    /// let small = subscriber.recv()?;
    /// publisher.grow(0, 100_000)?; // as many slots as it has
    /// publisher.publish_copy(&[2; 100_000])?;
    /// assert_eq!(subscriber.recv()?.len(), 100_000);
    /// assert_eq!(small.to_vec(), [1; 1000]);
    /// assert_eq!((publisher.generation(), subscriber.generation()), (2, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`], [`OpenError::NoSpace`] and what the system says; [`SendError::Deleted`],
    /// [`SendError::Superseded`], [`SendError::Damaged`], [`SendError::Forked`]. Nothing was changed then.
    pub fn grow(&mut self, slots: u32, frame_size: u32) -> Result<(), GrowError> {
        self.handle().check_process()?;
        let (pool, frame) = grown(&self.shape, slots, frame_size)?;
        if pool == self.shape.pool && frame == self.shape.frame {
            return Ok(());
        }
        self.go_on_with(|wanted| refit(wanted, pool, frame))
    }

    /// Goes on with frames that are made of something else, in a new generation, as [`Self::grow`] does. Subscribers that
    /// were attached for the old ones receive all of those and then
    /// [`RecvError::SchemaMismatch`](crate::RecvError::SchemaMismatch), which names the field that differs; those that take
    /// frames as bytes go on. `None`: bytes without a schema. Frames get larger if a record needs that.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub fn reschema(&mut self, schema: Option<Schema>) -> Result<(), GrowError> {
        self.handle().check_process()?;
        let size = schema.as_ref().map_or(0, Schema::size);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let (pool, frame) = grown(&self.shape, 0, size)?;
        self.go_on_with(|wanted| {
            refit(wanted, pool, frame);
            wanted.schema = schema;
        })
    }

    fn go_on_with(&mut self, change: impl FnOnce(&mut Wanted)) -> Result<(), GrowError> {
        let handle = self.handle.get_mut();
        handle.grow(change)?;
        let owned = &handle.owned;
        self.owner = owned.role.owner().clone();
        self.shape = *owned.role.shape();
        self.facts.generation = owned.header.generation;
        self.facts.owner_epoch = owned.epoch;
        Ok(())
    }

    /// Waits until a subscriber is attached.
    ///
    /// # Errors
    /// [`SendError::TimedOut`] after `timeout` (`None`: no limit); [`SendError::Stopped`]; [`SendError::Forked`];
    /// [`SendError::Deleted`]; [`SendError::Damaged`].
    pub fn wait_for_subscriber(&self, timeout: Option<Duration>) -> Result<(), SendError> {
        if !self.is_ours() {
            return Err(self.forked());
        }
        let waiting = self.waiting(timeout, "a subscriber");
        self.handle().wait(&waiting, &mut |handle| {
            let there = handle.role().subscribers() > 0;
            if there { Ok(()) } else { Err(0) }
        })
    }

    /// Subscribers that are attached, and dead ones that nobody has noticed yet.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        if !self.is_ours() {
            return 0;
        }
        self.handle().role().subscribers() as usize
    }

    /// The sequence of the latest frame, by whichever publisher; 0 before the first.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.handle().role().position()
    }

    /// Bytes of the largest frame.
    #[must_use]
    pub fn max_frame(&self) -> usize {
        self.shape.frame as usize
    }

    /// How many slots the pool has.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.shape.pool.slots as usize
    }

    /// Frames that each subscriber may hold at once.
    #[must_use]
    pub fn held(&self) -> usize {
        self.shape.pool.held as usize
    }

    /// Ends the stream: subscribers read what is left and then get [`RecvError::Closed`](crate::RecvError::Closed).
    /// The frames that they hold stay until they are dropped. Dropping the publisher does the same.
    ///
    /// # Errors
    /// [`SendError::Forked`].
    pub fn close(self) -> Result<(), SendError> {
        self.handle().check_process()
    }

    /// Gives the channel up without ending the stream: subscribers see the same as after a death, and the next
    /// publisher goes on.
    pub fn abandon(self) {
        self.handle().abandon();
    }

    /// Whether this took over what a dead or abandoning publisher left.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.facts.adopted
    }

    /// Counts the channel's generations from 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.facts.generation
    }

    /// Counts the owners of this generation from 1.
    #[must_use]
    pub fn owner_epoch(&self) -> u64 {
        self.facts.owner_epoch
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Whether this is the process that opened the handle, and not a fork of it.
    #[inline(always)]
    pub(super) fn is_ours(&self) -> bool {
        self.process.is_this()
    }

    /// The memory that loans are written in.
    #[inline(always)]
    pub(super) fn memory(&self) -> &Region<Writable> {
        &self.owner
    }

    #[inline(always)]
    fn handle(&self) -> RefMut<'_, OwnerHandle<MappedPublisher>> {
        self.handle.borrow_mut()
    }

    fn forked(&self) -> SendError {
        self.handle().forked()
    }

    fn full(&self) -> SendError {
        SendError::Full {
            channel: self.channel.clone(),
        }
    }
}
