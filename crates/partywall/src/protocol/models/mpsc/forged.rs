//! States that were made by hand: half-done ones that somebody dead left, and lies.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::super::plain::NoLocks;
use super::super::{explore, kill_everywhere};
use super::people::{Heard, Lanes, Listener, Talker, story};
use super::properties::{Held, PlainReceiver, claim, payload_of, segments, send};
use crate::layout::header::{self, State};
use crate::layout::mpsc::{self, LaneState};
use crate::layout::record::{Control, HEADER, RecordHeader};
use crate::layout::{owner, peers, seat};
use crate::memory::{Shared, SharedMut};
use crate::protocol::buffer::Buffer;
use crate::protocol::mpsc::Shape;
use crate::protocol::mpsc::receiver::{Event, Receiver};
use crate::protocol::mpsc::sender::{Look, Unclaimed};

const SHAPE: Shape = Shape {
    lane: 256,
    seats: 2,
};

fn opened(seat: u32, epoch: u64) -> Option<Event> {
    Some(Event::Opened { seat, epoch })
}

/// Everything that the receiver has to say now.
fn all(receiver: &mut PlainReceiver) -> Vec<Event> {
    std::iter::from_fn(|| receiver.next()).collect()
}

#[test]
fn a_record_whose_notice_was_never_stored_is_found() {
    let both = segments(SHAPE, 2);
    let (owner, peers) = both.clone();
    let mut receiver = Receiver::create(owner.clone(), peers.clone(), SHAPE);
    let mut sender = claim(&both, SHAPE, 1).unwrap();
    assert!(send(&mut sender, 0, b"first"));
    assert_eq!(all(&mut receiver).len(), 2);
    let notice = mpsc::notice(2, 1);
    let before = peers.load32(notice, Relaxed);
    assert!(send(&mut sender, 1, b"second"));
    peers.store32(notice, before, Relaxed);
    assert_eq!(receiver.next(), None);
    // Once in a slice.
    receiver.sweep();
    let event = receiver.next().expect("found by the sweep");
    assert_eq!(payload_of(&peers, &event), b"second");
    // It was not passed yet. A successor knows nothing of notices; one that thinks it does is wrong.
    peers.store32(notice, 0, Relaxed);
    let mut receiver = Receiver::adopt(owner, peers.clone(), SHAPE).unwrap();
    let event = receiver.next().expect("found by the successor");
    assert_eq!(payload_of(&peers, &event), b"second");
}

#[test]
fn who_takes_over_tells_of_what_the_dead_one_did_not() {
    let both = segments(SHAPE, 2);
    let (owner, peers) = both.clone();
    let mut receiver = Receiver::create(owner, peers.clone(), SHAPE);
    let mut sender = claim(&both, SHAPE, 0).unwrap();
    assert!(send(&mut sender, 0, &[]));
    assert_eq!(all(&mut receiver).len(), 2);
    let notice = mpsc::notice(2, 0);
    let before = peers.load32(notice, Relaxed);
    assert!(send(&mut sender, 1, b"last words"));
    peers.store32(notice, before, Relaxed);
    // It may find no room for HELLO; so this comes first.
    let _sender = claim(&both, SHAPE, 0).unwrap();
    let event = receiver.next().expect("told by the claim");
    assert_eq!(payload_of(&peers, &event), b"last words");
}

#[test]
fn what_was_settled_does_not_come_again() {
    let both = segments(SHAPE, 2);
    let adopt = || Receiver::adopt(both.0.clone(), both.1.clone(), SHAPE).unwrap();
    let mut receiver = Receiver::create(both.0.clone(), both.1.clone(), SHAPE);
    let mut sender = claim(&both, SHAPE, 0).unwrap();
    assert!(send(&mut sender, 0, b"record"));
    sender.leave();
    assert_eq!(receiver.next(), opened(0, 1));
    // Nobody came again: whether anybody heard of it nobody knows.
    let mut receiver = adopt();
    assert_eq!(receiver.next(), opened(0, 1));
    let record = receiver.next();
    assert!(matches!(record, Some(Event::Record { .. })), "{record:?}");
    let mut receiver = adopt();
    assert_eq!(receiver.next(), record);
    let closed = Some(Event::Closed { seat: 0, epoch: 1 });
    assert_eq!(receiver.next(), closed);
    let mut receiver = adopt();
    assert_eq!(receiver.next(), closed);
    assert_eq!(receiver.next(), None);
    assert_eq!(adopt().next(), None);
}

