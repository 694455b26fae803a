//! Nobody sleeps for ever. There are no time-outs here: a lost wake-up is a deadlock, and loom tells.

use super::super::explore;
use super::people::{Heard, Lanes, Listener, Talker};
use crate::layout::owner;
use crate::protocol::park;

/// After a commit.
fn announce(talker: &Talker) {
    let process = &talker.process;
    park::wake_owner(&process.owner, &process.peers, talker.sender.seat());
}

/// After cursors were stored.
fn make_known(listener: &mut Listener) {
    if listener.receiver.take_published() {
        let (owner, peers) = (listener.receiver.owner(), listener.receiver.peers());
        if park::sleepers(owner, peers, listener.receiver.shape().seats) != 0 {
            park::ring_for_peers(owner);
        }
    }
}

/// Sleeps until something is heard. No sweeps: here everybody lives and says so.
fn hear(listener: &mut Listener) -> Heard {
    loop {
        let came = listener.listen(1);
        make_known(listener);
        if came {
            return *listener.heard.last().unwrap();
        }
        let process = listener.process.clone();
        let seats = 0..listener.receiver.shape().seats;
        park::park_owner(
            &process.owner,
            &process.peers,
            seats,
            || listener.receiver.poll(),
            |bells| process.peers.sleep(bells),
        );
    }
}

/// Sleeps until there is room.
fn send(talker: &mut Talker, kind: u16) {
    while !talker.send(kind, 8, 0) {
        let process = talker.process.clone();
        let mut there = false;
        let seat = talker.sender.seat();
        park::park_peer(
            &process.owner,
            &process.peers,
            seat,
            || {
                talker.look();
                there = talker.sender.room(8).is_some();
                there
            },
            |bell| process.owner.sleep(&[(owner::OWNER_BELL, bell)]),
        );
    }
    announce(talker);
}

fn record(seat: u32, kind: u16) -> Heard {
    let epoch = 1;
    Heard::Record { seat, epoch, kind }
}

#[test]
fn the_receiver_is_woken_by_a_commit() {
    explore(3, || {
        let world = Lanes::mpsc(64, 1);
        let mut listener = Listener::create(&world);
        let mut talker = Talker::attach(&world, world.process(None), 0).unwrap();
        talker.look();
        let talking = loom::thread::spawn(move || {
            for kind in 0..2 {
                assert!(talker.send(kind, 8, 0), "there is room for two");
                announce(&talker);
            }
        });
        assert_eq!(hear(&mut listener), Heard::Opened { seat: 0, epoch: 1 });
        assert_eq!(hear(&mut listener), record(0, 0));
        assert_eq!(hear(&mut listener), record(0, 1));
        talking.join().unwrap();
    });
}

#[test]
fn either_of_two_senders_wakes_the_receiver() {
    explore(2, || {
        let world = Lanes::mpsc(64, 2);
        let mut listener = Listener::create(&world);
        let talking: Vec<_> = (0..2)
            .map(|seat| {
                let mut talker = Talker::attach(&world, world.process(None), seat).unwrap();
                talker.look();
                loom::thread::spawn(move || {
                    assert!(talker.send(0, 8, 0));
                    announce(&talker);
                })
            })
            .collect();
        let mut heard: Vec<Heard> = (0..4).map(|_| hear(&mut listener)).collect();
        heard.retain(|heard| matches!(heard, Heard::Record { .. }));
        heard.sort_by_key(|heard| matches!(heard, Heard::Record { seat: 1, .. }));
        assert_eq!(heard, [record(0, 0), record(1, 0)]);
        for talking in talking {
            talking.join().unwrap();
        }
    });
}

#[test]
fn a_sender_that_waits_for_room_is_woken() {
    explore(2, || {
        let world = Lanes::mpsc(64, 1);
        let mut listener = Listener::create(&world);
        let mut talker = Talker::attach(&world, world.process(None), 0).unwrap();
        let listening = loom::thread::spawn(move || {
            assert_eq!(hear(&mut listener), Heard::Opened { seat: 0, epoch: 1 });
            // Where nothing more comes, the sender may have all of it; and then it sends.
            for kind in 0..3 {
                assert_eq!(hear(&mut listener), record(0, kind));
            }
        });
        talker.look();
        announce(&talker);
        // Behind two of them there is no room for a third.
        for kind in 0..3 {
            send(&mut talker, kind);
        }
        listening.join().unwrap();
    });
}
