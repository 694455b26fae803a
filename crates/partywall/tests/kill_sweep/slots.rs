//! Operations of snapshots and broadcasts.

use std::io::Read;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use partywall::broadcast::{Receiver, ReceiverOptions, Sender, SenderOptions, Start};
use partywall::snapshot::{Reader, ReaderOptions, Writer, WriterOptions};
use partywall::{Namespace, RecvError, WaitStrategy, inspect, manage};

use crate::frames;
use crate::random::{Random, start};
use crate::stopped::{gets_in_or_is_told, nobody_is_robbed};
use crate::victim::{Report, Stage, say};
use crate::world::{CHANNEL, Payload};
use crate::{Located, Swept, system};

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(20);
/// Bytes of the largest value.
const VALUE: u32 = 200;

pub(crate) fn writer_options(namespace: &Namespace) -> WriterOptions {
    WriterOptions::new()
        .namespace(namespace.clone())
        .value_size(VALUE)
        .checksums(true)
        .seats(2)
        .heartbeat(false)
}

pub(crate) fn reader_options(namespace: &Namespace) -> ReaderOptions {
    ReaderOptions::new()
        .namespace(namespace.clone())
        .heartbeat(false)
        .attach_timeout(Some(LONG))
}

pub(crate) fn sender_options(namespace: &Namespace) -> SenderOptions {
    SenderOptions::new()
        .namespace(namespace.clone())
        .value_size(VALUE)
        .slots(4)
        .seats(2)
        .heartbeat(false)
}

pub(crate) fn receiver_options(namespace: &Namespace) -> ReceiverOptions {
    ReceiverOptions::new()
        .namespace(namespace.clone())
        .start(Start::At(1))
        .heartbeat(false)
        .attach_timeout(Some(LONG))
}

/// The value with this sequence; lengths change from one to the next.
pub(crate) fn value(sequence: u64) -> Vec<u8> {
    Payload::bytes(sequence, 8 + (sequence * 53 % 190) as usize)
}

/// A snapshot or a broadcast with those who live on.
pub(crate) struct SlotWorld {
    directory: tempfile::TempDir,
    namespace: Namespace,
    writer: Option<Writer>,
    sender: Option<Sender>,
    reader: Option<Reader>,
    receiver: Option<Receiver>,
    /// It is a broadcast.
    broadcasts: bool,
    /// Values before the victim begins.
    before: u64,
}

impl Located for SlotWorld {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn meanwhile(&mut self) {
        let namespace = &self.namespace;
        let now = Some(Duration::ZERO);
        if self.broadcasts {
            nobody_is_robbed(namespace, || sender_options(namespace).open(CHANNEL));
            let newcomer = receiver_options(namespace).attach_timeout(now);
            if let Some(mut newcomer) = gets_in_or_is_told(newcomer.attach(CHANNEL)) {
                read_all(&mut newcomer);
            }
            return;
        }
        nobody_is_robbed(namespace, || writer_options(namespace).open(CHANNEL));
        let newcomer = reader_options(namespace).attach_timeout(now);
        if let Some(mut newcomer) = gets_in_or_is_told(newcomer.attach(CHANNEL)) {
            // The last value, though the next one is half-written.
            let found = newcomer.get().unwrap();
            assert!(found.is_some() || self.before == 0);
            if let Some(found) = found {
                assert_eq!(&found[..], value(found.sequence), "a torn value");
            }
        }
    }
}

impl SlotWorld {
    fn empty() -> Self {
        let directory = system::directory();
        SlotWorld {
            namespace: Namespace::open(directory.path()).unwrap(),
            directory,
            writer: None,
            sender: None,
            reader: None,
            receiver: None,
            broadcasts: false,
            before: 0,
        }
    }

    /// A snapshot that somebody abandoned after some values, and a reader that has seen the last.
    fn abandoned_snapshot(values: u64) -> Self {
        let mut world = Self::snapshot(values);
        world.writer.take().unwrap().abandon();
        world
    }

