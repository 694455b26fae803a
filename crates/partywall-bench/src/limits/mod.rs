//! What no correct program can beat, as bare as it can be: no checks, no recovery, no bounds.

mod bare_ring;
mod futex;
mod lines;
mod ping;
mod seqlock;

use crate::Outcome;
use crate::contest::{Party, Seat};
use crate::{latest, transport};

/// The name of the limit among those who take part.
pub(crate) const LIMIT: &str = "limit";
/// The limit where nobody may write what he reads: in pages that only their writer has mapped writable.
pub(crate) const READ_ONLY: &str = "ping-pong, read-only";
/// Another limit, to learn from: a payload of its own line besides the word that announces it.
pub(crate) const TWO_LINES: &str = "two bare lines";
/// The bare frame ring on huge pages.
pub(crate) const HUGE: &str = "limit on huge pages";

/// The party of a seat, if it is one of these.
pub(crate) fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    let boxed: Outcome<Box<dyn Party>> = match (seat.who.as_str(), seat.what.as_str()) {
        (LIMIT, "latency") => ping::Ping::open(seat).map(|party| Box::new(party) as _),
        (READ_ONLY, "latency") => {
            ping::Ping::open_read_only(seat).map(|party| Box::new(party) as _)
        }
        (LIMIT, "wake") => futex::FutexPing::open(seat).map(|party| Box::new(party) as _),
        (LIMIT | HUGE, "frames") => return transport::party::<bare_ring::BareRing>(seat),
        (TWO_LINES, _) => return transport::party::<lines::TwoLines>(seat),
        (LIMIT, _) => return latest::party::<seqlock::Seqlock>(seat),
        _ => return None,
    };
    Some(boxed)
}
