//! Senders, claimants and receivers that are killed before any of their stores, and their successors.

use super::super::{explore, kill_everywhere};
use super::people::{Heard, Lanes, Listener, RECORD, Talker, story};
use super::stream::warm_up;
use crate::layout::record::HEADER;

/// Marks the records of the successor, so that nobody takes one for its predecessor's.
const SUCCESSOR: u16 = 0x100;

/// A sender is killed; another one takes its seat over, and sends on, while the receiver listens.
fn take_over(lane: u64, laps: u16, preemptions: usize) {
    kill_everywhere(preemptions, move |stores| {
        let world = Lanes::mpsc(lane, 1);
        let mut listener = Listener::create(&world);
        let mut begin = 0;
        if laps > 0 {
            warm_up(&world, &mut listener, laps);
            begin = 2 * HEADER + RECORD * u64::from(laps);
        }
        let listening = loom::thread::spawn(move || {
            listener.listen(2);
            listener
        });
        let victim = world.process(Some(stores));
        let mut talker = Talker::attach(&world, victim.clone(), 0).unwrap();
        let _ = talker.send(0, 8, 1) && talker.send(1, 8, 0);
        talker.die(&world);
        let mut talker = Talker::attach(&world, world.process(None), 0).unwrap();
        let (found, epoch) = (talker.sender.position(), talker.sender.state().epoch());
        // One now, if there is room for it, and more when everything was heard.
        let sent = u16::from(talker.send(SUCCESSOR, 8, 1));
        let mut listener = listening.join().unwrap();
        listener.drain();
        let more = (sent..2)
            .take_while(|kind| talker.send(SUCCESSOR + kind, 8, 1))
            .count() as u16;
        listener.drain();
        let mut expected = Vec::new();
        if found > begin {
            let records = (found - begin - HEADER) / RECORD;
            let died = Heard::Died {
                seat: 0,
                epoch: epoch - 1,
            };
            expected.extend(story(0, epoch - 1, 0..records as u16, died));
        }
        let sent = SUCCESSOR..SUCCESSOR + sent + more;
        expected.extend(story(0, epoch, sent, None));
        assert_eq!(listener.heard, expected);
        victim.dead()
    });
}

#[test]
fn a_senders_successor_goes_on_behind_its_last_commit() {
    take_over(64, 0, 2);
    take_over(64, 3, 2);
}

/// Where one died and another takes its seat over, the receiver may be looking at the lock.
#[test]
fn a_death_is_told_once_whoever_notices_it() {
    explore(3, || {
        let world = Lanes::mpsc(64, 1);
        let mut listener = Listener::create(&world);
        let mut talker = Talker::attach(&world, world.process(None), 0).unwrap();
        assert!(talker.send(0, 0, 1));
        listener.listen(1);
        let looking_world = world.clone();
        let looking = loom::thread::spawn(move || {
            listener.listen(1);
            listener.look_for_dead(&looking_world);
            listener.listen(1);
            listener
        });
        // Its last words, while it is looked at.
        assert!(talker.send(1, 0, 0));
        talker.die(&world);
        let mut talker = Talker::follow(&world, world.process(None), 0);
        talker.look();
        let mut listener = looking.join().unwrap();
        listener.drain();
        let mut expected = story(0, 1, 0..2, Heard::Died { seat: 0, epoch: 1 });
        expected.extend(story(0, 2, 0..0, None));
        assert_eq!(listener.heard, expected);
    });
}

/// Claimants die before they have said anything, in an empty lane or a full one.
#[test]
fn whoever_dies_before_hello_was_never_there() {
    kill_everywhere(2, |stores| {
        let world = Lanes::mpsc(32, 1);
        let mut listener = Listener::create(&world);
        let mut talker = Talker::attach(&world, world.process(None), 0).unwrap();
        assert!(talker.send(0, 0, 1));
        assert!(!talker.send(1, 0, 1), "only BYE has room now");
        talker.die(&world);
        let victim = world.process(Some(stores));
        let mut talker = Talker::attach(&world, victim.clone(), 0).unwrap();
        talker.look();
        talker.die(&world);
        let mut talker = Talker::attach(&world, world.process(None), 0).unwrap();
        let epoch = talker.sender.state().epoch();
        talker.look();
        assert_eq!(talker.sender.position(), 2 * HEADER);
        listener.drain();
        assert!(talker.send(1, 0, 1));
        talker.leave(&world);
        listener.drain();
        let mut expected = story(0, 1, 0..1, Heard::Died { seat: 0, epoch: 1 });
        expected.extend(story(0, epoch, 1..2, Heard::Closed { seat: 0, epoch }));
        assert_eq!(listener.heard, expected);
        victim.dead()
    });
}