/// Epochs and notices can be forged; where no sender reserved a lane, a look at it would be the receiver's death.
#[test]
fn a_lane_that_has_no_memory_is_cut_off_and_never_read() {
    for forge_epoch in [false, true] {
        let both = segments(SHAPE, 2);
        let (owner, peers) = both.clone();
        let mut sender = claim(&both, SHAPE, 0).unwrap();
        peers.take_away(SHAPE.lane_of(1).offset(), SHAPE.lane);
        if forge_epoch {
            peers.store(peers::seat_at(1) + seat::STATE, 7 << 16, Relaxed);
        }
        let mut receiver = Receiver::adopt(owner.clone(), peers.clone(), SHAPE).unwrap();
        if !forge_epoch {
            // Of a seat that nobody ever had, a receiver that comes now takes it as it is.
            peers.store32(mpsc::notice(2, 1), 9, Relaxed);
        }
        assert!(!receiver.is_laden(), "nothing can be in it");
        let told = all(&mut receiver);
        let cut =
            |event: &Event| matches!(event, Event::Lied { seat: 1, lie, .. } if lie.word == "lane");
        assert!(told.iter().any(cut), "{told:?}");
        // The other lane goes on, and this one is left alone.
        assert!(send(&mut sender, 0, b"honest"));
        receiver.sweep();
        let told = all(&mut receiver);
        assert!(
            told.iter()
                .any(|event| matches!(event, Event::Record { seat: 0, .. })),
            "{told:?}"
        );
        assert!(!told.iter().any(cut), "{told:?}");
        assert_eq!(owner.load(owner::LIES, Relaxed), 1);
        assert_eq!(
            receiver.find_dead(&NoLocks, &NoLocks),
            Some(Event::Died { seat: 0, epoch: 1 })
        );
    }
}

/// A notice may have any value, the one with which the copies of another receiver began too.
#[test]
fn a_successor_notices_what_comes_after_it_looked() {
    let both = segments(SHAPE, 2);
    let (owner, peers) = both.clone();
    // 64 bytes before the notices begin again at 0.
    let base = (1 << 35) - 64;
    let at = mpsc::lane_words(0) + mpsc::LANE_READ_SEQ;
    owner.store(at, base, Release);
    let mut sender = claim(&both, SHAPE, 0).unwrap();
    let mut receiver = Receiver::adopt(owner, peers.clone(), SHAPE).unwrap();
    assert_eq!(receiver.next(), None);
    assert!(send(&mut sender, 0, &[0; 48]));
    assert_eq!(peers.load32(mpsc::notice(2, 0), Relaxed), 0);
    assert_eq!(receiver.next(), opened(0, 1));
    let event = receiver.next().expect("noticed");
    assert_eq!(payload_of(&peers, &event), [0; 48]);
}

#[test]
fn a_lane_that_nobody_claimed_is_never_touched() {
    // Seat 1 has no memory for its lane.
    let both = segments(SHAPE, 1);
    let (owner, peers) = both.clone();
    let mut receiver = Receiver::create(owner.clone(), peers.clone(), SHAPE);
    let mut sender = claim(&both, SHAPE, 0).unwrap();
    assert!(send(&mut sender, 0, &[]));
    for _ in 0..2 {
        receiver.sweep();
        all(&mut receiver);
        let locks = Held(vec![true, false]);
        assert_eq!(receiver.find_dead(&locks, &locks), None);
        receiver = Receiver::adopt(owner.clone(), peers.clone(), SHAPE).unwrap();
    }
}

/// A receiver that sleeps would not be told of padding alone, and without passing it give no room.
#[test]
fn a_record_that_finds_no_room_leaves_nothing() {
    let both = segments(SHAPE, 2);
    let (owner, peers) = both.clone();
    let mut receiver = Receiver::create(owner, peers.clone(), SHAPE);
    let mut sender = claim(&both, SHAPE, 0).unwrap();
    // HELLO, 120 bytes and 112: up to the last byte that may be used.
    assert!(send(&mut sender, 0, &[1; 112]) && send(&mut sender, 1, &[2; 104]));
    assert_eq!(sender.position(), 240);
    assert!(!send(&mut sender, 2, &[]));
    // The first one is given back: room for the padding, but not for so long a record behind it.
    for _ in 0..3 {
        receiver.next();
    }
    let notice = peers.load32(mpsc::notice(2, 0), Relaxed);
    assert!(!send(&mut sender, 2, &[3; 112]));
    assert_eq!(sender.position(), 240);
    assert_eq!(peers.load32(mpsc::notice(2, 0), Relaxed), notice);
    assert_eq!(peers.load(SHAPE.lane_of(0).data(240), Relaxed), 0);
    // A shorter one has room; and the long one, when everything was read.
    assert!(send(&mut sender, 2, &[3; 16]));
    all(&mut receiver);
    assert!(send(&mut sender, 3, &[4; 112]));
}

