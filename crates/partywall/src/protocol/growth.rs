//! From one generation to the next while traffic runs: the steps that every pattern has in common.
//!
//! # In words
//!
//! A generation's size never changes, and neither does its schema. To grow, the owner makes another one, whose base is
//! where this one ends, complete and named. Then:
//!
//! **`root.current` is the one commit point** (label `generation`). An owner that dies before it has made nothing: its
//! successor goes on in the old generation, and discards the files. One that dies behind it has grown: its successor
//! goes on in the new generation, and says of the old one that it is RETIRED, if that was not said yet. The owner
//! never writes into a seat, on either side.
//!
//! **RETIRED is stored by Release behind the last commit and behind `root.current`** (label `retire`). A peer that sees
//! it sees every record, so it looks once more for one; and it finds the next generation. Where it finds nothing more
//! it stands at the next generation's base, and nowhere else may it leave. A header of zero alone would not do, for
//! more may come; RETIRED alone would not, for the tail would be lost.
//!
//! **A peer claims its seat in the next generation, at the same index, and only then frees the old one.** The owner
//! looks at the generations oldest first, and counts whoever sits in an older one as standing at the base of its own.
//! So there is no moment at which it sees the peer nowhere: if it finds the old seat free, it sees the new one taken
//! (label `move`). It looks at *all* generations that are kept, for a peer may have slept through several. A peer goes
//! from one to the next, and leaves none out.
//!
//! **A joiner looks at READY again behind its fence** (label `ring-join`): either it sees RETIRED and begins anew from
//! the root, or the owner's next look, which comes behind a fence behind RETIRED, sees it JOINING. For the same reason
//! a joiner of the new generation fences behind its look at RETIRED, before it decides that nobody in an older one
//! will come for the index that it wants (label `promise`).
//!
//! **The root says which two generations were closed last** (label `root-closed`), and it says so before it names the one
//! after that. A reader without a seat goes from the generation where it stands to the current one, however many lie between,
//! for they may be gone; if one of them was closed, the stream that it reads has ended there, and what comes now is
//! another. Two of them, for the current one may be closed too. If what was found is no longer the current one and a later one
//! was closed, it looks again, unless one of the two says that there was no close in between. An owner that dies between CLOSED and the root leaves it to
//! whoever makes the next generation, or removes the channel.
//!
//! **Memory goes strictly oldest first**, and only when no seat of it is claimed: who waits in one generation has not
//! read the ones after it either.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use crate::layout::header::{self, State};
use crate::layout::root::{CLOSED_0, CLOSED_1, CLOSED_SEQ_0, CLOSED_SEQ_1, CURRENT};
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::{MAX_SEATS, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::Lie;
use crate::protocol::seats::is_evicted;

/// A generation before the current one, as its owner keeps it while somebody may still come from there.
#[derive(Debug)]
pub(crate) struct Older<R> {
    pub(crate) generation: u64,
    /// The owner of that generation. It commits nothing any more.
    pub(crate) role: R,
    /// It was closed, or one between it and the current one was: then only durable peers come over.
    pub(crate) durable_only: bool,
}

impl<R> Older<R> {
    /// Whether the holder of a seat there will come to the current generation.
    pub(crate) fn expects(&self, state: SeatState) -> bool {
        sits(state) && (state.durable() || !self.durable_only)
    }
}

/// What comes after a generation that is over.
#[derive(Debug)]
pub(crate) struct Later<'a, P> {
    /// Records committed by now that the holders of its seats would come to read, counted from the channel's beginning.
    pub(crate) records: u64,
    /// Peer sides of later generations.
    pub(crate) peers: &'a [P],
}

impl<P: Shared> Later<'_, P> {
    /// Whether the peer that sits at this index of an older generation was on its way, and sits in a later one too.
    /// Under the lock of its old seat, so it is dead.
    pub(crate) fn has(&self, seat: u32) -> bool {
        self.peers.iter().any(|peers| sits(state_of(peers, seat)))
    }
}

fn state_of(peers: &impl Shared, seat: u32) -> SeatState {
    SeatState(peers.load(peers::seat_at(seat) + seat::STATE, Acquire))
}

/// Whether a seat has a holder, or is kept for one. A word that no holder writes is nobody's.
fn sits(state: SeatState) -> bool {
    matches!(
        state.claim(),
        Some(Claim::Joining | Claim::Active | Claim::Absent)
    )
}

/// Makes a generation that is complete and named the current one, and retires the one before.
pub(crate) fn advance(root: &impl SharedMut, old: &impl SharedMut, generation: u64) {
    root.store(CURRENT, generation, Release); // SYNC generation
    retire(old);
}

/// Says that nothing more will be committed in a generation that is no longer the current one; whether that was news.
/// What was closed stays so.
pub(crate) fn retire(old: &impl SharedMut) -> bool {
    let news = State(old.load32(header::STATE, Acquire)) == State::READY;
    if news {
        // SYNC retire: behind the last commit, and behind `root.current`.
        old.store32(header::STATE, State::RETIRED.0, Release);
    }
    news
}

