//! The publisher's side: find a slot that nobody needs, publish what was written into it, evict the dead.

mod older;

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::set::{SlotSet, WORDS};
use super::{Described, Shape, complete, describe, incomplete};
use crate::layout::frames::{self, About, Info, SlotWord};
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::{owner, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::eviction::Watches;
use crate::protocol::growth::Older;
use crate::protocol::{Lie, SeatLocks};

/// A slot in the publisher's hand, to be published or aborted.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a loan that is neither published nor aborted is lost until the next owner"]
pub(crate) struct Loan {
    slot: u32,
}

/// Why no slot was free: the seats that keep one, one bit each, and what keeps the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Busy {
    /// Reliable subscribers that have not come to a frame yet.
    pub(crate) behind: u64,
    /// Reliable subscribers that are about to join.
    pub(crate) joining: u64,
    /// Subscribers that hold a frame.
    pub(crate) holding: u64,
    /// Frames that the publisher itself has in hand.
    pub(crate) loans: u32,
}

impl Busy {
    /// Every seat that is in the way.
    pub(crate) fn seats(&self) -> u64 {
        self.behind | self.joining | self.holding
    }
}

/// What one look found in a seat.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// A reliable subscriber's: frames behind it are still to be read.
    cursor: Option<u64>,
    pins: SlotSet,
}

/// What one look at all seats found.
#[derive(Debug)]
struct Look {
    seats: Vec<Seen>,
    /// Seats of reliable subscribers that are joining, one bit each.
    joining: u64,
    /// Seats of reliable subscribers that have not come over from an older generation, one bit each.
    coming: u64,
    /// The cursor that is furthest behind.
    slowest: Option<u64>,
    pins: SlotSet,
}

/// The publisher of one generation.
#[derive(Debug)]
pub(crate) struct Publisher<O, P> {
    owner: O,
    peers: P,
    shape: Shape,
    /// The last frame that was published.
    position: u64,
    /// The slots' words, which nobody else writes.
    words: Vec<SlotWord>,
    /// Slots in the application's hand.
    loaned: SlotSet,
    watches: Watches,
    look: Look,
    /// Generations before this one that somebody may still be in, oldest first.
    older: Vec<Older<Self>>,
}

impl<O: SharedMut, P: Shared> Publisher<O, P> {
    /// The publisher of a fresh generation, not yet published.
    pub(crate) fn create(owner: O, peers: P, shape: Shape) -> Self {
        shape.write(&owner);
        owner.store(owner::WRITE_SEQ, shape.base, Relaxed);
        let words = vec![SlotWord::EMPTY; shape.pool.slots as usize];
        let watches = Watches::new(shape.pool.seats);
        Self::with(owner, peers, shape, shape.base, words, watches)
    }

    /// Takes over what a dead publisher left.
    pub(crate) fn adopt(owner: O, peers: P, shape: Shape) -> Result<Self, Lie> {
        let position = last_described(&owner, &shape)?;
        let mut words = Vec::with_capacity(shape.pool.slots as usize);
        for slot in 0..shape.pool.slots {
            let mut word = SlotWord(owner.load(shape.word(slot), Relaxed));
            let after_base = word.sequence().wrapping_sub(shape.base);
            let there = position.wrapping_sub(shape.base);
            if word.sequence() == position.wrapping_add(1) && !word.is_writing() {
                // Its publisher died before it was described. Nobody will ever pass that frame.
                word = SlotWord::EMPTY;
                owner.store(shape.word(slot), word.0, Relaxed);
            } else if word.sequence() != 0 && (after_base == 0 || after_base > there) {
                return Err(Lie {
                    word: "word of a slot",
                    place: slot.into(),
                    expected: "a frame of this generation that was published",
                    found: word.0,
                });
            }
            words.push(word);
        }
        // The descriptors that are still there are of frames that lie where they say, or were written over.
        let kept = shape.descriptors().min(position.wrapping_sub(shape.base));
        for back in 0..kept {
            let sequence = position.wrapping_sub(back);
            match describe(&owner, &shape, sequence)? {
                Described::Whole(found) => {
                    let now = words[found.slot as usize].sequence();
                    // A slot that was written over and then emptied by an earlier successor held nothing that
                    // is kept.
                    let emptied = now == 0 && back >= shape.pool.history.into();
                    if emptied || !is_before(now, sequence) {
                        continue;
                    }
                }
                // The next descriptor's place: it was being written.
                Described::Other(mark)
                    if sequence.wrapping_add(shape.descriptors()) == position.wrapping_add(1)
                        && mark == incomplete(position.wrapping_add(1)) =>
                {
                    continue;
                }
                Described::Other(_) => {}
            }
            return Err(Lie {
                word: "descriptor",
                place: sequence,
                expected: "that of a frame that lies where it says",
                found: owner.load(shape.descriptor(sequence) + frames::MARK, Relaxed),
            });
        }
        owner.store(owner::WRITE_SEQ, position, Release);
        let watches = Watches::adopt(&owner, shape.pool.seats);
        Ok(Self::with(owner, peers, shape, position, words, watches))
    }

