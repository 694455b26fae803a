//! A channel grows while records are on their way.

use super::super::{explore, kill_everywhere};
use super::growing::{Growing, Mover};
use super::people::{Heard, Listener, RECORD, Talker, story};
use crate::layout::mpsc;
use crate::layout::record::HEADER;
use crate::protocol::{SeatLocks, park};

/// Marks the records of the successor.
const SUCCESSOR: u16 = 0x100;

fn attach(world: &Growing, stores: Option<u64>) -> Mover {
    let process = world.old.process(stores);
    Mover::stay(Talker::attach(&world.old, process, 0).unwrap())
}

/// Records that were refused at seat 0, as the receiver counts them.
fn refused(listener: &Listener) -> u64 {
    listener.receiver.counted(0, mpsc::COUNTED[0])
}

/// What is heard of a holder that was killed when it had come to `found`, and of who came after it.
fn succession(found: u64, epoch: u64, sent: u16) -> Vec<Heard> {
    let mut heard = Vec::new();
    if found > 0 {
        let epoch = epoch - 1;
        let died = Heard::Died { seat: 0, epoch };
        let records = ((found - HEADER) / RECORD) as u16;
        heard.extend(story(0, epoch, 0..records, died));
    }
    heard.extend(story(0, epoch, SUCCESSOR..SUCCESSOR + sent, None));
    heard
}

#[test]
fn nothing_is_lost_between_two_generations() {
    explore(3, || {
        let world = Growing::new(64, 128, 1);
        let mut listener = Listener::create(&world.old);
        let mut mover = attach(&world, None);
        assert!(mover.send(&world, 0, 1));
        let talking_world = world.clone();
        let talking = loom::thread::spawn(move || {
            let sent = (1..5).take_while(|&kind| mover.send(&talking_world, kind, 1));
            let sent = 1 + sent.count() as u16;
            (mover, sent)
        });
        listener.listen(1);
        let mut listener = listener.grow(&world);
        listener.listen(2);
        let (mut mover, mut sent) = talking.join().unwrap();
        listener.drain();
        // The new lane takes more than the old one.
        mover.follow(&world);
        while sent < 6 && mover.send(&world, sent, 1) {
            sent += 1;
        }
        assert_eq!(sent, 6);
        listener.drain();
        assert_eq!(listener.heard, story(0, 1, 0..6, None));
        assert!(listener.receiver.older().is_none(), "nothing is left there");
    });
}

/// What the old lane still holds keeps nobody from sending on in the new one.
#[test]
fn a_mover_need_not_wait_for_the_receiver() {
    explore(0, || {
        let world = Growing::new(64, 64, 1);
        let listener = Listener::create(&world.old);
        let mut mover = attach(&world, None);
        let before = (0..).take_while(|&kind| mover.send(&world, kind, 1));
        let before = before.count() as u16;
        let mut listener = listener.grow(&world);
        let sent = (before..).take_while(|&kind| mover.send(&world, kind, 1));
        let sent = before + sent.count() as u16;
        // Two more, with padding before the last.
        assert_eq!((before, sent), (2, 4));
        listener.drain();
        assert_eq!(listener.heard, story(0, 1, 0..sent, None));
    });
}

/// A sender is killed while it sends and moves; another one takes its seat over.
fn take_over(preemptions: usize, old: u64, new: u64) {
    kill_everywhere(preemptions, move |stores| {
        let world = Growing::new(old, new, 1);
        let listener = Listener::create(&world.old);
        let mut mover = attach(&world, Some(stores));
        let listening_world = world.clone();
        let listening = loom::thread::spawn(move || {
            let mut listener = listener.grow(&listening_world);
            listener.listen(1);
            listener
        });
        let process = mover.talker.process.clone();
        let _ = (0..3).all(|kind| mover.send(&world, kind, 1));
        mover.die(&world);
        let mut mover = Mover::claim(&world, &world.old.process(None), 0);
        let (found, epoch) = mover.stand();
        let sent = u16::from(mover.send(&world, SUCCESSOR, 1));
        let mut listener = listening.join().unwrap();
        listener.drain();
        mover.follow(&world);
        let more = (sent..2).take_while(|kind| mover.send(&world, SUCCESSOR + kind, 1));
        let sent = sent + more.count() as u16;
        listener.drain();
        assert_eq!(sent, 2);
        assert_eq!(listener.heard, succession(found, epoch, sent));
        assert!(listener.receiver.older().is_none(), "nothing is left there");
        process.dead()
    });
}

#[test]
fn a_successor_goes_on_wherever_a_mover_died() {
    take_over(1, 64, 128);
}