    /// A snapshot with a live writer and a reader that has seen the last value.
    fn snapshot(values: u64) -> Self {
        let mut world = Self::empty();
        let mut writer = writer_options(&world.namespace).open(CHANNEL).unwrap();
        for sequence in 1..=values {
            assert_eq!(writer.put(&value(sequence)).unwrap(), sequence);
        }
        let mut reader = reader_options(&world.namespace).attach(CHANNEL).unwrap();
        assert_eq!(
            reader.get().unwrap().map(|value| value.sequence),
            (values > 0).then_some(values)
        );
        world.before = values;
        world.writer = Some(writer);
        world.reader = Some(reader);
        world
    }

    /// There will be a broadcast.
    fn no_broadcast() -> Self {
        SlotWorld {
            broadcasts: true,
            ..Self::empty()
        }
    }

    /// A broadcast that somebody abandoned after some records, and a receiver that has read none yet.
    fn abandoned_broadcast(records: u64) -> Self {
        let mut world = Self::broadcast(records);
        world.sender.take().unwrap().abandon();
        world
    }

    /// A broadcast with a live sender, and a receiver that has read nothing yet.
    fn broadcast(records: u64) -> Self {
        let mut world = Self::no_broadcast();
        let mut sender = sender_options(&world.namespace).open(CHANNEL).unwrap();
        world.receiver = Some(receiver_options(&world.namespace).attach(CHANNEL).unwrap());
        for sequence in 1..=records {
            sender.send(&value(sequence)).unwrap();
        }
        world.sender = Some(sender);
        world.before = records;
        world
    }

