//! How senders go on when the channel has grown: everyone ends its lane in the old generation and begins one in the new.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{Lane, Notice, Sender, Shape, Unclaimed, is_later};
use crate::layout::header::{self, State};
use crate::layout::mpsc::{self, LaneState};
use crate::layout::peers;
use crate::layout::record::LaneHeader;
use crate::layout::seat::{self, Claim, SeatState};
use crate::memory::{Shared, SharedMut};
use crate::protocol::Lie;
use crate::protocol::buffer::{self, Buffer, BufferWriter};
use crate::protocol::cursor::position_of;

/// Where the lane of a seat ends in the generation before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) at: u64,
    /// The last holder of the seat, there or before.
    pub(crate) epoch: u64,
}

/// Where a lane of the generation before ends, if that can be told without its memory: because the receiver has left it,
/// or because nobody has ever held the seat. The caller holds the lock of the seat there, and has seen the root since.
pub(crate) fn end_untouched(
    owner: &impl Shared,
    peers: &impl SharedMut,
    shape: Shape,
    seat: u32,
) -> Option<Ended> {
    let words = mpsc::lane_words(seat);
    let at = peers::seat_at(seat) + seat::STATE;
    let held = SeatState(peers.load(at, Acquire)).epoch();
    // Who was told of before this generation is known to the receiver's word alone.
    let told = LaneState(owner.load(words + mpsc::LANE_STATE, Acquire)).epoch();
    let epoch = if is_later(told, held) { told } else { held };
    // SYNC lane-left: what the receiver stored of the lane in the current generation.
    let left = owner.load(words + mpsc::LANE_LEFT, Acquire);
    if let Some(left) = mpsc::end_of(left) {
        let at = position_of(left);
        return Some(Ended { at, epoch });
    }
    if held != 0 {
        return None;
    }
    let at = position_of(owner.load(words + mpsc::LANE_READ_SEQ, Acquire));
    say_end(peers, mpsc::notice(shape.seats, seat), seat, at);
    Some(Ended { at, epoch })
}

/// Ends a lane of the generation before that its last holder may not have ended: walks to the first zero header and says
/// that it ends there. As above, for all other seats; `lane` is where `buffer` lies.
pub(crate) fn end_unread<L: SharedMut>(
    owner: &impl Shared,
    peers: &impl SharedMut,
    lane: &L,
    buffer: Lane,
    shape: Shape,
    seat: u32,
) -> Result<Ended, Lie> {
    let words = mpsc::lane_words(seat);
    let at = peers::seat_at(seat);
    let found = SeatState(peers.load(at + seat::STATE, Acquire));
    // Before the cursor, as in a claim.
    let lane_state = LaneState(owner.load(words + mpsc::LANE_STATE, Acquire));
    let read = position_of(owner.load(words + mpsc::LANE_READ_SEQ, Acquire));
    if lane_state.is_cut() && lane_state.epoch() == found.epoch() {
        // SYNC lane-anew: the receiver looks here again only after it saw the state word below.
        lane.store(buffer.data(read), 0, Relaxed);
        say_end(peers, mpsc::notice(shape.seats, seat), seat, read);
        let state = SeatState::new(found.next_epoch(), Claim::Free, false);
        peers.store(at + seat::STATE, state.0, Release);
        return Ok(Ended {
            at: read,
            epoch: state.epoch(),
        });
    }
    let end = buffer::walk::<LaneHeader>(lane, buffer, read)?.end;
    let word = peers.load(at + mpsc::END, Acquire);
    match mpsc::end_of(word) {
        None => say_end(peers, mpsc::notice(shape.seats, seat), seat, end),
        Some(said) if said == end => {}
        // The receiver cuts the lane off when it comes there.
        Some(_) => {
            return Err(Lie {
                word: "end of a lane",
                place: end,
                expected: "where the first header of zero stands, plus 1",
                found: word,
            });
        }
    }
    Ok(Ended {
        at: end,
        epoch: found.epoch(),
    })
}

/// Says where a lane ends; nothing is committed there any more.
fn say_end(peers: &impl SharedMut, notice: u64, seat: u32, at: u64) {
    // SYNC lane-moved: behind every commit.
    let end = mpsc::end_word(at);
    peers.store(peers::seat_at(seat) + mpsc::END, end, Release);
    // SYNC notice
    peers.store32(notice, mpsc::notice_of_end(at), Release);
}

impl<O: Shared, P: SharedMut, L: SharedMut> Sender<O, P, L> {
    /// Goes on in the generation that follows, in the seat of the same number, whose lock the caller has taken too.
    /// Nothing may be pending. `self` must not send any more; then the receiver is to be woken where it was.
    pub(crate) fn move_on(
        &self,
        owner: O,
        peers: P,
        lane: L,
        buffer: Lane,
        next: Shape,
    ) -> Result<Self, Unclaimed> {
        if State(owner.load32(header::STATE, Acquire)) != State::READY {
            return Err(Unclaimed::NotReady);
        }
        let (seat, at) = (self.seat, self.position());
        // Whoever was here before us had no business here.
        lane.store(buffer.data(at), 0, Relaxed);
        say_end(self.peers(), self.writer.mark().at, seat, at);
        let state_at = peers::seat_at(seat) + seat::STATE;
        peers.store(state_at, self.state.0, Release);
        let read = owner.load(mpsc::lane_words(seat) + mpsc::LANE_READ_SEQ, Acquire);
        let mut notice = Notice {
            at: mpsc::notice(next.seats, seat),
            peers,
            position: at,
            records: self.records(),
        };
        super::Mark::publish(&mut notice, &lane, at, self.records());
        let mut writer = BufferWriter::new(lane, buffer, notice);
        if self.greeted {
            // The lane is empty, whatever is still to be read in the old one: BYE has room. HELLO comes before anything
            // else, and with the first look.
            writer.raise_limit(at, mpsc::RESERVE);
        }
        Ok(Sender {
            owner,
            seat,
            state: self.state,
            writer,
            base: at,
            read: position_of(read),
            greeted: self.greeted,
        })
    }
}
