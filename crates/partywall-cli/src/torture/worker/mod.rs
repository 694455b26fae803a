//! What the processes of a round do: use the channel as an application would, until they are told to stop or are killed, and
//! write down what came about.

mod frames;
mod guarded;
mod mpsc;
mod ring;
mod slots;

use std::error::Error;
use std::io::{Read, stdin};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use partywall::record::{Record, Schema};
use partywall::{Namespace, OpenError, RecvError, SendError, WaitStrategy};
use serde::{Deserialize, Serialize};

use super::Fault;
use super::content::{Content, HEADER};
use super::journal::{Ending, Entry, Journal, What};
use super::plan::{Options, Part, Random, Slot, Wait};
use crate::demo::cast::Pattern;
use crate::os;

type Problem = Box<dyn Error>;

/// How long a wait lasts before orders are looked at again.
const GLANCE: Duration = Duration::from_millis(20);

/// How long to wait before something that is busy is tried again.
const PAUSE: Duration = Duration::from_millis(2);

/// Records that one call may commit.
pub(super) const BATCH: u64 = 16;

/// Every so many records a fault is made.
const FAULT_EVERY: u64 = 37;

/// What one process is told to be.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub(super) struct Assignment {
    pub(super) pattern: Pattern,
    pub(super) options: Options,
    pub(super) slot: Slot,
    pub(super) key: u64,
    pub(super) seed: u64,
    /// The sources of its records are this one and those after it.
    pub(super) source: u64,
    pub(super) namespace: PathBuf,
    pub(super) channel: String,
    pub(super) journal: PathBuf,
    pub(super) fault: Option<Fault>,
}

/// Orders on standard input, one byte each. Its end is [`FINISH`].
pub(super) const AGAIN: u8 = b'a';
pub(super) const ABANDON: u8 = b'b';
pub(super) const FINISH: u8 = b'f';

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    GoOn,
    Again,
    Abandon,
    Finish,
}

#[derive(Debug, Default)]
struct Orders {
    /// Not carried out yet; 0: none.
    next: AtomicU8,
    finish: AtomicBool,
}

struct Worker {
    assignment: Assignment,
    namespace: Namespace,
    journal: Journal,
    random: Random,
    orders: Arc<Orders>,
    /// Times that it opened the channel.
    opened: u64,
    record: Vec<u8>,
}

pub(super) fn run(assignment: &str) -> Result<(), Problem> {
    os::die_with_parent()?;
    if os::has_gone(&stdin()) {
        return Ok(());
    }
    let assignment: Assignment = serde_json::from_str(assignment)?;
    let mut worker = Worker::new(assignment)?;
    worker.listen();
    let owner = worker.slot().part == Part::Owner;
    match (worker.assignment.pattern, owner) {
        (Pattern::Ring, true) => ring::produce(&mut worker),
        (Pattern::Ring, false) => ring::consume(&mut worker),
        (Pattern::Snapshot, true) => slots::put(&mut worker),
        (Pattern::Snapshot, false) => slots::get(&mut worker),
        (Pattern::Broadcast, true) => slots::send(&mut worker),
        (Pattern::Broadcast, false) => slots::receive(&mut worker),
        (Pattern::Frames, true) => frames::publish(&mut worker),
        (Pattern::Frames, false) => frames::subscribe(&mut worker),
        (Pattern::Mpsc, true) => mpsc::receive(&mut worker),
        (Pattern::Mpsc, false) => mpsc::send(&mut worker),
        (Pattern::Guarded, _) if worker.slot().part == Part::Reader => slots::get(&mut worker),
        (Pattern::Guarded, _) => guarded::edit(&mut worker),
    }
}

impl Worker {
    fn new(assignment: Assignment) -> Result<Worker, Problem> {
        Ok(Worker {
            namespace: Namespace::open(&assignment.namespace)?,
            journal: Journal::create(&assignment.journal)?,
            random: Random::new(assignment.seed),
            orders: Arc::default(),
            opened: 0,
            record: Vec::new(),
            assignment,
        })
    }

    fn listen(&self) {
        let orders = Arc::clone(&self.orders);
        std::thread::spawn(move || {
            let mut input = stdin().lock();
            let mut order = [0];
            while input.read_exact(&mut order).is_ok() && order[0] != FINISH {
                orders.next.store(order[0], Ordering::Relaxed);
            }
            orders.finish.store(true, Ordering::Relaxed);
        });
    }

    fn options(&self) -> &Options {
        &self.assignment.options
    }

    fn slot(&self) -> &Slot {
        &self.assignment.slot
    }

    fn channel(&self) -> &str {
        &self.assignment.channel
    }

    fn schema(&self) -> Option<Schema> {
        self.options().schema.then(Schema::of::<Typed>)
    }

    fn wait(&self) -> WaitStrategy {
        match self.slot().wait {
            Wait::Spin => WaitStrategy::Spin,
            Wait::Both => WaitStrategy::SpinThenPark,
            Wait::Park => WaitStrategy::Park,
        }
    }

    fn note(&mut self, entry: Entry) -> Result<(), Problem> {
        Ok(self.journal.note(entry)?)
    }

    /// The channel is opened once more: what is made from now on has another source.
    fn next_source(&mut self) -> u64 {
        self.opened += 1;
        self.source()
    }

    fn source(&self) -> u64 {
        self.assignment.source + self.opened
    }

    fn finishing(&self) -> bool {
        self.orders.finish.load(Ordering::Relaxed)
    }

