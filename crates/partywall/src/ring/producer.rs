//! The producer's handle.

use std::time::{Duration, Instant};

use super::options::{Alone, ProducerOptions, whole_capacity};
use super::role::MappedProducer;
use super::{Batch, Overflow, Reservation, Sent};
use crate::channel::generation::Wanted;
use crate::channel::owner::Owned;
use crate::error::{GrowError, OpenError, SendError};
use crate::handle::OwnerHandle;
use crate::handle::accessors::owner_accessors;
use crate::handle::owner::Waiting;
use crate::handle::records::{Patience, RecordWriter, Refusal, Room, record_writer};
use crate::layout::last_error::LastError;
use crate::layout::{owner, record};
use crate::memory::SharedMut;
use crate::protocol::buffer::{Claimed, Pending};
use crate::protocol::ring::producer::Scan;
use crate::record::Schema;
use crate::wait::{StopToken, WaitStrategy};

/// The one process that writes a ring. Dropping it closes the channel, unless the thread is panicking: then
/// it looks dead to its consumers, as it should.
#[derive(Debug)]
pub struct Producer {
    pub(super) handle: OwnerHandle<MappedProducer>,
    overflow: Overflow,
    block_timeout: Option<Duration>,
    alone: Alone,
    wait: WaitStrategy,
    stop: Option<StopToken>,
    pub(super) max_record: usize,
    /// No consumer was counted at the last scan.
    unheard: bool,
}

owner_accessors!(Producer, self => self.handle);

record_writer!(Producer);

impl Producer {
    /// Creates or adopts a channel in the default namespace with default options.
    ///
    /// # Errors
    /// As [`ProducerOptions::open`].
    pub fn open(channel: &str) -> Result<Producer, OpenError> {
        ProducerOptions::new().open(channel)
    }

    pub(super) fn new(
        mut owned: Owned<MappedProducer>,
        options: &ProducerOptions,
        heartbeat: bool,
    ) -> Result<Self, OpenError> {
        owned
            .role
            .set_discard_when_alone(options.alone == Alone::Discard);
        let capacity = owned.role.shape().capacity;
        Ok(Producer {
            overflow: options.overflow,
            block_timeout: options.block_timeout,
            alone: options.alone,
            wait: options.wait,
            stop: options.stop.clone(),
            max_record: max_record(capacity),
            unheard: true,
            handle: OwnerHandle::new(owned, heartbeat)?,
        })
    }

    /// Sends a record: copies `payload` into the ring and commits it. When the consumers are behind, the
    /// chosen [`Overflow`] decides.
    ///
    /// # Errors
    /// [`SendError::TooLarge`]; [`SendError::Full`] with [`Overflow::Fail`]; [`SendError::TimedOut`] with a
    /// [`block_timeout`](ProducerOptions::block_timeout); [`SendError::Stopped`]; [`SendError::Forked`];
    /// [`SendError::Deleted`] and [`SendError::Damaged`], which are noticed when room is looked for.
    #[inline(always)]
    pub fn send(&mut self, payload: &[u8]) -> Result<Sent, SendError> {
        self.send_with(0, payload, Patience::Policy)
    }

