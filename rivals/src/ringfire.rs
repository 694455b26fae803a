//! ringfire: its ring with lossless back-pressure, busy spin, and batches; its blackboard.

use crate::words::{Words, bytes, until, words};
use partywall_bench::Outcome;
use partywall_bench::contest::{Party, Seat};
use partywall_bench::latest::{self, Getting, Latest, Putting};
use partywall_bench::transport::{self, How, Receiving, Sending, TOGETHER, Transport};
use ringfire::{
    BlackboardConsumer, BlackboardProducer, FlowControl, FutexWait, RecvStatus, RingConsumer,
    RingProducer, RingProducerBuilder,
};

pub const LISTED: &str = r#"{"name": "ringfire", "does": ["latency", "stream", "batch", "wake", "read idle", "read busy", "write busy"], "at_least": 64, "at_most": 64}"#;

pub fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    if seat.who != "ringfire" {
        return None;
    }
    transport::party::<Ring>(seat).or_else(|| latest::party::<Board>(seat))
}

struct Ring;
struct Out {
    producer: RingProducer<Words>,
    together: Vec<Words>,
}
struct In {
    consumer: RingConsumer<Words>,
    wait: Option<FutexWait>,
}

/// A power of two of slots; about the memory of Partywall's ring.
const SLOTS: u64 = 4096;

impl Sending for Out {
    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        self.producer.push(&words(payload)?);
        Ok(())
    }

    #[inline(always)]
    fn send_all<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        self.together.clear();
        for payload in payloads {
            self.together.push(words(payload)?);
        }
        self.producer.push_batch(&self.together);
        Ok(())
    }
}

impl Receiving for In {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let value = match &mut self.wait {
            Some(wait) => self.consumer.recv_blocking(wait),
            None => until(|| match self.consumer.recv_status() {
                RecvStatus::Ok(value) => Some(Ok(value)),
                RecvStatus::Empty => None,
                RecvStatus::Lapped { skipped, .. } => {
                    Some(Err(format!("{skipped} records were lost")))
                }
            })?,
        };
        look(bytes(&value))
    }
}

impl Transport for Ring {
    type Sender = Out;
    type Receiver = In;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<Out> {
        let producer = RingProducerBuilder::new(SLOTS)
            .flow_control(FlowControl::LosslessBackpressure)
            .max_readers(1)
            .build(seat.file(name))?;
        Ok(Out {
            producer,
            together: Vec::with_capacity(TOGETHER as usize),
        })
    }

    fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<In> {
        let consumer = RingConsumer::attach(seat.file(name))?;
        let wait = (how == How::Asleep).then(|| FutexWait::new(0, None));
        Ok(In { consumer, wait })
    }
}

struct Board;
struct BoardOut(BlackboardProducer<Words>);
struct BoardIn(BlackboardConsumer<Words>);

impl Putting for BoardOut {
    #[inline(always)]
    fn put(&mut self, value: &[u8]) -> Outcome<()> {
        Ok(self.0.write(0, &words(value)?)?)
    }
}

impl Getting for BoardIn {
    #[inline(always)]
    fn get(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        loop {
            if let Some(value) = self.0.read(0)? {
                return look(bytes(&value));
            }
        }
    }
}

impl Latest for Board {
    type Writer = BoardOut;
    type Reader = BoardIn;

    fn writer(seat: &Seat) -> Outcome<BoardOut> {
        Ok(BoardOut(BlackboardProducer::create(seat.file("board"), 1)?))
    }

    fn reader(seat: &Seat) -> Outcome<BoardIn> {
        Ok(BoardIn(BlackboardConsumer::attach(seat.file("board"))?))
    }
}
