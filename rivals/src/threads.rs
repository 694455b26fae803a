//! Rivals between two threads of one process: the leader starts the follower, bound to the follower's core.

use partywall_bench::Outcome;
use partywall_bench::contest::{Meeting, Party, Seat, bind};
use partywall_bench::payload::{Payloads, check};
use partywall_bench::transport::{Receiving, Sending, TOGETHER};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Release};
use std::thread::Thread;

/// A way between two threads.
pub trait Pair: 'static {
    type Sender: Sending + Send;
    type Receiver: Receiving + Send;
    fn pair() -> (Self::Sender, Self::Receiver);
}

/// The contests of a pair.
pub fn party<P: Pair>(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    let what = match seat.what.as_str() {
        "latency" => What::Latency,
        "stream" => What::Stream,
        "batch" => What::Batch,
        _ => return None,
    };
    Some(Ok(
        Box::new(Threads::<P>::start(seat, what)) as Box<dyn Party>
    ))
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Latency,
    Stream,
    Batch,
}

#[derive(Default)]
struct Shared {
    /// The serial number of the turn that the follower is to do, and how much.
    turn: AtomicU64,
    amount: AtomicU64,
    ready: AtomicU64,
    done: AtomicU64,
    failed: AtomicBool,
}

struct Threads<P: Pair> {
    what: What,
    shared: Arc<Shared>,
    follower: Thread,
    out: P::Sender,
    back: P::Receiver,
    payloads: Payloads,
    turn: u64,
    taken: Option<std::time::Duration>,
}

impl<P: Pair> Threads<P> {
    fn start(seat: &Seat, what: What) -> Self {
        let (out, mut there) = P::pair();
        let (mut answer, back) = P::pair();
        let shared = Arc::new(Shared::default());
        let (orders, core, size) = (Arc::clone(&shared), seat.core(1), seat.size);
        let follower = std::thread::spawn(move || {
            if let Some(core) = core {
                let _ = bind(core);
            }
            let mut payloads = Payloads::new(size);
            let mut last = 0;
            loop {
                let turn = orders.turn.load(Acquire);
                if turn == last {
                    // It sleeps between turns, as the processes of other contests do.
                    std::thread::park();
                    continue;
                }
                orders.ready.store(turn, Release);
                let amount = orders.amount.load(Acquire);
                let outcome = follow(what, &mut there, &mut answer, &mut payloads, amount);
                orders.failed.fetch_or(outcome.is_err(), Release);
                orders.done.store(turn, Release);
                last = turn;
            }
        });
        let follower = follower.thread().clone();
        Threads {
            what,
            shared,
            follower,
            out,
            back,
            payloads: Payloads::new(size),
            turn: 0,
            taken: None,
        }
    }
}

fn follow<S: Sending, R: Receiving>(
    what: What,
    there: &mut R,
    answer: &mut S,
    payloads: &mut Payloads,
    amount: u64,
) -> Outcome<()> {
    for payload in payloads.turn(amount) {
        there.receive(|found| check(payload, found))?;
        if what == What::Latency {
            answer.send(payload)?;
        }
    }
    Ok(())
}

impl<P: Pair> Party for Threads<P> {
    fn turn(&mut self, amount: u64, _: &Meeting) -> Outcome<u64> {
        self.turn += 1;
        self.shared.amount.store(amount, Release);
        self.shared.turn.store(self.turn, Release);
        self.follower.unpark();
        // Waking it is not what is measured.
        while self.shared.ready.load(Acquire) != self.turn {
            std::hint::spin_loop();
        }
        let started = std::time::Instant::now();
        match self.what {
            What::Latency => {
                for payload in self.payloads.turn(amount) {
                    self.out.send(payload)?;
                    self.back.receive(|found| check(payload, found))?;
                }
            }
            What::Stream => {
                for payload in self.payloads.turn(amount) {
                    self.out.send(payload)?;
                }
            }
            What::Batch => {
                let mut left = amount;
                while left > 0 {
                    let together = left.min(TOGETHER);
                    self.out.send_all(self.payloads.turn(together))?;
                    left -= together;
                }
            }
        }
        while self.shared.done.load(Acquire) != self.turn {
            std::hint::spin_loop();
        }
        self.taken = Some(started.elapsed());
        if self.shared.failed.load(Acquire) {
            return Err("the other thread received something else".into());
        }
        Ok(if self.what == What::Latency {
            2 * amount
        } else {
            amount
        })
    }

    fn own_time(&mut self) -> Option<std::time::Duration> {
        self.taken
    }
}