    /// Looks at the seats, evicts the dead among those that hold us, and waits if that is not enough.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, len: usize, patience: Patience) -> Result<Room, SendError> {
        self.handle.look_at_channel_once_a_slice()?;
        let scan = self.scan();
        // Where seats are gone nobody seems to sit.
        self.handle.check_pages()?;
        if let Some(claimed) = self.handle.role_mut().claim(len as u64) {
            return Ok(Room::Claimed(claimed));
        }
        if self.handle.evict_dead_once_a_slice(scan.holding) {
            self.scan();
            if let Some(claimed) = self.handle.role_mut().claim(len as u64) {
                return Ok(Room::Claimed(claimed));
            }
        }
        let owner = self.handle.role().owner();
        let timeout = match patience.limit(self.overflow, self.block_timeout) {
            Ok(timeout) => timeout,
            Err(Refusal::Full) => return Err(self.full()),
            Err(Refusal::Drop) => {
                owner.count(owner::DROPPED, 1);
                return Ok(Room::Drop);
            }
        };
        owner.count(owner::BLOCKED, 1);
        let started = Instant::now();
        let outcome = self.wait_until(timeout, "room", |handle, _| {
            handle.role_mut().claim(len as u64)
        });
        let blocked = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.handle.role().owner().count(owner::BLOCKED_NS, blocked);
        outcome.map(Room::Claimed)
    }

    /// Waits until `done` finds something after a scan.
    fn wait_until<T>(
        &mut self,
        timeout: Option<Duration>,
        awaited: &'static str,
        mut done: impl FnMut(&mut OwnerHandle<MappedProducer>, Scan) -> Option<T>,
    ) -> Result<T, SendError> {
        let waiting = Waiting {
            strategy: self.wait,
            timeout,
            stop: self.stop.as_ref(),
            awaited,
        };
        let unheard = &mut self.unheard;
        self.handle.wait(&waiting, &mut |handle| {
            let scan = scan(handle, unheard);
            done(handle, scan).ok_or(scan.holding)
        })
    }

    fn scan(&mut self) -> Scan {
        scan(&mut self.handle, &mut self.unheard)
    }

    /// After a commit: wakes who sleeps.
    #[inline(always)]
    fn announce(&mut self, records: u64) {
        self.handle.wake_sleepers();
        if self.unheard && self.alone == Alone::Discard {
            self.handle.role().owner().count(owner::DISCARDED, records);
        }
    }

    /// Goes on in a ring of at least `capacity` bytes (rounded up to a power of two), in a new generation, while traffic
    /// runs: consumers read what was committed in the old one and come over by themselves, in order, and nothing is
    /// lost or repeated. The old memory goes when the last of them has come; until then both are reserved. A ring that
    /// has so many bytes already stays.
    ///
    /// Consumers that are durable and away come when they come. One that stops reading keeps the old memory, and holds
    /// the producer back once the new ring is full, as it would have in the old one.
    ///
    /// ```
    /// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
    /// # let namespace = partywall::Namespace::open(place.path()).unwrap();
    /// use partywall::ring::{ConsumerOptions, ProducerOptions};
    /// let options = ProducerOptions::new().namespace(namespace.clone()).capacity(4096);
    /// let mut producer = options.open("cam0")?;
    /// let mut consumer = ConsumerOptions::new().namespace(namespace).attach("cam0")?;
    /// producer.send(b"small")?;
    /// producer.grow(1 << 20)?;
    /// producer.send(&[7; 100_000])?;
    /// assert_eq!(&consumer.recv()?[..], b"small");
    /// assert_eq!(consumer.recv()?.len(), 100_000);
    /// assert_eq!((producer.generation(), consumer.generation()), (2, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`], [`OpenError::NoSpace`] and what the system says; [`SendError::Deleted`],
    /// [`SendError::Superseded`], [`SendError::Damaged`], [`SendError::Forked`]. Nothing was changed then.
    pub fn grow(&mut self, capacity: u64) -> Result<(), GrowError> {
        self.handle.check_process()?;
        let capacity = whole_capacity(capacity, None)?;
        if capacity <= self.capacity() {
            return Ok(());
        }
        self.go_on_with(|wanted| wanted.payload_size = capacity)
    }

    /// Goes on with records that are made of something else, in a new generation, as [`Self::grow`] does. Consumers that
    /// were attached for the old ones receive all of those and then
    /// [`RecvError::SchemaMismatch`](crate::RecvError::SchemaMismatch), which names the field that differs; those that
    /// take records as bytes go on. `None`: bytes without a schema. The ring grows if a record needs that.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub fn reschema(&mut self, schema: Option<Schema>) -> Result<(), GrowError> {
        self.handle.check_process()?;
        let needed = schema
            .as_ref()
            .map_or(0, |schema| 2 * (schema.size() as u64 + record::HEADER));
        let capacity = whole_capacity(needed.max(self.capacity()), schema.as_ref())?;
        self.go_on_with(|wanted| {
            wanted.payload_size = capacity;
            wanted.schema = schema;
        })
    }

    fn go_on_with(&mut self, change: impl FnOnce(&mut Wanted)) -> Result<(), GrowError> {
        self.handle.grow(change)?;
        self.max_record = max_record(self.capacity());
        Ok(())
    }

    /// Waits until every consumer has taken everything that was committed.
    ///
    /// # Errors
    /// [`SendError::NoConsumer`] if none is attached any more and the last of them had not;
    /// [`SendError::TimedOut`] after `timeout` (`None`: no limit); [`SendError::Stopped`];
    /// [`SendError::Forked`].
    pub fn flush(&mut self, timeout: Option<Duration>) -> Result<(), SendError> {
        self.handle.check_process()?;
        let scan = self.scan();
        let taken = scan.counted == 0 || scan.slowest == self.position() && !scan.older;
        if scan.joining || !taken {
            // Whoever holds us may be dead.
            self.handle.evict_dead(scan.holding);
        }
        let unread = self.wait_until(
            timeout,
            "the consumers to take everything",
            |handle, scan| {
                let producer = handle.role();
                if scan.joining {
                    return None;
                }
                if scan.counted > 0 {
                    let taken = scan.slowest == producer.position() && !scan.older;
                    return taken.then_some(None);
                }
                Some(Some(producer.unread_by_all()))
            },
        )?;
        self.handle.check_pages()?;
        // Whoever has everything has come over from older generations too.
        self.handle.reclaim();
        match unread {
            None | Some(0) => Ok(()),
            Some(unread_bytes) => {
                self.handle.note(LastError::NoConsumer);
                Err(SendError::NoConsumer {
                    channel: self.channel().to_owned(),
                    unread_bytes,
                })
            }
        }
    }

    /// Waits until a consumer is attached (or a durable one expected back).
    ///
    /// # Errors
    /// [`SendError::TimedOut`], [`SendError::Stopped`], [`SendError::Forked`].
    pub fn wait_for_consumer(&mut self, timeout: Option<Duration>) -> Result<(), SendError> {
        self.handle.check_process()?;
        self.wait_until(timeout, "a consumer", |_, scan| {
            (scan.counted > 0).then_some(())
        })
    }

    /// Ends the stream: consumers read what is left and then get
    /// [`RecvError::Closed`](crate::RecvError::Closed). Dropping the producer does the same.
    ///
    /// # Errors
    /// [`SendError::Forked`].
    pub fn close(self) -> Result<(), SendError> {
        self.handle.check_process()
    }

    /// Gives the channel up without ending the stream: consumers see the same as after a death, and the
    /// next producer goes on.
    pub fn abandon(mut self) {
        self.handle.abandon();
    }

    /// Whether this took over what a dead or abandoning producer left.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.handle.owned.adopted
    }

    /// Records committed since the channel began, by all of its producers.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.handle.role().records()
    }

    /// Bytes committed since the channel began, headers and padding included.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.handle.role().position()
    }

    /// Consumers that are attached, and durable ones that are away.
    #[must_use]
    pub fn consumers(&mut self) -> usize {
        if !self.handle.is_ours() {
            return 0;
        }
        self.scan().counted as usize
    }

    /// Bytes of the ring.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.handle.role().shape().capacity
    }

    /// The largest record, in bytes: half the capacity less its header.
    #[must_use]
    pub fn max_record(&self) -> usize {
        self.max_record
    }

    pub(super) fn payload_pointer(&self, claimed: Claimed, len: usize) -> *mut u8 {
        let producer = self.handle.role();
        producer
            .owner()
            .pointer(producer.payload_at(claimed), len as u64)
    }
}

