//! Taking a seat: choose one, claim it, and make sure that it was worth it.

use std::io;

use super::directory::ChannelDirectory;
use super::generation;
use super::joining::{AN_OWNER, Attempt, Entrance, Request, THE_CHANNEL, enter, until_attached};
use super::liveness::{NAMES, Tries, lock_patiently, seat_byte};
use super::moving::{Move, Moved};
use super::root::{self, Generations};
use super::schema;
use super::segment::Header;
use crate::error::{Denied, OpenError};
use crate::layout::header::{Pattern, State};
use crate::layout::peers;
use crate::layout::seat::{self, Claim, SeatState};
use crate::memory::{ReadOnly, Region, Shared, Writable};
use crate::os::LockFile;
use crate::protocol::Lie;
use crate::protocol::growth;
use crate::protocol::park;
use crate::protocol::seats::{self, Refused};

/// What a pattern brings to sitting in a seat: the words that its holder alone writes. Every function is called
/// under the seat's lock.
pub(crate) trait PeerRole: Sized {
    const PATTERN: Pattern;

    /// Takes the seat by the way that its state asks for; and whether that resumes where an earlier holder of
    /// the same name stood.
    fn take(
        opened: &Opened<'_>,
        seat: u32,
        request: &Request<'_>,
    ) -> Result<(Self, bool), NotTaken>;

    fn owner(&self) -> &Region<ReadOnly>;
    fn peers(&self) -> &Region<Writable>;
    fn seat(&self) -> u32;
    /// What this holder stored in its state word.
    fn state(&self) -> SeatState;

    /// Nothing is left for this holder to read, now.
    fn is_drained(&mut self) -> bool {
        true
    }

    /// Whether a holder that found nothing more, behind the end of its generation, may go on in the next one. A lie is
    /// somebody's who says that it begins elsewhere than this one ended.
    fn may_leave_for(&self, _next: &Header) -> Result<(), Lie> {
        Ok(())
    }

    /// Goes over: claims the seat of the same index in the next generation, and only then gives up this one. Under the
    /// locks of both. Refused where a pattern's peers are not carried over.
    fn move_in(&mut self, _next: &Opened<'_>) -> Result<Self, NotTaken> {
        Err(NotTaken::Unusable)
    }

    /// Whether something in the seat is still in use by a holder that went over: then its lock is kept until that is
    /// over too.
    fn keeps_its_seat(&self) -> bool {
        false
    }

    /// What is to be said before the seat is given up by a holder that cannot go over.
    fn last_words(&mut self) {}

    /// The same, where something in the seat is still in use: says that it has left, but for that. Whether it is so; then
    /// the seat is given up with the last of what is in use.
    fn leave_with_what_it_holds(&mut self) -> bool {
        false
    }

    /// The seats of an older generation that newcomers to the current one must not take, one bit each; `None` if that
    /// cannot be said before its owner has retired it.
    fn promised(older: &Opened<'_>) -> Option<u64> {
        growth::promised(&older.owner, &older.peers, older.header.seat_count)
    }
}

/// Why a pattern did not take a seat.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// The generation was retired meanwhile: begin again from the root.
    NotReady,
    /// Something is wrong with this one seat, or it is another's by now.
    Unusable,
    /// The owner side claims the impossible.
    Damaged(Lie),
    Failed(OpenError),
}

impl From<Refused> for NotTaken {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotReady => NotTaken::NotReady,
        }
    }
}

/// A seat that was taken.
#[derive(Debug)]
pub(crate) struct Attached<P> {
    pub(crate) channel: ChannelDirectory,
    /// Holds the seat's byte.
    pub(crate) lock: LockFile,
    pub(crate) root: Region<ReadOnly>,
    pub(crate) header: Header,
    pub(crate) role: P,
    pub(crate) resumed: bool,
}

/// Attaches, waiting for the channel if need be.
pub(crate) fn attach<P: PeerRole>(request: &Request<'_>) -> Result<Attached<P>, OpenError> {
    until_attached(request, || attempt(request))
}

