//! shaq: a single-producer queue of values in a file; batches by its write and read batches.

use crate::words::{Words, bytes, until, words};
use partywall_bench::Outcome;
use partywall_bench::contest::{Party, Seat};
use partywall_bench::transport::{self, How, Receiving, Sending, Transport};
use shaq::spsc::{Consumer, Producer};
use std::fs::OpenOptions;

pub const LISTED: &str =
    r#"{"name": "shaq", "does": ["latency", "stream", "batch"], "at_least": 64, "at_most": 64}"#;

pub fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    (seat.who == "shaq")
        .then(|| transport::party::<Shaq>(seat))
        .flatten()
}

struct Shaq;
struct Out(Producer<Words>);
struct In(Consumer<Words>);

/// The same memory as Partywall's ring.
const SIZE: usize = 256 * 1024;

fn file(seat: &Seat, name: &str) -> Outcome<std::fs::File> {
    Ok(OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(seat.file(name))?)
}

impl Sending for Out {
    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        let mut value = words(payload)?;
        while let Err(back) = self.0.try_write(value) {
            value = back;
            std::hint::spin_loop();
        }
        Ok(())
    }

    #[inline(always)]
    fn send_all<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        let mut payloads = payloads.peekable();
        while payloads.peek().is_some() {
            let mut batch = self.0.write_batch();
            while let Some(payload) = payloads.peek() {
                if batch.try_write(words(payload)?).is_err() {
                    break;
                }
                payloads.next();
            }
        }
        Ok(())
    }
}

impl Receiving for In {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let value = until(|| self.0.try_read());
        look(bytes(&value))
    }
}

impl Transport for Shaq {
    type Sender = Out;
    type Receiver = In;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<Out> {
        // SAFETY: one producer and one consumer of one type, in a file that nobody else opens.
        unsafe { Producer::create(&file(seat, name)?, SIZE) }
            .map(Out)
            .map_err(|error| format!("{error:?}").into())
    }

    fn receiver(seat: &Seat, name: &str, _: How) -> Outcome<In> {
        // SAFETY: as above.
        unsafe { Consumer::join(&file(seat, name)?) }
            .map(In)
            .map_err(|error| format!("{error:?}").into())
    }
}
