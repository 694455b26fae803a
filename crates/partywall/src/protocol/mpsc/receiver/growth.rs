//! Where the receiver goes on when the channel has grown: lane by lane, from the generation before into the current one.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{Progress, Receiver, cursor_at, epoch_of, state_at};
use crate::layout::mpsc::{self, LaneState};
use crate::layout::peers;
use crate::layout::record::LaneHeader;
use crate::memory::{Doorbell, Shared, SharedMut};
use crate::protocol::cursor::Cursor;
use crate::protocol::mpsc::Shape;
use crate::protocol::{Lie, SeatLocks, park};

/// The generation before, as long as there are lanes that the receiver has not left.
#[derive(Debug)]
pub(super) struct Older<O, P> {
    pub(super) owner: O,
    pub(super) peers: P,
    pub(super) shape: Shape,
    /// Those lanes, one bit each.
    lanes: u64,
    /// Lanes that have memory behind all of them, one bit each.
    pub(super) readable: u64,
}

impl<O: SharedMut, P: Shared> Receiver<O, P> {
    /// Goes on where the receiver of the generation before is: stores it, before anybody looks at this one. The lanes
    /// themselves begin where their senders say that the old ones end, which is no earlier.
    pub(crate) fn inherit(&mut self, old: &Self) {
        for (seat, before) in (0..self.shape.seats).zip(&old.lanes) {
            let lane = &mut self.lanes[seat as usize];
            let (next, records) = (before.next, before.records);
            lane.cursor = Cursor::begin(&self.owner, cursor_at(seat), next, records);
            (lane.next, lane.records) = (next, records);
            lane.compared = (0, next);
        }
    }

    /// The root says that this generation is the current one, and the old one is RETIRED: what is still to be read
    /// there comes first. The one before that must have been left. A successor does the same with what it adopted, for
    /// lanes that the dead receiver had not left.
    pub(crate) fn follow(&mut self, old: Self) {
        debug_assert!(old.older.is_none(), "one growth at a time");
        let mut lanes = 0;
        for (seat, mut lane) in (0..self.shape.seats).zip(old.lanes) {
            // SYNC lane-left: where it went on then stands in this generation.
            let left = old.owner.load(left_at(seat), Acquire);
            if left == mpsc::end_word(lane.next) {
                continue;
            }
            lane.older = true;
            lane.unclaimed = true;
            self.lanes[seat as usize] = lane;
            self.notices[seat as usize] = old.notices[seat as usize];
            lanes |= 1 << seat;
        }
        self.noticed |= lanes;
        self.told = old.told;
        self.published |= old.published;
        self.older = (lanes != 0).then_some(Older {
            owner: old.owner,
            peers: old.peers,
            shape: old.shape,
            lanes,
            readable: old.readable,
        });
    }

    /// The generation before, if there is still something to be read: its sides, its geometry, and the lanes, one bit
    /// each.
    pub(crate) fn older(&self) -> Option<(&O, &P, Shape, u64)> {
        let older = self.older.as_ref()?;
        Some((&older.owner, &older.peers, older.shape, older.lanes))
    }

    /// What the senders of a seat have counted in one of the words of [`mpsc::COUNTED`], in all generations.
    pub(crate) fn counted(&self, seat: u32, (word, kept): (u64, u64)) -> u64 {
        let (word, kept) = (peers::seat_at(seat) + word, mpsc::lane_words(seat) + kept);
        let here = self.peers.load(word, Relaxed);
        let before = match &self.older {
            // The sender may be here already.
            Some(older) if self.lanes[seat as usize].older => {
                let there = older.peers.load(word, Relaxed);
                older.owner.load(kept, Relaxed).wrapping_add(there)
            }
            _ => self.owner.load(kept, Relaxed),
        };
        before.wrapping_add(here)
    }

    /// A lane of the generation before gave nothing: leaves it, if its sender says that it ends here; then `Ok(None)`.
    /// Gives what is there else; `None`: the sender has not said anything yet.
    #[cold]
    pub(super) fn leave_at_end(&mut self, seat: u32) -> Option<Result<Option<LaneHeader>, Lie>> {
        // SYNC lane-moved: everything that was committed before it is visible from here on.
        let word = self.peers_of(seat).load(end_at(seat), Acquire);
        let end = mpsc::end_of(word)?;
        match self.peek(seat) {
            Ok(None) => {}
            other => return Some(other),
        }
        if end != self.lanes[seat as usize].next {
            return Some(Err(Lie {
                word: "end of a lane",
                place: self.lanes[seat as usize].next,
                expected: "where the first header of zero stands, plus 1",
                found: word,
            }));
        }
        self.leave(seat);
        Some(Ok(None))
    }

    /// Leaves every lane of the generation before that is free and was read to its end.
    pub(crate) fn leave_free(&mut self, older: &impl SeatLocks) {
        for seat in 0..self.shape.seats {
            let lane = &self.lanes[seat as usize];
            if lane.older && !lane.state.is_open() {
                self.leave_unheld(seat, older);
            }
        }
    }

