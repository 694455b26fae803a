//! Frames under loom, and who acts there: a publisher whose frames hold their own numbers, and subscribers that know
//! what they must see.

mod crash;
mod forged;
mod growth;
mod join;
mod park;
mod properties;
mod seats;
mod stream;

use std::sync::atomic::Ordering::Relaxed;

use super::memory::{Handle, Process, World as AnyWorld};
use crate::layout::frames::{About, Info, Pool, SlotWord};
use crate::memory::{Shared, SharedMut};
use crate::protocol::SeatLocks;
use crate::protocol::frames::seats::{self as frame_seats, Wish};
use crate::protocol::frames::{self, Frame, Loan, Next, Shape, Subscriber};

type World = AnyWorld<Shape>;
type Publisher = frames::Publisher<Handle, Handle>;

const RELIABLE: Wish = Wish {
    lossy: false,
    back: 0,
};
const LOSSY: Wish = Wish {
    lossy: true,
    back: 0,
};

fn pool(slots: u32, seats: u32, history: u32) -> Pool {
    Pool {
        slots,
        seats,
        history,
        held: 1,
        loans: 1,
    }
}

fn create(world: &World) -> Publisher {
    let process = world.process(None);
    Publisher::create(process.owner, process.peers, world.shape)
}

fn adopt(world: &World, process: Process) -> Publisher {
    Publisher::adopt(process.owner, process.peers, world.shape).expect("an honest predecessor")
}

/// Publishes a frame that holds its own number; `false` if no slot is free.
fn publish(publisher: &mut Publisher) -> bool {
    let Ok(loan) = publisher.loan() else {
        return false;
    };
    fill(publisher, loan);
    true
}

/// Writes its number into a frame and publishes it; its kind is the number too.
fn fill(publisher: &mut Publisher, loan: Loan) {
    let (at, sequence) = (publisher.data_at(&loan), publisher.position() + 1);
    publisher.owner().store(at, sequence, Relaxed);
    let info = Info::new(8, sequence as u16, 0);
    publisher.publish(loan, info, 0, &About::default());
}

/// Publishes so many frames, each with so many tries.
fn publish_some(publisher: &mut Publisher, frames: u64, tries: u32) {
    for _ in 0..frames {
        if !(0..tries).any(|_| publish(publisher)) {
            return;
        }
    }
}

/// A subscriber with its process, and the frames that it had before it died.
struct Reader {
    process: Process,
    subscriber: Subscriber<Handle, Handle>,
    seat: u32,
    /// The last frame before its first one.
    first: u64,
    got: Vec<u64>,
    missed: u64,
    held: Vec<Frame>,
}

impl Reader {
    /// Takes a free lock and the seat; `None` if somebody has it, or the generation is no longer READY.
    fn attach(world: &World, process: Process, seat: u32, wish: Wish) -> Option<Reader> {
        if !world.locks.try_lock(seat) {
            return None;
        }
        let (owner, peers) = (process.owner.clone(), process.peers.clone());
        let Ok(taken) = frame_seats::take(&owner, &peers, &world.shape, seat, wish) else {
            world.locks.unlock(seat);
            return None;
        };
        Some(Reader {
            process,
            subscriber: Subscriber::new(owner, peers, world.shape, seat, taken),
            seat,
            first: taken.cursor,
            got: Vec::new(),
            missed: 0,
            held: Vec::new(),
        })
    }

    /// Takes the next frame, if there is one, and looks into it; whether there was anything.
    fn take(&mut self) -> bool {
        let next = self.subscriber.take();
        // Its pin, or the seat, may be a store that did not happen.
        if self.process.dead() {
            return false;
        }
        match next.expect("an honest publisher") {
            Some(Next::Frame(frame)) => {
                check(&self.process, &frame);
                self.got.push(frame.sequence);
                self.held.push(frame);
                true
            }
            Some(Next::Missed(frames)) => {
                assert!(self.subscriber.state().lossy());
                self.missed += frames;
                true
            }
            Some(Next::HandsFull) => panic!("it holds {} frames", self.held.len()),
            None => false,
        }
    }

    /// Gives the frame back that it has held longest. Until then it has not changed.
    fn give_back(&mut self) {
        if !self.held.is_empty() {
            let frame = self.held.remove(0);
            check(&self.process, &frame);
            frames::give_back(&self.process.peers, self.seat, frame.slot);
        }
    }

    /// Takes at most one frame with each look.
    fn read(&mut self, looks: u32) {
        for _ in 0..looks {
            self.take();
            self.give_back();
        }
    }

    /// Takes all that is there, after everybody else has come to an end.
    fn drain(&mut self) {
        self.give_back();
        while self.take() {
            self.give_back();
        }
    }

    /// Its process ends without leaving the seat: the kernel unlocks it.
    fn die(self, world: &World) -> Vec<u64> {
        world.locks.unlock(self.seat);
        self.got
    }

    /// What it had is an unbroken run from its first frame to the `last`.
    fn assert_run_to(&self, last: u64) {
        let expected: Vec<u64> = (self.first + 1..=last).collect();
        assert_eq!(self.got, expected);
    }

    /// Each frame up to the `last` was had or counted as missed, and the order is right.
    fn assert_all_told_to(&self, last: u64) {
        assert_eq!(self.first + self.got.len() as u64 + self.missed, last);
        assert!(self.got.is_sorted_by(|one, other| one < other));
    }
}

/// No slot says WRITING: everything that was marked was published, or put back.
fn assert_nothing_is_marked(world: &World) {
    let owner = world.process(None).owner;
    for slot in 0..world.shape.pool.slots {
        let word = SlotWord(owner.load(world.shape.word(slot), Relaxed));
        assert!(!word.is_writing(), "slot {slot}");
    }
}

/// A frame holds its own number.
fn check(process: &Process, frame: &Frame) {
    let mut bytes = [0; 8];
    process.owner.copy_out(frame.at, &mut bytes);
    // The dead see nothing.
    if !process.dead() {
        assert_eq!(u64::from_le_bytes(bytes), frame.sequence);
        assert_eq!(frame.kind, frame.sequence as u16, "of another descriptor");
    }
}