    /// Everything that the victim said is there, one more at most; who reads sees whole values, and the latest
    /// one; a successor goes on; at the end nothing is left.
    fn snapshot_goes_on(mut self, report: &Report) {
        let least = self.before + report.sent.len() as u64;
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            // The victim may have died before there was a channel.
            None => {
                let mut successor = writer_options(&self.namespace).open(CHANNEL).unwrap();
                let last = successor.sequence();
                assert!((least..=least + 1).contains(&last), "{last}, {least}");
                let reader = reader_options(&self.namespace).attach(CHANNEL).unwrap();
                successor.put(&value(last + 1)).unwrap();
                successor.abandon();
                self.before = last + 1;
                reader
            }
        };
        let least = least.max(self.before);
        let seen = match reader.get().unwrap() {
            Some(found) => {
                assert_eq!(&found[..], value(found.sequence), "a torn value");
                found.sequence
            }
            None => 0,
        };
        assert!((least..=least + 1).contains(&seen), "{seen}, {least}");
        let mut successor = writer_options(&self.namespace).open(CHANNEL).unwrap();
        let last = successor.sequence();
        assert!(
            last >= seen && last <= least + 1,
            "{last}, seen {seen}, {least}"
        );
        // Round all slots, and one more.
        for sequence in last + 1..last + 6 {
            assert_eq!(successor.put(&value(sequence)).unwrap(), sequence);
            let found = reader.changed_timeout(LONG).unwrap();
            assert_eq!(
                (found.sequence, &found[..]),
                (sequence, &value(sequence)[..])
            );
        }
        self.ends(successor, reader);
    }

    fn ends(&self, writer: Writer, mut reader: Reader) {
        let last = writer.sequence();
        writer.close().unwrap();
        // The last value is given once more, to who has not seen it.
        if reader.sequence() < last {
            assert_eq!(reader.get().unwrap().unwrap().sequence, last);
        }
        assert!(matches!(reader.get(), Err(RecvError::Closed { .. })));
        drop(reader);
        self.nothing_is_left();
    }

    fn broadcast_goes_on(mut self, report: &Report) {
        let least = self.before + report.sent.len() as u64;
        let mut receiver = match self.receiver.take() {
            Some(receiver) => receiver,
            // The victim may have died before there was a channel.
            None => {
                let successor = sender_options(&self.namespace).open(CHANNEL).unwrap();
                successor.abandon();
                receiver_options(&self.namespace).attach(CHANNEL).unwrap()
            }
        };
        let mut accounted = read_all(&mut receiver);
        assert!(
            (least..=least + 1).contains(&accounted),
            "{accounted}, {least}"
        );
        let mut successor = sender_options(&self.namespace).open(CHANNEL).unwrap();
        let last = successor.sequence();
        assert!(
            last >= accounted && last <= least + 1,
            "{last}, {accounted}"
        );
        for sequence in last + 1..last + 12 {
            assert_eq!(successor.send(&value(sequence)).unwrap(), sequence);
            accounted = read_all(&mut receiver);
            assert_eq!(accounted, sequence);
        }
        successor.close().unwrap();
        assert!(matches!(
            receiver.recv_timeout(LONG),
            Err(RecvError::Closed { .. })
        ));
        drop(receiver);
        self.nothing_is_left();
    }

    /// A receiver died; the sender and another receiver go on, and each seat can be had to sleep in.
    fn sender_goes_on(mut self, report: &Report) {
        assert!(report.got.is_sorted(), "in order");
        let mut sender = self.sender.take().unwrap();
        let options = receiver_options(&self.namespace).wait(WaitStrategy::Park);
        let options = options.start(Start::Newest);
        let mut sleepers = [(); 2].map(|()| options.attach(CHANNEL).unwrap());
        for sleeper in &mut sleepers {
            while sleeper.try_recv().unwrap().is_some() {}
            let slept = sleeper.recv_timeout(Duration::from_millis(1));
            assert!(matches!(slept, Err(RecvError::TimedOut { .. })));
        }
        let info = inspect::inspect(&self.namespace, CHANNEL).unwrap();
        assert_eq!(info.seats.len(), 2, "both sit");
        self.before = sender.sequence() + 1;
        sender.send(&value(self.before)).unwrap();
        for mut sleeper in sleepers {
            assert_eq!(sleeper.recv_timeout(LONG).unwrap().sequence, self.before);
        }
        sender.abandon();
        self.broadcast_goes_on(&Report::default());
    }

    /// A reader died; the writer and another reader go on.
    fn writer_goes_on(mut self, report: &Report) {
        for &sequence in &report.got {
            assert!((1..=self.before + 1).contains(&sequence));
        }
        let mut writer = self.writer.take().unwrap();
        let mut reader = self.reader.take().unwrap();
        let last = writer.sequence();
        for sequence in last + 1..last + 100 {
            writer.put(&value(sequence)).unwrap();
            assert_eq!(reader.get().unwrap().unwrap().sequence, sequence);
        }
        // Whoever died in it, each seat can be taken to sleep in.
        let options = reader_options(&self.namespace).wait(WaitStrategy::Park);
        let mut sleepers: Vec<Reader> = (0..2)
            .map(|_| {
                let mut sleeper = options.attach(CHANNEL).unwrap();
                assert!(sleeper.get().unwrap().is_some());
                let slept = sleeper.changed_timeout(Duration::from_millis(1));
                assert!(
                    matches!(slept, Err(RecvError::TimedOut { .. })),
                    "{slept:?}"
                );
                sleeper
            })
            .collect();
        let info = inspect::inspect(&self.namespace, CHANNEL).unwrap();
        assert_eq!(info.seats.len(), 2, "both sit");
        assert_eq!(info.records, writer.sequence());
        writer.put(&value(writer.sequence() + 1)).unwrap();
        for sleeper in &mut sleepers {
            assert_eq!(
                sleeper.changed_timeout(LONG).unwrap().sequence,
                writer.sequence()
            );
        }
        drop(sleepers);
        self.ends(writer, reader);
    }

    fn nothing_is_left(&self) {
        for row in manage::clean(&self.namespace).unwrap() {
            assert!(row.removed, "{row:?}");
        }
        assert_eq!(system::names(self.path()).len(), 0);
    }
}

