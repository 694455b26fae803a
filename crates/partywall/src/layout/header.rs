//! The header in front of every segment: the article's fields by the article's names (section 6.2).
//!
//! Line 0 is written before the segment gets its name and only `STATE` changes afterwards. Line 1 is
//! the owner's sign of life.

use super::{LINE, PAGE};

block! {
    /// The first 256 bytes of every segment.
    HEADER, "segment header", SIZE;
    /// `PRTYWALL` in ASCII.
    MAGIC: [8; Owner] = 0;
    /// See [`super::ABI_VERSION`].
    ABI_VERSION: [2; Owner] = 8;
    /// Bytes of this header.
    HEADER_SIZE: [2; Owner] = 10;
    /// See [`State`]; the only word of this line that changes after publication.
    STATE: [4; Owner] = 12;
    /// See the constants `FLAG_*`.
    FLAGS: [4; Owner] = 16;
    /// See [`Pattern`].
    PATTERN: [2; Owner] = 20;
    /// See [`Side`].
    SIDE: [2; Owner] = 22;
    /// Bytes of the whole segment, header included.
    TOTAL_SIZE: [8; Owner] = 24;
    /// Counts the channel's generations from 1; 0 in the root.
    GENERATION: [8; Owner] = 32;
    /// Bytes from the start of the segment to its payload.
    PAYLOAD_OFFSET: [8; Owner] = 40;
    /// Bytes of payload; a ring's capacity, a power of two.
    PAYLOAD_SIZE: [8; Owner] = 48;
    /// Bytes of a record; 0 where records vary in length.
    RECORD_SIZE: [4; Owner] = 56;
    /// Seats in this generation, 1 to 64.
    SEAT_COUNT: [4; Owner] = 60;
    /// A reader that does not know a bit set here must refuse the segment.
    INCOMPATIBLE_FEATURES: [8; Owner] = 64;
    /// A reader may ignore bits set here.
    COMPATIBLE_FEATURES: [8; Owner] = 72;
    /// Hash of the schema of self-describing records; 0 for none.
    SCHEMA_HASH: [8; Owner] = 80;
    /// The position at which this generation begins; positions go on across generations.
    BASE_SEQ: [8; Owner] = 88;
    /// Records committed before this generation.
    BASE_RECORDS: [8; Owner] = 96;
    /// A random number drawn when the channel was created, equal in all of its segments.
    INSTANCE: [8; Owner] = 104;
    /// Wall-clock time of creation in nanoseconds since 1970, for people.
    CREATED_NS: [8; Owner] = 112;
    /// Bytes of the schema's text behind the payload of the owner side; 0 for none.
    SCHEMA_SIZE: [4; Owner] = 120;
    /// `CLOCK_BOOTTIME` in nanoseconds, stamped by the side's owner about once a second. Tells a
    /// stuck owner from a live one; it is never proof of death.
    HEARTBEAT_NS: [8; Owner] = 128;
    /// Counts the owners of this generation from 1.
    OWNER_EPOCH: [8; Owner] = 136;
    /// The owner's process id in its own pid namespace, for people.
    OWNER_PID: [8; Owner] = 144;
    /// `CLOCK_BOOTTIME` at which the owner opened the channel, in nanoseconds, for people.
    OWNER_SINCE_NS: [8; Owner] = 152;
}

/// Bytes of the header.
pub(crate) const SIZE: u64 = 2 * LINE;
/// `PRTYWALL`, read as a little-endian word.
pub(crate) const MAGIC_VALUE: u64 = u64::from_le_bytes(*b"PRTYWALL");
/// Flag: a closed channel stays when nobody holds a seat.
pub(crate) const FLAG_KEEP: u32 = 1;
/// Flag: every value has a checksum.
pub(crate) const FLAG_CHECKSUM: u32 = 2;
/// Flag: what is in it is kept out of core dumps, and overwritten before it is freed.
pub(crate) const FLAG_CONFIDENTIAL: u32 = 4;
/// Flag: the segment lies in a named section of the page file, and goes with the last process that has it (Windows).
pub(crate) const FLAG_PAGE_FILE: u32 = 8;
/// Flag: named objects of the channel are found from every log-on session (Windows).
pub(crate) const FLAG_GLOBAL: u32 = 16;
/// Incompatible feature bits that this library knows: none yet.
pub(crate) const KNOWN_INCOMPATIBLE: u64 = 0;

