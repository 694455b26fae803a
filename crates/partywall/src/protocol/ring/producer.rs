//! The producer's side: reserve, commit, look at the seats, evict the dead.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::{Shape, seats, walk};
use crate::layout::record::{self, RecordHeader};
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::{owner, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::cursor::{self, Cursor, position_of};
use crate::protocol::eviction::Watches;
use crate::protocol::{Lie, SeatLocks};

/// Room for one record, claimed and not yet committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    position: u64,
    total: u64,
}

/// Records that were written but not committed: the first one's header is still zero, so none of them can
/// be seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pending {
    /// The header word that will commit them all.
    first: Option<u64>,
    /// Bytes, padding included.
    bytes: u64,
    records: u64,
}

/// What a look at the seats gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Consumers that are counted (ACTIVE or ABSENT).
    pub(crate) counted: u32,
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
    owner: O,
    peers: P,
    shape: Shape,
    /// `write_seq` as stored last, with the count of records.
    cursor: Cursor,
    /// Bytes before it may be written.
    limit: u64,
    /// With no consumer: go on, and what nobody reads is gone.
    discard_when_alone: bool,
    watches: Watches,
    /// Peer sides of older generations with durable consumers that are on their way here.
    older: Vec<(P, u32)>,
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
            limit: cursor.position(),
            owner,
            peers,
            shape,
            cursor,
            discard_when_alone: false,
            watches: Watches::new(shape.seats),
            older: Vec::new(),
        }
    }

    pub(crate) fn set_discard_when_alone(&mut self, discard: bool) {
        self.discard_when_alone = discard;
    }

    /// Durable consumers of older generations count as standing at this one's base until they have come.
    pub(crate) fn set_older(&mut self, older: Vec<(P, u32)>) {
        self.older = older;
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

    pub(crate) fn position(&self) -> u64 {
        self.cursor.position()
    }

    pub(crate) fn records(&self) -> u64 {
        self.cursor.records()
    }

    /// Whether bytes up to `end` may be written, and the header that follows them too: in a full ring that
    /// header is the oldest unread record's, and zeroing it would lose it.
    #[inline(always)]
    fn allowed(&self, end: u64) -> bool {
        self.limit.wrapping_sub(end.wrapping_add(record::HEADER)) as i64 >= 0
    }

    /// Claims room for a record of `len` bytes, which the caller has checked against the maximum; `None` if
    /// the consumers must make room first (then [`Self::scan`] tells).
    #[inline(always)]
    pub(crate) fn claim(&mut self, len: u64) -> Option<Claimed> {
        // Free on x86-64. The stores below stay behind the last store of write_seq, so that a reader without
        // a seat can tell by write_seq what may have been overwritten.
        self.owner.fence(Release);
        let total = record::total(len);
        let to_end = self.shape.to_end(self.cursor.position());
        if total > to_end && !self.commit_padding(to_end) {
            return None;
        }
        let position = self.cursor.position();
        let end = position.wrapping_add(total);
        if !self.allowed(end) {
            return None;
        }
        self.owner.store(self.shape.data(end), 0, Relaxed);
        Some(Claimed { position, total })
    }

    /// Closes the end of the buffer by a commit of its own.
    #[cold]
    fn commit_padding(&mut self, to_end: u64) -> bool {
        let position = self.cursor.position();
        let end = position.wrapping_add(to_end);
        if !self.allowed(end) {
            return false;
        }
        self.owner.store(self.shape.data(end), 0, Relaxed);
        let word = RecordHeader::encode_padding(to_end);
        self.owner.store(self.shape.data(position), word, Release); // SYNC ring-commit
        let records = self.cursor.records();
        self.cursor.publish(&self.owner, end, records);
        // As in `claim`, for the record that follows.
        self.owner.fence(Release);
        true
    }

    /// Where the payload of a claimed record lies in the owner side.
    #[inline(always)]
    pub(crate) fn payload_at(&self, claimed: Claimed) -> u64 {
        self.shape.data(claimed.position) + record::HEADER
    }

    /// Commits a claimed record with a payload of `len` bytes, at most as many as were claimed.
    #[inline(always)]
    pub(crate) fn commit(&mut self, claimed: Claimed, len: u64, kind: u16) {
        let total = record::total(len);
        if total < claimed.total {
            // Payload bytes of the longer reservation stand where the next header will be looked for.
            let next = claimed.position.wrapping_add(total);
            self.owner.store(self.shape.data(next), 0, Relaxed);
        }
        // SYNC ring-commit: publishes the payload and the zero in the header that follows. From here on
        // the record is safe to read.
        let word = RecordHeader::encode(len, kind);
        self.owner
            .store(self.shape.data(claimed.position), word, Release);
        let end = claimed.position.wrapping_add(total);
        let records = self.cursor.records().wrapping_add(1);
        self.cursor.publish(&self.owner, end, records);
    }

    /// Adds a record behind those that are pending; `false` if there is no room (commit, then try again).
    #[inline(always)]
    pub(crate) fn push(&mut self, pending: &mut Pending, kind: u16, payload: &[u8]) -> bool {
        // As in `claim`.
        self.owner.fence(Release);
        let len = payload.len() as u64;
        let total = record::total(len);
        let mut position = self.cursor.position().wrapping_add(pending.bytes);
        let to_end = self.shape.to_end(position);
        if total > to_end {
            let end = position.wrapping_add(to_end);
            if !self.allowed(end) {
                return false;
            }
            self.put_header(pending, position, end, RecordHeader::encode_padding(to_end));
            position = end;
        }
        let end = position.wrapping_add(total);
        if !self.allowed(end) {
            return false;
        }
        // Header, payload, next header: everything ascends through the memory.
        self.put_header(pending, position, end, RecordHeader::encode(len, kind));
        let payload_at = self.shape.data(position) + record::HEADER;
        self.owner.copy_in(payload_at, payload);
        pending.records += 1;
        true
    }

    /// Writes a header that nobody can reach yet, for the first one of the batch is still zero.
    #[inline(always)]
    fn put_header(&self, pending: &mut Pending, position: u64, end: u64, word: u64) {
        match pending.first {
            None => pending.first = Some(word),
            Some(_) => self.owner.store(self.shape.data(position), word, Relaxed),
        }
        pending.bytes = end.wrapping_sub(self.cursor.position());
    }

    /// Commits everything pending by one store; how many records.
    #[inline(always)]
    pub(crate) fn commit_pending(&mut self, pending: &mut Pending) -> u64 {
        let pending = std::mem::take(pending);
        if let Some(word) = pending.first {
            let position = self.cursor.position();
            let end = position.wrapping_add(pending.bytes);
            self.owner.store(self.shape.data(end), 0, Relaxed);
            // SYNC ring-commit: publishes every record of the batch and the zero behind the last.
            self.owner.store(self.shape.data(position), word, Release);
            let records = self.cursor.records().wrapping_add(pending.records);
            self.cursor.publish(&self.owner, end, records);
        }
        pending.records
    }

    /// Reads all seats and raises the limit as far as they allow.
    ///
    /// Called only when the cached limit is used up. States come before cursors, Acquire both: an ACTIVE
    /// state publishes the cursor that was stored before it.
    pub(crate) fn scan(&mut self) -> Scan {
        let mut scan = Scan::default();
        let written = self.cursor.position();
        let mut slowest = written;
        // SYNC ring-join: behind the last store of write_seq, before the first look at a seat. A joiner
        // whose JOINING we do not see sees at least this write_seq.
        self.owner.fence(SeqCst);
        // Older generations first: a consumer claims its seat here before it frees the one there.
        for (peers, seats) in &self.older {
            for seat in 0..*seats {
                let state = SeatState(peers.load(peers::seat_at(seat) + seat::STATE, Acquire));
                if state.durable() && !matches!(state.claim(), Some(Claim::Free | Claim::Left)) {
                    scan.counted += 1;
                    slowest = earlier(slowest, self.shape.base);
                }
            }
        }
        let mut reads = [None; crate::layout::MAX_SEATS as usize];
        for seat in 0..self.shape.seats {
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
                    if behind > self.shape.capacity || self.watches.goes_back(seat, state, read_seq)
                    {
                        self.watches.evict_liar(&self.owner, seat, state);
                        scan.lies += 1;
                        continue;
                    }
                    scan.counted += 1;
                    reads[seat as usize] = Some(read_seq);
                    slowest = earlier(slowest, read_seq);
                }
                None => {
                    self.watches.evict_liar(&self.owner, seat, state);
                    scan.lies += 1;
                }
            }
        }
        for (seat, read) in reads.iter().enumerate() {
            if *read == Some(slowest) {
                scan.holding |= 1 << seat;
            }
        }
        scan.slowest = slowest;
        if !scan.joining && (scan.counted > 0 || self.discard_when_alone) {
            let limit = slowest.wrapping_add(self.shape.capacity);
            // It never goes back: what lies before it may be written over already.
            if limit.wrapping_sub(self.limit) as i64 > 0 {
                self.limit = limit;
            }
        }
        scan
    }

    /// Bytes behind the consumer that came furthest, wherever it is now: what nobody took.
    pub(crate) fn unread_by_all(&self) -> u64 {
        let written = self.cursor.position();
        (0..self.shape.seats)
            .map(|seat| {
                let at = peers::seat_at(seat) + seat::READ_SEQ;
                written.wrapping_sub(position_of(self.peers.load(at, Acquire)))
            })
            .chain([written.wrapping_sub(self.shape.base)])
            .filter(|&unread| unread <= self.shape.capacity)
            .min()
            .unwrap_or(self.shape.capacity)
    }

    /// Evicts every seat of `candidates` whose holder is dead, unless it is durable and has ever been
    /// ACTIVE; how many. What the dead left unread is counted by the same store that evicts them.
    pub(crate) fn evict_dead(&mut self, locks: &impl SeatLocks, candidates: u64) -> u32 {
        let (owner, peers, shape) = (&self.owner, &self.peers, &self.shape);
        let written = self.cursor.position();
        let unread = |seat, state: SeatState| {
            if state.claim() == Some(Claim::Joining) {
                return 0;
            }
            let from = seats::stood(peers, seat, state).position;
            // A dead seat that claims the impossible left nothing that could be counted.
            let in_range = written.wrapping_sub(from) <= shape.capacity && from & 7 == 0;
            in_range
                .then(|| walk(owner, shape, from).ok())
                .flatten()
                .map_or(0, |walked| walked.records)
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