#[test]
fn no_lane_starves() {
    let shape = Shape {
        lane: 4096,
        seats: 3,
    };
    let both = segments(shape, 3);
    let mut receiver = Receiver::create(both.0.clone(), both.1.clone(), shape);
    let mut senders: Vec<_> = (0..3)
        .map(|seat| claim(&both, shape, seat).unwrap())
        .collect();
    for sender in &mut senders {
        assert!(send(sender, 0, &[]));
    }
    let mut since = [0_u32; 3];
    for _ in 0..1000 {
        // All of them always have something.
        for sender in &mut senders {
            while send(sender, 0, &[]) {}
        }
        let event = receiver.next().expect("they keep sending");
        for waited in &mut since {
            *waited += 1;
        }
        if let Event::Record { seat, .. } = event {
            since[seat as usize] = 0;
        }
        assert!(since.iter().all(|&waited| waited <= 70), "{since:?}");
    }
}

#[test]
fn a_liar_is_cut_off_and_its_seat_can_be_had_again() {
    // What the holder of seat 0, epoch 3, writes where its next record would be.
    for lie in [
        1,
        u64::MAX,
        RecordHeader::encode(SHAPE.lane, 0),
        RecordHeader::encode_padding(64),
        Control::Hello(3).encode(),
        Control::Hello(2).encode(),
        Control::Hello(4).encode(),
        Control::Bye(2).encode(),
        Control::Bye(4).encode(),
    ] {
        let both = segments(SHAPE, 2);
        let (owner, peers) = both.clone();
        let mut receiver = Receiver::create(owner.clone(), peers.clone(), SHAPE);
        for _ in 0..2 {
            let mut sender = claim(&both, SHAPE, 0).unwrap();
            sender.look().unwrap();
            sender.leave();
        }
        let mut liar = claim(&both, SHAPE, 0).unwrap();
        let mut other = claim(&both, SHAPE, 1).unwrap();
        assert!(send(&mut liar, 0, b"true") && send(&mut other, 0, b"one"));
        assert_eq!(all(&mut receiver).len(), 4 + 2 + 2);
        let at = SHAPE.lane_of(0).data(liar.position());
        peers.store(at, lie, Relaxed);
        receiver.sweep();
        assert!(send(&mut other, 1, b"two"));
        let events = all(&mut receiver);
        let [
            Event::Lied {
                seat: 0, epoch: 3, ..
            },
            two,
        ] = &events[..]
        else {
            panic!("{lie:#x}: {events:?}");
        };
        assert_eq!(payload_of(&peers, two), b"two");
        assert_eq!(owner.load(owner::LIES, Relaxed), 1);
        assert_eq!(
            owner.load(mpsc::lane_words(0) + mpsc::LANE_STATE, Acquire),
            LaneState::cut(3).0
        );
        assert_eq!(liar.look(), Ok(Look::CutOff));
        // Whatever it does, nobody listens; and a successor of the receiver does not either.
        send(&mut liar, 9, &[]);
        receiver.sweep();
        assert_eq!(all(&mut receiver), []);
        let mut receiver = Receiver::adopt(owner.clone(), peers.clone(), SHAPE).unwrap();
        assert_eq!(all(&mut receiver), []);
        let locks = Held(vec![false, true]);
        assert_eq!(receiver.find_dead(&locks, &locks), None);

        let mut sender = claim(&both, SHAPE, 0).unwrap();
        assert!(send(&mut sender, 5, b"anew"));
        assert_eq!(receiver.next(), opened(0, 4));
        let event = receiver.next().unwrap();
        assert_eq!(payload_of(&peers, &event), b"anew");
        sender.leave();
        assert_eq!(receiver.next(), Some(Event::Closed { seat: 0, epoch: 4 }));
        assert_eq!(receiver.next(), None);
    }
}

#[test]
fn nobody_sends_without_hello() {
    let both = segments(SHAPE, 2);
    let (owner, peers) = both.clone();
    let mut receiver = Receiver::create(owner.clone(), peers.clone(), SHAPE);
    let sender = claim(&both, SHAPE, 0).unwrap();
    let at = SHAPE.lane_of(0).data(sender.position());
    peers.store(at, RecordHeader::encode(8, 0), Release);
    receiver.sweep();
    let event = receiver.next();
    assert!(
        matches!(
            event,
            Some(Event::Lied {
                seat: 0,
                epoch: 0,
                ..
            })
        ),
        "{event:?}"
    );
    assert_eq!(receiver.next(), None);
    assert_eq!(receiver.records(0), 0);
}

#[test]
fn a_receiver_that_lies_is_not_believed() {
    let both = segments(SHAPE, 2);
    let (owner, _) = both.clone();
    let mut receiver = Receiver::create(owner.clone(), both.1.clone(), SHAPE);
    let mut sender = claim(&both, SHAPE, 0).unwrap();
    assert!(send(&mut sender, 0, &[]) && send(&mut sender, 1, &[]));
    all(&mut receiver);
    assert_eq!(sender.look(), Ok(Look::Fine));
    let at = mpsc::lane_words(0) + mpsc::LANE_READ_SEQ;
    for lie in [sender.position() + 8, HEADER, 0, !7] {
        owner.store(at, lie, Release);
        assert_eq!(sender.look().unwrap_err().found, lie);
    }
    owner.store(at, sender.position(), Release);
    assert_eq!(sender.look(), Ok(Look::Fine));
}

