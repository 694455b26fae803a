//! SubEtha: its single-producer ring for 64 bytes; its shared ring, which is faster and holds 56, as a contender of its own.

use partywall_bench::Outcome;
use partywall_bench::contest::{Party, Seat};
use partywall_bench::transport::{self, How, Receiving, Sending, Transport};
use subetha_cxc::SharedRing;
use subetha_cxc::spsc_ring::SpscRingCore;

pub const LISTED: &str = r#"{"name": "subetha", "does": ["latency", "stream"], "at_least": 64, "at_most": 64}
{"name": "subetha shared ring (56 bytes)", "does": ["latency", "stream"], "at_least": 64, "at_most": 64}"#;

pub fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    match seat.who.as_str() {
        "subetha" => transport::party::<Spsc>(seat),
        "subetha shared ring (56 bytes)" => transport::party::<Shared>(&Seat {
            size: 56,
            ..seat.clone()
        }),
        _ => None,
    }
}

/// About the memory of Partywall's ring.
const SLOTS: usize = 4096;

struct Spsc;
struct SpscEnd(SpscRingCore);

impl Sending for SpscEnd {
    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        while self.0.try_push(payload).is_err() {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl Receiving for SpscEnd {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        loop {
            if let Some(slot) = self.0.peek_slot() {
                // Where it lies: the cheapest it has.
                let looked = look(slot.as_slice());
                slot.confirm();
                return looked;
            }
            std::hint::spin_loop();
        }
    }
}

impl Transport for Spsc {
    type Sender = SpscEnd;
    type Receiver = SpscEnd;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<SpscEnd> {
        let ring =
            SpscRingCore::create(seat.file(name), SLOTS).map_err(|error| format!("{error:?}"))?;
        Ok(SpscEnd(ring))
    }

    fn receiver(seat: &Seat, name: &str, _: How) -> Outcome<SpscEnd> {
        let ring =
            SpscRingCore::open(seat.file(name), SLOTS).map_err(|error| format!("{error:?}"))?;
        Ok(SpscEnd(ring))
    }
}

struct Shared;
struct SharedEnd(SharedRing, [u8; 56]);

impl Sending for SharedEnd {
    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        while self.0.try_push_spsc(payload).is_err() {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl Receiving for SharedEnd {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        loop {
            if let Ok(len) = self.0.try_pop_spsc(&mut self.1) {
                return look(&self.1[..len]);
            }
            std::hint::spin_loop();
        }
    }
}

impl Transport for Shared {
    type Sender = SharedEnd;
    type Receiver = SharedEnd;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<SharedEnd> {
        let ring =
            SharedRing::create(seat.file(name), SLOTS).map_err(|error| format!("{error:?}"))?;
        Ok(SharedEnd(ring, [0; 56]))
    }

    fn receiver(seat: &Seat, name: &str, _: How) -> Outcome<SharedEnd> {
        let ring =
            SharedRing::open(seat.file(name), SLOTS).map_err(|error| format!("{error:?}"))?;
        Ok(SharedEnd(ring, [0; 56]))
    }
}
