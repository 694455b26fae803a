//! The seats of a channel, for whoever looks from outside.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::lane::LaneInfo;
use super::{Liveness, age, liveness};
use crate::channel::liveness::{Witness, seat_byte};
use crate::layout::header::Pattern;
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::verdict::{self, Evicted};
use crate::layout::{last_error, owner, peers};
use crate::memory::{ReadOnly, Region, Shared};
use crate::protocol::{cursor, seats};

/// A claimed seat.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SeatInfo {
    /// Its number.
    pub index: u32,
    /// The generation that it is in.
    pub generation: u64,
    /// `joining`, `active`, `absent` or `left`.
    pub state: &'static str,
    /// Counts its holders from 1.
    pub epoch: u64,
    /// Whether its holder resumes.
    pub durable: bool,
    /// Whose it is, if durable.
    pub name: Option<String>,
    /// Its holder.
    pub holder: Liveness,
    /// As the holder wrote it, in its own pid namespace; for people.
    pub pid: u32,
    /// Everything before it was processed; of a subscriber of frames the last one that it took or passed.
    pub read_seq: u64,
    /// Bytes from there to `write_seq`, of an mpsc channel to where its sender is; 0 where that counts frames.
    pub depth_bytes: u64,
    /// Records from there; not known of an mpsc channel.
    pub depth_records: u64,
    /// Records that its holders received; of an mpsc channel, that were received from them.
    pub received: u64,
    /// Of an mpsc channel: records that its holders refused by the drop-newest policy.
    pub dropped: u64,
    /// Records left unread by dead holders whose seat another took.
    pub abandoned: u64,
    /// Records left unread by dead holders who were evicted.
    pub lost: u64,
    /// Records left unread by holders who detached.
    pub unread: u64,
    /// Records left unread, for any of these reasons, in the generations before this one.
    pub former: u64,
    /// Frames that its holder missed, for they were written over before it came to them.
    pub missed: u64,
    /// Frames that its holder has in hand.
    pub held: u32,
    /// Whether frames may be written over before its holder comes to them.
    pub lossy: bool,
    /// Whether the owner counts it no longer.
    pub evicted: bool,
    /// Whether the holder says that it sleeps.
    pub parked: bool,
    /// Holders so far.
    pub attached: u64,
    /// Holders that left in an orderly way.
    pub detached: u64,
    /// What went wrong last.
    pub last_error: Option<&'static str>,
    /// Since the holder's last sign of life.
    pub heartbeat_age_ns: Option<u64>,
}

/// How far the owner came, in the pattern's own way of counting.
pub(super) struct Progress {
    pattern: Pattern,
    pub(super) written: cursor::Counted,
}

impl Progress {
    pub(super) fn of(pattern: Pattern, owner: &Region<ReadOnly>) -> Self {
        Progress {
            pattern,
            written: Self::load(pattern, owner, owner::WRITE_SEQ),
        }
    }

    fn load(pattern: Pattern, words: &Region<ReadOnly>, at: u64) -> cursor::Counted {
        match pattern {
            // One value, one step.
            Pattern::Snapshot | Pattern::Broadcast | Pattern::Guarded | Pattern::Frames => {
                let sequence = words.load(at, Acquire);
                cursor::Counted {
                    position: sequence,
                    records: Some(sequence),
                }
            }
            Pattern::Ring | Pattern::Mpsc => cursor::read(words, at),
        }
    }

    /// Where a seat's holder stands, and the bytes and records from there.
    fn depth(&self, peers: &Region<ReadOnly>, seat: u32, state: SeatState) -> (u64, u64, u64) {
        let read = Self::load(self.pattern, peers, peers::seat_at(seat) + seat::READ_SEQ);
        // Where seats are only slept in, nobody in them is behind; nor is who wants no more frames.
        if !self.pattern.has_cursors() || state.claim() == Some(Claim::Left) {
            return (read.position, 0, 0);
        }
        let bytes = self.written.position.saturating_sub(read.position);
        let records = match (self.written.records, read.records) {
            (Some(written), Some(read)) => written.saturating_sub(read),
            _ => 0,
        };
        match self.pattern {
            Pattern::Frames => (read.position, 0, records),
            _ => (read.position, bytes, records),
        }
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "one caller, and each says one thing"
)]
pub(super) fn seat_info(
    owner: &Region<ReadOnly>,
    peers: &Region<ReadOnly>,
    generation: u64,
    index: u32,
    progress: &Progress,
    lane: Option<&LaneInfo>,
    now: u64,
    lock: Option<&Witness>,
) -> Option<SeatInfo> {
    let at = peers::seat_at(index);
    let state = SeatState(peers.load(at + seat::STATE, Acquire));
    // A sender that has left may still have something to be received.
    if state.claim() == Some(Claim::Free) && lane.is_none_or(|lane| lane.depth_bytes == 0) {
        return None;
    }
    let (read_seq, depth_bytes, depth_records) = match lane {
        Some(lane) => (lane.read.position, lane.depth_bytes, 0),
        None => progress.depth(peers, index, state),
    };
    let load = |offset| peers.load(at + offset, Relaxed);
    let heartbeat_age_ns = age(now, load(seat::HEARTBEAT_NS));
    let verdict = verdict::at(index);
    let selector = Evicted(owner.load(verdict + verdict::EVICTED, Acquire)).selector();
    Some(SeatInfo {
        index,
        generation,
        state: state.name(),
        epoch: state.epoch(),
        durable: state.durable(),
        name: state
            .durable()
            .then(|| seats::name_of(peers, index))
            .flatten(),
        holder: liveness(lock, seat_byte(generation, index), heartbeat_age_ns),
        pid: load(seat::PID) as u32,
        read_seq,
        depth_bytes,
        depth_records,
        received: match lane {
            Some(lane) => lane.read.records.unwrap_or(0),
            None => load(seat::RECEIVED),
        },
        dropped: lane.map_or(0, |lane| lane.dropped),
        abandoned: load(seat::ABANDONED_0 + 8 * (state.epoch() & 1)),
        lost: owner.load(verdict + verdict::LOST_0 + 8 * selector, Relaxed),
        unread: load(seat::UNREAD),
        former: owner.load(verdict + verdict::FORMER, Relaxed),
        missed: load(seat::MISSED),
        held: (0..4)
            .map(|word| load(seat::PINS + 8 * word).count_ones())
            .sum(),
        lossy: state.lossy(),
        evicted: match lane {
            Some(lane) => lane.state.is_cut() && lane.state.epoch() == state.epoch(),
            None => seats::is_evicted(owner, index, state),
        },
        parked: peers.load32(peers::parked(index), Relaxed) != 0,
        attached: load(seat::ATTACHED),
        detached: load(seat::DETACHED),
        last_error: last_error::name(load(seat::LAST_ERROR)),
        heartbeat_age_ns,
    })
}
