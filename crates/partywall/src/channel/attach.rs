//! Taking a seat: wait for the channel, choose a seat, claim it, and make sure that it was worth it.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::directory::ChannelDirectory;
use super::generation;
use super::liveness::{NAMES, PATIENCE, PAUSE, lock_patiently, seat_byte};
use super::namespace::Namespace;
use super::root::{self, Found, Generations};
use super::segment::Header;
use crate::error::OpenError;
use crate::layout::header::State;
use crate::layout::peers;
use crate::layout::seat::{self, Claim, SeatState};
use crate::memory::{ReadOnly, Region, Shared, Writable};
use crate::os::{self, DirectoryWatch, LockFile};
use crate::protocol::Lie;
use crate::protocol::ring::consumer::RingConsumer;
use crate::protocol::{park, ring::seats};
use crate::wait::{SLICE, StopToken};

/// The consumer's types over mapped segments.
pub(crate) type Consumer = RingConsumer<Region<ReadOnly>, Region<Writable>>;

/// A seat that was taken.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) channel: ChannelDirectory,
    /// Holds the seat's byte.
    pub(crate) lock: LockFile,
    pub(crate) root: Region<ReadOnly>,
    pub(crate) header: Header,
    pub(crate) consumer: Consumer,
    pub(crate) resumed: bool,
}

/// What to attach to, and how long to wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) channel: &'a str,
    pub(crate) durable: Option<&'a str>,
    /// `None`: for ever.
    pub(crate) timeout: Option<Duration>,
    pub(crate) stop: Option<&'a StopToken>,
}

/// One attempt.
enum Attempt {
    Attached(Box<Attached>),
    /// Nothing there to attach to yet.
    Wait(&'static str),
    /// Something changed under us: look again at once.
    Again,
}

/// How often in a row.
const AT_ONCE: u32 = 1000;

const THE_CHANNEL: &str = "the channel to appear";
const A_PRODUCER: &str = "a producer to open the channel again";

/// Attaches, waiting for the channel if need be.
pub(crate) fn attach(request: &Request<'_>) -> Result<Attached, OpenError> {
    super::namespace::check_name(request.channel)?;
    os::register_waker();
    let started = Instant::now();
    let mut watch = Watch::NotYet;
    let mut again = 0;
    loop {
        // Before looking, so that nothing that happens between looking and sleeping is missed.
        watch.cover(request);
        let attempt = attempt(request)?;
        let changed = matches!(attempt, Attempt::Again);
        let awaited = match attempt {
            Attempt::Attached(attached) => return Ok(*attached),
            Attempt::Again => A_PRODUCER,
            Attempt::Wait(awaited) => {
                again = 0;
                awaited
            }
        };
        let channel = || request.channel.to_owned();
        if request.stop.is_some_and(StopToken::is_stopped) {
            return Err(OpenError::Stopped { channel: channel() });
        }
        let waited = started.elapsed();
        let left = request
            .timeout
            .map_or(SLICE, |timeout| timeout.saturating_sub(waited).min(SLICE));
        if !left.is_zero() {
            // What changed under us is looked at again at once, but not for ever.
            if changed && again < AT_ONCE {
                again += 1;
            } else {
                watch.wait(request.namespace.path(), left);
            }
            continue;
        }
        return Err(
            if request.timeout == Some(Duration::ZERO) && awaited == THE_CHANNEL {
                OpenError::Missing {
                    channel: channel(),
                    namespace: request.namespace.path().to_owned(),
                }
            } else {
                OpenError::TimedOut {
                    channel: channel(),
                    waited,
                    awaited,
                }
            },
        );
    }
}

/// What wakes a waiting joiner: new names in the namespace and in the channel's directory.
enum Watch {
    /// Most attach at the first attempt and need none.
    NotYet,
    On(DirectoryWatch),
    /// None to be had (`fs.inotify` limits): a tenth of a slice at a time then.
    Refused,
}

impl Watch {
    fn cover(&self, request: &Request<'_>) {
        if let Watch::On(watch) = self {
            // The channel's own directory may have appeared since; that it has not is no error.
            let _ = watch.add(&request.namespace.path().join(request.channel));
        }
    }

