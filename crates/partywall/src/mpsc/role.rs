//! The part of mpsc in owning a channel and in sitting in one of its seats.

use crate::channel::attach::{NotTaken, Opened, PeerRole};
use crate::channel::directory::peers_file;
use crate::channel::generation::{Base, Wanted};
use crate::channel::joining::Request;
use crate::channel::owner::OwnerRole;
use crate::channel::segment::{self, Header};
use crate::layout::header::Pattern;
use crate::layout::seat::SeatState;
use crate::memory::{ReadOnly, Region, Writable};
use crate::protocol::Lie;
use crate::protocol::mpsc::Shape;
use crate::protocol::mpsc::receiver::Receiver;
use crate::protocol::mpsc::sender::{Sender, Unclaimed};

/// The receiver's words over mapped segments.
pub(super) type MappedReceiver = Receiver<Region<Writable>, Region<ReadOnly>>;
/// A sender's: the owner side, the words of all seats, its own lane.
pub(super) type MappedSender = Sender<Region<ReadOnly>, Region<Writable>, Region<Writable>>;

/// The geometry, from a header that was checked.
fn shape(header: &Header) -> Shape {
    Shape {
        lane: header.payload_size,
        seats: header.seat_count,
    }
}

impl OwnerRole for MappedReceiver {
    const PATTERN: Pattern = Pattern::Mpsc;

    fn create(
        owner: Region<Writable>,
        peers: Region<ReadOnly>,
        header: &Header,
        _wanted: &Wanted,
    ) -> Self {
        Receiver::create(owner, peers, shape(header))
    }

    fn adopt(
        owner: Region<Writable>,
        peers: Region<ReadOnly>,
        header: &Header,
    ) -> Result<Self, Lie> {
        Receiver::adopt(owner, peers, shape(header))
    }

    fn owner(&self) -> &Region<Writable> {
        Receiver::owner(self)
    }

    fn peers(&self) -> &Region<ReadOnly> {
        Receiver::peers(self)
    }

    /// Positions are the lanes' own, and begin anew.
    fn base(&self) -> Base {
        Base::default()
    }

    fn is_laden(&mut self) -> bool {
        Receiver::is_laden(self)
    }
}

impl PeerRole for MappedSender {
    const PATTERN: Pattern = Pattern::Mpsc;

    fn take(
        opened: &Opened<'_>,
        seat: u32,
        _request: &Request<'_>,
    ) -> Result<(Self, bool), NotTaken> {
        let (header, shape) = (&opened.header, shape(&opened.header));
        let file = peers_file(header.generation);
        let lane = segment::open_lane(opened.channel, &file, header, seat)
            .map_err(NotTaken::Failed)?
            .ok_or(NotTaken::Unusable)?;
        let claimed = Sender::claim(
            opened.owner.clone(),
            opened.peers.clone(),
            lane,
            shape.lane_alone(),
            shape,
            seat,
            None,
        );
        match claimed {
            Ok(sender) => Ok((sender, false)),
            Err(Unclaimed::NotReady) => Err(NotTaken::NotReady),
            // The receiver cuts the lane off when it comes there.
            Err(Unclaimed::Lie(_)) => Err(NotTaken::Unusable),
        }
    }

    fn owner(&self) -> &Region<ReadOnly> {
        Sender::owner(self)
    }

    fn peers(&self) -> &Region<Writable> {
        Sender::peers(self)
    }

    fn seat(&self) -> u32 {
        Sender::seat(self)
    }

    fn state(&self) -> SeatState {
        Sender::state(self)
    }
}
