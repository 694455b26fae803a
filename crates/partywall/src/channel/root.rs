//! The root page: which generations there are, and whether the channel is being removed.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::directory::{ChannelDirectory, ROOT};
use super::segment::{self, Header, Opened};
use crate::error::OpenError;
use crate::layout::header::{self, Side, State};
use crate::layout::root::{self, CURRENT, LAST, OLDEST, ROOT_BELL};
use crate::memory::{Doorbell, ReadOnly, Region, Shared, SharedMut, Writable};
use crate::protocol::Lie;

/// More generations than this are never kept: a root that says so is damaged.
const MOST_KEPT: u64 = 1 << 16;

/// The generations that a root names, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generations {
    pub(crate) oldest: u64,
    pub(crate) current: u64,
}

/// Reads which generations there are.
pub(crate) fn generations(root: &impl Shared) -> Result<Generations, Lie> {
    let mut current = root.load(CURRENT, Acquire);
    loop {
        // SYNC generation: publishes the generation's segments, which were complete and named before.
        let oldest = root.load(OLDEST, Acquire);
        if oldest != 0 && current <= LAST && current.wrapping_sub(oldest) <= MOST_KEPT {
            return Ok(Generations { oldest, current });
        }
        // The owner may have advanced both between our two loads. A contradiction with a `current` that
        // stands still is none of an honest owner's.
        let again = root.load(CURRENT, Acquire);
        if again == current {
            return Err(Lie {
                word: "current generation",
                place: CURRENT,
                expected: "1 to 2^55 - 1, and from the oldest to 2^16 behind it",
                found: current,
            });
        }
        current = again;
    }
}

/// The root's state now.
pub(crate) fn state(root: &impl Shared) -> State {
    State(root.load32(header::STATE, Acquire))
}

/// What a channel's root turned out to be.
#[derive(Debug)]
pub(crate) enum Found<Access> {
    Ready(Region<Access>, Header),
    /// Not there, or not complete.
    Absent,
    /// Somebody died while removing the channel, or is at it.
    Deleted,
}

fn found<Access>(opened: Opened<Access>) -> Found<Access> {
    match opened {
        Opened::Missing | Opened::Initializing | Opened::Vanished => Found::Absent,
        Opened::Segment(_, header) if header.state == State::DELETED => Found::Deleted,
        Opened::Segment(region, header) => Found::Ready(region, header),
    }
}

/// Opens the root for a peer or a tool.
pub(crate) fn open_read_only(channel: &ChannelDirectory) -> Result<Found<ReadOnly>, OpenError> {
    segment::open_read_only(channel, ROOT, Side::Root).map(found)
}

/// Opens the root for the holder of the owner lock.
pub(crate) fn open_writable(channel: &ChannelDirectory) -> Result<Found<Writable>, OpenError> {
    segment::open_writable(channel, ROOT, Side::Root).map(found)
}

/// Makes the root of a new channel. Its name comes last of all: whoever finds it finds a generation.
pub(crate) fn create(
    channel: &ChannelDirectory,
    generation: &Header,
) -> Result<Region<Writable>, OpenError> {
    let header = Header {
        pattern: generation.pattern,
        side: Side::Root,
        state: State::READY,
        // Nothing in it is secret.
        flags: 0,
        total_size: root::SIZE,
        generation: 0,
        payload_offset: 0,
        payload_size: 0,
        record_size: 0,
        seat_count: 0,
        schema_size: 0,
        schema_hash: 0,
        base_seq: 0,
        base_records: 0,
        instance: generation.instance,
        created_ns: generation.created_ns,
    };
    segment::create(channel, ROOT, &header, |root| {
        root.store(CURRENT, generation.generation, Relaxed);
        root.store(OLDEST, generation.generation, Relaxed);
    })
}

/// A generation that replaces one whose memory is gone: there is nobody to be told that that one is over.
pub(crate) fn begin(root: &Region<Writable>, generation: u64) {
    root.store(CURRENT, generation, Release);
    ring(root);
}

/// A generation that nobody needs is about to lose its names.
pub(crate) fn advance_oldest(root: &Region<Writable>, generation: u64) {
    root.store(OLDEST, generation, Release);
    ring(root);
}

/// The channel is being removed: joiners and sleepers see it before any name goes.
pub(crate) fn mark_deleted(root: &Region<Writable>) {
    root.store32(header::STATE, State::DELETED.0, Release);
    ring(root);
}

/// Wakes whoever waits for something to change here.
pub(crate) fn ring(root: &Region<Writable>) {
    let bell = root.load32(ROOT_BELL, Relaxed);
    root.store32(ROOT_BELL, bell.wrapping_add(1), Release);
    root.wake(ROOT_BELL);
}
