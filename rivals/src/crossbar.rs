//! crossbar: its bounded bus of values. Its pool overwrites what was not read, so it takes no part in lossless works.

use crate::words::{Words, bytes, unique, until, words};
use crossbar::{BusSubscriber, PodBus};
use partywall_bench::Outcome;
use partywall_bench::contest::{Party, Seat};
use partywall_bench::transport::{self, How, Receiving, Sending, Transport};

pub const LISTED: &str =
    r#"{"name": "crossbar", "does": ["latency", "stream"], "at_least": 64, "at_most": 64}"#;

pub fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    (seat.who == "crossbar")
        .then(|| transport::party::<Bus>(seat))
        .flatten()
}

struct Bus;
struct Out(PodBus<Words>);
struct In(BusSubscriber<Words>);

const SLOTS: usize = 4096;

impl Sending for Out {
    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        self.0.publish(words(payload)?);
        Ok(())
    }
}

impl Receiving for In {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let value = until(|| self.0.try_recv());
        look(bytes(&value))
    }
}

impl Transport for Bus {
    type Sender = Out;
    type Receiver = In;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<Out> {
        let bus = PodBus::create_bounded(&unique(seat, name), SLOTS, 0);
        bus.map(Out).map_err(|error| format!("{error:?}").into())
    }

    fn receiver(seat: &Seat, name: &str, _: How) -> Outcome<In> {
        BusSubscriber::connect(&unique(seat, name))
            .map(In)
            .map_err(|error| format!("{error:?}").into())
    }
}
