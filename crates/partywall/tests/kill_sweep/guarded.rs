//! Operations of guarded records.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use partywall::guarded::{Guard, Lock, Reader, Record, RecordOptions};
use partywall::{LockError, Namespace, RecvError, WaitStrategy, inspect, manage};

use crate::random::{Random, command};
use crate::slots::{reader_options, value};
use crate::stopped::{gets_in_or_is_told, owner_is_locked};
use crate::victim::{Report, Stage, say};
use crate::world::{CHANNEL, Payload};
use crate::{Located, Swept, system};

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(20);
/// Bytes of the largest value.
const VALUE: u32 = 200;
/// Handles at a time: the survivor's, the victim's, a reader's that sleeps, and one.
const SEATS: u32 = 4;

// What a victim says, besides the sequences that it committed.
/// It has the lock.
const LOCKED: u64 = 1;
/// It has the lock, and was told that one before it died.
const TOLD: u64 = 2;
/// It is going to call the record consistent.
const MARKING: u64 = 3;
/// It has.
const MARKED: u64 = 4;
/// It is going to let go.
const LEAVING: u64 = 5;
/// It has let go.
const LEFT: u64 = 6;

pub(crate) fn options(namespace: &Namespace) -> RecordOptions {
    RecordOptions::new()
        .namespace(namespace.clone())
        .value_size(VALUE)
        .checksums(true)
        .seats(SEATS)
        .heartbeat(false)
}

/// Commits the next value.
pub(crate) fn commit(guard: &mut Guard<'_>) -> u64 {
    let sequence = guard.sequence() + 1;
    *guard.value_mut() = value(sequence);
    assert_eq!(guard.commit().unwrap(), sequence);
    sequence
}

/// How the record was left before the victim came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// There was none.
    Missing,
    Clean,
    /// Its holder died.
    Died,
    /// And the next one gave up.
    Lost,
}

/// A record with those who live on.
pub(crate) struct GuardedWorld {
    directory: tempfile::TempDir,
    namespace: Namespace,
    before: Before,
    /// The last sequence that was committed before the victim came.
    last: u64,
    survivor: Option<Record>,
    reader: Option<Reader>,
}

impl Located for GuardedWorld {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn meanwhile(&mut self) {
        let now = reader_options(&self.namespace).attach_timeout(Some(Duration::ZERO));
        let Some(mut newcomer) = gets_in_or_is_told(now.attach(CHANNEL)) else {
            return;
        };
        // Readers never wait for a holder.
        if let Some(found) = newcomer.get().unwrap() {
            // One behind its sequence where it was put once more, into larger slots.
            let (number, sequence) = (Payload::number(&found), found.sequence);
            assert!((number..=number + 1).contains(&sequence));
        }
        if owner_is_locked(&self.namespace) {
            // Who makes it anew has all the seats meanwhile.
            let other = gets_in_or_is_told(options(&self.namespace).open(CHANNEL));
            let refused = other.map(|mut other| other.try_lock().map(drop));
            assert!(
                matches!(refused, None | Some(Err(LockError::Busy { .. }))),
                "{refused:?}"
            );
        }
    }
}

impl GuardedWorld {
    fn empty() -> Self {
        let directory = system::directory();
        GuardedWorld {
            namespace: Namespace::open(directory.path()).unwrap(),
            directory,
            before: Before::Missing,
            last: 0,
            survivor: None,
            reader: None,
        }
    }

    /// A record with some values, so that all slots are in use.
    fn left(before: Before) -> Self {
        let mut world = Self::empty();
        let mut record = options(&world.namespace).open(CHANNEL).unwrap();
        let mut guard = record.lock().unwrap().consistent();
        for _ in 0..5 {
            world.last = commit(&mut guard);
        }
        if before == Before::Clean {
            drop(guard);
        } else {
            // It never lets go; the kernel does, when its handle is closed.
            std::mem::forget(guard);
            drop(record);
            record = options(&world.namespace).open(CHANNEL).unwrap();
        }
        if before == Before::Lost {
            drop(record.lock().unwrap());
        }
        world.before = before;
        world.survivor = Some(record);
        let mut reader = reader_options(&world.namespace).attach(CHANNEL).unwrap();
        assert_eq!(reader.get().unwrap().unwrap().sequence, world.last);
        world.reader = Some(reader);
        world
    }

