//! One process of a contest: what it is told, and how it answers.
//!
//! The conductor writes lines to its standard input, and it answers each by a line on its standard output:
//!
//! | told | does | answers |
//! |---|---|---|
//! | (it was started) | opens what others attach to | `up` |
//! | `meet` | attaches to what others opened | `met` |
//! | `turn WARM AMOUNT` | its part of a turn, first unmeasured, then measured | `turn NANOSECONDS PARTS` |
//! | `sample AMOUNT` | a turn in which the leader times each exchange | `turn 0 PARTS` |
//! | `end` | tidies up, and ends | `end JSON`, an [`Ending`] |
//!
//! Or `failed WORDS`, and ends. When its standard input ends, so does it. Any program that keeps to this can be a rival,
//! whatever language it is in.
//!
//! At the beginning of a part of a turn the processes meet by words in a file that they map, `CONTEST.words`: 64 bits
//! each, little-endian. At 64 the leader says which part has begun, and at 0 which is over, for followers that go on until
//! then. At 128·i follower i, counted from 1, says for which part it is ready, and 64 bytes behind that, which it has done.
//! Parts are counted from 1.

use crate::Outcome;
use crate::mapped::{LINE, Mapped};
use crate::os;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{
    AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::time::{Duration, Instant};

/// How long processes wait for each other in the beginning.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What one process of a contest is.
#[derive(clap::Args, Clone, Debug)]
pub struct Seat {
    /// Who takes part
    #[arg(long)]
    pub who: String,
    /// What is done
    #[arg(long)]
    pub what: String,
    /// The contest's files begin with this
    #[arg(long)]
    pub contest: String,
    /// A directory in memory for the files of this run
    #[arg(long)]
    pub place: PathBuf,
    /// Bytes of a record, a value or a frame
    #[arg(long)]
    pub size: usize,
    /// How many follow
    #[arg(long)]
    pub followers: usize,
    /// 0 leads, others follow
    #[arg(long)]
    pub index: usize,
    /// The core of the leader, and those of the followers in turn
    #[arg(long, value_delimiter = ',')]
    pub cores: Vec<usize>,
}

impl Seat {
    /// Whether this process takes the time.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.index == 0
    }

    /// A file of this contest.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.place.join(self.name(name))
    }

    /// A name that no other contest of this run has.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.contest)
    }

    /// The core of a process of this contest.
    #[must_use]
    pub fn core(&self, index: usize) -> Option<usize> {
        match (index, self.cores.as_slice()) {
            (_, []) => None,
            (0, cores) => Some(cores[0]),
            (_, [only]) => Some(*only),
            (index, [_, others @ ..]) => Some(others[(index - 1) % others.len()]),
        }
    }
}

/// Binds the calling thread to a core.
///
/// # Errors
/// What the system says.
pub fn bind(core: usize) -> std::io::Result<()> {
    os::bind(core)
}

/// What a process does in its contest.
pub trait Party {
    /// Attaches to what other processes have opened.
    ///
    /// # Errors
    /// In words.
    fn meet(&mut self) -> Outcome<()> {
        Ok(())
    }

    /// Whether followers go on until the leader has done its part, in place of doing a part of their own.
    fn until_told(&self) -> bool {
        false
    }

    /// One turn. Returns by what its time is to be divided.
    ///
    /// # Errors
    /// In words: whatever is wrong with what was received.
    fn turn(&mut self, amount: u64, meeting: &Meeting) -> Outcome<u64>;

    /// A turn in which the leader records the time of each exchange, in nanoseconds.
    ///
    /// # Errors
    /// As [`Self::turn`].
    fn sample(&mut self, amount: u64, meeting: &Meeting, _: &mut Histogram<u64>) -> Outcome<u64> {
        self.turn(amount, meeting)
    }

    /// What it measured itself in the last turn, in place of the time from beginning to end.
    fn own_time(&mut self) -> Option<Duration> {
        None
    }

    /// What went wrong that the contender admits.
    fn faults(&self) -> Faults {
        Faults::default()
    }
}

/// What a contender did wrong, and went on.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Records that never came.
    pub lost: u64,
    /// Values that were mixed from two.
    pub torn: u64,
    /// Values or records that are older than one before.
    pub reordered: u64,
}

impl Faults {
    /// Of several processes.
    pub fn add(&mut self, other: Faults) {
        self.lost += other.lost;
        self.torn += other.torn;
        self.reordered += other.reordered;
    }

    /// Whether there are any.
    #[must_use]
    pub fn any(self) -> bool {
        self != Faults::default()
    }
}

/// What a process says in the end.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Ending {
    /// What went wrong.
    pub faults: Faults,
    /// Of a leader that sampled: the upper bounds in nanoseconds and how many lay below, in order.
    pub latencies: Vec<(u64, u64)>,
}

/// The words by which the processes of a contest meet.
#[derive(Debug)]
pub struct Meeting {
    words: Mapped,
    index: usize,
    followers: usize,
    part: u64,
}

impl Meeting {
    pub(crate) fn open(seat: &Seat) -> Outcome<Meeting> {
        let words = Mapped::open(&seat.file("words"), LINE * (2 + seat.followers))?;
        Ok(Meeting {
            words,
            index: seat.index,
            followers: seat.followers,
            part: 0,
        })
    }

