//! Both sides are killed, each at a random point of its own. Who comes after them finds everything that either said was
//! done, and goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use partywall::broadcast::Start;
use partywall::{Namespace, RecvError, manage};

use crate::account::{Account, End, Sent, encode, told};
use crate::random::Random;
use crate::victim::{self, Fault, Report, Stage, say};
use crate::world::{CHANNEL, LONG, Payload, World, receive};
use crate::{Located, frames, guarded, mpsc, slots};

/// Points of either side within which it is killed.
const POINTS: u64 = 250;
/// What the owner commits, if it lives.
const RECORDS: u64 = 60;
/// How long a peer waits for more before it takes the owner for dead.
const SILENCE: Duration = Duration::from_millis(200);

/// One pattern's two sides.
struct Duel {
    name: &'static str,
    owner: fn(&Stage),
    peer: fn(&Stage),
    /// Makes the channel and leaves it, so that either side may come first.
    prepare: fn(&Namespace),
    /// What must hold afterwards, by what the owner and the peer said.
    check: fn(&Namespace, &Report, &Report),
}

const DUELS: [Duel; 6] = [
    Duel {
        name: "both_of_a_ring",
        owner: |stage| {
            let mut producer = stage.producer();
            stage.armed();
            for number in 0..RECORDS {
                stage.send(&mut producer, 8 + (number * 53 % 190) as usize);
            }
            producer.abandon();
        },
        peer: |stage| {
            let options = stage.consumer_options().durable("d").await_successor(true);
            let mut consumer = options.attach(CHANNEL).unwrap();
            stage.armed();
            while let Ok(record) = consumer.recv_timeout(SILENCE) {
                say("got", Payload::number(&record));
            }
        },
        prepare: |namespace| {
            let producer = crate::world::producer_options(namespace);
            let producer = producer.open(CHANNEL).unwrap();
            let durable = crate::world::consumer_options(namespace).durable("d");
            durable.attach(CHANNEL).unwrap().detach();
            producer.abandon();
        },
        check: |namespace, owner, peer| {
            let producer = crate::world::producer_options(namespace);
            let mut successor = producer.open(CHANNEL).unwrap();
            let count = successor.records();
            at_most_one_more(owner, count);
            let durable = crate::world::consumer_options(namespace).durable("d");
            let mut durable = durable.attach(CHANNEL).unwrap();
            let got = peer.got.len() as u64;
            assert_eq!(peer.got, Vec::from_iter(0..got));
            let mut rest = Vec::new();
            while let Some(record) = durable.try_recv().unwrap() {
                rest.push(Payload::number(&record));
            }
            // What it had not acknowledged comes again.
            let first = rest.first().copied().unwrap_or(got);
            assert!(first <= got, "{first} is the next, after {got} records");
            assert_eq!(rest, Vec::from_iter(first..count));
            successor.send(&Payload::bytes(count, 24)).unwrap();
            assert_eq!(receive(&mut durable), count);
            successor.close().unwrap();
            assert!(matches!(durable.recv(), Err(RecvError::Closed { .. })));
            drop(durable);
            manage::forget(namespace, CHANNEL, "d").unwrap();
        },
    },
    Duel {
        name: "both_of_a_snapshot",
        owner: |stage| {
            let options = slots::writer_options(&stage.namespace);
            let mut writer = options.open(CHANNEL).unwrap();
            stage.armed();
            for sequence in 1..=RECORDS {
                writer.put(&slots::value(sequence)).unwrap();
                say("sent", sequence);
            }
            writer.abandon();
        },
        peer: |stage| {
            let options = slots::reader_options(&stage.namespace).await_successor(true);
            let mut reader = options.attach(CHANNEL).unwrap();
            stage.armed();
            while let Ok(value) = reader.changed_timeout(SILENCE) {
                assert_eq!(&value[..], slots::value(value.sequence));
                say("got", value.sequence);
            }
        },
        prepare: |namespace| {
            let options = slots::writer_options(namespace);
            options.open(CHANNEL).unwrap().abandon();
        },
        check: |namespace, owner, peer| {
            let options = slots::writer_options(namespace);
            let mut successor = options.open(CHANNEL).unwrap();
            let last = successor.sequence();
            at_most_one_more(owner, last);
            assert!(peer.got.is_sorted_by(|one, next| one < next), "{peer:?}");
            assert!(peer.got.last().is_none_or(|&seen| seen <= last), "{peer:?}");
            let options = slots::reader_options(namespace);
            let mut reader = options.attach(CHANNEL).unwrap();
            let found = reader.get().unwrap();
            assert_eq!(found.map_or(0, |value| value.sequence), last);
            successor.put(&slots::value(last + 1)).unwrap();
            assert_eq!(&reader.get().unwrap().unwrap()[..], slots::value(last + 1));
            successor.close().unwrap();
        },
    },
    Duel {
        name: "both_of_a_broadcast",
        owner: |stage| {
            let options = slots::sender_options(&stage.namespace);
            let mut sender = options.open(CHANNEL).unwrap();
            stage.armed();
            for sequence in 1..=RECORDS {
                sender.send(&slots::value(sequence)).unwrap();
                say("sent", sequence);
            }
            sender.abandon();
        },
        peer: |stage| {
            let options = slots::receiver_options(&stage.namespace).await_successor(true);
            let mut receiver = options.attach(CHANNEL).unwrap();
            stage.armed();
            loop {
                match receiver.recv_timeout(SILENCE) {
                    Ok(record) => {
                        assert_eq!(&record[..], slots::value(record.sequence));
                        say("got", record.sequence);
                    }
                    Err(RecvError::Overrun { .. }) => {}
                    Err(_) => break,
                }
            }
        },
        prepare: |namespace| {
            let options = slots::sender_options(namespace);
            options.open(CHANNEL).unwrap().abandon();
        },
        check: |namespace, owner, peer| {
            let options = slots::sender_options(namespace);
            let mut successor = options.open(CHANNEL).unwrap();
            let last = successor.sequence();
            at_most_one_more(owner, last);
            assert!(peer.got.is_sorted_by(|one, next| one < next), "{peer:?}");
            assert!(peer.got.last().is_none_or(|&seen| seen <= last), "{peer:?}");
            let options = slots::receiver_options(namespace);
            let mut receiver = options.start(Start::At(last + 1)).attach(CHANNEL).unwrap();
            for sequence in last + 1..last + 4 {
                successor.send(&slots::value(sequence)).unwrap();
                assert_eq!(&receiver.recv().unwrap()[..], slots::value(sequence));
            }
            successor.close().unwrap();
        },
    },
    Duel {
        name: "both_of_frames",
        owner: |stage| {
            let options = frames::publisher_options(&stage.namespace);
            let publisher = options.open(CHANNEL).unwrap();
            stage.armed();
            for _ in 0..RECORDS {
                say("sent", frames::publish(&publisher));
            }
            publisher.abandon();
        },
        peer: |stage| {
            let options = frames::subscriber_options(&stage.namespace).await_successor(true);
            let mut subscriber = options.attach(CHANNEL).unwrap();
            stage.armed();
            let mut held = std::collections::VecDeque::new();
            while let Ok(frame) = subscriber.recv_timeout(SILENCE) {
                frames::check(&frame);
                say("got", frame.sequence());
                held.push_back(frame);
                if held.len() == frames::HELD {
                    frames::check(&held.pop_front().unwrap());
                }
            }
        },
        prepare: |namespace| {
            let options = frames::publisher_options(namespace);
            options.open(CHANNEL).unwrap().abandon();
        },
        check: |namespace, owner, peer| {
            let options = frames::publisher_options(namespace);
            let successor = options.open(CHANNEL).unwrap();
            let last = successor.sequence();
            at_most_one_more(owner, last);
            let first = peer.got.first().copied().unwrap_or(0);
            let run: Vec<u64> = (first..).take(peer.got.len()).collect();
            assert_eq!(peer.got, run, "in order, each once");
            assert!(peer.got.last().is_none_or(|&seen| seen <= last), "{peer:?}");
            // Round the whole pool, past whatever the dead one held.
            for _ in 0..40 {
                frames::publish(&successor);
            }
            let options = frames::subscriber_options(namespace);
            let mut subscribers = [(); 2].map(|()| options.attach(CHANNEL).unwrap());
            frames::publish(&successor);
            for subscriber in &mut subscribers {
                drop(frames::receive(subscriber));
            }
            successor.close().unwrap();
        },
    },
    Duel {
        name: "both_of_an_mpsc_channel",
        owner: |stage| {
            let options = mpsc::receiver_options(&stage.namespace);
            let mut receiver = options.open(CHANNEL).unwrap();
            stage.armed();
            while let Ok(event) = receiver.recv_timeout(SILENCE) {
                say("got", encode(&told(event)));
            }
            receiver.abandon();
        },
        peer: |stage| {
            let options = mpsc::sender_options(&stage.namespace).block_timeout(Some(SILENCE));
            let mut sender = options.attach(CHANNEL).unwrap();
            stage.armed();
            for number in 0..RECORDS {
                let len = 8 + (number * 53 % 190) as usize;
                if sender.send(&Payload::bytes(number, len)).is_err() {
                    break;
                }
                say("sent", number);
            }
        },
        prepare: |namespace| {
            let options = mpsc::receiver_options(namespace);
            options.open(CHANNEL).unwrap().abandon();
        },
        check: |namespace, owner, peer| {
            let mut account = Account::default();
            owner
                .got
                .iter()
                .for_each(|&event| account.take_encoded(event));
            account.successor();
            let options = mpsc::receiver_options(namespace);
            let mut successor = options.open(CHANNEL).unwrap();
            while let Some(event) = successor.try_recv().unwrap() {
                account.take(&told(event));
            }
            let mut sender = mpsc::sender_options(namespace).attach(CHANNEL).unwrap();
            sender.send(&Payload::bytes(0, 24)).unwrap();
            let newcomer = sender.id();
            drop(sender);
            let closed = Sent {
                records: 1,
                end: End::Closed,
            };
            while account.senders.get(&newcomer) != Some(&closed) {
                account.take(&told(successor.recv_timeout(LONG).unwrap()));
            }
            let mut before = account.senders.iter().filter(|(id, _)| **id != newcomer);
            let sent = before.next().map_or(0, |(_, sent)| sent.records);
            assert!(before.next().is_none(), "{account:?}");
            at_most_one_more(peer, sent);
            successor.acknowledge();
            successor.close().unwrap();
        },
    },
    Duel {
        name: "both_of_a_guarded_record",
        owner: count_in_turns,
        peer: count_in_turns,
        prepare: |namespace| drop(guarded::options(namespace).open(CHANNEL).unwrap()),
        check: |namespace, owner, peer| {
            let mut record = guarded::options(namespace).open(CHANNEL).unwrap();
            let mut guard = record.lock_timeout(LONG).unwrap().consistent();
            let last = guard.sequence();
            let said = (owner.sent.len() + peer.sent.len()) as u64;
            // Either may have committed once more without saying so.
            assert!(
                (said..=said + 2).contains(&last),
                "{last}, {said} were said"
            );
            if last > 0 {
                assert_eq!(guard.value(), slots::value(last));
            }
            assert_eq!(guarded::commit(&mut guard), last + 1);
            drop(guard);
            drop(record);
            manage::remove(namespace, CHANNEL, false).unwrap();
        },
    },
];