    fn clean() -> Self {
        Self::left(Before::Clean)
    }

    fn died() -> Self {
        Self::left(Before::Died)
    }

    fn lost() -> Self {
        Self::left(Before::Lost)
    }

    /// A record that the survivor has locked, and keeps.
    fn held() -> Self {
        let mut world = Self::clean();
        std::mem::forget(world.survivor.as_mut().unwrap().lock().unwrap());
        world
    }

    /// Nobody uses it.
    fn unused() -> Self {
        let mut world = Self::died();
        world.survivor = None;
        world.reader = None;
        world
    }

    /// The value is old or new; the next holder is told what it must know and nothing else; and all handles go on.
    fn goes_on(mut self, report: &Report) {
        let said = |what| report.got.contains(&what);
        let least = self.last + report.sent.len() as u64;
        let within = |sequence| (least..=least + 1).contains(&sequence);
        if let Some(reader) = &mut self.reader {
            // Before anybody adopts what is there.
            let found = reader.get().unwrap().unwrap();
            assert!(within(found.sequence), "{} of {least}", found.sequence);
            assert_eq!(&found[..], value(found.sequence), "torn");
        }
        let mut record = match self.survivor.take() {
            Some(record) => record,
            None => options(&self.namespace).open(CHANNEL).unwrap(),
        };
        let locked = said(LOCKED) || said(TOLD);
        // Which news there was when the victim let go, or died.
        let news = match self.before {
            Before::Missing | Before::Clean => Before::Clean,
            _ if said(MARKED) => Before::Clean,
            before => before,
        };
        let refused = matches!(
            record
                .lock_timeout(LONG)
                .map(Lock::into_guard)
                .map(Guard::leave_news),
            Err(LockError::NotRecoverable { .. })
        );
        let (found, mut guard) = if refused {
            (Before::Lost, record.repair(Some(LONG)).unwrap())
        } else {
            match record.lock_timeout(LONG).unwrap() {
                Lock::Clean(guard) => (Before::Clean, guard),
                Lock::OwnerDied(guard) => (Before::Died, guard),
            }
        };
        match found {
            Before::Clean => {
                assert!(!locked || said(LEAVING), "a death is forgotten");
                assert_eq!(news, Before::Clean, "news is forgotten");
            }
            Before::Died => {
                assert!(!said(LEFT), "a false alarm");
                assert!(self.before != Before::Lost || said(MARKING));
            }
            Before::Lost => {
                let gave_up = self.before == Before::Died && said(LEAVING) && !said(MARKING);
                let unrepaired = self.before == Before::Lost && !said(MARKED);
                assert!(gave_up || unrepaired, "a false alarm");
            }
            Before::Missing => unreachable!(),
        }
        if said(LEFT) && self.before == Before::Died && !said(MARKING) {
            assert_eq!(found, Before::Lost, "that it gave up is forgotten");
        }
        let sequence = guard.sequence();
        assert!(within(sequence), "{sequence} of {least}");
        if sequence > 0 {
            assert_eq!(guard.value(), value(sequence), "torn, or not the last");
        }
        assert!(guard.is_consistent() == (found == Before::Clean));
        guard.mark_consistent();
        commit(&mut guard);
        drop(guard);
        self.serves_everybody(record);
    }

