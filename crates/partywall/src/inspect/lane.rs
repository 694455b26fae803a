//! The lanes of an mpsc channel, for whoever looks from outside.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::ChannelInfo;
use crate::layout::mpsc::{self, LaneState};
use crate::layout::peers;
use crate::memory::{ReadOnly, Region, Shared};
use crate::protocol::cursor;

/// A sender's lane, as both sides tell of it.
pub(super) struct LaneInfo {
    pub(super) read: cursor::Counted,
    pub(super) depth_bytes: u64,
    pub(super) dropped: u64,
    blocked: u64,
    blocked_ns: u64,
    pub(super) state: LaneState,
}

impl LaneInfo {
    /// `older` are the sides of the generation before, if it is there, and how many seats it has.
    pub(super) fn read(
        owner: &Region<ReadOnly>,
        peers: &Region<ReadOnly>,
        seats: u32,
        seat: u32,
        older: Option<&(Region<ReadOnly>, Region<ReadOnly>, u32)>,
    ) -> Self {
        let words = mpsc::lane_words(seat);
        let older = older.filter(|older| seat < older.2);
        let [dropped, blocked, blocked_ns] = mpsc::COUNTED.map(|(word, kept)| {
            let word = peers::seat_at(seat) + word;
            // Until the receiver has left the lane there, what was counted is there too.
            let before = match older {
                Some((owner, peers, _)) if owner.load(words + mpsc::LANE_LEFT, Acquire) == 0 => {
                    let counted = peers.load(word, Relaxed);
                    owner.load(words + kept, Relaxed).wrapping_add(counted)
                }
                _ => owner.load(words + kept, Relaxed),
            };
            before.wrapping_add(peers.load(word, Relaxed))
        });
        let read = cursor::read(owner, words + mpsc::LANE_READ_SEQ);
        let notice = peers.load32(mpsc::notice(seats, seat), Acquire);
        LaneInfo {
            read,
            depth_bytes: 8 * u64::from(notice.wrapping_sub(mpsc::notice_of(read.position))),
            dropped,
            blocked,
            blocked_ns,
            state: LaneState(owner.load(words + mpsc::LANE_STATE, Acquire)),
        }
    }
}

impl ChannelInfo {
    /// What senders counted, and what was received from them, is the channel's account.
    pub(super) fn add_lane(&mut self, lane: Option<&LaneInfo>) {
        if let Some(lane) = lane {
            let counters = &mut self.counters;
            self.records = self.records.wrapping_add(lane.read.records.unwrap_or(0));
            counters.dropped = counters.dropped.wrapping_add(lane.dropped);
            counters.blocked = counters.blocked.wrapping_add(lane.blocked);
            counters.blocked_ns = counters.blocked_ns.wrapping_add(lane.blocked_ns);
        }
    }
}