/// Nobody comes: the receiver says by itself where the lane ends.
#[test]
fn a_dead_senders_lane_is_left() {
    kill_everywhere(1, |stores| {
        let world = Growing::new(64, 128, 1);
        let listener = Listener::create(&world.old);
        let dying_world = world.clone();
        let mover = attach(&world, Some(stores));
        let process = mover.talker.process.clone();
        let dying = loom::thread::spawn(move || {
            let mut mover = mover;
            let _ = (0..4).all(|kind| mover.send(&dying_world, kind, 1));
            mover.die(&dying_world);
        });
        let mut listener = listener.grow(&world);
        listener.listen(1);
        listener.look_for_dead_in(&world);
        listener.listen(1);
        dying.join().unwrap();
        listener.drain_growing(&world);
        let records = listener
            .heard
            .iter()
            .filter(|heard| matches!(heard, Heard::Record { .. }))
            .count() as u16;
        if !listener.heard.is_empty() {
            let died = Heard::Died { seat: 0, epoch: 1 };
            assert_eq!(listener.heard, story(0, 1, 0..records, died));
        }
        assert!(listener.receiver.older().is_none(), "nothing is left there");
        let reader = world.new.also(&listener.process);
        assert_eq!(
            world.new.committed(0, &reader),
            listener.receiver.records(0)
        );
        process.dead()
    });
}

/// The receiver looks at the lock of a seat while somebody claims it and sends.
#[test]
fn a_lane_that_somebody_claims_is_not_left() {
    explore(3, || {
        let world = Growing::new(64, 128, 1);
        let mut listener = Listener::create(&world.old);
        let mut mover = attach(&world, None);
        assert!(mover.send(&world, 0, 1));
        mover.leave(&world);
        listener.drain();
        let talking_world = world.clone();
        let talking = loom::thread::spawn(move || {
            let world = talking_world;
            let mut mover = Mover::claim(&world, &world.old.process(None), 0);
            assert!(mover.send(&world, 0, 1));
            mover
        });
        let mut listener = listener.grow(&world);
        listener.look_for_dead_in(&world);
        listener.listen(1);
        listener.look_for_dead_in(&world);
        let mut mover = talking.join().unwrap();
        mover.follow(&world);
        assert!(mover.send(&world, 1, 1));
        listener.drain();
        let mut expected = story(0, 1, 0..1, Heard::Closed { seat: 0, epoch: 1 });
        expected.extend(story(0, 2, 0..2, None));
        assert_eq!(listener.heard, expected);
    });
}

/// One leaves in an orderly way, in whichever generation it is, and another one comes.
#[test]
fn who_comes_and_goes_is_told_once_over_a_growth() {
    explore(1, || {
        let world = Growing::new(64, 64, 1);
        let mut listener = Listener::create(&world.old);
        let talking_world = world.clone();
        let talking = loom::thread::spawn(move || {
            let world = talking_world;
            let mut expected = Vec::new();
            for epoch in 1..3 {
                let mut mover = Mover::claim(&world, &world.old.process(None), 0);
                assert_eq!(mover.stand().1, epoch);
                let sent = u16::from(mover.send(&world, 0, 2));
                let greeted = mover.talker.sender.greeted();
                mover.leave(&world);
                if greeted {
                    let closed = Heard::Closed { seat: 0, epoch };
                    expected.extend(story(0, epoch, 0..sent, closed));
                }
            }
            expected
        });
        listener.listen(1);
        let mut listener = listener.grow(&world);
        listener.listen(2);
        listener.look_for_dead_in(&world);
        let expected = talking.join().unwrap();
        listener.drain_growing(&world);
        assert_eq!(listener.heard, expected);
        assert!(listener.receiver.older().is_none(), "nothing is left there");
    });
}

/// The receiver is killed while it grows and goes over; its successor goes on in the right generation.
#[test]
fn a_receivers_successor_goes_on_in_the_right_generation() {
    kill_everywhere(1, |stores| {
        // Long enough that a record alone does not make the receiver store its cursor.
        let world = Growing::new(512, 512, 1);
        drop(Listener::create(&world.old));
        let victim = world.old.process(Some(stores));
        let mut mover = attach(&world, None);
        assert!(mover.send(&world, 0, 1));
        let talking_world = world.clone();
        let talking = loom::thread::spawn(move || {
            let world = talking_world;
            mover.talker.sender.count_dropped();
            mover.follow(&world);
            mover.talker.sender.count_dropped();
            assert!(mover.send(&world, 1, 1));
            mover
        });
        let mut first = Listener::adopt(&world.old, victim.clone());
        first.listen(2);
        let mut first = first.grow(&world);
        first.listen(2);
        let (mut second, grown) = Listener::adopt_growing(&world, world.old.process(None));
        if !grown {
            second = second.grow(&world);
        }
        let mut mover = talking.join().unwrap();
        mover.follow(&world);
        assert!(mover.send(&world, 2, 1));
        mover.leave(&world);
        second.drain();
        let told = story(0, 1, 0..3, Heard::Closed { seat: 0, epoch: 1 });
        super::crash::assert_continues(&told, &first.heard, &second.heard);
        assert_eq!(second.receiver.records(0), 3);
        assert_eq!(refused(&second), 2);
        assert!(second.receiver.older().is_none(), "nothing is left there");
        victim.dead()
    });
}

