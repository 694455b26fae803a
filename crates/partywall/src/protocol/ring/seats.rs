//! Taking a seat and giving it up. Every function here is called under the seat's lock, which its holder
//! keeps for as long as it sits there.
//!
//! ```text
//!            join                    detach (durable)
//!   FREE ──► JOINING ──► ACTIVE ────────────────► ABSENT
//!    ▲          │          │  ▲ ◄────────────────────┘
//!    │          │ (dead)   │  │  resume: one store
//!    └──────────┴──────────┘  └── take over (dead, not durable): one store
//!        evict / detach
//! ```

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::{Shape, walk};
use crate::layout::header::{self, State};
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::{owner, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::cursor::{self, Cursor, position_of};
use crate::protocol::seats::{self, Refused, abandoned, is_evicted, store_name};

/// A seat that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) state: SeatState,
    pub(crate) cursor: Cursor,
    /// Goes on where an earlier holder of the same name stood.
    pub(crate) resumed: bool,
}

fn start(epoch: u64) -> u64 {
    seat::START_0 + 8 * (epoch & 1)
}

/// Where a seat's holder stood, and how many records of the channel lie before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stood {
    pub(crate) position: u64,
    pub(crate) records: u64,
}

/// Where the holder of a seat in `state` stood: at its `read_seq`, or where it took over if it died before
/// storing that.
pub(crate) fn stood(peers: &impl Shared, seat: u32, state: SeatState) -> Stood {
    let at = peers::seat_at(seat);
    let epoch = state.epoch();
    let read = cursor::read(peers, at + seat::READ_SEQ);
    let records = read.records.unwrap_or(0);
    let started = peers.load(at + start(epoch), Acquire);
    if started == 0 || (started.wrapping_sub(read.position) as i64) <= 0 {
        return Stood {
            position: read.position,
            records,
        };
    }
    // What its take-over walked past is what it added to the account of the holder before.
    let now = peers.load(at + abandoned(epoch), Acquire);
    let before = peers.load(at + abandoned(epoch.wrapping_sub(1)), Acquire);
    Stood {
        position: started,
        records: records.wrapping_add(now.wrapping_sub(before)),
    }
}

/// Takes a seat by the way that its state asks for: resume, take over, or join.
///
/// `durable` names the consumer; its name is in the seat already if the seat is to be resumed.
pub(crate) fn take<O: Shared, P: SharedMut>(
    owner: &O,
    peers: &P,
    shape: &Shape,
    seat: u32,
    durable: Option<&str>,
) -> Result<Taken, Refused> {
    let at = peers::seat_at(seat);
    let state = SeatState(peers.load(at + seat::STATE, Acquire));
    let evicted = is_evicted(owner, seat, state);
    match state.claim() {
        Some(Claim::Active | Claim::Absent) if durable.is_some() && state.durable() && !evicted => {
            let stood = stood(peers, seat, state);
            if position_is_possible(owner, shape, stood.position) {
                return Ok(resume(peers, seat, state, stood));
            }
        }
        Some(Claim::Active) if !state.durable() && !evicted => {
            // It cannot be replaced by another generation while we hold the seat's lock, only before.
            if State(owner.load32(header::STATE, Acquire)) != State::READY {
                return Err(Refused::NotReady);
            }
            if let Some(taken) = take_over(owner, peers, shape, seat, state, durable) {
                return Ok(taken);
            }
        }
        _ => {}
    }
    join(owner, peers, shape, seat, state, durable)
}

/// A fresh join: the first position is the producer's `write_seq`.
fn join<O: Shared, P: SharedMut>(
    owner: &O,
    peers: &P,
    shape: &Shape,
    seat: u32,
    state: SeatState,
    durable: Option<&str>,
) -> Result<Taken, Refused> {
    let at = peers::seat_at(seat);
    let epoch = state.next_epoch();
    // What dead holders abandoned stays counted, at the new epoch's parity; it becomes valid with the
    // state word below.
    let carried = peers.load(at + abandoned(state.epoch()), Relaxed);
    peers.store(at + abandoned(epoch), carried, Relaxed);
    peers.store(at + start(epoch), 0, Relaxed);
    // Release: whoever sees JOINING sees the two words above.
    let joining = SeatState::new(epoch, Claim::Joining, durable.is_some());
    peers.store(at + seat::STATE, joining.0, Release);
    // SYNC ring-join: JOINING is before the look at write_seq, in the one order of all such fences.
    owner.fence(SeqCst);
    // Ready still? Else a producer that looks only at later generations would not see this seat.
    if State(owner.load32(header::STATE, Acquire)) != State::READY {
        peers.store(
            at + seat::STATE,
            SeatState::new(epoch, Claim::Free, false).0,
            Release,
        );
        return Err(Refused::NotReady);
    }
    // SYNC cursor: Acquire, so that the zero in the header at this position is seen, and not what stood
    // there a lap ago.
    let mut written = cursor::read(owner, owner::WRITE_SEQ);
    // A fast producer may be ahead of each look. What is counted from here on rests on this one.
    for _ in 0..1000 {
        if written.records.is_some() {
            break;
        }
        written = cursor::read(owner, owner::WRITE_SEQ);
    }
    // The name is valid only in ACTIVE and ABSENT.
    store_name(peers, at, durable.unwrap_or(""));
    let records = written.records.unwrap_or(0);
    let position = written.position;
    let cursor = Cursor::begin(peers, at + seat::READ_SEQ, position, records);
    let active = SeatState::new(epoch, Claim::Active, durable.is_some());
    peers.store(at + seat::STATE, active.0, Release);
    let _ = shape;
    Ok(Taken {
        state: active,
        cursor,
        resumed: false,
    })
}

