//! What every pattern has: somebody who sleeps and is woken by what the victim does last, and somebody who removes a
//! channel that was left behind. (The ring's are with its producers.)

use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use partywall::guarded::Lock;
use partywall::mpsc::Event;
use partywall::{LockError, ManageError, Namespace, OpenError, WaitStrategy, inspect, manage};

use crate::stopped::{nobody_is_robbed, owner_is_locked};
use crate::system::{self, At};
use crate::victim::{Report, Stage, say};
use crate::world::CHANNEL;
use crate::{Located, Swept, frames, guarded, mpsc, slots};

const LONG: Duration = Duration::from_secs(20);

/// A channel, and who sleeps there.
pub(crate) struct SleepWorld {
    directory: tempfile::TempDir,
    namespace: Namespace,
    /// Gives what it woke up with.
    sleeper: Option<JoinHandle<Woken>>,
    /// Opens the channel as its owner, if there is one, and leaves it as a death would; once more commits something before
    /// that.
    own: fn(&Namespace, bool) -> Result<u64, OpenError>,
}

/// What a sleeper found when it was woken.
#[derive(Clone, Copy, Debug)]
struct Woken {
    /// The last sequence, or how many records.
    last: u64,
    /// It learnt of a death.
    died: bool,
}

impl Located for SleepWorld {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn meanwhile(&mut self) {
        nobody_is_robbed(&self.namespace, || (self.own)(&self.namespace, false));
    }
}

impl SleepWorld {
    /// A channel that its owner left at once, or after a commit.
    fn left(own: fn(&Namespace, bool) -> Result<u64, OpenError>, commit: bool) -> SleepWorld {
        let directory = crate::system::directory();
        let world = SleepWorld {
            namespace: Namespace::open(directory.path()).unwrap(),
            directory,
            sleeper: None,
            own,
        };
        own(&world.namespace, commit).unwrap();
        world
    }

    fn sleeping(mut self, sleep: impl FnOnce() -> Woken + Send + 'static) -> Self {
        self.sleeper = Some(thread::spawn(sleep));
        self
    }

    fn woken(&mut self) -> Woken {
        self.sleeper.take().unwrap().join().unwrap()
    }

    /// The sleeper gets what was committed although the bell may never have rung, before anybody else rings it.
    fn sleeper_has_it(mut self, report: &Report) {
        let records = inspect::inspect(&self.namespace, CHANNEL).unwrap().records;
        assert!(records >= report.sent.len() as u64);
        if records == 0 {
            // Nothing was committed, or the next owner is to find it; and does it once more.
            (self.own)(&self.namespace, true).unwrap();
        }
        assert!((1..=2).contains(&self.woken().last));
        self.nothing_is_left();
    }

