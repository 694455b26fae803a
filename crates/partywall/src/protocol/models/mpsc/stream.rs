//! Records on their way, from senders that come and go in an orderly way.

use super::super::explore;
use super::people::{Heard, Lanes, Listener, Talker, story};
use crate::protocol::buffer::Pending;

/// Goes round once and more, so that headers of an earlier lap stand everywhere.
pub(super) fn warm_up(world: &Lanes, listener: &mut Listener, laps: u16) {
    let mut talker = Talker::attach(world, world.process(None), 0).unwrap();
    for kind in 0..laps {
        // The end of the buffer may need padding first, and that needs room of its own.
        while !talker.send(0x200 + kind, 8, 1) {
            listener.drain();
        }
        listener.drain();
    }
    talker.leave(world);
    listener.drain();
    listener.heard.clear();
}

/// One sender: `lens` are the payloads.
fn lossless(lane: u64, laps: u16, lens: &'static [u64]) {
    explore(4, move || {
        let world = Lanes::mpsc(lane, 1);
        let mut listener = Listener::create(&world);
        if laps > 0 {
            warm_up(&world, &mut listener, laps);
        }
        let mut talker = Talker::attach(&world, world.process(None), 0).unwrap();
        let epoch = talker.sender.state().epoch();
        let talking = loom::thread::spawn(move || {
            let sent = (0..)
                .zip(lens)
                .take_while(|&(kind, &len)| talker.send(kind, len, 2));
            sent.count() as u16
        });
        listener.listen(3);
        let sent = talking.join().unwrap();
        listener.drain();
        assert_eq!(listener.heard, story(0, epoch, 0..sent, None));
    });
}

#[test]
fn a_full_lane_goes_round() {
    lossless(64, 0, &[8, 8, 8]);
    lossless(64, 3, &[8, 8, 8]);
}

#[test]
fn padding_closes_the_end_of_a_lane() {
    // HELLO, and 24 bytes that do not fit into what is left behind the second of them.
    lossless(64, 0, &[16, 16, 8]);
}

/// A shorter commit, and a batch.
#[test]
fn a_lane_takes_reservations_and_batches() {
    explore(3, || {
        let world = Lanes::mpsc(64, 1);
        let mut listener = Listener::create(&world);
        warm_up(&world, &mut listener, 3);
        let mut talker = Talker::attach(&world, world.process(None), 0).unwrap();
        let talking = loom::thread::spawn(move || {
            if !talker.send_shorter(0, 24, 8, 1) {
                return 0;
            }
            // Given up: nobody hears of it.
            let _ = talker.sender.room(16);
            let mut pending = Pending::default();
            let payload = |kind| super::super::people::payload(kind, 8);
            let pushed = (1..3)
                .take_while(|&kind| talker.sender.push(&mut pending, kind, &payload(kind)))
                .count() as u64;
            assert_eq!(talker.sender.commit_pending(&mut pending), pushed);
            assert_eq!(talker.sender.records(), 1 + pushed);
            1 + pushed as u16
        });
        listener.listen(3);
        let sent = talking.join().unwrap();
        listener.drain();
        assert_eq!(listener.heard, story(0, 2, 0..sent, None));
    });
}

/// A seat is used by one after the other; each end is told where it happened.
#[test]
fn who_comes_and_goes_is_told_in_order() {
    explore(2, || {
        let world = Lanes::mpsc(64, 1);
        let mut listener = Listener::create(&world);
        let talking_world = world.clone();
        let talking = loom::thread::spawn(move || {
            let world = talking_world;
            let mut expected = Vec::new();
            for epoch in 1..3 {
                let mut talker = Talker::attach(&world, world.process(None), 0).unwrap();
                assert_eq!(talker.sender.state().epoch(), epoch);
                let sent = u16::from(talker.send(0, 8, 1));
                let greeted = talker.sender.greeted();
                talker.leave(&world);
                if greeted {
                    let closed = Heard::Closed { seat: 0, epoch };
                    expected.extend(story(0, epoch, 0..sent, closed));
                }
            }
            expected
        });
        listener.listen(4);
        let expected = talking.join().unwrap();
        listener.drain();
        assert_eq!(listener.heard, expected);
    });
}

/// Two lanes at once: each arrives whole and in its order.
#[test]
fn lanes_do_not_disturb_each_other() {
    explore(2, || {
        let world = Lanes::mpsc(64, 2);
        let mut listener = Listener::create(&world);
        let talking: Vec<_> = (0..2)
            .map(|seat| {
                let mut talker = Talker::attach(&world, world.process(None), seat).unwrap();
                loom::thread::spawn(move || talker.send(0, 8, 2))
            })
            .collect();
        listener.listen(4);
        let sent: Vec<bool> = talking
            .into_iter()
            .map(|talking| talking.join().unwrap())
            .collect();
        listener.drain();
        for (seat, sent) in (0..).zip(sent) {
            let of_seat = |heard: &&Heard| matches!(**heard, Heard::Opened { seat: s, .. } | Heard::Record { seat: s, .. } if s == seat);
            let heard: Vec<Heard> = listener.heard.iter().filter(of_seat).copied().collect();
            assert_eq!(heard, story(seat, 1, 0..u16::from(sent), None));
        }
    });
}