fn count_in_turns(stage: &Stage) {
    let mut record = guarded::options(&stage.namespace).open(CHANNEL).unwrap();
    stage.armed();
    for _ in 0..RECORDS / 2 {
        let mut guard = record.lock().unwrap().consistent();
        say("sent", guarded::commit(&mut guard));
    }
}

/// All that one said is there, and one more at most.
fn at_most_one_more(said: &Report, found: u64) {
    let least = said.sent.len() as u64;
    assert!(
        (least..=least + 1).contains(&found),
        "{found} were committed, {least} were said"
    );
}

/// Acts one side out, if the role is one.
pub(crate) fn act(role: &str) -> bool {
    let Some((name, side)) = role.rsplit_once('/') else {
        return false;
    };
    let duel = DUELS.iter().find(|duel| duel.name == name).expect("a duel");
    let stage = Stage::enter();
    match side {
        "owner" => (duel.owner)(&stage),
        _ => (duel.peer)(&stage),
    }
    stage.disarmed();
    true
}

/// Every pattern whose name is wanted; how many passed, and how many failed.
pub(crate) fn kill_both_sides(full: bool, wanted: &dyn Fn(&str) -> bool) -> (u32, u32) {
    let mut random = Random::new("both sides");
    let (mut passed, mut failed) = (0, 0);
    for duel in DUELS.iter().filter(|duel| wanted(duel.name)) {
        let wanted = if full { 40 } else { 3 };
        let (mut killed, mut rounds) = (0, 0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            while killed < wanted {
                killed += u32::from(duel.round(&mut random));
                rounds += 1;
                assert!(rounds < 30 * wanted, "hardly ever are both killed");
            }
        }));
        match outcome {
            Ok(()) => {
                println!(
                    "{:32} both killed in {killed} of {rounds} rounds",
                    duel.name
                );
                passed += 1;
            }
            Err(_) => failed += 1,
        }
    }
    (passed, failed)
}

