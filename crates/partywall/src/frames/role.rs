//! The part of frames in owning a channel and in sitting in one of its seats.

use crate::channel::attach::{NotTaken, Opened, PeerRole};
use crate::channel::generation::{Base, Wanted};
use crate::channel::joining::Request;
use crate::channel::liveness::GenerationLocks;
use crate::channel::owner::OwnerRole;
use crate::channel::segment::Header;
use crate::layout::geometry::Impossible;
use crate::layout::header::Pattern;
use crate::layout::seat::SeatState;
use crate::memory::{ReadOnly, Region, Shared, Writable};
use crate::protocol::Lie;
use crate::protocol::frames::{self, Shape, seats};
use crate::protocol::growth::{self, Later, Older};
use crate::protocol::park;

/// The publisher's words over mapped segments.
pub(super) type MappedPublisher = frames::Publisher<Region<Writable>, Region<ReadOnly>>;
/// The subscriber's.
pub(super) type MappedSubscriber = frames::Subscriber<Region<ReadOnly>, Region<Writable>>;

/// The geometry, from a header that was checked and the words that it does not have.
fn shape(owner: &impl Shared, header: &Header) -> Result<Shape, Lie> {
    let lie = |(word, place, expected, found): Impossible| Lie {
        word,
        place,
        expected,
        found,
    };
    Shape::read(
        owner,
        header.payload_size,
        header.record_size,
        header.seat_count,
        header.base_seq,
    )
    .map_err(lie)
}

impl OwnerRole for MappedPublisher {
    const PATTERN: Pattern = Pattern::Frames;

    fn create(
        owner: Region<Writable>,
        peers: Region<ReadOnly>,
        header: &Header,
        wanted: &Wanted,
    ) -> Self {
        let pool = wanted
            .pool
            .expect("the options of frames say what the pool is");
        let shape = Shape::new(pool, header.record_size, header.base_seq);
        frames::Publisher::create(owner, peers, shape)
    }

    fn adopt(
        owner: Region<Writable>,
        peers: Region<ReadOnly>,
        header: &Header,
    ) -> Result<Self, Lie> {
        let shape = shape(&owner, header)?;
        frames::Publisher::adopt(owner, peers, shape)
    }

    fn owner(&self) -> &Region<Writable> {
        frames::Publisher::owner(self)
    }

    fn peers(&self) -> &Region<ReadOnly> {
        frames::Publisher::peers(self)
    }

    fn base(&self) -> Base {
        Base {
            position: self.position(),
            records: self.position(),
        }
    }

    fn shortcoming(&self, wanted: &Wanted) -> Option<(&'static str, u64, u64)> {
        let (wanted, found) = (wanted.pool?, self.shape().pool);
        [
            ("a number of slots of", wanted.slots, found.slots),
            ("a history of", wanted.history, found.history),
            ("frames held by a subscriber of", wanted.held, found.held),
            ("a number of loans of", wanted.loans, found.loans),
        ]
        .into_iter()
        .find(|(_, wanted, found)| found < wanted)
        .map(|(option, wanted, found)| (option, wanted.into(), found.into()))
    }

    fn evict_dead(&mut self, locks: &GenerationLocks<'_>, seats: u64) {
        frames::Publisher::evict_dead(self, locks, seats);
    }

    fn evict_left_behind(
        &mut self,
        locks: &GenerationLocks<'_>,
        later: &Later<'_, Region<ReadOnly>>,
    ) {
        frames::Publisher::evict_left_behind(self, locks, later);
    }

    fn older(&mut self) -> Option<&mut Vec<Older<Self>>> {
        Some(frames::Publisher::older(self))
    }

    fn kept(&self) -> &[Older<Self>] {
        frames::Publisher::kept(self)
    }
}

impl PeerRole for MappedSubscriber {
    const PATTERN: Pattern = Pattern::Frames;

    fn take(
        opened: &Opened<'_>,
        seat: u32,
        request: &Request<'_>,
    ) -> Result<(Self, bool), NotTaken> {
        let shape = shape(&opened.owner, &opened.header).map_err(NotTaken::Damaged)?;
        let (owner, peers) = (opened.owner.clone(), opened.peers.clone());
        let taken = seats::take(&owner, &peers, &shape, seat, request.wish)?;
        Ok((
            frames::Subscriber::new(owner, peers, shape, seat, taken),
            false,
        ))
    }

    fn owner(&self) -> &Region<ReadOnly> {
        frames::Subscriber::owner(self)
    }

    fn peers(&self) -> &Region<Writable> {
        frames::Subscriber::peers(self)
    }

    fn seat(&self) -> u32 {
        frames::Subscriber::seat(self)
    }

    fn state(&self) -> SeatState {
        frames::Subscriber::state(self)
    }

    fn is_drained(&mut self) -> bool {
        !self.has_news()
    }

    fn may_leave_for(&self, next: &Header) -> Result<(), Lie> {
        growth::at_the_end(self.cursor(), next.base_seq)
    }

    fn move_in(&mut self, next: &Opened<'_>) -> Result<Self, NotTaken> {
        let shape = shape(&next.owner, &next.header).map_err(NotTaken::Damaged)?;
        Ok(self.move_over(next.owner.clone(), next.peers.clone(), shape))
    }

    fn keeps_its_seat(&self) -> bool {
        self.has_left()
    }

    /// Else its frames' memory could go, and be overwritten before, while they are in hand.
    fn leave_with_what_it_holds(&mut self) -> bool {
        let holds = self.held() > 0;
        if holds {
            let (owner, peers) = (
                frames::Subscriber::owner(self),
                frames::Subscriber::peers(self),
            );
            let seat = frames::Subscriber::seat(self);
            seats::leave_with_frames(peers, seat, frames::Subscriber::state(self));
            park::wake_owner(owner, peers, seat);
        }
        holds
    }
}