    /// A lane of the generation before, of which everything was told: leaves it if nobody holds its seat.
    pub(super) fn leave_unheld(&mut self, seat: u32, locks: &impl SeatLocks) {
        if self.may_leave(seat) && locks.try_lock(seat) {
            // Again under the lock, which carries everything that the last holder did; the next one has to look
            // here first, and finds that we have left.
            if self.may_leave(seat) {
                self.leave(seat);
            }
            self.noticed |= 1 << seat;
            locks.unlock(seat);
        }
    }

    /// Whether a lane's sender says that it has ended, and so has gone on elsewhere.
    pub(super) fn has_ended(&self, seat: u32) -> bool {
        // SYNC lane-moved
        self.lanes[seat as usize].older && self.peers_of(seat).load(end_at(seat), Acquire) != 0
    }

    /// Whether a lane gives nothing more, now.
    fn may_leave(&mut self, seat: u32) -> bool {
        let state = self.lanes[seat as usize].state;
        if state.is_cut() && self.seat_state(seat).epoch() == state.epoch() {
            return true;
        }
        let word = self.peers_of(seat).load(end_at(seat), Acquire);
        // Where the end is a lie, that is told first.
        self.is_empty(seat)
            && mpsc::end_of(word).is_none_or(|end| end == self.lanes[seat as usize].next)
    }

    /// Goes on in the current generation, where the lane of the one before ends.
    fn leave(&mut self, seat: u32) {
        self.publish(seat);
        let last = self.seat_state(seat).epoch();
        let moved = epoch_of(&self.peers, seat);
        let Some(older) = &mut self.older else {
            return;
        };
        let lane = &mut self.lanes[seat as usize];
        if lane.state.is_cut() {
            let epoch = lane.state.epoch();
            // Who was cut off there is not heard here either. Who came after it begins anew.
            lane.state = if epoch == last && moved != 0 {
                LaneState::cut(moved)
            } else {
                LaneState::ended(epoch)
            };
        }
        let (end, records) = (lane.next, lane.records);
        let cursor = Cursor::begin(&self.owner, cursor_at(seat), end, records);
        self.owner.store(state_at(seat), lane.state.0, Release);
        // What was counted there stays: nobody counts there any more, so a successor that does this again comes to the
        // same. And nobody looks at these words before the commit.
        for (word, kept) in mpsc::COUNTED {
            let kept = mpsc::lane_words(seat) + kept;
            let counted = older.peers.load(peers::seat_at(seat) + word, Relaxed);
            let before = older.owner.load(kept, Relaxed);
            self.owner
                .store(kept, before.wrapping_add(counted), Relaxed);
        }
        // SYNC lane-left: the one commit point. Before it a successor goes on in the old lane, behind it here; so
        // nothing of this generation is handed out before it.
        let left = mpsc::end_word(end);
        older.owner.store(left_at(seat), left, Release);
        // SYNC notice: the copy before the lane is read here, as always.
        let notice = mpsc::notice(self.shape.seats, seat);
        let notice = self.peers.load32(notice, Acquire);
        self.notices[seat as usize] = notice;
        *lane = Progress {
            lane: self.shape.lane_of(seat),
            cursor,
            next: end,
            records,
            state: lane.state,
            compared: (notice, end),
            endless: false,
            adopted: None,
            older: false,
            // Behind the copy of the notice: who has come since changes it again.
            unclaimed: epoch_of(&self.peers, seat) == 0,
        };
        self.noticed |= 1 << seat;
        self.published = true;
        older.lanes &= !(1 << seat);
        if older.lanes == 0 {
            self.older = None;
        }
    }
}

impl<O, P> Receiver<O, P>
where
    O: SharedMut + Doorbell + Clone,
    P: Shared + Clone,
{
    /// Sleeps until a sender rings: in each lane, where the receiver is in it. Every seat may: who comes rings too.
    /// `sleep` gets the bells of the current generation and those of the one before.
    pub(crate) fn park(&mut self, sleep: impl FnOnce(&[(u64, u32)], &[(u64, u32)])) {
        let seats = 0..self.shape.seats;
        let (owner, peers) = (self.owner.clone(), self.peers.clone());
        let Some(older) = &self.older else {
            let sleep = |bells: &[_]| sleep(bells, &[]);
            park::park_owner(&owner, &peers, seats, || self.poll(), sleep);
            return;
        };
        let (old_owner, old_peers) = (older.owner.clone(), older.peers.clone());
        let lanes = older.lanes;
        let (there, here) = seats.partition::<Vec<_>, _>(|seat| lanes >> seat & 1 != 0);
        // The look at what is there comes behind both words that say that we sleep.
        let ready = || false;
        park::park_owner(&old_owner, &old_peers, there.into_iter(), ready, |old| {
            let sleep = |bells: &[_]| sleep(bells, old);
            park::park_owner(&owner, &peers, here.into_iter(), || self.poll(), sleep);
        });
    }
}

/// Offset of the word that says where a lane was left.
const fn left_at(seat: u32) -> u64 {
    mpsc::lane_words(seat) + mpsc::LANE_LEFT
}

/// Offset of the word in which a sender says where its lane ends.
const fn end_at(seat: u32) -> u64 {
    peers::seat_at(seat) + mpsc::END
}
