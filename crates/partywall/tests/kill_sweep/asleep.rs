//! Somebody stands still (SIGSTOP) while its channel goes through three generations, and then goes on as if nothing had
//! been. (The ring's is with its growth.)

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use partywall::mpsc::Event;
use partywall::{GrowError, LockError, Namespace, OpenError, RecvError, SendError, manage};

use crate::account::{Account, encode, told};
use crate::random::{Random, command};
use crate::stopped::stands_still;
use crate::victim::{Stage, say};
use crate::world::{CHANNEL, Payload};
use crate::{Torture, frames, guarded, mpsc, slots, system};

const LONG: Duration = Duration::from_secs(20);

/// All of them, by name.
pub(crate) const TORTURES: &[(&str, Torture)] = &[
    (
        "snapshot_stopped_through_three_generations",
        snapshot_reader,
    ),
    (
        "broadcast_stopped_through_three_generations",
        broadcast_receiver,
    ),
    (
        "frames_stopped_through_three_generations",
        frames_subscriber,
    ),
    ("mpsc_sender_stopped_through_three_generations", mpsc_sender),
    ("mpsc_receiver_stopped_in_three_growths", mpsc_receiver),
    (
        "guarded_stopped_while_others_want_more_room",
        guarded_handle,
    ),
];

/// A place of the test's own.
struct Place {
    directory: tempfile::TempDir,
    namespace: Namespace,
}