/// A sender dies, and nobody comes; it is heard to the end, and then it is dead.
#[test]
fn a_death_is_told_after_the_last_record() {
    kill_everywhere(4, |stores| {
        let world = Lanes::mpsc(64, 1);
        let mut listener = Listener::create(&world);
        let victim = world.process(Some(stores));
        let (process, dying_world) = (victim.clone(), world.clone());
        let dying = loom::thread::spawn(move || {
            let mut talker = Talker::attach(&dying_world, process, 0).unwrap();
            let _ = talker.send(0, 8, 1) && talker.send(1, 8, 1);
            talker.die(&dying_world);
        });
        listener.listen(2);
        listener.look_for_dead(&world);
        listener.listen(1);
        dying.join().unwrap();
        listener.drain_with_dead(&world);
        let records = listener
            .heard
            .iter()
            .filter(|heard| matches!(heard, Heard::Record { .. }))
            .count() as u16;
        if !listener.heard.is_empty() {
            let died = Heard::Died { seat: 0, epoch: 1 };
            assert_eq!(listener.heard, story(0, 1, 0..records, died));
        }
        assert_eq!(
            world.committed(0, &listener.process),
            listener.receiver.records(0)
        );
        victim.dead()
    });
}

/// What the second receiver hears goes on where the first one was, or a little before that.
pub(super) fn assert_continues(heard: &[Heard], first: &[Heard], second: &[Heard]) {
    assert!(heard.starts_with(first), "{first:?} of {heard:?}");
    assert!(heard.ends_with(second), "{second:?} of {heard:?}");
    assert!(
        first.len() + second.len() >= heard.len(),
        "lost between {first:?} and {second:?}"
    );
}

/// The receiver is killed; its successor listens on, while a sender that has sent one record does what `talk` says,
/// which gives all that there is to be heard. It may have left before.
fn receiver_dies(left: bool, talk: fn(&Lanes, Option<Talker>) -> Vec<Heard>) {
    kill_everywhere(1, move |stores| {
        // Long enough that a record alone does not make the receiver store its cursor.
        let world = Lanes::mpsc(512, 1);
        drop(Listener::create(&world));
        let victim = world.process(Some(stores));
        let mut talker = Talker::attach(&world, world.process(None), 0).unwrap();
        assert!(talker.send(0, 8, 1));
        let mut talker = Some(talker);
        if left {
            talker.take().unwrap().leave(&world);
        }
        let talking_world = world.clone();
        let talking = loom::thread::spawn(move || talk(&talking_world, talker));
        let mut first = Listener::adopt(&world, victim.clone());
        first.listen(4);
        let mut second = Listener::adopt(&world, world.process(None));
        let told = talking.join().unwrap();
        second.drain();
        assert_continues(&told, &first.heard, &second.heard);
        victim.dead()
    });
}

#[test]
fn a_receivers_successor_misses_nothing() {
    receiver_dies(false, |world, talker| {
        let mut talker = talker.unwrap();
        let sent = 1 + u16::from(talker.send(1, 8, 1));
        talker.leave(world);
        story(0, 1, 0..sent, Heard::Closed { seat: 0, epoch: 1 })
    });
}

#[test]
fn a_receivers_successor_hears_who_comes() {
    receiver_dies(true, |world, _| {
        let mut told = story(0, 1, 0..1, Heard::Closed { seat: 0, epoch: 1 });
        let mut talker = Talker::attach(world, world.process(None), 0).unwrap();
        talker.look();
        if talker.sender.greeted() {
            told.extend(story(0, 2, 0..0, None));
        }
        told
    });
}

/// Both are killed, one after the other, each before any of its stores; what is committed is heard, and the end of
/// the dead one too.
#[test]
fn sender_and_receiver_may_both_die() {
    for sender_stores in 0..16 {
        kill_everywhere(2, move |stores| {
            let world = Lanes::mpsc(64, 1);
            drop(Listener::create(&world));
            let mut talker = Talker::attach(&world, world.process(Some(sender_stores)), 0).unwrap();
            let _ = talker.send(0, 8, 1) && talker.send(1, 8, 1);
            talker.die(&world);
            let victim = world.process(Some(stores));
            let mut first = Listener::adopt(&world, victim.clone());
            first.listen(4);
            first.look_for_dead(&world);
            let (process, talking_world) = (world.process(None), world.clone());
            let talking = loom::thread::spawn(move || {
                let mut talker = Talker::follow(&talking_world, process, 0);
                let (found, epoch) = (talker.sender.position(), talker.sender.state().epoch());
                let sent = u16::from(talker.send(SUCCESSOR, 8, 1));
                (found, epoch, talker.sender.greeted().then_some(sent))
            });
            let mut second = Listener::adopt(&world, world.process(None));
            second.look_for_dead(&world);
            second.listen(1);
            let (found, epoch, sent) = talking.join().unwrap();
            second.drain();
            let mut told = Vec::new();
            if found > 0 {
                let records = ((found - HEADER) / RECORD) as u16;
                let died = Heard::Died {
                    seat: 0,
                    epoch: epoch - 1,
                };
                told.extend(story(0, epoch - 1, 0..records, died));
            }
            if let Some(sent) = sent {
                told.extend(story(0, epoch, SUCCESSOR..SUCCESSOR + sent, None));
            }
            assert_continues(&told, &first.heard, &second.heard);
            victim.dead()
        });
    }
}
