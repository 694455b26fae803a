//! The part of mpsc in owning a channel and in sitting in one of its seats.

use std::sync::atomic::Ordering::Acquire;

use crate::channel::attach::{NotTaken, Opened, PeerRole};
use crate::channel::directory::peers_file;
use crate::channel::generation::{self, Base, Wanted};
use crate::channel::joining::Request;
use crate::channel::liveness::seat_byte;
use crate::channel::owner::OwnerRole;
use crate::channel::root;
use crate::channel::segment::{self, Header};
use crate::layout::header::{self, Pattern, State};
use crate::layout::seat::SeatState;
use crate::memory::{ReadOnly, Region, Shared, Writable};
use crate::protocol::growth::Older;
use crate::protocol::mpsc::Shape;
use crate::protocol::mpsc::receiver::Receiver;
use crate::protocol::mpsc::sender::{Ended, Sender, Unclaimed, end_unread, end_untouched};
use crate::protocol::{Lie, park, seats};

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

    fn succeed(&mut self, before: &Self) {
        Receiver::inherit(self, before);
    }

    fn follows_older(&mut self) -> bool {
        true
    }

    /// What is still to be read in the one before becomes part of this role; what was closed is gone.
    fn keep(&mut self, mut older: Vec<Older<Self>>) {
        if let Some(before) = older.pop()
            && !before.durable_only
        {
            self.follow(before.role);
        }
    }

    fn lost_page(&self) -> Option<u64> {
        let here = (Receiver::owner(self), Receiver::peers(self));
        let before = Receiver::older(self).map(|older| (older.0, older.1));
        std::iter::once(here)
            .chain(before)
            .find_map(|(owner, peers)| owner.lost_page().or_else(|| peers.lost_page()))
    }

    fn needs_older(&self) -> bool {
        Receiver::older(self).is_some()
    }
}

/// The generation before, if the channel has grown and there is still something of it. The caller holds the lock of a
/// seat of the one that is the current one.
fn older<'a>(opened: &Opened<'a>) -> Result<Option<Opened<'a>>, NotTaken> {
    let generations = || root::generations(opened.root).map_err(NotTaken::Damaged);
    let before = opened.header.generation.wrapping_sub(1);
    let found = generations()?;
    if found.current != opened.header.generation {
        return Err(NotTaken::NotReady);
    }
    if found.oldest > before {
        return Ok(None);
    }
    let instance = opened.header.instance;
    match generation::open_for_peer(opened.channel, before, instance) {
        Ok((header, owner, peers)) => Ok(Some(Opened {
            header,
            owner,
            peers,
            ..*opened
        })),
        // Going away.
        Err(_) if generations()? != found => Err(NotTaken::NotReady),
        Err(error) => Err(NotTaken::Failed(error)),
    }
}

/// Ends the lane of a seat in the generation before: under its lock there, for nobody else must be at it.
fn end(older: &Opened<'_>, seat: u32) -> Result<Option<Ended>, NotTaken> {
    match State(older.owner.load32(header::STATE, Acquire)) {
        State::RETIRED if seat < older.header.seat_count => {}
        // Its receiver has advanced the root, and is about to say so; or its successor will.
        State::READY => return Err(NotTaken::NotReady),
        _ => return Ok(None),
    }
    let shape = shape(&older.header);
    let (owner, peers) = (&older.owner, &older.peers);
    if let Some(ended) = end_untouched(owner, peers, shape, seat) {
        return Ok(Some(ended));
    }
    let lane = open_lane(older, seat)?;
    let ended = end_unread(owner, peers, &lane, shape.lane_alone(), shape, seat)
        // The receiver cuts it off when it comes there.
        .map_err(|_| NotTaken::Unusable)?;
    park::wake_owner(owner, peers, seat);
    Ok(Some(ended))
}

fn open_lane(opened: &Opened<'_>, seat: u32) -> Result<Region<Writable>, NotTaken> {
    let file = peers_file(opened.header.generation);
    segment::open_lane(opened.channel, &file, &opened.header, seat)
        .map_err(NotTaken::Failed)?
        .ok_or(NotTaken::Unusable)
}

impl PeerRole for MappedSender {
    const PATTERN: Pattern = Pattern::Mpsc;

    fn take(
        opened: &Opened<'_>,
        seat: u32,
        _request: &Request<'_>,
    ) -> Result<(Self, bool), NotTaken> {
        let shape = shape(&opened.header);
        let claim = |after| {
            let lane = open_lane(opened, seat)?;
            Sender::claim(
                opened.owner.clone(),
                opened.peers.clone(),
                lane,
                shape.lane_alone(),
                shape,
                seat,
                after,
            )
            .map_err(not_taken)
        };
        let sender = match older(opened)? {
            None => claim(None)?,
            Some(older) => {
                let byte = seat_byte(older.header.generation, seat);
                if !matches!(opened.lock.try_lock(byte), Ok(true)) {
                    // Its holder is still there, and comes here by itself.
                    return Err(NotTaken::Unusable);
                }
                let claimed = end(&older, seat).and_then(claim);
                let _ = opened.lock.unlock(byte);
                claimed?
            }
        };
        Ok((sender, false))
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

    fn move_in(&mut self, next: &Opened<'_>) -> Result<Self, NotTaken> {
        let seat = Sender::seat(self);
        // Before anything is said: if there is no memory, this holder stays where it is.
        let lane = open_lane(next, seat)?;
        let shape = shape(&next.header);
        let (owner, peers) = (next.owner.clone(), next.peers.clone());
        let moved = self
            .move_on(owner, peers, lane, shape.lane_alone(), shape)
            .map_err(not_taken)?;
        let peers = Sender::peers(self);
        park::wake_owner(Sender::owner(self), peers, seat);
        seats::leave(peers, seat, Sender::state(self), false);
        Ok(moved)
    }

    fn last_words(&mut self) {
        self.say_bye();
    }

    /// Whoever comes ends the lane there first; under its lock, so nobody's is taken.
    fn promised(_older: &Opened<'_>) -> Option<u64> {
        Some(0)
    }
}

fn not_taken(unclaimed: Unclaimed) -> NotTaken {
    match unclaimed {
        Unclaimed::NotReady => NotTaken::NotReady,
        // The receiver cuts the lane off when it comes there.
        Unclaimed::Lie(_) => NotTaken::Unusable,
    }
}