    /// Two handles in turn, and a reader that sleeps, wherever the victim sat.
    fn serves_everybody(mut self, mut record: Record) {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => reader_options(&self.namespace).attach(CHANNEL).unwrap(),
        };
        let parking = options(&self.namespace).wait(WaitStrategy::Park);
        let mut others = [(); 2].map(|()| parking.open(CHANNEL).unwrap());
        for _ in 0..4 {
            let Lock::Clean(mut guard) = record.lock_timeout(LONG).unwrap() else {
                panic!("a false alarm")
            };
            let [one, other] = &mut others;
            thread::scope(|scope| {
                let waiting = [one, other].map(|waiter| {
                    scope.spawn(|| {
                        let Lock::Clean(mut guard) = waiter.lock_timeout(LONG).unwrap() else {
                            panic!("a false alarm")
                        };
                        commit(&mut guard)
                    })
                });
                let mine = commit(&mut guard);
                drop(guard);
                let theirs = waiting.map(|waiting| waiting.join().unwrap());
                assert!(theirs.contains(&(mine + 1)) && theirs.contains(&(mine + 2)));
            });
        }
        let last = record.get().unwrap().unwrap();
        let found = reader.changed_timeout(LONG).unwrap();
        assert_eq!(found.sequence, last.sequence);
        let slept = reader.changed_timeout(Duration::from_millis(1));
        assert!(
            matches!(slept, Err(RecvError::TimedOut { .. })),
            "{slept:?}"
        );
        drop((record, others, reader));
        manage::remove(&self.namespace, CHANNEL, false).unwrap();
        assert_eq!(system::names(self.path()).len(), 0);
    }

    /// The survivor had the lock all the time, and whoever waited for it has died.
    fn was_never_robbed(mut self, report: &Report) {
        assert!(report.got.is_empty() && report.sent.is_empty());
        let mut other = options(&self.namespace).open(CHANNEL).unwrap();
        let refused = other.try_lock().map(drop);
        assert!(
            matches!(refused, Err(LockError::Busy { .. })),
            "{refused:?}"
        );
        // Its guard was forgotten, so this looks like its death.
        drop(self.survivor.take());
        let mut guard = other.lock_timeout(LONG).unwrap().consistent();
        commit(&mut guard);
        drop(guard);
        self.serves_everybody(other);
    }

    /// The record was made anew, or not; everything that mattered is in it.
    fn has_grown_or_not(self, _: &Report) {
        let larger = options(&self.namespace).value_size(4 * VALUE);
        let mut record = larger.open(CHANNEL).unwrap();
        assert_eq!(record.max_value(), 4 * VALUE as usize);
        let Lock::OwnerDied(mut guard) = record.lock_timeout(LONG).unwrap() else {
            panic!("a death is forgotten")
        };
        // It was put once more, into the larger slots.
        assert_eq!(guard.sequence(), self.last + 1);
        assert_eq!(guard.value(), value(self.last));
        guard.mark_consistent();
        commit(&mut guard);
        drop(guard);
        self.serves_everybody(record);
    }
}

/// What a victim does with the lock. It says how far it came.
fn deal(lock: Lock<Guard<'_>>, commits: u32, mark: bool) {
    let told = lock.owner_died();
    let mut guard = lock.into_guard();
    say("got", if told { TOLD } else { LOCKED });
    for _ in 0..commits {
        say("sent", commit(&mut guard));
    }
    let_go(guard, mark);
}

fn let_go(mut guard: Guard<'_>, mark: bool) {
    if mark {
        say("got", MARKING);
        guard.mark_consistent();
        say("got", MARKED);
    }
    say("got", LEAVING);
    drop(guard);
    say("got", LEFT);
}

fn open(stage: &Stage) -> Record {
    options(&stage.namespace).open(CHANNEL).unwrap()
}