    fn nothing_is_left(&self) {
        match manage::remove(&self.namespace, CHANNEL, false) {
            Ok(_) | Err(ManageError::Open(OpenError::Missing { .. })) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(system::names(self.path()).is_empty());
    }

    /// What was not removed is removed by the next who does, and a new channel of that name knows nothing of it.
    fn goes_and_comes_anew(self, report: &Report) {
        if report.points.is_some() {
            assert!(system::names(self.path()).is_empty());
        }
        self.nothing_is_left();
        assert_eq!(
            (self.own)(&self.namespace, true).unwrap(),
            1,
            "it begins anew"
        );
        self.nothing_is_left();
    }
}

fn own_snapshot(namespace: &Namespace, commit: bool) -> Result<u64, OpenError> {
    let mut writer = slots::writer_options(namespace).open(CHANNEL)?;
    if commit {
        let next = writer.sequence() + 1;
        writer.put(&slots::value(next)).unwrap();
    }
    let last = writer.sequence();
    writer.abandon();
    Ok(last)
}

fn own_broadcast(namespace: &Namespace, commit: bool) -> Result<u64, OpenError> {
    let mut sender = slots::sender_options(namespace).open(CHANNEL)?;
    if commit {
        let next = sender.sequence() + 1;
        sender.send(&slots::value(next)).unwrap();
    }
    let last = sender.sequence();
    sender.abandon();
    Ok(last)
}

fn own_frames(namespace: &Namespace, commit: bool) -> Result<u64, OpenError> {
    let publisher = frames::publisher_options(namespace).open(CHANNEL)?;
    if commit {
        frames::publish(&publisher);
    }
    let last = publisher.sequence();
    publisher.abandon();
    Ok(last)
}

/// The receiver commits nothing: a sender does it, comes, and dies.
fn own_mpsc(namespace: &Namespace, commit: bool) -> Result<u64, OpenError> {
    let mut receiver = mpsc::receiver_options(namespace).open(CHANNEL)?;
    let mut received = 0;
    if commit {
        let mut sender = mpsc::sender_options(namespace).attach(CHANNEL).unwrap();
        mpsc::send(&mut sender, 24);
        drop(sender);
        while let Some(event) = receiver.try_recv().unwrap() {
            received += u64::from(matches!(event, Event::Record(_)));
        }
        receiver.acknowledge();
    }
    receiver.abandon();
    Ok(received)
}

/// Nobody owns a record but who has locked it.
fn own_record(namespace: &Namespace, commit: bool) -> Result<u64, OpenError> {
    let mut record = guarded::options(namespace).open(CHANNEL)?;
    if !commit {
        return match record.try_lock().map(drop) {
            Err(LockError::Busy { channel }) => Err(OpenError::AlreadyOwned { channel, pid: 0 }),
            tried => tried.map(|()| 0).map_err(|error| panic!("{error}")),
        };
    }
    let mut guard = record.lock_timeout(LONG).unwrap().consistent();
    Ok(guarded::commit(&mut guard))
}

/// Whether somebody says that it sleeps in a seat.
fn somebody_sleeps(namespace: &Namespace) -> bool {
    let info = inspect::inspect(namespace, CHANNEL).unwrap();
    info.seats.iter().any(|seat| seat.parked)
}

/// Whether the owner of the first generation says that it sleeps.
fn owner_sleeps(namespace: &Namespace) -> bool {
    let owner = namespace.path().join(CHANNEL).join("1.owner");
    let mut parked = [0; 4];
    let owner = std::fs::File::open(owner).unwrap();
    owner.read_exact_at(&mut parked, 512).unwrap();
    parked != [0; 4]
}

fn remove(stage: &Stage) {
    stage.armed();
    manage::remove(&stage.namespace, CHANNEL, false).unwrap();
    stage.disarmed();
}

fn wait_until(mut it_is_so: impl FnMut() -> bool) {
    while !it_is_so() {
        thread::yield_now();
    }
}

pub(crate) fn operations() -> Vec<Swept<SleepWorld>> {
    wakers().into_iter().chain(removers()).collect()
}

fn wakers() -> [Swept<SleepWorld>; 5] {
    [
        Swept {
            name: "snapshot_wake_a_sleeper",
            least_points: 9,
            prepare: || {
                let world = SleepWorld::left(own_snapshot, false);
                let options = slots::reader_options(&world.namespace).await_successor(true);
                let options = options.wait(WaitStrategy::Park);
                let mut reader = options.attach(CHANNEL).unwrap();
                world.sleeping(move || Woken {
                    last: reader.changed().unwrap().sequence,
                    died: false,
                })
            },
            act: |stage| {
                let options = slots::writer_options(&stage.namespace);
                let mut writer = options.open(CHANNEL).unwrap();
                wait_until(|| somebody_sleeps(&stage.namespace));
                stage.armed();
                say("sent", writer.put(&slots::value(1)).unwrap());
                stage.disarmed();
                writer.abandon();
            },
            check: SleepWorld::sleeper_has_it,
        },
        Swept {
            name: "broadcast_wake_a_sleeper",
            least_points: 8,
            prepare: || {
                let world = SleepWorld::left(own_broadcast, false);
                let options = slots::receiver_options(&world.namespace).await_successor(true);
                let options = options.wait(WaitStrategy::Park);
                let mut receiver = options.attach(CHANNEL).unwrap();
                world.sleeping(move || Woken {
                    last: receiver.recv().unwrap().sequence,
                    died: false,
                })
            },
            act: |stage| {
                let options = slots::sender_options(&stage.namespace);
                let mut sender = options.open(CHANNEL).unwrap();
                wait_until(|| somebody_sleeps(&stage.namespace));
                stage.armed();
                say("sent", sender.send(&slots::value(1)).unwrap());
                stage.disarmed();
                sender.abandon();
            },
            check: SleepWorld::sleeper_has_it,
        },
        Swept {
            name: "frames_wake_a_sleeper",
            least_points: 14,
            prepare: || {
                let world = SleepWorld::left(own_frames, false);
                let options = frames::subscriber_options(&world.namespace).await_successor(true);
                let options = options.wait(WaitStrategy::Park);
                let mut subscriber = options.attach(CHANNEL).unwrap();
                world.sleeping(move || {
                    let frame = subscriber.recv().unwrap();
                    frames::check(&frame);
                    Woken {
                        last: frame.sequence(),
                        died: false,
                    }
                })
            },
            act: |stage| {
                let options = frames::publisher_options(&stage.namespace);
                let publisher = options.open(CHANNEL).unwrap();
                wait_until(|| somebody_sleeps(&stage.namespace));
                stage.armed();
                say("sent", frames::publish(&publisher));
                stage.disarmed();
                publisher.abandon();
            },
            check: SleepWorld::sleeper_has_it,
        },
        Swept {
            name: "mpsc_wake_a_sleeper",
            least_points: 6,
            prepare: || {
                let world = SleepWorld::left(own_mpsc, false);
                let options = mpsc::receiver_options(&world.namespace).wait(WaitStrategy::Park);
                let mut receiver = options.open(CHANNEL).unwrap();
                world.sleeping(move || {
                    let mut last = 0;
                    loop {
                        match receiver.recv().unwrap() {
                            Event::Record(_) => last += 1,
                            Event::Opened(_) => {}
                            end => {
                                let died = matches!(end, Event::Died(_));
                                return Woken { last, died };
                            }
                        }
                    }
                })
            },
            act: |stage| {
                let options = mpsc::sender_options(&stage.namespace);
                let mut sender = options.attach(CHANNEL).unwrap();
                // It has heard that we came, and sleeps again.
                sender.flush(Some(LONG)).unwrap();
                wait_until(|| owner_sleeps(&stage.namespace));
                stage.armed();
                mpsc::send(&mut sender, 24);
                say("sent", 0);
                stage.disarmed();
                sender.close().unwrap();
            },
            // Nobody rings for the dead one: the receiver finds its last record, and its death, by itself.
            check: |mut world, report| {
                let woken = world.woken();
                assert!(
                    (report.sent.len() as u64..=1).contains(&woken.last),
                    "{woken:?}"
                );
                assert_eq!(woken.died, report.killed);
                world.nothing_is_left();
            },
        },
        Swept {
            name: "guarded_wake_a_sleeper",
            least_points: 15,
            prepare: || {
                let world = SleepWorld::left(own_record, false);
                let options = guarded::options(&world.namespace).wait(WaitStrategy::Park);
                let mut record = options.open(CHANNEL).unwrap();
                let namespace = world.namespace.clone();
                world.sleeping(move || {
                    wait_until(|| owner_is_locked(&namespace));
                    let lock = record.lock().unwrap();
                    let died = matches!(lock, Lock::OwnerDied(_));
                    let mut guard = lock.into_guard();
                    guard.mark_consistent();
                    Woken {
                        last: guard.sequence(),
                        died,
                    }
                })
            },
            act: |stage| {
                let mut record = guarded::options(&stage.namespace).open(CHANNEL).unwrap();
                let mut guard = record.lock().unwrap().consistent();
                wait_until(|| somebody_sleeps(&stage.namespace));
                stage.armed();
                say("sent", guarded::commit(&mut guard));
                drop(guard);
                say("got", 1);
                stage.disarmed();
            },
            check: |mut world, report| {
                let woken = world.woken();
                assert!(
                    (report.sent.len() as u64..=1).contains(&woken.last),
                    "{woken:?}"
                );
                assert!(
                    !woken.died || report.killed && report.got.is_empty(),
                    "a false alarm"
                );
                assert!(woken.died || !report.sent.is_empty() || !report.killed);
                world.nothing_is_left();
            },
        },
    ]
}

fn removers() -> [Swept<SleepWorld>; 5] {
    let swept = |name, prepare| Swept {
        name,
        least_points: 20,
        prepare,
        act: remove,
        check: SleepWorld::goes_and_comes_anew,
    };
    [
        swept("snapshot_remove", || SleepWorld::left(own_snapshot, true)),
        swept("broadcast_remove", || SleepWorld::left(own_broadcast, true)),
        swept("frames_remove", || SleepWorld::left(own_frames, true)),
        swept("mpsc_remove", || SleepWorld::left(own_mpsc, true)),
        swept("guarded_remove", || SleepWorld::left(own_record, true)),
    ]
}