/// Reads until nothing more is there; the sequence up to which everything was read or counted as lost.
fn read_all(receiver: &mut Receiver) -> u64 {
    loop {
        let next = receiver.next_sequence();
        match receiver.try_recv() {
            Ok(Some(found)) => {
                assert_eq!(found.sequence, next, "in order");
                assert_eq!(&found[..], value(next), "a torn record");
            }
            Err(RecvError::Overrun { lost, .. }) => {
                assert_eq!(receiver.next_sequence(), next + lost, "exactly");
            }
            // The sender is dead, and everything was read.
            Ok(None) | Err(RecvError::OwnerDied { .. }) => return next - 1,
            Err(error) => panic!("{error}"),
        }
    }
}

fn put(writer: &mut Writer, values: u64) {
    for _ in 0..values {
        let sequence = writer.sequence() + 1;
        writer.put(&value(sequence)).unwrap();
        say("sent", sequence);
    }
}

fn send(sender: &mut Sender, records: u64) {
    for _ in 0..records {
        let sequence = sender.sequence() + 1;
        sender.send(&value(sequence)).unwrap();
        say("sent", sequence);
    }
}

/// Writes to a snapshot until it is killed.
pub(crate) fn put_without_end(stage: &Stage) -> ! {
    let mut writer = writer_options(&stage.namespace).open(CHANNEL).unwrap();
    loop {
        let sequence = writer.sequence() + 1;
        writer.put(&value(sequence)).unwrap();
    }
}

/// Sends to a broadcast until it is killed.
pub(crate) fn broadcast_without_end(stage: &Stage) -> ! {
    let mut sender = sender_options(&stage.namespace).open(CHANNEL).unwrap();
    loop {
        let sequence = sender.sequence() + 1;
        sender.send(&value(sequence)).unwrap();
    }
}

