//! A sender's side: claim a seat, say HELLO, send, say BYE.

mod growth;

pub(crate) use growth::{Ended, end_unread, end_untouched};

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{Lane, Shape, is_later};
use crate::layout::header::{self, State};
use crate::layout::mpsc::{self, LaneState};
use crate::layout::peers;
use crate::layout::record::{Control, HEADER, LaneHeader};
use crate::layout::seat::{self, Claim, SeatState};
use crate::memory::{Shared, SharedMut};
use crate::protocol::Lie;
use crate::protocol::buffer::{self, Buffer, BufferWriter, Claimed, Mark, Pending};
use crate::protocol::cursor::position_of;

/// Says in the lane's notice how far its sender is.
#[derive(Debug)]
pub(crate) struct Notice<P> {
    /// The peer side, or as much of it as holds seats and notices.
    peers: P,
    at: u64,
    position: u64,
    /// Records of this holder.
    records: u64,
}

impl<M, P: SharedMut> Mark<M> for Notice<P> {
    #[inline(always)]
    fn position(&self) -> u64 {
        self.position
    }

    #[inline(always)]
    fn records(&self) -> u64 {
        self.records
    }

    #[inline(always)]
    fn publish(&mut self, _: &M, position: u64, records: u64) {
        self.position = position;
        self.records = records;
        // SYNC notice: publishes the header that was stored before it.
        self.peers
            .store32(self.at, mpsc::notice_of(position), Release);
    }
}

/// Why a seat was not claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unclaimed {
    /// The generation was retired or closed.
    NotReady,
    /// What lies in the lane cannot be walked. The receiver cuts it off when it comes there; then the seat can be
    /// claimed again.
    Lie(Lie),
}

/// What a look at the receiver's words found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// There is as much room as the receiver has made.
    Fine,
    /// The receiver found something impossible in our lane and reads it no more.
    CutOff,
}

/// The holder of one seat and its lane.
#[derive(Debug)]
pub(crate) struct Sender<O, P, L> {
    owner: O,
    seat: u32,
    /// What this holder stored in its state word.
    state: SeatState,
    writer: BufferWriter<L, Lane, Notice<P>>,
    /// Where the lane begins in this generation: the receiver may still be reading before it, in another one.
    base: u64,
    /// The receiver's cursor as it was seen last.
    read: u64,
    /// HELLO is committed.
    greeted: bool,
}

impl<O: Shared, P: SharedMut, L: SharedMut> Sender<O, P, L> {
    /// Takes a seat that nobody has, or whose holder is dead. Called under the seat's lock; the memory of the lane
    /// is reserved. `lane` is where `buffer` lies.
    ///
    /// Killed anywhere in here, it leaves the seat to the next one as it found it, or an epoch of which nobody heard.
    pub(crate) fn claim(
        owner: O,
        peers: P,
        lane: L,
        buffer: Lane,
        shape: Shape,
        seat: u32,
        after: Option<Ended>,
    ) -> Result<Self, Unclaimed> {
        let at = peers::seat_at(seat);
        let words = mpsc::lane_words(seat);
        if State(owner.load32(header::STATE, Acquire)) != State::READY {
            return Err(Unclaimed::NotReady);
        }
        let found = SeatState(peers.load(at + seat::STATE, Acquire));
        // Before the cursor: a receiver that cuts the lane off stores that first.
        let lane_state = LaneState(owner.load(words + mpsc::LANE_STATE, Acquire));
        // SYNC lane-release: what lies from here on stays, for nobody writes in the lane but us. The lock that we
        // hold carries what the dead sender saw, so this is no earlier than what that one made use of.
        let read = position_of(owner.load(words + mpsc::LANE_READ_SEQ, Acquire));
        // The receiver may still be reading in the generation before, and its cursor here tells nothing yet; or it
        // may have come here since, and far.
        let base = match after {
            Some(ended) if is_earlier(read, ended.at) => ended.at,
            _ => read,
        };
        let end = if lane_state.is_cut() && lane_state.epoch() == found.epoch() {
            // SYNC lane-anew: the receiver looks here only after it saw the state word below.
            lane.store(buffer.data(base), 0, Relaxed);
            base
        } else {
            let walked = buffer::walk::<LaneHeader>(&lane, buffer, base);
            walked.map_err(Unclaimed::Lie)?.end
        };
        // Later than everybody who held the seat, in the generation before too.
        let last = [lane_state.epoch(), after.map_or(0, |ended| ended.epoch)]
            .into_iter()
            .fold(found.epoch(), |last, epoch| {
                if is_later(epoch, last) { epoch } else { last }
            });
        let last = SeatState::new(last, Claim::Free, false);
        let state = SeatState::new(last.next_epoch(), Claim::Active, false);
        peers.store(at + seat::STATE, state.0, Release); // SYNC lane-anew
        let mut notice = Notice {
            at: mpsc::notice(shape.seats, seat),
            peers,
            position: end,
            records: 0,
        };
        // The dead one may have committed without saying so, and the lane may be too full for HELLO.
        notice.publish(&lane, end, 0);
        Ok(Sender {
            owner,
            seat,
            state,
            writer: BufferWriter::new(lane, buffer, notice),
            base,
            read,
            greeted: false,
        })
    }