/// A durable consumer comes back: one store, and on at its own position. Never through JOINING (killed
/// there, its records would be lost) and never at `write_seq`.
fn resume<P: SharedMut>(peers: &P, seat: u32, state: SeatState, stood: Stood) -> Taken {
    let at = peers::seat_at(seat);
    let epoch = state.next_epoch();
    // Where it stood may be told by `start` alone, which the new epoch forgets: so the cursor comes first.
    // That is right in the old epoch too, where what lies before `start` was counted.
    let cursor = Cursor::begin(peers, at + seat::READ_SEQ, stood.position, stood.records);
    let carried = peers.load(at + abandoned(state.epoch()), Relaxed);
    peers.store(at + abandoned(epoch), carried, Relaxed);
    peers.store(at + start(epoch), 0, Relaxed);
    let active = SeatState::new(epoch, Claim::Active, true);
    peers.store(at + seat::STATE, active.0, Release);
    Taken {
        state: active,
        cursor,
        resumed: true,
    }
}

/// Takes the seat of a dead consumer that was not evicted: counts what it left unread and goes on behind
/// that, so that every record is either read or counted. `None` if its words are impossible.
fn take_over<O: Shared, P: SharedMut>(
    owner: &O,
    peers: &P,
    shape: &Shape,
    seat: u32,
    state: SeatState,
    durable: Option<&str>,
) -> Option<Taken> {
    let at = peers::seat_at(seat);
    let stood = stood(peers, seat, state);
    let from = stood.position;
    if !position_is_possible(owner, shape, from) {
        return None;
    }
    // As in `resume`: where it stood may be told by `start` and the accounts alone, and those of the epoch
    // before are overwritten below.
    Cursor::begin(peers, at + seat::READ_SEQ, from, stood.records);
    // Nothing behind `from` is overwritten meanwhile: the seat still counts, and evicting it needs the lock
    // that we hold.
    let walked = walk(owner, shape, from).ok()?;
    let records = stood.records.wrapping_add(walked.records);
    let epoch = state.next_epoch();
    let before = peers.load(at + abandoned(state.epoch()), Relaxed);
    let total = before.wrapping_add(walked.records);
    peers.store(at + abandoned(epoch), total, Relaxed);
    peers.store(at + start(epoch), walked.end, Relaxed);
    // Nobody looks at the name of a seat that is not durable.
    store_name(peers, at, durable.unwrap_or(""));
    // This store commits the count, the new start and the new holder at once.
    let active = SeatState::new(epoch, Claim::Active, durable.is_some());
    peers.store(at + seat::STATE, active.0, Release);
    let cursor = Cursor::begin(peers, at + seat::READ_SEQ, walked.end, records);
    Some(Taken {
        state: active,
        cursor,
        resumed: false,
    })
}

/// A consumer goes from a drained generation to the next, whose base it stands at: it claims its seat there, at the
/// same index, by one store, and only then frees the old one. Under the locks of both.
///
/// `held` is what it stored in the old seat's state word, and `records` lie before it.
pub(crate) fn move_over<P: SharedMut>(
    old: &P,
    held: SeatState,
    peers: &P,
    seat: u32,
    base: u64,
    records: u64,
) -> Taken {
    let at = peers::seat_at(seat);
    let found = SeatState(peers.load(at + seat::STATE, Acquire));
    let epoch = found.next_epoch();
    // Nobody sat here before but the same consumer, killed in the middle of this: the index was promised to it. What was
    // abandoned in the old seat its owner keeps.
    let carried = peers.load(at + abandoned(found.epoch()), Relaxed);
    peers.store(at + abandoned(epoch), carried, Relaxed);
    peers.store(at + start(epoch), 0, Relaxed);
    let name = held.durable().then(|| seats::name_of(old, seat)).flatten();
    store_name(peers, at, name.as_deref().unwrap_or(""));
    let cursor = Cursor::begin(peers, at + seat::READ_SEQ, base, records);
    let active = SeatState::new(epoch, Claim::Active, held.durable());
    // SYNC move
    peers.store(at + seat::STATE, active.0, Release);
    seats::leave(old, seat, held, false);
    Taken {
        state: active,
        cursor,
        resumed: true,
    }
}

/// Whether an honest consumer can stand at `position`: not before the oldest byte that may still be there,
/// and not behind the newest record.
fn position_is_possible<O: Shared>(owner: &O, shape: &Shape, position: u64) -> bool {
    if position & 7 != 0 {
        return false;
    }
    let written = position_of(owner.load(owner::WRITE_SEQ, Acquire));
    let behind = written.wrapping_sub(position);
    if behind <= shape.capacity {
        return true;
    }
    // It may stand past write_seq, which is stored after the header: then the chain from write_seq leads
    // to it or beyond.
    let ahead = position.wrapping_sub(written);
    if ahead > shape.capacity {
        return false;
    }
    if walk(owner, shape, written).is_ok_and(|walked| walked.end.wrapping_sub(position) as i64 >= 0)
    {
        return true;
    }
    // Or else the producer has gone on, and round, while we looked: what lies before `position` was given
    // back. It does that only behind the fence of a look at the seats, which came behind the store of
    // write_seq; the walk's Acquire load of what it wrote there sees that store. So one more look decides.
    let written = position_of(owner.load(owner::WRITE_SEQ, Acquire));
    written.wrapping_sub(position) <= shape.capacity
}