/// Reads a snapshot or a broadcast until its input ends; dies of whatever is torn, goes back, or is unaccounted.
pub(crate) fn read_without_end(stage: &Stage, broadcast: bool) -> ! {
    thread::spawn(|| {
        // Whoever started us says when to end.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let mut payload = Vec::new();
    if broadcast {
        let options = receiver_options(&stage.namespace).await_successor(true);
        let mut receiver = options.attach(CHANNEL).unwrap();
        loop {
            let next = receiver.next_sequence();
            match receiver.recv_into(&mut payload, None) {
                Ok(meta) => assert!(meta.sequence == next && payload == value(next)),
                Err(RecvError::Overrun { lost, .. }) => {
                    assert_eq!(receiver.next_sequence(), next + lost);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    let options = reader_options(&stage.namespace).await_successor(true);
    let mut reader = options.attach(CHANNEL).unwrap();
    let mut last = 0;
    loop {
        match reader.changed_into(&mut payload, None) {
            Ok(meta) => {
                assert!(meta.sequence > last, "back in time");
                assert_eq!(payload, value(meta.sequence), "torn");
                last = meta.sequence;
            }
            Err(RecvError::Contended { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// One writer after the other is killed, and readers are killed, stopped and continued, while the others read on.
pub(crate) fn kill_at_random_moments(full: bool) {
    let mut random = Random::new("writers and readers");
    for (pattern, writer_role, reader_role) in [
        (Pattern::Snapshot, "put_without_end", "watch_without_end"),
        (
            Pattern::Broadcast,
            "broadcast_without_end",
            "receive_without_end",
        ),
        (
            Pattern::Frames,
            "publish_without_end",
            "subscribe_without_end",
        ),
    ] {
        let crowds: &[usize] = match (pattern, full) {
            // Each has a seat, of which eight are made.
            (Pattern::Frames, true) => &[1, 2, 8],
            (_, true) => &[1, 2, 8, 64],
            (_, false) => &[4],
        };
        for &crowd in crowds {
            let world = SlotWorld::empty();
            // Abandoned at once, so that readers find it.
            match pattern {
                Pattern::Snapshot => writer_options(&world.namespace)
                    .open(CHANNEL)
                    .unwrap()
                    .abandon(),
                Pattern::Broadcast => sender_options(&world.namespace)
                    .open(CHANNEL)
                    .unwrap()
                    .abandon(),
                Pattern::Frames => frames::publisher_options(&world.namespace)
                    .seats(8)
                    .open(CHANNEL)
                    .unwrap()
                    .abandon(),
            }
            let mut readers: Vec<Child> = (0..crowd)
                .map(|_| start(reader_role, world.path()))
                .collect();
            let rounds = if full { 60 } else { 12 };
            let records = || {
                let info = inspect::inspect(&world.namespace, CHANNEL);
                info.unwrap().records
            };
            let mut committed = 0;
            for _ in 0..rounds {
                let mut victim = start(writer_role, world.path());
                // Among many readers it may be a while until it gets to run.
                let end = Instant::now() + LONG;
                while records() <= committed {
                    assert!(Instant::now() < end, "the victim writes nothing");
                    thread::yield_now();
                }
                let chosen = random.below(crowd as u64) as usize;
                match random.below(3) {
                    0 => {
                        readers[chosen].kill().unwrap();
                        readers[chosen].wait().unwrap();
                        readers[chosen] = start(reader_role, world.path());
                        thread::sleep(random.moment());
                    }
                    1 => {
                        system::stop(&readers[chosen]);
                        thread::sleep(random.moment());
                        system::go_on(&readers[chosen]);
                    }
                    _ => thread::sleep(random.moment()),
                }
                victim.kill().unwrap();
                victim.wait().unwrap();
                let info = inspect::inspect(&world.namespace, CHANNEL).unwrap();
                assert!(
                    info.records >= committed,
                    "{} after {committed}",
                    info.records
                );
                committed = info.records;
            }
            assert!(committed > rounds, "the victims got to write something");
            for reader in &mut readers {
                assert!(reader.try_wait().unwrap().is_none(), "a reader has died");
                drop(reader.stdin.take());
                assert!(reader.wait().unwrap().success(), "a reader has failed");
            }
            world.nothing_is_left();
        }
    }
}

#[derive(Clone, Copy)]
enum Pattern {
    Snapshot,
    Broadcast,
    Frames,
}

pub(crate) fn operations() -> impl Iterator<Item = Swept<SlotWorld>> {
    [
        Swept {
            name: "snapshot_create",
            least_points: 80,
            prepare: SlotWorld::empty,
            act: |stage| {
                stage.armed();
                let mut writer = writer_options(&stage.namespace).open(CHANNEL).unwrap();
                put(&mut writer, 1);
                writer.abandon();
                stage.disarmed();
            },
            check: SlotWorld::snapshot_goes_on,
        },
        Swept {
            name: "snapshot_adopt",
            least_points: 20,
            prepare: || SlotWorld::abandoned_snapshot(6),
            act: |stage| {
                stage.armed();
                let mut writer = writer_options(&stage.namespace).open(CHANNEL).unwrap();
                put(&mut writer, 1);
                writer.abandon();
                stage.disarmed();
            },
            check: SlotWorld::snapshot_goes_on,
        },
        Swept {
            name: "snapshot_put",
            least_points: 40,
            prepare: || SlotWorld::abandoned_snapshot(0),
            act: |stage| {
                let mut writer = writer_options(&stage.namespace).open(CHANNEL).unwrap();
                stage.armed();
                put(&mut writer, 5);
                stage.disarmed();
                writer.abandon();
            },
            check: SlotWorld::snapshot_goes_on,
        },
        Swept {
            name: "snapshot_sleep_and_leave",
            least_points: 15,
            prepare: || SlotWorld::snapshot(3),
            act: |stage| {
                let options = reader_options(&stage.namespace).wait(WaitStrategy::Park);
                let mut reader = options.attach(CHANNEL).unwrap();
                stage.armed();
                say("got", reader.changed().unwrap().sequence);
                let slept = reader.changed_timeout(Duration::from_millis(1));
                assert!(matches!(slept, Err(RecvError::TimedOut { .. })));
                drop(reader);
                stage.disarmed();
            },
            check: SlotWorld::writer_goes_on,
        },
        Swept {
            name: "broadcast_create",
            least_points: 80,
            prepare: SlotWorld::no_broadcast,
            act: |stage| {
                stage.armed();
                let mut sender = sender_options(&stage.namespace).open(CHANNEL).unwrap();
                send(&mut sender, 1);
                sender.abandon();
                stage.disarmed();
            },
            check: SlotWorld::broadcast_goes_on,
        },
        Swept {
            name: "broadcast_sleep_and_leave",
            least_points: 12,
            prepare: || SlotWorld::broadcast(3),
            act: |stage| {
                let options = receiver_options(&stage.namespace).wait(WaitStrategy::Park);
                let mut receiver = options.attach(CHANNEL).unwrap();
                stage.armed();
                for _ in 0..3 {
                    say("got", receiver.recv().unwrap().sequence);
                }
                let slept = receiver.recv_timeout(Duration::from_millis(1));
                assert!(matches!(slept, Err(RecvError::TimedOut { .. })));
                drop(receiver);
                stage.disarmed();
            },
            check: SlotWorld::sender_goes_on,
        },
        Swept {
            name: "broadcast_adopt_and_send",
            least_points: 60,
            prepare: || SlotWorld::abandoned_broadcast(6),
            act: |stage| {
                stage.armed();
                let mut sender = sender_options(&stage.namespace).open(CHANNEL).unwrap();
                send(&mut sender, 6);
                sender.abandon();
                stage.disarmed();
            },
            check: SlotWorld::broadcast_goes_on,
        },
        Swept {
            name: "snapshot_grow",
            least_points: 208,
            prepare: || SlotWorld::abandoned_snapshot(5),
            act: |stage| {
                let mut writer = writer_options(&stage.namespace).open(CHANNEL).unwrap();
                stage.armed();
                for (value_size, slots) in [(300, 0), (0, 8)] {
                    writer.grow(value_size, slots).unwrap();
                    put(&mut writer, 2);
                }
                stage.disarmed();
                writer.abandon();
            },
            check: |world, report| world.snapshot_goes_on(report),
        },
        Swept {
            name: "broadcast_grow",
            least_points: 192,
            prepare: || SlotWorld::abandoned_broadcast(3),
            act: |stage| {
                let mut sender = sender_options(&stage.namespace).open(CHANNEL).unwrap();
                stage.armed();
                for (value_size, slots) in [(300, 0), (0, 16)] {
                    send(&mut sender, 2);
                    sender.grow(value_size, slots).unwrap();
                }
                stage.disarmed();
                sender.abandon();
            },
            check: |world, report| world.broadcast_goes_on(report),
        },
        Swept {
            name: "broadcast_close",
            least_points: 10,
            prepare: || SlotWorld::abandoned_broadcast(2),
            act: |stage| {
                let sender = sender_options(&stage.namespace).open(CHANNEL).unwrap();
                stage.armed();
                drop(sender);
                stage.disarmed();
            },
            check: |mut world, _| {
                let mut receiver = world.receiver.take().unwrap();
                for sequence in 1..=2 {
                    assert_eq!(&receiver.recv().unwrap()[..], value(sequence));
                }
                match receiver.recv_timeout(LONG) {
                    Err(
                        RecvError::Closed { .. }
                        | RecvError::OwnerDied { .. }
                        | RecvError::Deleted { .. },
                    ) => {}
                    other => panic!("{other:?}"),
                }
                drop(receiver);
                world.nothing_is_left();
            },
        },
    ]
    .into_iter()
}
