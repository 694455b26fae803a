//! A process that starts, and has attached when it says that it is up; or has not, for comparison.

use super::namespace;
use crate::Outcome;
use crate::contest::{Meeting, Party, Seat};
use partywall::ring::{Consumer, ConsumerOptions};

/// The channel that is attached to.
pub(crate) const CHANNEL: &str = "attach";

#[derive(Debug)]
pub(super) struct Attach {
    _consumer: Option<Consumer>,
}

impl Attach {
    pub(super) fn open(seat: &Seat) -> Outcome<Attach> {
        let consumer = match seat.who.as_str() {
            "attach" => Some(
                ConsumerOptions::new()
                    .namespace(namespace(seat)?)
                    .attach(CHANNEL)?,
            ),
            _ => None,
        };
        Ok(Attach {
            _consumer: consumer,
        })
    }
}

impl Party for Attach {
    fn turn(&mut self, amount: u64, _: &Meeting) -> Outcome<u64> {
        Ok(amount)
    }
}