    fn wait(&mut self, namespace: &Path, longest: Duration) {
        match self {
            // The watch begins now: look once more before sleeping.
            Watch::NotYet => {
                *self = DirectoryWatch::new(namespace).map_or(Watch::Refused, Watch::On);
            }
            Watch::On(watch) => watch.wait(longest),
            Watch::Refused => std::thread::sleep(longest.min(SLICE / 10)),
        }
    }
}

fn attempt(request: &Request<'_>) -> Result<Attempt, OpenError> {
    let name = request.channel;
    let Some(channel) = ChannelDirectory::open(request.namespace, name, false)? else {
        return Ok(Attempt::Wait(THE_CHANNEL));
    };
    let Some(lock) = channel.open_lock(false)? else {
        return Ok(Attempt::Wait(THE_CHANNEL));
    };
    let (root, root_header) = match root::open_read_only(&channel)? {
        Found::Ready(root, header) => (root, header),
        Found::Absent => return Ok(Attempt::Wait(THE_CHANNEL)),
        Found::Deleted => return Ok(Attempt::Wait(A_PRODUCER)),
    };
    let generations = root::generations(&root).map_err(|lie| OpenError::Damaged {
        channel: name.to_owned(),
        file: super::directory::ROOT.to_owned(),
        lie,
    })?;
    let claim = Claiming {
        channel: &channel,
        lock: &lock,
        root: &root,
        instance: root_header.instance,
        generations,
    };
    let seat = match request.durable {
        None => claim.any_seat(None)?,
        Some(consumer) => {
            // One lock over search and claim: else two processes could give one name two seats.
            let locked = lock_patiently(&lock, NAMES)
                .map_err(|error| channel.error("lock the names", error))?;
            if !locked {
                return Ok(Attempt::Again);
            }
            let seat = claim.durable_seat(consumer);
            let _ = lock.unlock(NAMES);
            seat?
        }
    };
    let (header, consumer, resumed) = match seat {
        Seat::Taken(taken) => *taken,
        Seat::NotReady => return Ok(Attempt::Wait(A_PRODUCER)),
        Seat::Changed => return Ok(Attempt::Again),
    };
    // A producer that waits for its first consumer, or for this one to come back.
    park::wake_owner(consumer.owner(), consumer.peers(), consumer.seat());
    if root::state(&root) != State::READY || !channel.still_named(&lock) {
        seats::leave(
            consumer.peers(),
            consumer.seat(),
            consumer.state(),
            request.durable.is_some(),
        );
        return Ok(Attempt::Again);
    }
    Ok(Attempt::Attached(Box::new(Attached {
        channel,
        lock,
        root,
        header,
        consumer,
        resumed,
    })))
}

enum Seat {
    Taken(Box<(Header, Consumer, bool)>),
    NotReady,
    Changed,
}

struct Claiming<'a> {
    channel: &'a ChannelDirectory,
    lock: &'a LockFile,
    root: &'a Region<ReadOnly>,
    instance: u64,
    generations: Generations,
}

/// A generation opened for a peer.
struct Opened {
    header: Header,
    owner: Region<ReadOnly>,
    peers: Region<Writable>,
}