#[test]
fn a_closed_channel_takes_no_sender_and_a_damaged_one_no_receiver() {
    let both = segments(SHAPE, 2);
    let (owner, peers) = both.clone();
    drop(Receiver::create(owner.clone(), peers.clone(), SHAPE));
    owner.store32(header::STATE, State::CLOSED.0, Release);
    assert_eq!(claim(&both, SHAPE, 0).unwrap_err(), Unclaimed::NotReady);
    assert_eq!(peers.load(peers::seat_at(0) + seat::STATE, Acquire), 0);
    for lie in [4, 3, 1 << 15] {
        owner.store(mpsc::lane_words(1) + mpsc::LANE_STATE, lie, Release);
        let adopted = Receiver::adopt(owner.clone(), peers.clone(), SHAPE);
        assert_eq!(adopted.unwrap_err().found, lie);
    }
}

#[test]
fn what_is_refused_is_counted_in_the_seat() {
    let both = segments(SHAPE, 2);
    let sender = claim(&both, SHAPE, 1).unwrap();
    sender.count_dropped();
    sender.count_dropped();
    let at = peers::seat_at(1) + mpsc::DROPPED;
    assert_eq!(both.1.load(at, Relaxed), 2);
}

/// A lane with garbage in it, cut off; the next holder makes a new beginning, while the receiver looks.
#[test]
fn a_lane_that_was_cut_off_begins_anew() {
    kill_everywhere(2, |stores| {
        let world = Lanes::mpsc(64, 1);
        let mut listener = Listener::create(&world);
        let mut liar = Talker::attach(&world, world.process(None), 0).unwrap();
        assert!(liar.send(0, 8, 1));
        let at = world.shape.lane_of(0).data(liar.sender.position());
        liar.process.peers.store(at, 7, Release);
        listener.drain();
        assert_eq!(
            listener.heard.pop(),
            Some(Heard::Lied { seat: 0, epoch: 1 })
        );
        liar.die(&world);
        listener.heard.clear();

        let listening = loom::thread::spawn(move || {
            listener.receiver.sweep();
            listener.listen(3);
            listener
        });
        let victim = world.process(Some(stores));
        let mut talker = Talker::attach(&world, victim.clone(), 0).unwrap();
        talker.look();
        talker.die(&world);
        let mut talker = Talker::attach(&world, world.process(None), 0).unwrap();
        let (found, epoch) = (talker.sender.position(), talker.sender.state().epoch());
        let sent = u16::from(talker.send(0, 8, 1));
        let mut listener = listening.join().unwrap();
        listener.drain();
        let mut expected = Vec::new();
        if found > 24 {
            let epoch = epoch - 1;
            expected.extend(story(0, epoch, 0..0, Heard::Died { seat: 0, epoch }));
        }
        expected.extend(story(0, epoch, 0..sent, None));
        assert_eq!(listener.heard, expected);
        victim.dead()
    });
}

/// The receiver cuts a lane off while somebody claims it: either that one is refused, or it makes a new beginning.
#[test]
fn a_claimant_does_not_go_on_behind_garbage() {
    explore(4, || {
        let world = Lanes::mpsc(64, 1);
        let mut listener = Listener::create(&world);
        let mut liar = Talker::attach(&world, world.process(None), 0).unwrap();
        assert!(liar.send(0, 0, 1));
        let at = world.shape.lane_of(0).data(liar.sender.position());
        liar.process.peers.store(at, 7, Release);
        liar.die(&world);
        let listening = loom::thread::spawn(move || {
            // HELLO, the record, the lie; and what comes then, if it does.
            listener.listen(4);
            listener
        });
        let claimed = Talker::try_attach(&world, world.process(None), 0).unwrap();
        let mut listener = match claimed {
            Ok(mut talker) => {
                assert!(talker.send(0, 8, 1));
                listening.join().unwrap()
            }
            Err(refused) => {
                assert!(matches!(refused, Unclaimed::Lie(_)));
                let listener = listening.join().unwrap();
                let mut talker = Talker::attach(&world, world.process(None), 0).unwrap();
                assert!(talker.send(0, 8, 1));
                listener
            }
        };
        listener.drain();
        let mut expected = story(0, 1, 0..1, Heard::Lied { seat: 0, epoch: 1 });
        expected.extend(story(0, 2, 0..1, None));
        assert_eq!(listener.heard, expected);
    });
}