    /// What it is told to do, after the pause between two operations.
    fn order(&mut self) -> Order {
        let pace = Duration::from_micros(self.slot().pace_us);
        if self.journal.is_long() {
            std::thread::sleep(pace.max(Duration::from_millis(1)));
        } else if !pace.is_zero() {
            std::thread::sleep(pace);
        }
        if self.finishing() {
            return Order::Finish;
        }
        match self.orders.next.swap(0, Ordering::Relaxed) {
            AGAIN => Order::Again,
            ABANDON => Order::Abandon,
            _ => Order::GoOn,
        }
    }

    /// Makes the next record, and says how often to commit it: once, if no fault is wanted.
    fn compose(&mut self, sequence: u64, birth: u64) -> usize {
        let longest = self.options().record.max(HEADER as u64);
        let len = if self.options().schema {
            longest
        } else if self.random.once_in(4) {
            self.random.between(HEADER as u64, longest)
        } else {
            self.random.between(HEADER as u64, longest.min(256))
        };
        let content = Content {
            source: self.source(),
            sequence,
            birth,
        };
        content.compose(self.assignment.key, len as usize, &mut self.record);
        if sequence % FAULT_EVERY != 5 {
            return 1;
        }
        match self.assignment.fault {
            None => 1,
            Some(Fault::Corrupt) => {
                let last = self.record.len() - 1;
                self.record[last] ^= 1;
                1
            }
            Some(Fault::Skip) => 0,
            Some(Fault::Twice) => 2,
        }
    }

    /// Notes what was received; the sequence as the channel says it, if it does. Gives the content, if it is whole.
    fn got(
        &mut self,
        bytes: &[u8],
        says: Option<u64>,
        count: u32,
    ) -> Result<Option<Content>, Problem> {
        let Some(content) = Content::verify(self.assignment.key, bytes) else {
            self.note(Entry::new(What::Torn).of(0, says.unwrap_or(0)))?;
            return Ok(None);
        };
        let Content {
            source, sequence, ..
        } = content;
        if says.is_some_and(|says| says != sequence) {
            self.note(Entry::new(What::Torn).flag(1).of(source, sequence))?;
            return Ok(None);
        }
        self.note(Entry::new(What::Got).count(count).of(source, sequence))?;
        Ok(Some(content))
    }

    /// Notes why a reader gets nothing; `true` if the handle is at its end.
    fn nothing(&mut self, error: RecvError) -> Result<bool, Problem> {
        let ending = match error {
            RecvError::TimedOut { .. } => {
                self.note(Entry::new(What::Nothing))?;
                return Ok(false);
            }
            RecvError::OwnerDied { .. } => {
                self.note(Entry::new(What::OwnerDied))?;
                std::thread::sleep(PAUSE);
                return Ok(false);
            }
            RecvError::Overrun { lost, .. } => {
                self.note(Entry::new(What::Overrun).of(0, lost))?;
                return Ok(false);
            }
            RecvError::Contended { .. } => return Ok(false),
            RecvError::Closed { .. } => Ending::Closed,
            RecvError::Deleted { .. } => Ending::Deleted,
            RecvError::Superseded { .. } => Ending::Superseded,
            RecvError::Evicted { .. } => Ending::Evicted,
            error => return Err(error.into()),
        };
        self.note(Entry::new(What::Ended).flag(ending as u16))?;
        Ok(true)
    }

    /// Notes why a writer's record was not committed; `true` if the handle is at its end.
    fn refused(&mut self, error: SendError) -> Result<bool, Problem> {
        let ending = match error {
            SendError::Full { .. } => {
                self.note(Entry::new(What::NoRoom))?;
                std::thread::sleep(PAUSE);
                return Ok(false);
            }
            SendError::TimedOut { .. } => {
                self.note(Entry::new(What::NoRoom).flag(1))?;
                return Ok(false);
            }
            SendError::Closed { .. } => Ending::Closed,
            SendError::Deleted { .. } => Ending::Deleted,
            error => return Err(error.into()),
        };
        self.note(Entry::new(What::Ended).flag(ending as u16))?;
        Ok(true)
    }
}

/// Whether trying again may help.
fn busy(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::AlreadyOwned { .. }
            | OpenError::NoFreeSeat { .. }
            | OpenError::ConsumerInUse { .. }
            | OpenError::Missing { .. }
            | OpenError::TimedOut { .. }
    )
}

/// Whether there is no channel to attach to.
fn is_gone(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::Missing { .. } | OpenError::TimedOut { .. }
    )
}

/// Opens the channel as its owner, for as long as somebody else has it.
fn open_owner<T>(
    worker: &mut Worker,
    mut open: impl FnMut(&Worker) -> Result<T, OpenError>,
) -> Result<T, Problem> {
    loop {
        match open(worker) {
            Ok(opened) => return Ok(opened),
            Err(OpenError::AlreadyOwned { .. }) => std::thread::sleep(PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Attaches to the channel, as often as that is worth trying; `None` if it has come to its end.
fn attach<T>(
    worker: &mut Worker,
    mut attach: impl FnMut(&Worker) -> Result<T, OpenError>,
) -> Result<Option<T>, Problem> {
    loop {
        let finishing = worker.finishing();
        match attach(worker) {
            Ok(attached) => return Ok(Some(attached)),
            Err(error) if finishing && is_gone(&error) => return Ok(None),
            Err(error) if busy(&error) => std::thread::sleep(PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
}

/// What records are made of in channels that have a schema; the bytes are those of any other record.
#[derive(Record, Debug, Clone, Copy)]
#[repr(C)]
struct Typed {
    source: u64,
    sequence: u64,
    birth: u64,
    check: u64,
    body: [u64; 4],
}