fn attempt<P: PeerRole>(request: &Request<'_>) -> Result<Attempt<Attached<P>>, OpenError> {
    let Entrance {
        channel,
        root,
        root_header,
        generations,
    } = match enter(request, &[P::PATTERN])? {
        Ok(entrance) => entrance,
        Err(awaited) => return Ok(Attempt::Wait(awaited)),
    };
    channel.expect_own(Denied::Map)?;
    let Some(lock) = channel.open_lock(false)? else {
        return Ok(Attempt::Wait(THE_CHANNEL));
    };
    let claim = Claiming {
        channel: &channel,
        lock: &lock,
        root: &root,
        instance: root_header.instance,
        generations,
        request,
    };
    let seat = match request.durable {
        None => claim.any_seat::<P>()?,
        Some(consumer) => {
            // One lock over search and claim: else two processes could give one name two seats.
            let locked = lock_patiently(&lock, NAMES)
                .map_err(|error| channel.error(Denied::Lock, "lock the names", error))?;
            if !locked {
                return Ok(Attempt::Again);
            }
            let seat = claim.durable_seat::<P>(consumer);
            let _ = lock.unlock(NAMES);
            seat?
        }
    };
    let (header, role, resumed) = match seat {
        Seat::Taken(taken) => *taken,
        Seat::NotReady => return Ok(Attempt::Wait(AN_OWNER)),
        Seat::Changed => return Ok(Attempt::Again),
    };
    // An owner that waits for its first peer, or for this one to come back.
    park::wake_owner(role.owner(), role.peers(), role.seat());
    if root::state(&root) != State::READY || !channel.still_named(&lock) {
        seats::leave(
            role.peers(),
            role.seat(),
            role.state(),
            request.durable.is_some(),
        );
        return Ok(Attempt::Again);
    }
    Ok(Attempt::Attached(Attached {
        channel,
        lock,
        root,
        header,
        role,
        resumed,
    }))
}

pub(super) enum Seat<P> {
    Taken(Box<(Header, P, bool)>),
    NotReady,
    Changed,
}

struct Claiming<'a> {
    channel: &'a ChannelDirectory,
    lock: &'a LockFile,
    root: &'a Region<ReadOnly>,
    instance: u64,
    generations: Generations,
    request: &'a Request<'a>,
}

/// A generation opened for a peer.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) channel: &'a ChannelDirectory,
    /// Holds the byte of the seat that is spoken of.
    pub(crate) lock: &'a LockFile,
    pub(crate) root: &'a Region<ReadOnly>,
    pub(crate) header: Header,
    pub(crate) owner: Region<ReadOnly>,
    pub(crate) peers: Region<Writable>,
}

