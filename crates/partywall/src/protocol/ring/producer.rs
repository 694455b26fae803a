//! The producer's side: reserve, commit, look at the seats, evict the dead.

use std::sync::atomic::Ordering::{Acquire, SeqCst};

use super::{Shape, seats, walk};
use crate::layout::record;
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::{owner, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::buffer::{BufferWriter, Claimed, Pending};
use crate::protocol::cursor::{self, Cursor, position_of};
use crate::protocol::eviction::Watches;
use crate::protocol::growth::{Later, Older};
use crate::protocol::{Lie, SeatLocks};

/// What a look at the seats gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Consumers that are counted (ACTIVE or ABSENT).
    pub(crate) counted: u32,
    /// Some of them have not come over from an older generation yet.
    pub(crate) older: bool,
    /// Somebody is joining; the limit stays.
    pub(crate) joining: bool,
    /// The seats that hold the limit where it is, one bit each.
    pub(crate) holding: u64,
    /// Seats whose words were impossible; they were evicted.
    pub(crate) lies: u32,
    /// The smallest position that a counted consumer has not passed.
    pub(crate) slowest: u64,
}

/// The producer of one generation.
#[derive(Debug)]
pub(crate) struct RingProducer<O, P> {
    /// Marks its commits by `write_seq`, with the count of records.
    writer: BufferWriter<O, Shape, Cursor>,
    peers: P,
    /// With no consumer: go on, and what nobody reads is gone.
    discard_when_alone: bool,
    watches: Watches,
    /// Older generations with consumers that are on their way here.
    older: Vec<Older<Self>>,
}

impl<O: SharedMut, P: Shared> RingProducer<O, P> {
    /// The producer of a fresh generation, not yet published.
    pub(crate) fn create(owner: O, peers: P, shape: Shape, records: u64) -> Self {
        let cursor = Cursor::begin(&owner, owner::WRITE_SEQ, shape.base, records);
        Self::with_cursor(owner, peers, shape, cursor)
    }

    /// Takes over what a dead producer left. Walks from `write_seq` to the first zero header, *then* looks
    /// at the seats: a consumer may rightly stand past `write_seq`, for that is stored after the header.
    pub(crate) fn adopt(owner: O, peers: P, shape: Shape) -> Result<Self, Lie> {
        let found = cursor::read(&owner, owner::WRITE_SEQ);
        let walked = walk(&owner, &shape, found.position)?;
        // Nobody writes meanwhile, so there is a count; if somebody does who must not, counting starts anew.
        let records = found.records.unwrap_or(0).wrapping_add(walked.records);
        let cursor = Cursor::begin(&owner, owner::WRITE_SEQ, walked.end, records);
        let watches = Watches::adopt(&owner, shape.seats);
        Ok(RingProducer {
            watches,
            ..Self::with_cursor(owner, peers, shape, cursor)
        })
    }

    fn with_cursor(owner: O, peers: P, shape: Shape, cursor: Cursor) -> Self {
        RingProducer {
            writer: BufferWriter::new(owner, shape, cursor),
            peers,
            discard_when_alone: false,
            watches: Watches::new(shape.seats),
            older: Vec::new(),
        }
    }

    pub(crate) fn set_discard_when_alone(&mut self, discard: bool) {
        self.discard_when_alone = discard;
    }

    /// Consumers of older generations count as standing at this one's base until they have come. Oldest first.
    pub(crate) fn older(&mut self) -> &mut Vec<Older<Self>> {
        &mut self.older
    }

    /// The same, to look at.
    pub(crate) fn kept(&self) -> &[Older<Self>] {
        &self.older
    }

    /// Decides as another producer did, for consumers do not notice that there is another generation.
    pub(crate) fn decide_as(&mut self, before: &Self) {
        self.discard_when_alone = before.discard_when_alone;
    }

    #[inline(always)]
    pub(crate) fn owner(&self) -> &O {
        self.writer.memory()
    }

    pub(crate) fn peers(&self) -> &P {
        &self.peers
    }

    #[inline(always)]
    pub(crate) fn shape(&self) -> &Shape {
        self.writer.buffer()
    }

    pub(crate) fn position(&self) -> u64 {
        self.writer.mark().position()
    }

    pub(crate) fn records(&self) -> u64 {
        self.writer.mark().records()
    }

    /// Claims room for a record of `len` bytes, which the caller has checked against the maximum; `None` if
    /// the consumers must make room first (then [`Self::scan`] tells).
    #[inline(always)]
    pub(crate) fn claim(&mut self, len: u64) -> Option<Claimed> {
        self.writer.claim(len)
    }

    /// Where the payload of a claimed record lies in the owner side.
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