    pub(crate) fn owner(&self) -> &O {
        &self.owner
    }

    /// The peer side, or as much of it as was given.
    pub(crate) fn peers(&self) -> &P {
        &self.writer.mark().peers
    }

    /// Where the lane lies.
    #[inline(always)]
    pub(crate) fn lane(&self) -> &L {
        self.writer.memory()
    }

    pub(crate) fn seat(&self) -> u32 {
        self.seat
    }

    pub(crate) fn state(&self) -> SeatState {
        self.state
    }

    /// Where the next record begins.
    pub(crate) fn position(&self) -> u64 {
        self.writer.mark().position
    }

    /// Records that this holder has committed.
    pub(crate) fn records(&self) -> u64 {
        self.writer.mark().records
    }

    /// Whether the receiver had taken everything at the last look.
    pub(crate) fn is_drained(&self) -> bool {
        self.read == self.position()
    }

    /// Whether HELLO is committed, so that this holder's end will be told.
    #[cfg(test)]
    pub(crate) fn greeted(&self) -> bool {
        self.greeted
    }

    /// Looks how far the receiver is; says HELLO as soon as there is room for it. Called when the limit is used up,
    /// at first before anything is sent. Then the receiver is to be woken, as after any commit.
    pub(crate) fn look(&mut self) -> Result<Look, Lie> {
        let words = mpsc::lane_words(self.seat);
        let lane_state = LaneState(self.owner.load(words + mpsc::LANE_STATE, Acquire));
        if lane_state.is_cut() && lane_state.epoch() == self.state.epoch() {
            return Ok(Look::CutOff);
        }
        // SYNC lane-release: our stores to what lies before it stay behind the receiver's loads from it.
        let read = position_of(self.owner.load(words + mpsc::LANE_READ_SEQ, Acquire));
        // What is not read in the generation before is none of this lane's.
        let from = if is_earlier(read, self.base) {
            self.base
        } else {
            read
        };
        let unread = self.position().wrapping_sub(from);
        let capacity = self.writer.buffer().capacity();
        if unread > capacity || is_earlier(read, self.read) {
            return Err(Lie {
                word: "read_seq of a lane",
                place: u64::from(self.seat),
                expected: "no more than was sent, and never going back",
                found: read,
            });
        }
        self.read = read;
        self.writer.raise_limit(from, mpsc::RESERVE);
        // Nothing can be committed before it: a header alone is as long.
        if !self.greeted {
            let hello = Control::Hello(self.state.epoch()).encode();
            self.greeted = self.writer.commit_bare(hello, HEADER, 0);
        }
        Ok(Look::Fine)
    }

    /// Claims room for a record of `len` bytes, which the caller has checked against the maximum; `None` if there is
    /// none (then [`Self::look`] tells). A claim that is not committed leaves nothing behind.
    #[inline(always)]
    pub(crate) fn room(&mut self, len: u64) -> Option<Claimed> {
        self.writer.claim(len)
    }

    /// Where the payload of a claimed record lies.
    #[inline(always)]
    pub(crate) fn payload_at(&self, claimed: Claimed) -> u64 {
        self.writer.payload_at(claimed)
    }

    /// Commits a claimed record with a payload of `len` bytes, at most as many as were claimed.
    #[inline(always)]
    pub(crate) fn commit(&mut self, claimed: Claimed, len: u64, kind: u16) {
        self.writer.commit(claimed, len, kind);
    }

    /// Adds a record behind those that are pending; `false` if there is no room (commit, then try again).
    #[inline(always)]
    pub(crate) fn push(&mut self, pending: &mut Pending, kind: u16, payload: &[u8]) -> bool {
        self.writer.push(pending, kind, payload)
    }

    /// Commits everything pending by one store; how many records.
    #[inline(always)]
    pub(crate) fn commit_pending(&mut self, pending: &mut Pending) -> u64 {
        self.writer.commit_pending(pending)
    }

    /// Counts a record that was refused because there was no room; before the caller learns of it.
    pub(crate) fn count_dropped(&self) {
        let at = peers::seat_at(self.seat) + mpsc::DROPPED;
        self.peers().count(at, 1);
    }

    /// Whether the seat still says what this holder stored.
    #[cfg(test)]
    pub(crate) fn seat_is_ours(&self) -> Result<(), Lie> {
        crate::protocol::seats::is_ours(self.peers(), self.seat, self.state)
    }

    /// Says BYE, for which there is always room; nothing is sent after it.
    pub(crate) fn say_bye(&mut self) {
        if std::mem::take(&mut self.greeted) {
            let bye = Control::Bye(self.state.epoch()).encode();
            let said = self.writer.commit_bare(bye, HEADER, mpsc::RESERVE - HEADER);
            debug_assert!(said, "every commit left room for it");
        }
    }

    /// Leaves in an orderly way: BYE, and the seat is FREE. The caller unlocks it.
    #[cfg(test)]
    pub(crate) fn leave(mut self) {
        self.say_bye();
        crate::protocol::seats::leave(self.peers(), self.seat, self.state, false);
    }
}

/// Whether a position comes before another.
fn is_earlier(position: u64, than: u64) -> bool {
    (position.wrapping_sub(than) as i64) < 0
}