/// How a channel moves data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Ring,
    Snapshot,
    Broadcast,
    Frames,
    Mpsc,
    Guarded,
}

impl Pattern {
    const ALL: [Pattern; 6] = [
        Pattern::Ring,
        Pattern::Snapshot,
        Pattern::Broadcast,
        Pattern::Frames,
        Pattern::Mpsc,
        Pattern::Guarded,
    ];

    pub(crate) const fn number(self) -> u16 {
        self as u16 + 1
    }

    /// The pattern of that number; `None` for one that this library does not know.
    pub(crate) fn from_number(number: u16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|pattern| pattern.number() == number)
    }

    /// Whether peers publish in their seats how far they came.
    pub(crate) const fn has_cursors(self) -> bool {
        matches!(self, Pattern::Ring | Pattern::Frames | Pattern::Mpsc)
    }

    /// Whether it is counted at each seat what its holders left unread.
    pub(crate) const fn counts_losses(self) -> bool {
        matches!(self, Pattern::Ring | Pattern::Frames)
    }

    /// Whether readers need nothing but reading: only then can other users be let in.
    pub(crate) const fn may_be_shared(self) -> bool {
        matches!(self, Pattern::Snapshot | Pattern::Broadcast)
    }

    /// Whether a peer can be expected back: its seat's index is the same in every generation.
    pub(crate) const fn has_durable_peers(self) -> bool {
        matches!(self, Pattern::Ring)
    }

    /// As in commands and messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Pattern::Ring => "ring",
            Pattern::Snapshot => "snapshot",
            Pattern::Broadcast => "broadcast",
            Pattern::Frames => "frames",
            Pattern::Mpsc => "mpsc",
            Pattern::Guarded => "guarded",
        }
    }
}

/// Which part of a channel a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Written by the channel's owner.
    Owner,
    /// Divided into seats, each written by its holder.
    Peers,
    /// The channel's root page.
    Root,
}

impl Side {
    pub(crate) const fn number(self) -> u16 {
        match self {
            Side::Owner => 1,
            Side::Peers => 2,
            Side::Root => 3,
        }
    }
}

/// The state word: a phase in the low byte, and CLOSED beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(pub(crate) u32);

/// The phases of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Zero bytes: nobody may look further.
    Initializing,
    /// In use.
    Ready,
    /// Validation failed; only removing the channel helps.
    Broken,
    /// Nothing more will be committed here.
    Retired,
    /// The channel is being removed (root only).
    Deleted,
}

impl State {
    pub(crate) const INITIALIZING: State = State(0);
    pub(crate) const READY: State = State(1);
    pub(crate) const BROKEN: State = State(2);
    pub(crate) const RETIRED: State = State(3);
    pub(crate) const DELETED: State = State(4);
    /// Retired by a clean end of stream.
    pub(crate) const CLOSED: State = State(3 | 0x100);

    /// The phase, or `None` for a word that no owner writes.
    pub(crate) fn phase(self) -> Option<Phase> {
        Some(match self {
            State::INITIALIZING => Phase::Initializing,
            State::READY => Phase::Ready,
            State::BROKEN => Phase::Broken,
            State::RETIRED | State::CLOSED => Phase::Retired,
            State::DELETED => Phase::Deleted,
            _ => return None,
        })
    }

    /// The word in `PROTOCOL.md`'s terms.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::INITIALIZING => "initializing",
            State::READY => "ready",
            State::BROKEN => "broken",
            State::RETIRED => "retired",
            State::CLOSED => "closed",
            State::DELETED => "deleted",
            _ => "unknown",
        }
    }
}

const _: () = assert!(SIZE <= PAGE);