/// Both are killed, each before any of its stores, and both have successors.
#[test]
fn mover_and_receiver_may_both_die() {
    for sender_stores in 0..22 {
        kill_everywhere(1, move |stores| {
            let world = Growing::new(64, 128, 1);
            drop(Listener::create(&world.old));
            let victim = world.old.process(Some(stores));
            let first = Listener::adopt(&world.old, victim.clone());
            let mut mover = attach(&world, Some(sender_stores));
            let _ = mover.send(&world, 0, 1) && mover.send(&world, 1, 1);
            let mut first = first.grow(&world);
            let _ = mover.send(&world, 2, 1) && mover.send(&world, 3, 1);
            mover.die(&world);
            first.listen(3);
            first.look_for_dead_in(&world);
            let talking_world = world.clone();
            let talking = loom::thread::spawn(move || {
                let world = talking_world;
                let mut mover = Mover::claim(&world, &world.old.process(None), 0);
                let stand = mover.stand();
                let sent = mover.send(&world, SUCCESSOR, 1);
                (mover, stand, sent)
            });
            let (mut second, grown) = Listener::adopt_growing(&world, world.old.process(None));
            if !grown {
                second = second.grow(&world);
            }
            second.look_for_dead_in(&world);
            let (mut mover, (found, epoch), sent) = talking.join().unwrap();
            second.drain();
            mover.follow(&world);
            assert!(sent || mover.send(&world, SUCCESSOR, 1));
            second.drain();
            let told = succession(found, epoch, 1);
            super::crash::assert_continues(&told, &first.heard, &second.heard);
            assert!(second.receiver.older().is_none(), "nothing is left there");
            victim.dead()
        });
    }
}

/// A seat that nobody has ever held has no memory in the old generation.
#[test]
fn a_seat_is_taken_first_in_the_new_generation() {
    explore(3, || {
        let world = Growing::new(64, 64, 1);
        let listener = Listener::create(&world.old);
        let talking_world = world.clone();
        let talking = loom::thread::spawn(move || {
            let world = talking_world;
            let mut mover = Mover::claim(&world, &world.old.process(None), 0);
            assert!(mover.send(&world, 0, 1));
            mover
        });
        let mut listener = listener.grow(&world);
        listener.look_for_dead_in(&world);
        listener.listen(1);
        let mut mover = talking.join().unwrap();
        mover.follow(&world);
        assert!(mover.send(&world, 1, 1));
        listener.drain();
        assert_eq!(listener.heard, story(0, 1, 0..2, None));
        assert!(world.old.locks.try_lock(0), "nobody holds it any more");
    });
}

/// Sleeps until something is heard. No sweeps: here everybody lives and says so.
fn hear(listener: &mut Listener, world: &Growing) -> Heard {
    let old = world.old.also(&listener.process).peers;
    let new = world.new.also(&listener.process).peers;
    loop {
        if listener.listen(1) {
            return *listener.heard.last().unwrap();
        }
        listener
            .receiver
            .park(|bells, old_bells| new.sleep_either(bells, &old, old_bells));
    }
}

fn record(kind: u16) -> Heard {
    Heard::Record {
        seat: 0,
        epoch: 1,
        kind,
    }
}

/// A sender sends in the old lane, comes over, and sends in the new one, while the receiver sleeps.
fn woken(in_the_old_lane: u16, in_the_new_lane: u16) {
    explore(2, move || {
        let world = Growing::new(64, 64, 1);
        let mut listener = Listener::create(&world.old);
        let mut mover = attach(&world, None);
        mover.talker.look();
        listener.drain();
        let mut listener = listener.grow(&world);
        let talking_world = world.clone();
        let talking = loom::thread::spawn(move || {
            for kind in 0..in_the_old_lane + in_the_new_lane {
                if kind == in_the_old_lane {
                    mover.follow(&talking_world);
                }
                assert!(mover.send(&talking_world, kind, 0));
                let process = &mover.talker.process;
                park::wake_owner(&process.owner, &process.peers, 0);
            }
        });
        for kind in 0..in_the_old_lane + in_the_new_lane {
            assert_eq!(hear(&mut listener, &world), record(kind));
        }
        talking.join().unwrap();
    });
}

#[test]
fn a_receiver_that_sleeps_is_woken_in_either_generation() {
    woken(1, 0);
    woken(0, 1);
    woken(1, 1);
}

/// The next generation has the news, and the receiver sleeps in the old one: the end of the lane wakes it.
#[test]
fn the_end_of_a_lane_wakes_the_receiver() {
    explore(3, || {
        let world = Growing::new(64, 64, 1);
        let mut listener = Listener::create(&world.old);
        let mut mover = attach(&world, None);
        mover.talker.look();
        listener.drain();
        let mut listener = listener.grow(&world);
        let talking_world = world.clone();
        let talking = loom::thread::spawn(move || {
            mover.follow(&talking_world);
            // Nobody rings for this one: the receiver comes here once it was woken there.
            assert!(mover.send(&talking_world, 0, 0));
            mover
        });
        let _mover = talking.join().unwrap();
        assert_eq!(hear(&mut listener, &world), record(0));
    });
}
