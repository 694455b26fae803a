//! crossbeam: its bounded queue between two threads, spinning at both ends.

use crate::threads::{self, Pair};
use crate::words::{Words, bytes, until, words};
use crossbeam::queue::ArrayQueue;
use partywall_bench::Outcome;
use partywall_bench::contest::{Party, Seat};
use partywall_bench::transport::{Receiving, Sending};
use std::sync::Arc;

pub const LISTED: &str = r#"{"name": "crossbeam (threads)", "does": ["latency", "stream"], "at_least": 64, "at_most": 64, "followers": 0}"#;

pub fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    (seat.who == "crossbeam (threads)")
        .then(|| threads::party::<Queue>(seat))
        .flatten()
}

struct Queue;
struct End(Arc<ArrayQueue<Words>>);

impl Sending for End {
    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        let mut value = words(payload)?;
        while let Err(back) = self.0.push(value) {
            value = back;
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl Receiving for End {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let value = until(|| self.0.pop());
        look(bytes(&value))
    }
}

impl Pair for Queue {
    type Sender = End;
    type Receiver = End;

    fn pair() -> (End, End) {
        let queue = Arc::new(ArrayQueue::new(4096));
        (End(Arc::clone(&queue)), End(queue))
    }
}
