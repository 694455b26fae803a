//! rtrb: between two threads; batches by its chunks.

use crate::threads::{self, Pair};
use crate::words::{Words, bytes, until, words};
use partywall_bench::Outcome;
use partywall_bench::contest::{Party, Seat};
use partywall_bench::transport::{Receiving, Sending, TOGETHER};
use rtrb::{Consumer, Producer, RingBuffer};

pub const LISTED: &str = r#"{"name": "rtrb (threads)", "does": ["latency", "stream", "batch"], "at_least": 64, "at_most": 64, "followers": 0}"#;

pub fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    match seat.what.as_str() {
        _ if seat.who != "rtrb (threads)" => None,
        "batch" => threads::party::<Chunks>(seat),
        _ => threads::party::<Rtrb>(seat),
    }
}

/// About the memory of Partywall's ring.
const SLOTS: usize = 4096;

struct Rtrb;
struct Chunks;
struct Out(Producer<Words>);
struct In(Consumer<Words>);
struct ChunkIn {
    consumer: Consumer<Words>,
    taken: Vec<Words>,
}

impl Sending for Out {
    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        let value = words(payload)?;
        while self.0.push(value).is_err() {
            std::hint::spin_loop();
        }
        Ok(())
    }

    #[inline(always)]
    fn send_all<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        while self.0.slots() < TOGETHER as usize {
            std::hint::spin_loop();
        }
        let chunk = self.0.write_chunk_uninit(TOGETHER as usize)?;
        chunk.fill_from_iter(payloads.map(|payload| words(payload).unwrap_or_default()));
        Ok(())
    }
}

impl Receiving for In {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let value = until(|| self.0.pop().ok());
        look(bytes(&value))
    }
}

impl Receiving for ChunkIn {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        if self.taken.is_empty() {
            let there = until(|| Some(self.consumer.slots()).filter(|&there| there > 0));
            let chunk = self.consumer.read_chunk(there.min(TOGETHER as usize))?;
            let (one, other) = chunk.as_slices();
            // Taken from the end.
            self.taken.extend(other.iter().rev());
            self.taken.extend(one.iter().rev());
            chunk.commit_all();
        }
        match self.taken.pop() {
            Some(value) => look(bytes(&value)),
            None => Err("an empty chunk".into()),
        }
    }
}

impl Pair for Rtrb {
    type Sender = Out;
    type Receiver = In;

    fn pair() -> (Out, In) {
        let (producer, consumer) = RingBuffer::new(SLOTS);
        (Out(producer), In(consumer))
    }
}

impl Pair for Chunks {
    type Sender = Out;
    type Receiver = ChunkIn;

    fn pair() -> (Out, ChunkIn) {
        let (producer, consumer) = RingBuffer::new(SLOTS);
        (
            Out(producer),
            ChunkIn {
                consumer,
                taken: Vec::with_capacity(TOGETHER as usize),
            },
        )
    }
}