    /// Whether the leader has done its part.
    #[inline]
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.words.word(0).load(Relaxed) >= self.part
    }

    fn ready(&self, follower: usize) -> &AtomicU64 {
        self.words.word(LINE * follower)
    }

    fn done(&self, follower: usize) -> &AtomicU64 {
        self.words.word(LINE * follower + 64)
    }

    fn await_all(&self, word: impl Fn(&Self, usize) -> &AtomicU64) {
        for follower in 1..=self.followers {
            self.spin_until(|| word(self, follower).load(Acquire) >= self.part);
        }
    }

    fn spin_until(&self, done: impl Fn() -> bool) {
        let mut spins = 0_u32;
        while !done() {
            std::hint::spin_loop();
            spins += 1;
            // Whoever shares the core must get there too.
            if spins.is_multiple_of(1 << 14) || self.followers > 1 && self.index > 0 {
                std::thread::yield_now();
            }
        }
    }

    /// One part of a turn, from where all are ready; its time, and by what it is to be divided.
    fn part(
        &mut self,
        party: &mut dyn Party,
        turn: impl FnOnce(&mut dyn Party, &Meeting) -> Outcome<u64>,
    ) -> Outcome<(Duration, u64)> {
        self.part += 1;
        let begun = self.words.word(64);
        if self.index > 0 {
            self.ready(self.index).store(self.part, Release);
            self.spin_until(|| begun.load(Acquire) >= self.part);
            let parts = turn(party, self)?;
            self.done(self.index).store(self.part, Release);
            return Ok((Duration::ZERO, parts));
        }
        self.await_all(Meeting::ready);
        begun.store(self.part, Release);
        let started = Instant::now();
        let parts = turn(party, self)?;
        if party.until_told() {
            let taken = started.elapsed();
            self.words.word(0).store(self.part, Release);
            self.await_all(Meeting::done);
            return Ok((party.own_time().unwrap_or(taken), parts));
        }
        self.await_all(Meeting::done);
        let taken = started.elapsed();
        Ok((party.own_time().unwrap_or(taken), parts))
    }
}

/// Longer waits than this are counted as this.
const LONGEST_NS: u64 = 10_000_000_000;

/// Does what the conductor says, until its standard input ends. `open` makes the party of a seat.
///
/// # Errors
/// If it cannot answer any more. What goes wrong in the contest is an answer.
pub fn serve(seat: &Seat, open: impl FnOnce(&Seat) -> Outcome<Box<dyn Party>>) -> Outcome<()> {
    match attend(seat, open) {
        Ok(()) => Ok(()),
        Err(error) => {
            let words = error.to_string().replace('\n', " ");
            answer(&format!("failed {words}"))
        }
    }
}

fn attend(seat: &Seat, open: impl FnOnce(&Seat) -> Outcome<Box<dyn Party>>) -> Outcome<()> {
    if let Some(core) = seat.core(seat.index) {
        os::bind(core).map_err(|error| format!("cannot bind to core {core}: {error}"))?;
    }
    let mut meeting = Meeting::open(seat)?;
    let mut party = open(seat)?;
    // A thread more would make opening dearer: a process registers with the kernel's memory barriers at once where it has
    // only one, and else waits until every core has passed through the scheduler.
    let commands = listen();
    let mut latencies = Histogram::new_with_bounds(1, LONGEST_NS, 3)?;
    answer("up")?;
    while let Ok(line) = commands.recv() {
        let mut words = line.split_whitespace();
        let command = words.next().unwrap_or_default();
        let mut number = || -> Outcome<u64> { Ok(words.next().unwrap_or_default().parse()?) };
        match command {
            "meet" => {
                party.meet()?;
                answer("met")?;
            }
            "turn" => {
                let (warm, amount) = (number()?, number()?);
                meeting.part(&mut *party, |party, meeting| party.turn(warm, meeting))?;
                let (taken, parts) =
                    meeting.part(&mut *party, |party, meeting| party.turn(amount, meeting))?;
                answer(&format!("turn {} {parts}", taken.as_nanos()))?;
            }
            "sample" => {
                let amount = number()?;
                let (_, parts) = meeting.part(&mut *party, |party, meeting| {
                    party.sample(amount, meeting, &mut latencies)
                })?;
                answer(&format!("turn 0 {parts}"))?;
            }
            "end" => {
                let ending = Ending {
                    faults: party.faults(),
                    latencies: latencies
                        .iter_recorded()
                        .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
                        .collect(),
                };
                ENDED.store(true, Relaxed);
                answer(&format!("end {}", serde_json::to_string(&ending)?))?;
                // Whoever made files or queues tidies them up now.
                break;
            }
            other => return Err(format!("the conductor said '{other}'").into()),
        }
    }
    Ok(())
}

/// The conductor's lines. They are read by a thread of its own: a party's loops ask nobody whether they may go on, and when
/// the conductor is gone the process must end all the same.
fn listen() -> std::sync::mpsc::Receiver<String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
        if !ENDED.load(Relaxed) {
            std::process::exit(0);
        }
    });
    receiver
}

/// The process was told to end, and is on its way.
static ENDED: AtomicBool = AtomicBool::new(false);

fn answer(line: &str) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followers_take_the_other_cores_in_turn() {
        let seat = |cores: &[usize]| Seat {
            who: String::new(),
            what: String::new(),
            contest: String::new(),
            place: PathBuf::new(),
            size: 8,
            followers: 3,
            index: 0,
            cores: cores.to_vec(),
        };
        let cores = |seat: Seat| [0, 1, 2, 3].map(|index| seat.core(index));
        assert_eq!(cores(seat(&[4, 7])), [Some(4), Some(7), Some(7), Some(7)]);
        assert_eq!(
            cores(seat(&[4, 7, 9])),
            [Some(4), Some(7), Some(9), Some(7)]
        );
        assert_eq!(cores(seat(&[2])), [Some(2); 4]);
        assert_eq!(cores(seat(&[])), [None; 4]);
    }
}