pub(crate) fn operations() -> impl Iterator<Item = Swept<GuardedWorld>> {
    [
        Swept {
            name: "guarded_create_and_leave",
            least_points: 80,
            prepare: GuardedWorld::empty,
            act: |stage| {
                stage.armed();
                let mut record = open(stage);
                deal(record.lock().unwrap(), 1, false);
                drop(record);
                stage.disarmed();
            },
            check: GuardedWorld::goes_on,
        },
        Swept {
            name: "guarded_lock_and_commit",
            least_points: 20,
            prepare: GuardedWorld::clean,
            act: |stage| {
                let mut record = open(stage);
                stage.armed();
                deal(record.lock().unwrap(), 2, false);
                stage.disarmed();
            },
            check: GuardedWorld::goes_on,
        },
        Swept {
            name: "guarded_sit_down_and_get_up",
            least_points: 15,
            prepare: GuardedWorld::clean,
            act: |stage| {
                stage.armed();
                drop(open(stage));
                stage.disarmed();
            },
            check: GuardedWorld::goes_on,
        },
        Swept {
            name: "guarded_mark_consistent",
            least_points: 15,
            prepare: GuardedWorld::died,
            act: |stage| {
                let mut record = open(stage);
                stage.armed();
                deal(record.lock().unwrap(), 1, true);
                stage.disarmed();
            },
            check: GuardedWorld::goes_on,
        },
        Swept {
            name: "guarded_give_up",
            least_points: 10,
            prepare: GuardedWorld::died,
            act: |stage| {
                let mut record = open(stage);
                stage.armed();
                deal(record.lock().unwrap(), 0, false);
                stage.disarmed();
            },
            check: GuardedWorld::goes_on,
        },
        Swept {
            name: "guarded_leave_news",
            least_points: 5,
            prepare: GuardedWorld::died,
            act: |stage| {
                let mut record = open(stage);
                stage.armed();
                let guard = record.lock().unwrap().into_guard();
                say("got", TOLD);
                guard.leave_news();
                stage.disarmed();
            },
            check: GuardedWorld::goes_on,
        },
        Swept {
            name: "guarded_repair",
            least_points: 15,
            prepare: GuardedWorld::lost,
            act: |stage| {
                let mut record = open(stage);
                stage.armed();
                let mut guard = record.repair(None).unwrap();
                say("got", TOLD);
                say("sent", commit(&mut guard));
                let_go(guard, true);
                stage.disarmed();
            },
            check: GuardedWorld::goes_on,
        },
        Swept {
            name: "guarded_wait_for_the_lock",
            least_points: 4,
            prepare: GuardedWorld::held,
            act: |stage| {
                let parking = options(&stage.namespace).wait(WaitStrategy::Park);
                let mut record = parking.open(CHANNEL).unwrap();
                stage.armed();
                let waited = record.lock_timeout(Duration::from_millis(1)).map(drop);
                assert!(
                    matches!(waited, Err(LockError::TimedOut { .. })),
                    "{waited:?}"
                );
                drop(record);
                stage.disarmed();
            },
            check: GuardedWorld::was_never_robbed,
        },
        Swept {
            name: "guarded_grow",
            least_points: 60,
            prepare: GuardedWorld::unused,
            act: |stage| {
                let larger = options(&stage.namespace).value_size(4 * VALUE);
                stage.armed();
                drop(larger.open(CHANNEL).unwrap());
                stage.disarmed();
            },
            check: GuardedWorld::has_grown_or_not,
        },
    ]
    .into_iter()
}

/// Which of the writers this process is.
const WRITER: &str = "PARTYWALL_SWEEP_WRITER";
const WRITERS: usize = 4;

/// What the writers keep: a total and its complement, and how often each of them counted.
fn counts(value: &[u8]) -> [u64; WRITERS + 2] {
    let mut words = value
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let counts = [(); WRITERS + 2].map(|()| words.next().unwrap());
    assert_eq!(words.next(), None);
    let [total, complement, each @ ..] = counts;
    assert_eq!(total, !complement, "torn: {counts:?}");
    assert_eq!(total, each.iter().sum::<u64>(), "torn: {counts:?}");
    counts
}

fn bytes(counts: [u64; WRITERS + 2]) -> Vec<u8> {
    counts.into_iter().flat_map(u64::to_le_bytes).collect()
}

fn racing_options(namespace: &Namespace) -> RecordOptions {
    options(namespace).seats(16)
}

/// Counts in the record until it is killed.
pub(crate) fn count_without_end(stage: &Stage) -> ! {
    let me: usize = std::env::var(WRITER).unwrap().parse().unwrap();
    let mut record = racing_options(&stage.namespace).open(CHANNEL).unwrap();
    loop {
        let mut guard = record.lock().unwrap().consistent();
        let mut counted = counts(guard.value());
        counted[0] += 1;
        counted[1] = !counted[0];
        counted[2 + me] += 1;
        *guard.value_mut() = bytes(counted);
        guard.commit().unwrap();
        say("sent", counted[2 + me]);
        drop(guard);
    }
}

/// Locks the record, says so, and lets go in order when its input ends.
pub(crate) fn hold_until_told(stage: &Stage) -> ! {
    let mut record = racing_options(&stage.namespace).open(CHANNEL).unwrap();
    let mut guard = record.lock().unwrap().consistent();
    say("got", LOCKED);
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    say("sent", guard.commit().unwrap());
    drop(guard);
    std::process::exit(0);
}

/// A writer, and the last count that it said was committed.
struct Writer {
    child: Child,
    listening: thread::JoinHandle<()>,
}

impl Writer {
    fn start(place: &Path, number: usize, acknowledged: &Arc<[AtomicU64; WRITERS]>) -> Self {
        let mut child = command("count_without_end", place)
            .env(WRITER, number.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let acknowledged = Arc::clone(acknowledged);
        let listening = thread::spawn(move || {
            for line in output.lines() {
                // The last line may be half a number if it was killed in the middle.
                if let Some(count) = line.unwrap().strip_prefix("sent ") {
                    acknowledged[number].fetch_max(count.parse().unwrap_or(0), Relaxed);
                }
            }
        });
        Writer { child, listening }
    }

    fn kill(mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "a writer failed");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.listening.join().unwrap();
    }
}