    /// Reads all seats and raises the limit as far as they allow.
    ///
    /// Called only when the cached limit is used up. States come before cursors, Acquire both: an ACTIVE
    /// state publishes the cursor that was stored before it.
    pub(crate) fn scan(&mut self) -> Scan {
        let mut scan = Scan::default();
        let shape = *self.shape();
        let written = self.position();
        let mut slowest = written;
        // SYNC ring-join: behind the last store of write_seq, before the first look at a seat. A joiner
        // whose JOINING we do not see sees at least this write_seq.
        self.owner().fence(SeqCst);
        // SYNC move: older generations first, the oldest of them before the others. A consumer claims its seat in the
        // next one before it frees the one before.
        let coming = self.coming();
        if coming != 0 {
            scan.older = true;
            slowest = earlier(slowest, shape.base);
        }
        // One seat, one consumer, in whichever generation.
        let mut counted = coming;
        let mut reads = [None; crate::layout::MAX_SEATS as usize];
        for seat in 0..shape.seats {
            let at = peers::seat_at(seat);
            let state = SeatState(self.peers.load(at + seat::STATE, Acquire));
            if self.watches.is_evicted(seat, state) {
                continue;
            }
            match state.claim() {
                Some(Claim::Free | Claim::Left) => {}
                // Epochs begin at 1: somebody scribbled, and nobody who sits there can be evicted by it.
                Some(_) if state.epoch() == 0 => scan.lies += 1,
                Some(Claim::Joining) => {
                    scan.joining = true;
                    scan.holding |= 1 << seat;
                }
                Some(Claim::Active | Claim::Absent) => {
                    // SYNC ring-release
                    let read_seq = position_of(self.peers.load(at + seat::READ_SEQ, Acquire));
                    let behind = written.wrapping_sub(read_seq);
                    if behind > shape.capacity || self.watches.goes_back(seat, state, read_seq) {
                        self.watches.evict_liar(self.writer.memory(), seat, state);
                        scan.lies += 1;
                        continue;
                    }
                    counted |= 1 << seat;
                    reads[seat as usize] = Some(read_seq);
                    slowest = earlier(slowest, read_seq);
                }
                None => {
                    self.watches.evict_liar(self.writer.memory(), seat, state);
                    scan.lies += 1;
                }
            }
        }
        for (seat, read) in reads.iter().enumerate() {
            if *read == Some(slowest) {
                scan.holding |= 1 << seat;
            }
        }
        if slowest == shape.base {
            scan.holding |= coming;
        }
        scan.counted = counted.count_ones();
        scan.slowest = slowest;
        if !scan.joining && (scan.counted > 0 || self.discard_when_alone) {
            // In a full ring the header that follows a commit would be the oldest unread record's, and zeroing
            // it would lose that.
            self.writer.raise_limit(slowest, record::HEADER);
        }
        scan
    }

    /// The seats of older generations whose holders will come here, one bit each.
    fn coming(&self) -> u64 {
        let mut coming = 0;
        for older in &self.older {
            let role = &older.role;
            for seat in 0..role.shape().seats {
                let at = peers::seat_at(seat) + seat::STATE;
                let state = SeatState(role.peers.load(at, Acquire));
                if older.expects(state) && !role.watches.is_evicted(seat, state) {
                    coming |= 1 << seat;
                }
            }
        }
        coming
    }

    /// Bytes behind the consumer that came furthest, wherever it is now: what nobody took.
    pub(crate) fn unread_by_all(&self) -> u64 {
        let shape = self.shape();
        let written = self.position();
        (0..shape.seats)
            .map(|seat| {
                let at = peers::seat_at(seat) + seat::READ_SEQ;
                written.wrapping_sub(position_of(self.peers.load(at, Acquire)))
            })
            .chain([written.wrapping_sub(shape.base)])
            .filter(|&unread| unread <= shape.capacity)
            .min()
            .unwrap_or(shape.capacity)
    }

    /// Evicts every seat of `candidates` whose holder is dead, unless it is durable and has ever been
    /// ACTIVE; how many. What the dead left unread is counted by the same store that evicts them.
    pub(crate) fn evict_dead(&mut self, locks: &impl SeatLocks, candidates: u64) -> u32 {
        self.evict(locks, candidates, |_| 0)
    }

    /// The same in a generation that is over, for every seat.
    pub(crate) fn evict_left_behind(
        &mut self,
        locks: &impl SeatLocks,
        later: &Later<'_, P>,
    ) -> u32 {
        let beyond = later.records.wrapping_sub(self.records());
        self.evict(locks, u64::MAX, |seat| {
            // One that was killed between its two seats is counted where it was to go on.
            if later.has(seat) { 0 } else { beyond }
        })
    }

    /// Those who died here would have read so many records beyond this generation.
    fn evict(
        &mut self,
        locks: &impl SeatLocks,
        candidates: u64,
        beyond: impl Fn(u32) -> u64,
    ) -> u32 {
        let (shape, written) = (*self.shape(), self.position());
        let (owner, peers) = (self.writer.memory(), &self.peers);
        let unread = |seat, state: SeatState| {
            if state.claim() == Some(Claim::Joining) {
                return 0;
            }
            let from = seats::stood(peers, seat, state).position;
            // A dead seat that claims the impossible left nothing that could be counted.
            let in_range = written.wrapping_sub(from) <= shape.capacity && from & 7 == 0;
            in_range
                .then(|| walk(owner, &shape, from).ok())
                .flatten()
                .map_or(0, |walked| walked.records.wrapping_add(beyond(seat)))
        };
        self.watches
            .evict_dead(owner, peers, locks, candidates, evictable, unread)
    }
}

/// Whether the owner may evict the seat once its holder is dead.
fn evictable(state: SeatState) -> bool {
    match state.claim() {
        Some(Claim::Joining) => true,
        Some(Claim::Active) => !state.durable(),
        _ => false,
    }
}

/// The earlier of two positions that are less than half the number space apart.
fn earlier(a: u64, b: u64) -> u64 {
    if (a.wrapping_sub(b) as i64) < 0 { a } else { b }
}
