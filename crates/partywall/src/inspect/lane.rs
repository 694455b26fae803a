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
    pub(super) fn read(
        owner: &Region<ReadOnly>,
        peers: &Region<ReadOnly>,
        seats: u32,
        seat: u32,
    ) -> Self {
        let words = mpsc::lane_words(seat);
        let load = |offset| peers.load(peers::seat_at(seat) + offset, Relaxed);
        let read = cursor::read(owner, words + mpsc::LANE_READ_SEQ);
        let notice = peers.load32(mpsc::notice(seats, seat), Acquire);
        LaneInfo {
            read,
            depth_bytes: 8 * u64::from(notice.wrapping_sub(mpsc::notice_of(read.position))),
            dropped: load(mpsc::DROPPED),
            blocked: load(mpsc::BLOCKED),
            blocked_ns: load(mpsc::BLOCKED_NS),
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