impl Claiming<'_> {
    fn open(&self, number: u64) -> Result<Opened, OpenError> {
        let (header, owner, peers) =
            generation::open_for_peer(self.channel, number, self.instance)?;
        Ok(Opened {
            header,
            owner,
            peers,
        })
    }

    /// Opens a generation that may be going away; `None` if it has.
    fn open_or_gone(&self, number: u64) -> Result<Option<Opened>, OpenError> {
        match self.open(number) {
            Ok(opened) => Ok(Some(opened)),
            Err(error) => match root::generations(self.root) {
                Ok(now) if now != self.generations => Ok(None),
                _ if root::state(self.root) != State::READY => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Any seat of the current generation: a free one first, else a dead consumer's.
    fn any_seat(&self, durable: Option<&str>) -> Result<Seat, OpenError> {
        let Some(opened) = self.open_or_gone(self.generations.current)? else {
            return Ok(Seat::Changed);
        };
        if opened.header.state == State::BROKEN {
            return Err(OpenError::Damaged {
                channel: self.channel.name().to_owned(),
                file: super::directory::owner_file(self.generations.current),
                lie: Lie {
                    word: "state",
                    place: crate::layout::header::STATE,
                    expected: "READY",
                    found: State::BROKEN.0.into(),
                },
            });
        }
        if opened.header.state != State::READY {
            return Ok(Seat::NotReady);
        }
        let promised = self.promised_seats()?;
        let end = Instant::now() + PATIENCE;
        loop {
            let mut busy = false;
            for dead_ones in [false, true] {
                for seat in (0..opened.header.seat_count).filter(|seat| promised >> seat & 1 == 0) {
                    if !usable(&opened, seat, dead_ones) {
                        continue;
                    }
                    match self.try_seat(&opened, seat, dead_ones, durable)? {
                        Seat::Changed => busy = true,
                        other => return Ok(other),
                    }
                }
            }
            // A seat that looked usable was locked: by a live holder, or for a moment by somebody who only
            // looked at it.
            if !busy || Instant::now() >= end {
                return Err(OpenError::NoFreeSeat {
                    channel: self.channel.name().to_owned(),
                    seats: opened.header.seat_count,
                });
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Locks one seat and takes it; `Changed` if that was not possible.
    fn try_seat(
        &self,
        opened: &Opened,
        seat: u32,
        dead_ones: bool,
        durable: Option<&str>,
    ) -> Result<Seat, OpenError> {
        let byte = seat_byte(opened.header.generation, seat);
        let locked = self
            .lock
            .try_lock(byte)
            .map_err(|error| self.channel.error("lock a seat", error))?;
        if !locked {
            return Ok(Seat::Changed);
        }
        if usable(opened, seat, dead_ones) {
            match self.take(opened, seat, durable) {
                Ok(taken) => return Ok(Seat::Taken(Box::new(taken))),
                Err(seats::Refused::NotReady) => {
                    let _ = self.lock.unlock(byte);
                    return Ok(Seat::NotReady);
                }
            }
        }
        let _ = self.lock.unlock(byte);
        Ok(Seat::Changed)
    }

    fn take(
        &self,
        opened: &Opened,
        seat: u32,
        durable: Option<&str>,
    ) -> Result<(Header, Consumer, bool), seats::Refused> {
        let shape = opened.header.shape();
        let taken = seats::take(&opened.owner, &opened.peers, &shape, seat, durable)?;
        let resumed = taken.resumed;
        Ok((opened.header, self.consumer(opened, seat, taken), resumed))
    }

    fn consumer(&self, opened: &Opened, seat: u32, taken: seats::Taken) -> Consumer {
        RingConsumer::new(
            opened.owner.clone(),
            opened.peers.clone(),
            opened.header.shape(),
            seat,
            taken.state,
            taken.cursor,
        )
    }

    /// Seats that durable consumers of older generations will take when they come.
    fn promised_seats(&self) -> Result<u64, OpenError> {
        let mut promised = 0;
        for number in self.generations.oldest..self.generations.current {
            if let Some(opened) = self.open_or_gone(number)? {
                for seat in 0..opened.header.seat_count {
                    let state = state_of(&opened, seat);
                    if state.durable()
                        && matches!(state.claim(), Some(Claim::Active | Claim::Absent))
                    {
                        promised |= 1 << seat;
                    }
                }
            }
        }
        Ok(promised)
    }

    /// The seat of a durable consumer: in the *oldest* generation that knows it, so that it misses nothing;
    /// else a new one.
    fn durable_seat(&self, consumer: &str) -> Result<Seat, OpenError> {
        for number in self.generations.oldest..=self.generations.current {
            let Some(opened) = self.open_or_gone(number)? else {
                return Ok(Seat::Changed);
            };
            for seat in 0..opened.header.seat_count {
                let state = state_of(&opened, seat);
                let here = state.durable()
                    && matches!(state.claim(), Some(Claim::Active | Claim::Absent))
                    && !seats::is_evicted(&opened.owner, seat, state)
                    && seats::name_of(&opened.peers, seat).as_deref() == Some(consumer);
                if here {
                    return self.resume(opened, seat, consumer);
                }
            }
        }
        self.any_seat(Some(consumer))
    }

    fn resume(&self, opened: Opened, seat: u32, consumer: &str) -> Result<Seat, OpenError> {
        let system = |error: io::Error| self.channel.error("lock a seat", error);
        let byte = seat_byte(opened.header.generation, seat);
        if !lock_patiently(self.lock, byte).map_err(system)? {
            return Err(OpenError::ConsumerInUse {
                channel: self.channel.name().to_owned(),
                consumer: consumer.to_owned(),
            });
        }
        let Ok((header, mut held, resumed)) = self.take(&opened, seat, Some(consumer)) else {
            let _ = self.lock.unlock(byte);
            return Ok(Seat::NotReady);
        };
        // At the end of a stream that is over there is nothing to read here, ever.
        let drained = opened.header.state != State::READY && matches!(held.peek(), Ok(None));
        if !drained {
            return Ok(Seat::Taken(Box::new((header, held, resumed))));
        }
        if self.generations.current == opened.header.generation {
            seats::leave(held.peers(), seat, held.state(), true);
            let _ = self.lock.unlock(byte);
            return Ok(Seat::NotReady);
        }
        let moved = self.move_on(&opened, &held, seat, consumer)?;
        let _ = self.lock.unlock(byte);
        Ok(moved)
    }

    /// From the end of one generation to the base of the next, which is the same position: claims the seat
    /// there, and only then frees the old one. Always one generation at a time.
    fn move_on(
        &self,
        old: &Opened,
        held: &Consumer,
        seat: u32,
        consumer: &str,
    ) -> Result<Seat, OpenError> {
        let Some(next) = self.open_or_gone(old.header.generation + 1)? else {
            return Ok(Seat::Changed);
        };
        if next.header.base_seq != held.position() || seat >= next.header.seat_count {
            return Err(OpenError::Damaged {
                channel: self.channel.name().to_owned(),
                file: super::directory::owner_file(next.header.generation),
                lie: Lie {
                    word: "base_seq",
                    place: crate::layout::header::BASE_SEQ,
                    expected: "where the generation before ended",
                    found: next.header.base_seq,
                },
            });
        }
        let byte = seat_byte(next.header.generation, seat);
        let locked = lock_patiently(self.lock, byte)
            .map_err(|error| self.channel.error("lock a seat", error))?;
        if !locked {
            seats::leave(held.peers(), seat, held.state(), true);
            return Ok(Seat::Changed);
        }
        let base = next.header.base_seq;
        let taken = seats::move_in(&next.peers, seat, base, held.records(), consumer);
        seats::leave(held.peers(), seat, held.state(), false);
        if next.header.state != State::READY {
            // That one is closed as well: begin again, and find this seat.
            seats::leave(&next.peers, seat, taken.state, true);
            let _ = self.lock.unlock(byte);
            return Ok(Seat::Changed);
        }
        let moved = (next.header, self.consumer(&next, seat, taken), true);
        Ok(Seat::Taken(Box::new(moved)))
    }
}

fn state_of(opened: &Opened, seat: u32) -> SeatState {
    SeatState(opened.peers.load(
        peers::seat_at(seat) + seat::STATE,
        std::sync::atomic::Ordering::Acquire,
    ))
}

/// Whether a newcomer may take the seat, if its lock is free.
fn usable(opened: &Opened, seat: u32, dead_ones: bool) -> bool {
    let state = state_of(opened, seat);
    if seats::is_evicted(&opened.owner, seat, state) {
        return true;
    }
    match state.claim() {
        Some(Claim::Free) => true,
        Some(Claim::Joining) => dead_ones,
        Some(Claim::Active) => dead_ones && !state.durable(),
        Some(Claim::Absent | Claim::Left) => false,
        // Scribbled over; whoever holds its lock will notice, and if nobody does it is free.
        None => dead_ones,
    }
}