/// Where the root says which generations were closed, and where each of them ended.
const CLOSES: [(u64, u64); 2] = [(CLOSED_0, CLOSED_SEQ_0), (CLOSED_1, CLOSED_SEQ_1)];

/// Where the close of a generation is said, or will be: in the place of the earlier of two others.
fn place_of_close(root: &impl SharedMut, generation: u64) -> (u64, u64) {
    let closed = CLOSES.map(|(place, _)| root.load(place, Relaxed));
    let second = closed[1] == generation || closed[0] != generation && closed[1] < closed[0];
    CLOSES[usize::from(second)]
}

/// Ends the stream in the current generation, behind its last commit at `position`.
pub(crate) fn close(root: &impl SharedMut, owner: &impl SharedMut, generation: u64, position: u64) {
    let (place, ended) = place_of_close(root, generation);
    root.store(place, 0, Relaxed);
    // Release: believed only together with the word that names the generation, and by who sees it twice, the same.
    root.store(ended, position, Release);
    // SYNC close: behind the last record; whoever sees CLOSED sees every header.
    owner.store32(header::STATE, State::CLOSED.0, Release);
    note_close(root, generation);
}

/// Says in the root that a generation was closed, which its owner may not have come to: before another follows it, and
/// before the channel is removed.
pub(crate) fn note_close(root: &impl SharedMut, generation: u64) {
    let (place, _) = place_of_close(root, generation);
    root.store(place, generation, Release); // SYNC root-closed
}

/// An end of the stream that a reader has behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    /// Where it ended.
    pub(crate) position: u64,
    /// It was before the generation that was found. If not, that generation may be of the same stream or of another: later
    /// closes have taken the place of what would say so, and who looks again finds a later generation.
    pub(crate) certain: bool,
}

/// Whether the channel was closed since `generation` was its current one. Asked by who looked for a later one, and found
/// `before`, or none. That one may be closed itself, and then has something to read yet.
pub(crate) fn closed_since(root: &impl Shared, generation: u64, before: u64) -> Option<Close> {
    let mut closes = [(0, 0); 2];
    // Whoever closes a generation takes the place of an earlier close, and is through with it after a few stores.
    for _ in 0..8 {
        let mut stand = true;
        for (close, (place, ended)) in closes.iter_mut().zip(CLOSES) {
            let closed = root.load(place, Acquire); // SYNC root-closed
            *close = (closed, root.load(ended, Acquire));
            stand &= root.load(place, Relaxed) == closed;
        }
        if stand {
            break;
        }
    }
    closes.sort_unstable();
    let [(earlier, _), (later, _)] = closes;
    let mut since = closes
        .into_iter()
        .filter(|&(closed, _)| generation < closed);
    let (closed, position) = since.next()?;
    if closed < before {
        return Some(Close {
            position,
            certain: true,
        });
    }
    // They are the two latest, so with one of them at ours, or before it, there was none up to the other. A place that says
    // nothing may be just changing.
    let none_between = (1..=generation).contains(&earlier);
    (later > before && !none_between).then_some(Close {
        position,
        certain: false,
    })
}

/// What a peer finds that found nothing before.
#[derive(Debug)]
pub(crate) enum Behind<F> {
    /// There may be more.
    Ready,
    /// The last of it came in between.
    Found(F),
    /// There will be nothing more here, and this is why.
    Over(State),
}

/// Nothing was there: is the generation over? One load while it is not.
pub(crate) fn look_behind<F>(
    owner: &impl Shared,
    peek: impl FnOnce() -> Result<Option<F>, Lie>,
) -> Result<Behind<F>, Lie> {
    // SYNC retire, close
    let state = State(owner.load32(header::STATE, Acquire));
    if state == State::READY {
        return Ok(Behind::Ready);
    }
    // Again, behind the state: now every record that was ever committed here is seen.
    Ok(match peek()? {
        Some(found) => Behind::Found(found),
        None => Behind::Over(state),
    })
}

/// Whether a peer that found nothing more behind RETIRED stands where the next generation begins.
pub(crate) fn at_the_end(position: u64, base: u64) -> Result<(), Lie> {
    if position == base {
        return Ok(());
    }
    Err(Lie {
        word: "base_seq",
        place: header::BASE_SEQ,
        expected: "where the generation before ended",
        found: base,
    })
}

/// The seats of an older generation, one bit each, whose holders will take the same ones in the current generation;
/// `None` if it is not retired yet: then somebody may sit down there still.
pub(crate) fn promised(owner: &impl Shared, peers: &impl Shared, seats: u32) -> Option<u64> {
    let state = State(owner.load32(header::STATE, Acquire));
    if state == State::READY {
        return None;
    }
    // SYNC promise: behind the look at RETIRED, before the look at the seats. A joiner there whose JOINING we do not
    // see finds RETIRED behind its own fence.
    owner.fence(SeqCst);
    let mut promised = 0;
    for seat in 0..seats.min(MAX_SEATS) {
        let found = state_of(peers, seat);
        let comes = sits(found) && (found.durable() || state == State::RETIRED);
        if comes && !is_evicted(owner, seat, found) {
            promised |= 1 << seat;
        }
    }
    Some(promised)
}