/// Writers are killed, stopped and continued while others count on and readers verify.
pub(crate) fn kill_at_random_moments(full: bool) {
    let mut random = Random::new("holders of a guarded record");
    let world = GuardedWorld::empty();
    let mut record = racing_options(&world.namespace).open(CHANNEL).unwrap();
    let mut guard = record.lock().unwrap().consistent();
    let mut nothing = [0; WRITERS + 2];
    nothing[1] = u64::MAX;
    *guard.value_mut() = bytes(nothing);
    guard.commit().unwrap();
    drop(guard);
    let acknowledged = Arc::new([(); WRITERS].map(|()| AtomicU64::new(0)));
    let done = AtomicBool::new(false);
    let rounds = if full { 200 } else { 20 };
    thread::scope(|scope| {
        let readers = [true, false].map(|sleeps| {
            let mut reader = reader_options(&world.namespace).attach(CHANNEL).unwrap();
            let done = &done;
            scope.spawn(move || {
                let mut before = 0;
                while !done.load(Relaxed) {
                    let read = if sleeps {
                        reader.changed_timeout(Duration::from_millis(20)).map(Some)
                    } else {
                        reader.get()
                    };
                    match read {
                        Ok(Some(value)) => {
                            let total = counts(&value)[0];
                            assert!(total >= before, "back in time");
                            before = total;
                        }
                        Err(RecvError::TimedOut { .. } | RecvError::Contended { .. }) => {}
                        other => panic!("{other:?}"),
                    }
                }
                before
            })
        });
        let start = |number| Writer::start(world.path(), number, &acknowledged);
        let mut writers: Vec<Writer> = (0..WRITERS).map(start).collect();
        let sum = || -> u64 { acknowledged.iter().map(|count| count.load(Relaxed)).sum() };
        for _ in 0..rounds {
            let (before, end) = (sum(), Instant::now() + LONG);
            while sum() < before + 5 {
                assert!(Instant::now() < end, "nobody gets on");
                thread::yield_now();
            }
            let chosen = random.below(WRITERS as u64) as usize;
            if random.below(3) == 0 {
                system::stop(&writers[chosen].child);
                thread::sleep(random.moment());
                system::go_on(&writers[chosen].child);
            } else {
                thread::sleep(random.moment());
                let next = Writer::start(world.path(), chosen, &acknowledged);
                // Both count as the same writer: one after the other, as they have the lock in turn.
                std::mem::replace(&mut writers[chosen], next).kill();
            }
        }
        for writer in writers {
            writer.kill();
        }
        done.store(true, Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0, "a reader saw nothing");
        }
    });
    let guard = record.lock_timeout(LONG).unwrap().consistent();
    let [_, _, each @ ..] = counts(guard.value());
    for (count, acknowledged) in each.iter().zip(acknowledged.iter()) {
        assert!(*count >= acknowledged.load(Relaxed), "a commit is lost");
    }
    drop(guard);
    let info = inspect::inspect(&world.namespace, CHANNEL).unwrap();
    assert_eq!(
        info.records,
        each.iter().sum::<u64>() + 1,
        "one commit each"
    );
    a_stopped_holder_is_not_robbed(&world, &mut record);
}

fn a_stopped_holder_is_not_robbed(world: &GuardedWorld, record: &mut Record) {
    let sequence = record.get().unwrap().unwrap().sequence;
    let mut holder = command("hold_until_told", world.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), format!("got {LOCKED}"));
    system::stop(&holder);
    // Several slices, each with a look around.
    let waited = record.lock_timeout(Duration::from_millis(350)).map(drop);
    assert!(
        matches!(waited, Err(LockError::TimedOut { .. })),
        "{waited:?}"
    );
    system::go_on(&holder);
    drop(holder.stdin.take());
    let Lock::Clean(guard) = record.lock_timeout(LONG).unwrap() else {
        panic!("it did not die")
    };
    assert_eq!(guard.sequence(), sequence + 1);
    drop(guard);
    assert!(holder.wait().unwrap().success());
}
