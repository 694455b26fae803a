//! Partywall's patterns as they are measured.

mod attach;
mod broadcast;
mod frames;
mod guarded;
mod mpsc;
mod ring;
mod snapshot;

pub(crate) use attach::CHANNEL;

use crate::contest::{Party, Seat};
use crate::{Outcome, latest, transport};
use partywall::{Namespace, WaitStrategy};
use transport::How;

/// The party of a seat, if it is one of these.
pub(crate) fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    match (seat.who.as_str(), seat.what.as_str()) {
        ("ring" | "ring watched", "read" | "gather" | "cast") => None,
        ("ring" | "ring watched", _) => transport::party::<ring::Ring>(seat),
        ("ring in place", _) => transport::party::<ring::InPlaceRing>(seat),
        ("frames", _) => transport::party::<frames::Frames>(seat),
        ("mpsc", "gather") => Some(mpsc::Gather::open(seat).map(|party| Box::new(party) as _)),
        ("mpsc", _) => transport::party::<mpsc::Mpsc>(seat),
        ("broadcast", "cast") => {
            Some(broadcast::Cast::open(seat).map(|party| Box::new(party) as _))
        }
        ("broadcast", _) => transport::party::<broadcast::Broadcast>(seat),
        ("snapshot", "wake") => transport::party::<snapshot::Snapshot>(seat),
        ("snapshot", _) => latest::party::<snapshot::Snapshot>(seat),
        ("guarded", _) => transport::party::<guarded::Guarded>(seat),
        ("attach" | "start", _) => {
            Some(attach::Attach::open(seat).map(|party| Box::new(party) as _))
        }
        _ => None,
    }
}

fn namespace(seat: &Seat) -> Outcome<Namespace> {
    Ok(Namespace::open(&seat.place)?)
}

/// Bytes of a ring or a lane: small enough to stay in a core's second-level cache, large enough for hundreds of small
/// records, or several of the largest.
fn capacity(seat: &Seat) -> u64 {
    (8 * seat.size as u64).next_power_of_two().max(256 << 10)
}

fn strategy(how: How) -> WaitStrategy {
    match how {
        How::Awake => WaitStrategy::Spin,
        How::Asleep => WaitStrategy::Park,
    }
}
