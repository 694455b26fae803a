//! The ring's part in owning a channel and in sitting in one of its seats.

use crate::channel::attach::{NotTaken, Opened, PeerRole};
use crate::channel::generation::{Base, Wanted};
use crate::channel::joining::Request;
use crate::channel::liveness::GenerationLocks;
use crate::channel::owner::OwnerRole;
use crate::channel::segment::Header;
use crate::layout::header::Pattern;
use crate::layout::seat::SeatState;
use crate::memory::{ReadOnly, Region, Writable};
use crate::protocol::Lie;
use crate::protocol::growth::{self, Later, Older};
use crate::protocol::ring::consumer::RingConsumer;
use crate::protocol::ring::producer::RingProducer;
use crate::protocol::ring::{Shape, seats};

/// The producer's words over mapped segments.
pub(super) type MappedProducer = RingProducer<Region<Writable>, Region<ReadOnly>>;
/// The consumer's.
pub(super) type MappedConsumer = RingConsumer<Region<ReadOnly>, Region<Writable>>;

/// A ring's geometry, from a header that was checked.
fn shape(header: &Header) -> Shape {
    Shape {
        capacity: header.payload_size,
        seats: header.seat_count,
        base: header.base_seq,
    }
}

impl OwnerRole for MappedProducer {
    const PATTERN: Pattern = Pattern::Ring;

    fn create(
        owner: Region<Writable>,
        peers: Region<ReadOnly>,
        header: &Header,
        _wanted: &Wanted,
    ) -> Self {
        RingProducer::create(owner, peers, shape(header), header.base_records)
    }

    fn adopt(
        owner: Region<Writable>,
        peers: Region<ReadOnly>,
        header: &Header,
    ) -> Result<Self, Lie> {
        RingProducer::adopt(owner, peers, shape(header))
    }

    fn owner(&self) -> &Region<Writable> {
        RingProducer::owner(self)
    }

    fn peers(&self) -> &Region<ReadOnly> {
        RingProducer::peers(self)
    }

    fn base(&self) -> Base {
        Base {
            position: self.position(),
            records: self.records(),
        }
    }

    fn evict_dead(&mut self, locks: &GenerationLocks<'_>, seats: u64) {
        RingProducer::evict_dead(self, locks, seats);
    }

    fn evict_left_behind(
        &mut self,
        locks: &GenerationLocks<'_>,
        later: &Later<'_, Region<ReadOnly>>,
    ) {
        RingProducer::evict_left_behind(self, locks, later);
    }

    fn succeed(&mut self, before: &Self) {
        self.decide_as(before);
    }

    fn older(&mut self) -> Option<&mut Vec<Older<Self>>> {
        Some(RingProducer::older(self))
    }

    fn kept(&self) -> &[Older<Self>] {
        RingProducer::kept(self)
    }
}

/// The holder of a seat that was just taken.
fn holder(opened: &Opened<'_>, seat: u32, taken: seats::Taken) -> MappedConsumer {
    RingConsumer::new(
        opened.owner.clone(),
        opened.peers.clone(),
        shape(&opened.header),
        seat,
        taken.state,
        taken.cursor,
    )
}

impl PeerRole for MappedConsumer {
    const PATTERN: Pattern = Pattern::Ring;

    fn take(
        opened: &Opened<'_>,
        seat: u32,
        request: &Request<'_>,
    ) -> Result<(Self, bool), NotTaken> {
        let (shape, durable) = (shape(&opened.header), request.durable);
        let taken = seats::take(&opened.owner, &opened.peers, &shape, seat, durable)?;
        let resumed = taken.resumed;
        Ok((holder(opened, seat, taken), resumed))
    }

    fn owner(&self) -> &Region<ReadOnly> {
        RingConsumer::owner(self)
    }

    fn peers(&self) -> &Region<Writable> {
        RingConsumer::peers(self)
    }

    fn seat(&self) -> u32 {
        RingConsumer::seat(self)
    }

    fn state(&self) -> SeatState {
        RingConsumer::state(self)
    }

    fn is_drained(&mut self) -> bool {
        matches!(self.peek(), Ok(None))
    }

    fn may_leave_for(&self, next: &Header) -> Result<(), Lie> {
        growth::at_the_end(self.position(), next.base_seq)
    }

    fn move_in(&mut self, next: &Opened<'_>) -> Result<Self, NotTaken> {
        let seat = RingConsumer::seat(self);
        let taken = seats::move_over(
            RingConsumer::peers(self),
            RingConsumer::state(self),
            &next.peers,
            seat,
            next.header.base_seq,
            self.records(),
        );
        Ok(holder(next, seat, taken))
    }
}