impl Place {
    fn new() -> Self {
        let directory = crate::system::directory();
        Place {
            namespace: Namespace::open(directory.path()).unwrap(),
            directory,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn nothing_is_left(&self) {
        for row in manage::clean(&self.namespace).unwrap() {
            assert!(row.removed, "{row:?}");
        }
        assert_eq!(std::fs::read_dir(self.path()).unwrap().count(), 0);
    }
}

/// A process that is stopped now and then, and says what happens to it.
struct Sleeper {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Sleeper {
    fn start(role: &str, place: &Place) -> Self {
        let mut command = command(role, place.path());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let mut sleeper = Sleeper {
            child,
            said: BufReader::new(output).lines(),
        };
        assert_eq!(sleeper.hear(), ("attached".into(), 0));
        sleeper
    }

    /// The next that it says.
    fn hear(&mut self) -> (String, u64) {
        let line = self.said.next().expect("it says something").unwrap();
        let (what, number) = line.split_once(' ').unwrap();
        (what.to_owned(), number.parse().unwrap())
    }

    /// It stands still until it is told to go on.
    fn stop(&mut self) {
        system::stop(&self.child);
        assert!(stands_still(&self.child), "it has ended");
    }

    fn go_on(&mut self) {
        system::go_on(&self.child);
    }

    /// Tells it to do its next step.
    fn step(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn ends(mut self) {
        drop(self.child.stdin.take());
        assert!(self.said.next().is_none(), "it had nothing more to say");
        assert!(self.child.wait().unwrap().success());
    }
}

/// Acts one of them out, if the role is one.
pub(crate) fn act(role: &str, stage: &Stage) -> bool {
    match role {
        "asleep_reader" => read_to_the_end(stage),
        "asleep_receiver" => receive_to_the_end(stage),
        "asleep_subscriber" => subscribe_to_the_end(stage),
        "asleep_sender" => send_when_told(stage),
        "asleep_grower" => grow_while_receiving(stage),
        "asleep_handle" => lock_when_told(stage),
        _ => return false,
    }
    true
}

/// Each line of the input is a step.
fn steps() -> impl Iterator<Item = ()> {
    std::io::stdin().lines().map(|line| drop(line.unwrap()))
}

fn read_to_the_end(stage: &Stage) {
    let options = slots::reader_options(&stage.namespace);
    let mut reader = options.attach(CHANNEL).unwrap();
    say("attached", 0);
    loop {
        match reader.changed_timeout(LONG) {
            Ok(value) => {
                assert_eq!(&value[..], slots::value(value.sequence), "torn");
                say("got", value.sequence);
            }
            Err(RecvError::Closed { .. }) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn receive_to_the_end(stage: &Stage) {
    let options = slots::receiver_options(&stage.namespace);
    let mut receiver = options.attach(CHANNEL).unwrap();
    say("attached", 0);
    loop {
        match receiver.recv_timeout(LONG) {
            Ok(value) => {
                assert_eq!(&value[..], slots::value(value.sequence), "torn");
                say("got", value.sequence);
            }
            Err(RecvError::Overrun { lost, .. }) => say("lost", lost),
            Err(RecvError::Closed { .. }) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn subscribe_to_the_end(stage: &Stage) {
    let options = frames::subscriber_options(&stage.namespace);
    let mut subscriber = options.attach(CHANNEL).unwrap();
    say("attached", 0);
    let mut held = Vec::new();
    loop {
        match subscriber.recv_timeout(LONG) {
            Ok(frame) => {
                frames::check(&frame);
                say("got", frame.sequence());
                if held.len() < 2 {
                    held.push(frame);
                }
            }
            Err(RecvError::Closed { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    held.iter().for_each(frames::check);
}

fn send_when_told(stage: &Stage) {
    let mut sender = mpsc::sender_options(&stage.namespace)
        .attach(CHANNEL)
        .unwrap();
    say("attached", 0);
    for () in steps() {
        mpsc::send(&mut sender, 24);
        say("sent", sender.generation());
    }
}

/// A receiver that goes on in a larger generation now and then, three times at all.
fn grow_while_receiving(stage: &Stage) {
    let mut receiver = mpsc::receiver_options(&stage.namespace)
        .seats(3)
        .open(CHANNEL)
        .unwrap();
    say("attached", 0);
    let (mut ends, mut events) = (0, 0);
    while ends < 2 {
        let event = receiver.recv_timeout(LONG).unwrap();
        ends += u32::from(matches!(event, Event::Closed(_)));
        events += 1;
        say("got", encode(&told(event)));
        let generation = receiver.generation();
        if generation < 4 && events >= 40 * generation {
            match receiver.grow(4096 << generation) {
                // Somebody has not come over yet.
                Ok(()) | Err(GrowError::Unfinished { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    say("generation", receiver.generation());
}

fn lock_when_told(stage: &Stage) {
    let mut record = guarded::options(&stage.namespace).open(CHANNEL).unwrap();
    say("attached", 0);
    for () in steps() {
        let mut guard = record.lock_timeout(LONG).unwrap().consistent();
        let sequence = guarded::commit(&mut guard);
        drop(guard);
        say("sent", sequence);
    }
}

/// Whoever reads the latest value finds it, in whichever generation.
fn snapshot_reader(_full: bool) {
    let place = Place::new();
    let options = slots::writer_options(&place.namespace);
    let mut writer = options.open(CHANNEL).unwrap();
    let mut sleeper = Sleeper::start("asleep_reader", &place);
    writer.put(&slots::value(1)).unwrap();
    assert_eq!(sleeper.hear(), ("got".into(), 1));
    sleeper.stop();
    for (growth, value_size) in (1..=3).zip([300, 400, 500]) {
        for sequence in 2 * growth..=2 * growth + 1 {
            writer.put(&slots::value(sequence)).unwrap();
        }
        writer.grow(value_size, 0).unwrap();
    }
    writer.put(&slots::value(8)).unwrap();
    assert_eq!(writer.generation(), 4);
    sleeper.go_on();
    let mut seen = 1;
    while seen < 8 {
        let (what, sequence) = sleeper.hear();
        assert!(what == "got" && sequence > seen, "back in time");
        seen = sequence;
    }
    writer.close().unwrap();
    sleeper.ends();
    place.nothing_is_left();
}

/// Each record is received or counted.
fn broadcast_receiver(_full: bool) {
    let place = Place::new();
    let mut sender = slots::sender_options(&place.namespace)
        .open(CHANNEL)
        .unwrap();
    let mut sleeper = Sleeper::start("asleep_receiver", &place);
    sender.send(&slots::value(1)).unwrap();
    assert_eq!(sleeper.hear(), ("got".into(), 1));
    sleeper.stop();
    let mut last = 1;
    for growth in 1..=3 {
        // Fewer than there are slots, then more, then fewer.
        for _ in 0..[3, 40, 3][growth - 1] {
            last = sender.send(&slots::value(last + 1)).unwrap();
        }
        sender.grow(200 + 100 * growth as u32, 0).unwrap();
    }
    last = sender.send(&slots::value(last + 1)).unwrap();
    assert_eq!(sender.generation(), 4);
    sleeper.go_on();
    let (mut next, mut lost) = (2, 0);
    while next <= last {
        match sleeper.hear() {
            (what, sequence) if what == "got" => {
                assert_eq!(sequence, next, "in order");
                next += 1;
            }
            (what, records) => {
                assert_eq!(what, "lost");
                lost += records;
                next += records;
            }
        }
    }
    assert!(next == last + 1 && lost > 0, "{next}, {last}, {lost}");
    sender.close().unwrap();
    sleeper.ends();
    place.nothing_is_left();
}

/// What it holds stays, and what it has not come to is there.
fn frames_subscriber(_full: bool) {
    let place = Place::new();
    let options = frames::publisher_options(&place.namespace);
    let mut publisher = options.open(CHANNEL).unwrap();
    let mut sleeper = Sleeper::start("asleep_subscriber", &place);
    for sequence in 1..=3 {
        assert_eq!(frames::publish(&publisher), sequence);
        assert_eq!(sleeper.hear(), ("got".into(), sequence));
    }
    sleeper.stop();
    for growth in 1..=3 {
        for _ in 0..4 {
            frames::publish(&publisher);
        }
        publisher.grow(11 + 5 * growth, 0).unwrap();
    }
    let mut last = frames::publish(&publisher);
    assert_eq!((publisher.generation(), last), (4, 16));
    // It is waited for, like any reliable subscriber, and nobody is robbed of what it holds.
    let full = loop {
        match publisher.loan_timeout(8, Duration::from_millis(1)) {
            Ok(loan) => drop(loan),
            Err(error) => break error,
        }
        last = frames::publish(&publisher);
    };
    assert!(matches!(full, SendError::TimedOut { .. }), "{full}");
    sleeper.go_on();
    for sequence in 4..=last {
        assert_eq!(sleeper.hear(), ("got".into(), sequence));
    }
    frames::publish(&publisher);
    assert_eq!(sleeper.hear(), ("got".into(), last + 1));
    publisher.close().unwrap();
    sleeper.ends();
    place.nothing_is_left();
}

/// A sender that stands still holds up the growth after the next, and nothing else.
fn mpsc_sender(_full: bool) {
    let place = Place::new();
    let options = mpsc::receiver_options(&place.namespace);
    let mut receiver = options.open(CHANNEL).unwrap();
    let mut sleeper = Sleeper::start("asleep_sender", &place);
    let mut other = mpsc::sender_options(&place.namespace)
        .attach(CHANNEL)
        .unwrap();
    let mut account = Account::default();
    let mut records = 0;
    let mut receive = |receiver: &mut partywall::mpsc::Receiver, records: u64| {
        while account
            .senders
            .values()
            .map(|sent| sent.records)
            .sum::<u64>()
            < records
        {
            account.take(&told(receiver.recv_timeout(LONG).unwrap()));
        }
    };
    for generation in 1..=3 {
        sleeper.step();
        assert_eq!(sleeper.hear(), ("sent".into(), generation));
        mpsc::send(&mut other, 24);
        records += 2;
        sleeper.stop();
        receiver.grow(4096 << generation).unwrap();
        // Several laps of the other one's lane.
        for _ in 0..1500 {
            mpsc::send(&mut other, 24);
            records += 1;
            receive(&mut receiver, records);
        }
        assert_eq!(other.generation(), generation + 1);
        let refused = receiver.grow(1 << 20);
        assert!(
            matches!(refused, Err(GrowError::Unfinished { generation: number, .. }) if number == generation),
            "{refused:?}"
        );
        sleeper.go_on();
        sleeper.step();
        assert_eq!(sleeper.hear(), ("sent".into(), generation + 1));
        records += 1;
        receive(&mut receiver, records);
    }
    assert_eq!(receiver.generation(), 4);
    sleeper.ends();
    drop(other);
    receiver.close().unwrap();
    place.nothing_is_left();
}

/// A receiver that stands still anywhere in three growths: its senders' lanes fill, and everything comes when it goes on.
fn mpsc_receiver(_full: bool) {
    let mut random = Random::new("receivers that stand still");
    let place = Place::new();
    let mut sleeper = Sleeper::start("asleep_grower", &place);
    let options = mpsc::sender_options(&place.namespace);
    let mut senders = [(); 2].map(|()| options.attach(CHANNEL).unwrap());
    for _ in 0..20 {
        for _ in 0..1 + random.below(15) {
            senders.iter_mut().for_each(|sender| mpsc::send(sender, 24));
        }
        sleeper.stop();
        for sender in &mut senders {
            let full = loop {
                let number = sender.records();
                if let Err(full) = sender.try_send(&Payload::bytes(number, 1000)) {
                    break full;
                }
            };
            assert!(matches!(full, SendError::Full { .. }), "{full}");
        }
        sleeper.go_on();
    }
    let sent = senders
        .each_ref()
        .map(|sender| (sender.id(), sender.records()));
    drop(senders);
    let mut account = Account::default();
    loop {
        match sleeper.hear() {
            (what, event) if what == "got" => account.take_encoded(event),
            (what, generation) => {
                assert_eq!((&*what, generation), ("generation", 4));
                break;
            }
        }
    }
    for (sender, records) in sent {
        assert_eq!(account.senders[&sender].records, records, "of {sender}");
    }
    sleeper.ends();
    place.nothing_is_left();
}

/// A record in use is not made anew, however its handles sleep; who comes without need of larger values goes on with it.
fn guarded_handle(_full: bool) {
    let place = Place::new();
    let options = guarded::options(&place.namespace);
    let mut record = options.open(CHANNEL).unwrap();
    let mut sleeper = Sleeper::start("asleep_handle", &place);
    let mut last = 0;
    for times in 2..=4 {
        sleeper.step();
        assert_eq!(sleeper.hear(), ("sent".into(), last + 1));
        sleeper.stop();
        let refused = options.clone().value_size(200 * times).open(CHANNEL);
        assert!(
            matches!(refused, Err(OpenError::Mismatch { .. })),
            "{refused:?}"
        );
        let mut guard = record.lock_timeout(LONG).unwrap().consistent();
        last = guarded::commit(&mut guard);
        drop(guard);
        sleeper.go_on();
    }
    sleeper.ends();
    drop(record);
    for (generation, times) in (2..=4).zip(2..=4) {
        let mut larger = options
            .clone()
            .value_size(200 * times)
            .open(CHANNEL)
            .unwrap();
        assert_eq!(larger.generation(), generation);
        assert_eq!(
            larger.get().unwrap().map(|value| value.to_vec()),
            Some(slots::value(last))
        );
        // The old ones are gone: who held one would have been told.
        assert!(!matches!(
            larger.try_lock().map(drop),
            Err(LockError::Busy { .. })
        ));
    }
    manage::remove(&place.namespace, CHANNEL, false).unwrap();
    place.nothing_is_left();
}