impl<'a> Claiming<'a> {
    fn open(&self, number: u64) -> Result<Opened<'a>, OpenError> {
        let (header, owner, peers) =
            generation::open_for_peer(self.channel, number, self.instance)?;
        Ok(Opened {
            channel: self.channel,
            lock: self.lock,
            root: self.root,
            header,
            owner,
            peers,
        })
    }

    /// Opens a generation that may be going away; `None` if it has.
    fn open_or_gone(&self, number: u64) -> Result<Option<Opened<'a>>, OpenError> {
        match self.open(number) {
            Ok(opened) => Ok(Some(opened)),
            Err(error) => match root::generations(self.root) {
                Ok(now) if now != self.generations => Ok(None),
                _ if root::state(self.root) != State::READY => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn check_schema(&self, opened: &Opened) -> Result<(), OpenError> {
        let schema = self.request.schema;
        schema::expect(self.channel, &opened.header, &opened.owner, schema)
    }

    /// The same for a durable consumer that has a seat already: it waits there for one who wants its records.
    fn check_schema_of_seat<P: PeerRole>(
        &self,
        opened: &Opened,
        held: &P,
    ) -> Result<(), OpenError> {
        self.check_schema(opened)
            .inspect_err(|_| seats::leave(held.peers(), held.seat(), held.state(), true))
    }

    /// Any seat of the current generation: a free one first, else a dead consumer's.
    fn any_seat<P: PeerRole>(&self) -> Result<Seat<P>, OpenError> {
        let Some(opened) = self.open_or_gone(self.generations.current)? else {
            return Ok(Seat::Changed);
        };
        if opened.header.state == State::BROKEN {
            let current = self.generations.current;
            return Err(super::owner::broken(self.channel.name(), current));
        }
        if opened.header.state != State::READY {
            return Ok(self.not_ready());
        }
        if self.request.durable.is_some() && opened.header.provision().page_file {
            return Err(OpenError::InvalidOption {
                option: "a durable consumer's channel",
                expected: "one whose memory is files, for its place there must outlive every process",
                found: format!(
                    "one of the page file (channel {}): its producer was opened with `Backing::PageFile` (--page-file)",
                    self.channel.name()
                ),
            });
        }
        self.check_schema(&opened)?;
        let Some(promised) = self.promised_seats::<P>()? else {
            return Ok(Seat::Changed);
        };
        let mut tries = Tries::begin();
        loop {
            let mut busy = false;
            for dead_ones in [false, true] {
                for seat in (0..opened.header.seat_count).filter(|seat| promised >> seat & 1 == 0) {
                    if !usable(&opened, seat, dead_ones) {
                        continue;
                    }
                    match self.try_seat(&opened, seat, dead_ones)? {
                        Seat::Changed => busy = true,
                        other => return Ok(other),
                    }
                }
            }
            // The channel has grown meanwhile: its seats are elsewhere.
            if !matches!(root::generations(self.root), Ok(now) if now == self.generations) {
                return Ok(Seat::Changed);
            }
            // A seat that looked usable was locked: by a live holder, or for a moment by somebody who only
            // looked at it.
            if !busy || !tries.pause() {
                return Err(OpenError::NoFreeSeat {
                    channel: self.channel.name().to_owned(),
                    seats: opened.header.seat_count,
                });
            }
        }
    }

    /// Locks one seat and takes it; `Changed` if that was not possible.
    fn try_seat<P: PeerRole>(
        &self,
        opened: &Opened<'_>,
        seat: u32,
        dead_ones: bool,
    ) -> Result<Seat<P>, OpenError> {
        let byte = seat_byte(opened.header.generation, seat);
        let locked = self
            .lock
            .try_lock(byte)
            .map_err(|error| self.channel.error(Denied::Lock, "lock a seat", error))?;
        if !locked {
            return Ok(Seat::Changed);
        }
        if usable(opened, seat, dead_ones) {
            match P::take(opened, seat, self.request) {
                Ok((role, resumed)) => {
                    return Ok(Seat::Taken(Box::new((opened.header, role, resumed))));
                }
                Err(refused) => {
                    let _ = self.lock.unlock(byte);
                    return self.refused(opened, refused);
                }
            }
        }
        let _ = self.lock.unlock(byte);
        Ok(Seat::Changed)
    }

    /// What it means that a seat could not be taken.
    fn refused<P>(&self, opened: &Opened<'_>, refused: NotTaken) -> Result<Seat<P>, OpenError> {
        match refused {
            NotTaken::NotReady => Ok(self.not_ready()),
            NotTaken::Unusable => Ok(Seat::Changed),
            NotTaken::Failed(error) => Err(error),
            NotTaken::Damaged(lie) => Err(OpenError::Damaged {
                channel: self.channel.name().to_owned(),
                file: super::directory::owner_file(opened.header.generation),
                lie,
            }),
        }
    }

    /// The generation is over: is there another to look at, or none yet?
    fn not_ready<P>(&self) -> Seat<P> {
        match root::generations(self.root) {
            Ok(now) if now != self.generations => Seat::Changed,
            _ => Seat::NotReady,
        }
    }

    /// Seats that peers of older generations will take when they come; `None` if one of those is not retired yet: its
    /// owner is about to do that, or a successor will.
    fn promised_seats<P: PeerRole>(&self) -> Result<Option<u64>, OpenError> {
        let mut promised = 0;
        for number in self.generations.oldest..self.generations.current {
            if let Some(opened) = self.open_or_gone(number)? {
                match P::promised(&opened) {
                    Some(seats) => promised |= seats,
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(promised))
    }

    /// The seat of a durable consumer: in the *oldest* generation that knows it, so that it misses nothing;
    /// else a new one.
    fn durable_seat<P: PeerRole>(&self, consumer: &str) -> Result<Seat<P>, OpenError> {
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
        self.any_seat()
    }

    fn resume<P: PeerRole>(
        &self,
        opened: Opened<'_>,
        seat: u32,
        consumer: &str,
    ) -> Result<Seat<P>, OpenError> {
        let system = |error: io::Error| self.channel.error(Denied::Lock, "lock a seat", error);
        let byte = seat_byte(opened.header.generation, seat);
        if !lock_patiently(self.lock, byte).map_err(system)? {
            return Err(OpenError::ConsumerInUse {
                channel: self.channel.name().to_owned(),
                consumer: consumer.to_owned(),
            });
        }
        let (mut held, resumed) = match P::take(&opened, seat, self.request) {
            Ok(taken) => taken,
            Err(refused) => {
                let _ = self.lock.unlock(byte);
                return self.refused(&opened, refused);
            }
        };
        // At the end of a stream that is over there is nothing to read here, ever.
        let drained = opened.header.state != State::READY && held.is_drained();
        if !drained {
            self.check_schema_of_seat(&opened, &held)?;
            return Ok(Seat::Taken(Box::new((opened.header, held, resumed))));
        }
        if self.generations.current == opened.header.generation {
            seats::leave(held.peers(), seat, held.state(), true);
            let _ = self.lock.unlock(byte);
            return Ok(Seat::NotReady);
        }
        self.move_on(&opened, held)
    }

    /// From the end of one generation to the base of the next.
    fn move_on<P: PeerRole>(&self, old: &Opened<'_>, mut held: P) -> Result<Seat<P>, OpenError> {
        let go = Move {
            channel: self.channel,
            lock: self.lock,
            root: self.root,
            from: &old.header,
            schema: self.request.schema,
        };
        let seat = held.seat();
        let wait_there = |held: &P, number| {
            // It waits there for one who wants its records.
            seats::leave(held.peers(), seat, held.state(), true);
            let _ = self.lock.unlock(seat_byte(number, seat));
        };
        let number = old.header.generation;
        let (header, moved) = match go.go(&mut held) {
            Ok(Moved::Here(moved)) => *moved,
            Ok(Moved::Nowhere | Moved::Taken) => {
                wait_there(&held, number);
                return Ok(Seat::Changed);
            }
            Err(error) => {
                wait_there(&held, number);
                return Err(error);
            }
        };
        if header.state != State::READY {
            // That one is over as well: begin again, and find this seat.
            wait_there(&moved, header.generation);
            return Ok(Seat::Changed);
        }
        Ok(Seat::Taken(Box::new((header, moved, true))))
    }
}

fn state_of(opened: &Opened<'_>, seat: u32) -> SeatState {
    SeatState(opened.peers.load(
        peers::seat_at(seat) + seat::STATE,
        std::sync::atomic::Ordering::Acquire,
    ))
}

/// Whether a newcomer may take the seat, if its lock is free.
fn usable(opened: &Opened<'_>, seat: u32, dead_ones: bool) -> bool {
    let state = state_of(opened, seat);
    if seats::is_evicted(&opened.owner, seat, state) {
        return true;
    }
    match state.claim() {
        Some(Claim::Free) => true,
        Some(Claim::Joining) => dead_ones,
        Some(Claim::Active) => dead_ones && !state.durable(),
        // Its frames are a dead process's, if its lock is free.
        Some(Claim::Left) => dead_ones,
        Some(Claim::Absent) => false,
        // Scribbled over; whoever holds its lock will notice, and if nobody does it is free.
        None => dead_ones,
    }
}