impl Duel {
    /// Whether both were killed.
    fn round(&self, random: &mut Random) -> bool {
        let world = World::empty();
        (self.prepare)(&world.namespace);
        // Either side may get far while the other still begins.
        let points = [(); 2].map(|()| {
            let end = if random.below(2) == 0 { 30 } else { POINTS };
            1 + random.below(end)
        });
        let run = |side: &str, point: u64| {
            let role = format!("{}/{side}", self.name);
            victim::run(&role, world.path(), Fault::Kill(point))
        };
        let (owner, peer) = thread::scope(|scope| {
            let peer = scope.spawn(|| run("peer", points[1]));
            (run("owner", points[0]), peer.join().unwrap())
        });
        let checked = catch_unwind(AssertUnwindSafe(|| {
            (self.check)(&world.namespace, &owner, &peer);
            remove_what_is_left(&world.namespace);
            world.nothing_is_left();
        }));
        if let Err(panic) = checked {
            eprintln!(
                "{}: killed before {points:?}: {owner:?}, {peer:?}",
                self.name
            );
            std::panic::resume_unwind(panic);
        }
        owner.killed && peer.killed
    }
}

/// A channel whose dead peers' seats nobody settled goes by `clean`.
fn remove_what_is_left(namespace: &Namespace) {
    for row in manage::clean(namespace).unwrap() {
        assert!(row.removed, "{row:?}");
    }
}