    fn with(
        owner: O,
        peers: P,
        shape: Shape,
        position: u64,
        words: Vec<SlotWord>,
        watches: Watches,
    ) -> Self {
        Publisher {
            owner,
            peers,
            shape,
            position,
            words,
            loaned: SlotSet::default(),
            watches,
            look: Look {
                seats: vec![Seen::default(); shape.pool.seats as usize],
                joining: 0,
                coming: 0,
                slowest: None,
                pins: SlotSet::default(),
            },
            older: Vec::new(),
        }
    }

    pub(crate) fn owner(&self) -> &O {
        &self.owner
    }

    pub(crate) fn peers(&self) -> &P {
        &self.peers
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The last frame that was published.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Finds a slot that nobody needs and takes it; what keeps them all, if there is none.
    pub(crate) fn loan(&mut self) -> Result<Loan, Busy> {
        let loans = self.loaned.count();
        if loans >= self.shape.pool.loans {
            return Err(Busy {
                loans,
                ..Busy::default()
            });
        }
        // This look chooses; without it slots would be marked that are in use, and lossy subscribers give up
        // frames that nobody takes from them.
        self.look();
        let mut tried = SlotSet::default();
        while let Some(slot) = self.candidate(&tried) {
            let found = self.words[slot as usize];
            let marked = found.writing();
            self.owner.store(self.shape.word(slot), marked.0, Relaxed);
            // SYNC frame-pin, frame-join: WRITING, and the last write_seq, before it; states, cursors and pins
            // behind it, and nothing of what was seen before counts.
            self.owner.fence(SeqCst);
            self.look();
            if self.is_free(slot) {
                self.words[slot as usize] = marked;
                self.loaned.insert(slot);
                return Ok(Loan { slot });
            }
            // The very word: where a dead publisher may have begun to write, WRITING stays.
            self.owner.store(self.shape.word(slot), found.0, Relaxed);
            tried.insert(slot);
        }
        Err(self.busy())
    }

    /// Where the bytes of a loan lie in the owner side.
    pub(crate) fn data_at(&self, loan: &Loan) -> u64 {
        self.shape.data(loan.slot)
    }

    /// Publishes a loan with what was written into it; the number of the frame. The caller has checked the length.
    #[inline(always)]
    pub(crate) fn publish(&mut self, loan: Loan, info: Info, time_ns: u64, about: &About) -> u64 {
        let sequence = self.position.wrapping_add(1);
        let word = SlotWord::holds(sequence);
        let owner = &self.owner;
        // The slot's word comes before the descriptor: a lossy subscriber that was led here by it finds this
        // frame, and a reliable one's frame is known as its own as soon as it can be seen.
        owner.store(self.shape.word(loan.slot), word.0, Release);
        let at = self.shape.descriptor(sequence);
        // Release: who sees this mark sees the `write_seq` before it, and can tell whether it is a possible one.
        owner.store(at + frames::MARK, incomplete(sequence), Release);
        // SYNC frame-lap: whoever sees a word of this descriptor sees this mark, or a later one.
        owner.fence(Release);
        owner.store(at + frames::OFFSET, self.shape.data(loan.slot), Relaxed);
        owner.store(at + frames::INFO, info.0, Relaxed);
        owner.store(at + frames::TIME_NS, time_ns, Relaxed);
        owner.copy_in(at + frames::ABOUT, &about.to_bytes());
        // SYNC frame-commit: publishes the bytes, the slot's word and the descriptor. From here on the frame is safe
        // to read.
        owner.store(at + frames::MARK, complete(sequence), Release);
        // For joiners, tools and adoption: behind the descriptor.
        owner.store(owner::WRITE_SEQ, sequence, Release);
        self.words[loan.slot as usize] = word;
        self.loaned.remove(loan.slot);
        self.position = sequence;
        sequence
    }

    /// Gives a loan up. Nothing is stored: what lay in the slot before is spoilt, and WRITING says so.
    pub(crate) fn abort(&mut self, loan: Loan) {
        self.loaned.remove(loan.slot);
    }

    /// Looks at all seats: states, then cursors, then pins, each by Acquire.
    fn look(&mut self) {
        // SYNC move: older generations first. Who moves takes its seat here before it gives up the one there.
        let coming = self.look_at_older();
        let look = &mut self.look;
        look.coming = coming;
        look.joining = 0;
        look.slowest = (coming != 0).then_some(self.shape.base);
        look.pins = SlotSet::default();
        for seat in 0..self.shape.pool.seats {
            let seen = &mut look.seats[seat as usize];
            *seen = Seen::default();
            let at = peers::seat_at(seat);
            let state = SeatState(self.peers.load(at + seat::STATE, Acquire));
            if self.watches.is_evicted(seat, state) {
                continue;
            }
            let honest = match state.claim() {
                Some(Claim::Free) => continue,
                // Epochs begin at 1: somebody scribbled, and nobody who sits there can be evicted by it.
                Some(_) if state.epoch() == 0 => continue,
                Some(_) if state.durable() => false,
                Some(Claim::Joining) => {
                    // Its pins were cleared before. Who may be skipped takes what it can get.
                    if !state.lossy() {
                        look.joining |= 1 << seat;
                    }
                    continue;
                }
                Some(Claim::Active) if state.lossy() => true,
                Some(Claim::Active) => {
                    // SYNC frame-hold
                    let cursor = self.peers.load(at + seat::READ_SEQ, Acquire);
                    let behind = self.position.wrapping_sub(cursor);
                    seen.cursor = Some(cursor);
                    behind <= self.shape.pool.slots.into()
                        && !self.watches.goes_back(seat, state, cursor)
                }
                Some(Claim::Left) => true,
                Some(Claim::Absent) | None => false,
            };
            for word in 0..self.shape.pin_words() {
                let pins = at + seat::PINS + 8 * word as u64;
                // SYNC frame-hold, frame-release
                seen.pins.0[word] = self.peers.load(pins, Acquire);
            }
            if !honest || !pins_are_possible(&self.shape, &seen.pins) {
                *seen = Seen::default();
                self.watches.evict_liar(&self.owner, seat, state);
                continue;
            }
            look.pins.union(&seen.pins);
            look.slowest = match (look.slowest, seen.cursor) {
                (Some(one), Some(other)) if is_before(one, other) => Some(one),
                (one, other) => other.or(one),
            };
        }
    }

    /// Whether a slot is not in hand, and its frame not among the newest that are kept.
    fn is_eligible(&self, slot: u32) -> bool {
        let sequence = self.words[slot as usize].sequence();
        let age = self.position.wrapping_sub(sequence);
        !self.loaned.contains(slot) && (sequence == 0 || age >= self.shape.pool.history.into())
    }

    /// Whether the last look found nobody who needs the slot. WRITING makes no difference: the frame from before
    /// may still be there, and somebody reading it.
    fn is_free(&self, slot: u32) -> bool {
        let sequence = self.words[slot as usize].sequence();
        let read_by_all = || {
            self.look.joining == 0
                && !self
                    .look
                    .slowest
                    .is_some_and(|cursor| is_before(cursor, sequence))
        };
        !self.look.pins.contains(slot) && (sequence == 0 || read_by_all())
    }

    /// The best of the slots that the last look found free: the one that was written last, for it is in the caches
    /// still. Empty ones come last.
    fn candidate(&self, tried: &SlotSet) -> Option<u32> {
        (0..self.shape.pool.slots)
            .filter(|&slot| !tried.contains(slot) && self.is_eligible(slot) && self.is_free(slot))
            // The first of several empty ones.
            .rev()
            .max_by_key(|&slot| match self.words[slot as usize].sequence() {
                0 => 0,
                sequence => sequence.wrapping_sub(self.shape.base),
            })
    }

    /// Who keeps the slots that the last look found in use.
    #[cold]
    fn busy(&self) -> Busy {
        let mut busy = Busy {
            loans: self.loaned.count(),
            ..Busy::default()
        };
        for slot in (0..self.shape.pool.slots).filter(|&slot| self.is_eligible(slot)) {
            let sequence = self.words[slot as usize].sequence();
            if sequence != 0 {
                busy.joining |= self.look.joining;
                busy.behind |= self.look.coming;
            }
            for (seat, seen) in self.look.seats.iter().enumerate() {
                let behind = |cursor| sequence != 0 && is_before(cursor, sequence);
                busy.behind |= u64::from(seen.cursor.is_some_and(behind)) << seat;
                busy.holding |= u64::from(seen.pins.contains(slot)) << seat;
            }
        }
        busy
    }

    /// How many subscribers there are, dead ones that nobody has noticed yet included, and those that are on their way
    /// from an older generation.
    pub(crate) fn subscribers(&self) -> u32 {
        let older = self.older.iter().filter(|older| !older.durable_only);
        // A seat has the same number in each of them.
        older
            .fold(self.attached(), |seats, older| {
                seats | older.role.attached()
            })
            .count_ones()
    }

    /// Evicts every seat of `candidates` whose holder is dead; how many. Its pins no longer count, nor does its
    /// cursor, and the frames that it had not come to are counted as lost by the same store.
    pub(crate) fn evict_dead(&mut self, locks: &impl SeatLocks, candidates: u64) -> u32 {
        self.evict(locks, candidates, |_| 0)
    }

    /// Those who died here would have had so many frames beyond this generation.
    fn evict(
        &mut self,
        locks: &impl SeatLocks,
        candidates: u64,
        beyond: impl Fn(u32) -> u64,
    ) -> u32 {
        let (peers, base, position) = (&self.peers, self.shape.base, self.position);
        let unread = |seat, state: SeatState| {
            let here = super::seats::unread(peers, seat, state, base, position);
            // Who has left wanted no more.
            if state.claim() == Some(Claim::Active) {
                here.wrapping_add(beyond(seat))
            } else {
                here
            }
        };
        self.watches
            .evict_dead(&self.owner, peers, locks, candidates, evictable, unread)
    }
}

/// Whether the owner may evict the seat once its holder is dead.
fn evictable(state: SeatState) -> bool {
    matches!(
        state.claim(),
        Some(Claim::Joining | Claim::Active | Claim::Left)
    )
}

/// The last frame that is described. It may be one later than `write_seq`, which is stored after the descriptor.
fn last_described(owner: &impl Shared, shape: &Shape) -> Result<u64, Lie> {
    let written = owner.load(owner::WRITE_SEQ, Acquire);
    // Nobody has published so many: the difference is that of a word that was written over.
    if written.wrapping_sub(shape.base) >> 61 != 0 {
        return Err(Lie {
            word: "write_seq",
            place: owner::WRITE_SEQ,
            expected: "the base of the generation, or later",
            found: written,
        });
    }
    let next = written.wrapping_add(1);
    match describe(owner, shape, next)? {
        Described::Whole(_) => Ok(next),
        Described::Other(_) => Ok(written),
    }
}

/// Whether an honest holder can have these pins. One word is from one moment, several words are not.
fn pins_are_possible(shape: &Shape, pins: &SlotSet) -> bool {
    (0..WORDS as u32).all(|word| {
        let slots = shape.pool.slots.saturating_sub(64 * word).min(64);
        let valid = if slots == 64 {
            u64::MAX
        } else {
            (1 << slots) - 1
        };
        let found = pins.0[word as usize];
        found & !valid == 0 && found.count_ones() <= shape.pool.held
    })
}

/// Whether a frame comes before another one.
fn is_before(one: u64, other: u64) -> bool {
    (one.wrapping_sub(other) as i64) < 0
}