impl RecordWriter for Producer {
    #[inline(always)]
    fn is_ours(&self) -> bool {
        self.handle.is_ours()
    }

    #[inline(always)]
    fn check_pages(&self) -> Result<(), SendError> {
        self.handle.check_pages()
    }

    #[inline(always)]
    fn longest(&self) -> usize {
        self.max_record
    }

    #[inline(always)]
    fn claim(&mut self, len: usize, patience: Patience) -> Result<Room, SendError> {
        self.handle.check_process()?;
        if len > self.max_record {
            return Err(self.too_large(len));
        }
        match self.handle.role_mut().claim(len as u64) {
            Some(claimed) => Ok(Room::Claimed(claimed)),
            None => self.make_room(len, patience),
        }
    }

    fn name(&self) -> &str {
        self.handle.channel()
    }

    fn note(&self, error: LastError) {
        self.handle.note(error);
    }

    #[inline(always)]
    fn write_all(&mut self, claimed: Claimed, payload: &[u8]) {
        let producer = self.handle.role();
        let at = producer.payload_at(claimed);
        producer.owner().copy_in_backwards(at, payload);
    }

    fn write_at(&mut self, claimed: Claimed, offset: usize, bytes: &[u8]) {
        let producer = self.handle.role();
        let at = producer.payload_at(claimed) + offset as u64;
        producer.owner().copy_in(at, bytes);
    }

    #[inline(always)]
    fn commit(&mut self, claimed: Claimed, len: usize, kind: u16) {
        self.handle.role_mut().commit(claimed, len as u64, kind);
        self.announce(1);
    }

    #[inline(always)]
    fn push(&mut self, pending: &mut Pending, kind: u16, payload: &[u8]) -> bool {
        self.handle.role_mut().push(pending, kind, payload)
    }

    #[inline(always)]
    fn commit_pending(&mut self, pending: &mut Pending) {
        let records = self.handle.role_mut().commit_pending(pending);
        if records > 0 {
            self.announce(records);
        }
    }
}

/// The largest record of a ring of so many bytes.
fn max_record(capacity: u64) -> usize {
    usize::try_from(record::max_payload(capacity)).unwrap_or(usize::MAX)
}

/// Looks at all seats, and notes whether anybody was counted.
fn scan(handle: &mut OwnerHandle<MappedProducer>, unheard: &mut bool) -> Scan {
    let scan = handle.role_mut().scan();
    *unheard = scan.counted == 0 && !scan.joining;
    scan
}
