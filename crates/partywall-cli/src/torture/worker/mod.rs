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

use partywall::inspect;
use partywall::record::{Record, Schema};
use partywall::{GrowError, Namespace, OpenError, RecvError, SendError, WaitStrategy};
use serde::{Deserialize, Serialize};

use super::Fault;
use super::content::{Content, HEADER};
use super::journal::{Ending, Entry, Journal, Tally, What};
use super::plan::{Options, Overflow, Part, Random, Slot, Wait};
use crate::demo::cast::Pattern;
use crate::os;

type Problem = Box<dyn Error>;

/// How long a wait lasts before orders are looked at again.
const GLANCE: Duration = Duration::from_millis(20);

/// How long to wait before something that is busy is tried again.
const PAUSE: Duration = Duration::from_millis(2);

/// Records that one call may commit.
pub(super) const BATCH: u64 = 16;

/// A plan with longer records than this wants them as long as can be.
const LONG_RECORD: u64 = 1024;

/// A channel grows to so many times what it began with, and not further.
const GROWS_TO: u64 = 8;

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
pub(super) const GROW: u8 = b'g';
pub(super) const RESCHEMA: u8 = b's';
pub(super) const FINISH: u8 = b'f';

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    GoOn,
    Again,
    Abandon,
    Grow,
    Reschema,
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
    /// The longest record, where they vary.
    longest: u64,
    /// Of the two schemas that records have in turn, the other one.
    other: bool,
    record: Vec<u8>,
}

pub(super) fn run(assignment: &str) -> Result<(), Problem> {
    // A conductor that died before this has closed the pipe.
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
            longest: assignment.options.record,
            other: false,
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
        // Not by who may make the channel.
        let makes = match self.assignment.pattern {
            Pattern::Guarded => self.slot().part == Part::Peer,
            _ => self.slot().part == Part::Owner,
        };
        let raw = self.slot().raw && !makes;
        (self.options().schema && !raw).then(|| schema(self.other))
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

    /// An entry of an owner that has the channel now.
    fn opening(&self, adopted: bool, generation: u64) -> Entry {
        let flag = u16::from(adopted) | u16::from(self.other) << 1;
        Entry::new(What::Opened).flag(flag).count(generation as u32)
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
        let mut pace = Duration::from_micros(self.slot().pace_us);
        if self.journal.is_long() {
            pace = pace.max(Duration::from_millis(1));
        }
        // Whoever has to come to the end takes no breath: all that lies in many lanes would take minutes.
        if !pace.is_zero() && !self.finishing() {
            std::thread::sleep(pace);
        }
        if self.finishing() {
            return Order::Finish;
        }
        match self.orders.next.swap(0, Ordering::Relaxed) {
            AGAIN => Order::Again,
            ABANDON => Order::Abandon,
            GROW => Order::Grow,
            RESCHEMA if self.options().schema => Order::Reschema,
            _ => Order::GoOn,
        }
    }

    /// Makes the next record, and says how often to commit it: once, if no fault is wanted.
    fn compose(&mut self, sequence: u64, birth: u64) -> usize {
        let longest = self.longest.max(HEADER as u64);
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

    /// The channel has room for records of so many bytes: makes such, if the plan is to make long ones at all.
    fn has_room_for(&mut self, longest: usize) {
        if !self.options().schema && self.options().record > LONG_RECORD {
            self.longest = longest as u64;
        }
    }

    /// Notes that the channel grew, to the generation that `grow` says; `true` if it was taken away.
    fn grow(
        &mut self,
        latest: u64,
        grow: impl FnOnce() -> Result<u64, GrowError>,
    ) -> Result<bool, Problem> {
        self.go_on(What::Growing, What::Grown, latest, grow)
    }

    /// The same with records of the other schema, which `reschema` gets.
    fn reschema(
        &mut self,
        latest: u64,
        reschema: impl FnOnce(Option<Schema>) -> Result<u64, GrowError>,
    ) -> Result<bool, Problem> {
        let (here, other) = (self.other, !self.other);
        let mut done = false;
        let gone = self.go_on(What::Rescheming, What::Reschemed, latest, || {
            let generation = reschema(Some(schema(other)))?;
            done = true;
            Ok(generation)
        });
        self.other = if done { other } else { here };
        gone
    }

    fn go_on(
        &mut self,
        before: What,
        after: What,
        latest: u64,
        go_on: impl FnOnce() -> Result<u64, GrowError>,
    ) -> Result<bool, Problem> {
        self.note(Entry::new(before).of(0, latest))?;
        match go_on() {
            Ok(generation) => {
                let done = Entry::new(after).count(generation as u32);
                self.note(done.of(0, latest))?;
                Ok(false)
            }
            // Somebody has not come over yet.
            Err(GrowError::Unfinished { .. }) => Ok(false),
            Err(GrowError::Owner(error)) => self.refused(error),
            Err(error) => Err(error.into()),
        }
    }

    /// Which of the two schemas the channel has; the first if there is none yet.
    fn look_at_schema(&mut self) {
        if self.options().schema {
            let found = inspect::schema(&self.namespace, self.channel());
            self.other = matches!(found, Ok(Some(found)) if found == schema(true));
        }
    }

    /// Notes how many records the channel says that its owners refused, if it is still the one of this process.
    fn count_dropped(&mut self, generation: u64) -> Result<(), Problem> {
        if let Ok(info) = inspect::inspect(&self.namespace, self.channel())
            && (info.owner_pid, info.generation) == (std::process::id(), generation)
        {
            let dropped = info.counters.dropped;
            self.note(Entry::counted(Tally::Dropped, 0, generation, dropped))?;
        }
        Ok(())
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
            RecvError::SchemaMismatch { .. } => Ending::Schema,
            error => return Err(error.into()),
        };
        self.note(Entry::new(What::Ended).flag(ending as u16))?;
        Ok(true)
    }

    /// Notes why a writer's record was not committed; `true` if the handle is at its end.
    fn refused(&mut self, error: SendError) -> Result<bool, Problem> {
        let ending = match error {
            // What only says so by this error: a reservation.
            SendError::Full { .. } if self.options().overflow == Overflow::Drop => {
                self.note(Entry::new(What::Dropped))?;
                return Ok(false);
            }
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
            SendError::SchemaMismatch { .. } => Ending::Schema,
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
        worker.look_at_schema();
        match open(worker) {
            Ok(opened) => return Ok(opened),
            Err(OpenError::AlreadyOwned { .. } | OpenError::SchemaMismatch { .. }) => {
                std::thread::sleep(PAUSE);
            }
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
            Err(OpenError::SchemaMismatch { .. }) => {
                worker.other = !worker.other;
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// One of the two schemas that records have in turn.
fn schema(other: bool) -> Schema {
    if other {
        Schema::of::<Retyped>()
    } else {
        Schema::of::<Typed>()
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

/// The same under another name.
#[derive(Record, Debug, Clone, Copy)]
#[repr(C)]
struct Retyped {
    source: u64,
    sequence: u64,
    birth: u64,
    check: u64,
    tail: [u64; 4],
}
