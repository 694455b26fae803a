//! Frames through the public API: who gets which, how long they stay, who waits for whom, and when it ends.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Place, Random};
use partywall::frames::{
    Frame, Overflow, Publisher, PublisherOptions, Subscriber, SubscriberOptions, content, format,
};
use partywall::{OpenError, RecvError, SendError, StopToken, WaitStrategy, inspect, manage};

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(20);
/// Bytes of the largest frame.
const FRAME: usize = 5000;

fn publisher(place: &Place) -> PublisherOptions {
    PublisherOptions::new()
        .namespace(place.namespace.clone())
        .frame_size(FRAME as u32)
        .seats(2)
        .held(3)
        .heartbeat(false)
        .block_timeout(Some(LONG))
}

fn subscriber(place: &Place) -> SubscriberOptions {
    SubscriberOptions::new()
        .namespace(place.namespace.clone())
        .heartbeat(false)
}

/// Every byte of a frame follows from its sequence, and so does its length.
fn content_of(sequence: u64) -> Vec<u8> {
    let len = 1 + (sequence as usize * 997) % FRAME;
    (0..len)
        .map(|at| (sequence.wrapping_mul(31) as usize + at / 64) as u8)
        .collect()
}

fn publish(publisher: &Publisher) -> u64 {
    let sequence = publisher.sequence() + 1;
    let published = publisher.publish_copy(&content_of(sequence)).unwrap();
    assert_eq!(published, Some(sequence));
    sequence
}

fn check(frame: &Frame) {
    assert_eq!(frame.to_vec(), content_of(frame.sequence()), "torn");
}

fn receive(subscriber: &mut Subscriber) -> Frame {
    let expected = subscriber.next_sequence();
    let frame = subscriber.recv_timeout(LONG).unwrap();
    assert_eq!(frame.sequence(), expected);
    check(&frame);
    frame
}

#[test]
fn what_is_said_about_a_frame_arrives_with_it() {
    let place = Place::new();
    let publisher = publisher(&place).open("f").unwrap();
    let mut subscriber = subscriber(&place).attach("f").unwrap();
    let mut loan = publisher.loan(1000).unwrap();
    loan.write_at(0, &[1; 600]);
    loan.write_at(600, &[2; 400]);
    loan.set_kind(77);
    loan.set_image(20, 10, 64, format::RGB);
    loan.set_user(*b"0123456789abcdef");
    loan.set_time_ns(123_456);
    assert!(
        subscriber.try_recv().unwrap().is_none(),
        "not published yet"
    );
    assert_eq!(loan.publish().unwrap(), 1);
    let frame = subscriber.recv().unwrap();
    assert_eq!((frame.sequence(), frame.len(), frame.kind()), (1, 1000, 77));
    assert_eq!(
        (frame.content(), frame.time_ns()),
        (content::IMAGE, 123_456)
    );
    let about = *frame.about();
    assert_eq!(
        (about.width, about.height, about.stride, about.format),
        (20, 10, 64, format::RGB)
    );
    assert_eq!(about.user, *b"0123456789abcdef");
    let mut middle = [0; 4];
    frame.read_at(598, &mut middle);
    assert_eq!(middle, [1, 1, 2, 2]);

    // Fewer bytes than were asked for; a stamp of its own; none at all.
    let loan = publisher.loan(FRAME).unwrap();
    loan.publish_len(7).unwrap();
    let frame = subscriber.recv().unwrap();
    assert_eq!((frame.len(), frame.content()), (7, content::BYTES));
    assert!(frame.age().is_some_and(|age| age < LONG));
    publisher.loan(0).unwrap().publish().unwrap();
    assert!(subscriber.recv().unwrap().to_vec().is_empty());
    let too_large = publisher.loan(FRAME + 1).unwrap_err();
    assert!(matches!(too_large, SendError::TooLarge { max: FRAME, .. }));
}

#[test]
fn a_loan_that_is_dropped_was_never_there() {
    let place = Place::new();
    let publisher = publisher(&place).loans(2).open("f").unwrap();
    let mut subscriber = subscriber(&place).attach("f").unwrap();
    for _ in 0..100 {
        let mut loan = publisher.loan(10).unwrap();
        loan.write_at(0, &[9; 10]);
        drop(loan);
    }
    publish(&publisher);
    assert_eq!(receive(&mut subscriber).sequence(), 1);
    // Two may be in hand, and are published in any order.
    let mut first = publisher.loan(FRAME).unwrap();
    let mut second = publisher.loan(FRAME).unwrap();
    let third = publisher.loan(FRAME).unwrap_err();
    assert!(
        matches!(third, SendError::TooManyLoans { loans: 2, .. }),
        "{third}"
    );
    for (loan, sequence) in [(&mut first, 3), (&mut second, 2)] {
        loan.write_at(0, &content_of(sequence));
    }
    second.publish_len(content_of(2).len()).unwrap();
    first.publish_len(content_of(3).len()).unwrap();
    assert_eq!(receive(&mut subscriber).sequence(), 2);
    assert_eq!(receive(&mut subscriber).sequence(), 3);
}

#[test]
fn frames_stay_as_they_are_while_they_are_held_in_any_order_and_thread() {
    let place = Place::new();
    let publisher = publisher(&place)
        .overflow(Overflow::Fail)
        .open("f")
        .unwrap();
    let mut reliable = subscriber(&place).attach("f").unwrap();
    let mut lossy = subscriber(&place).lossy(true).attach("f").unwrap();
    let mut random = Random::from_environment();
    let (give, given) = mpsc::sync_channel::<Frame>(3);
    let keeper = thread::spawn(move || {
        let mut kept = 0;
        for frame in given {
            check(&frame);
            thread::yield_now();
            check(&frame);
            kept += 1;
        }
        kept
    });
    let mut held: Vec<Frame> = Vec::new();
    let (mut got, mut missed, mut kept) = (0, 0, 0);
    for _ in 0..3000 {
        publish(&publisher);
        for frame in &held {
            check(frame);
        }
        if held.len() == 3 {
            held.swap_remove(random.below(3) as usize);
        }
        held.push(receive(&mut reliable));
        // The lossy one comes when it comes, and another thread uses what it gets.
        if random.below(4) == 0 {
            match lossy.try_recv() {
                Ok(Some(frame)) => {
                    got += 1;
                    kept += 1;
                    give.send(frame).unwrap();
                }
                Ok(None) => {}
                Err(RecvError::Overrun { lost, .. }) => missed += lost,
                Err(RecvError::TooManyHeld { held: 3, .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(got > 0 && missed > 0);
    assert_eq!(lossy.next_sequence(), 1 + got + missed, "exactly");
    assert_eq!(lossy.missed(), missed);
    drop(give);
    assert_eq!(keeper.join().unwrap(), kept);
}

#[test]
fn who_holds_too_many_is_told_so_and_stops_nobody() {
    let place = Place::new();
    let publisher = publisher(&place).open("f").unwrap();
    let mut lossy = subscriber(&place).lossy(true).attach("f").unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        publish(&publisher);
        held.push(receive(&mut lossy));
    }
    assert!(lossy.try_recv().unwrap().is_none());
    for _ in 0..1000 {
        publish(&publisher);
    }
    for _ in 0..3 {
        match lossy.recv() {
            Err(RecvError::TooManyHeld { held: 3, .. } | RecvError::Overrun { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    held.iter().for_each(check);
    let info = inspect::inspect(&place.namespace, "f").unwrap();
    let seat = &info.seats[0];
    assert_eq!(
        (info.pattern, info.write_seq, info.records),
        ("frames", 1003, 1003)
    );
    assert_eq!((seat.held, seat.lossy, seat.received), (3, true, 3));
    assert_eq!(seat.missed, lossy.missed());
    assert_eq!(seat.depth_records, 1004 - lossy.next_sequence());
    drop(held);
    let frame = lossy.recv().unwrap();
    check(&frame);
}

#[test]
fn the_publisher_waits_for_reliable_subscribers_as_it_chose() {
    let place = Place::new();
    let options = publisher(&place).slots(9);
    let (mut subscribed, filled);
    {
        let failing = options.clone().overflow(Overflow::Fail).open("f").unwrap();
        subscribed = subscriber(&place).attach("f").unwrap();
        let mut published = 0;
        let refused = loop {
            match failing.publish_copy(&content_of(failing.sequence() + 1)) {
                Ok(Some(_)) => published += 1,
                other => break other.unwrap_err(),
            }
        };
        assert!(matches!(refused, SendError::Full { .. }), "{refused}");
        assert!(matches!(failing.loan(1), Err(SendError::Full { .. })));
        let waited = failing.loan_timeout(1, Duration::from_millis(3)).err();
        assert!(matches!(waited, Some(SendError::TimedOut { .. })));
        assert_eq!(published, 9, "every slot is a subscriber's to come");
        filled = published;
        failing.abandon();
    }
    let dropping = options
        .clone()
        .overflow(Overflow::DropNewest)
        .open("f")
        .unwrap();
    assert!(dropping.adopted());
    assert_eq!(dropping.sequence(), filled);
    assert_eq!(dropping.publish_copy(b"dropped").unwrap(), None);
    assert!(matches!(dropping.loan(1), Err(SendError::Full { .. })));
    assert!(matches!(dropping.try_loan(1), Err(SendError::Full { .. })));
    let info = inspect::inspect(&place.namespace, "f").unwrap();
    assert_eq!(info.counters.dropped, 2);
    assert_eq!(info.seats[0].depth_records, filled);
    dropping.abandon();

    for strategy in [WaitStrategy::Park, WaitStrategy::SpinThenPark] {
        let blocking = options.clone().wait(strategy).open("f").unwrap();
        let reader = thread::spawn(move || {
            for _ in 0..200 {
                drop(receive(&mut subscribed));
            }
            subscribed
        });
        for _ in 0..200 {
            publish(&blocking);
        }
        subscribed = reader.join().unwrap();
        blocking.abandon();
    }
    // Whoever skips what is old makes room at once.
    let trying = options.open("f").unwrap();
    assert!(matches!(trying.try_loan(1), Err(SendError::Full { .. })));
    assert_eq!(subscribed.skip_to_newest().unwrap(), 8);
    publish(&trying);
    assert_eq!(receive(&mut subscribed).sequence(), trying.sequence() - 1);
}

#[test]
fn a_publisher_that_waits_is_stopped_by_its_token() {
    let place = Place::new();
    let stop = StopToken::new();
    let publisher = publisher(&place)
        .stop_token(stop.clone())
        .open("f")
        .unwrap();
    let _behind = subscriber(&place).attach("f").unwrap();
    while publisher.try_loan(1).map(|loan| loan.publish()).is_ok() {}
    thread::scope(|scope| {
        scope.spawn(|| stop.stop());
        assert!(matches!(publisher.loan(1), Err(SendError::Stopped { .. })));
    });
}

#[test]
fn a_frame_outlives_its_subscriber_and_keeps_the_seat_until_it_goes() {
    let place = Place::new();
    let publisher = publisher(&place).seats(1).open("f").unwrap();
    let mut leaving = subscriber(&place).attach("f").unwrap();
    publish(&publisher);
    publish(&publisher);
    let frames = [receive(&mut leaving), receive(&mut leaving)];
    publish(&publisher);
    drop(leaving);
    let seat = |at: usize| {
        let info = inspect::inspect(&place.namespace, "f").unwrap();
        info.seats
            .get(at)
            .map(|seat| (seat.state, seat.held, seat.unread))
    };
    assert_eq!(seat(0), Some(("left", 2, 1)));
    // Its cursor keeps nothing; what it holds stays.
    for _ in 0..500 {
        publish(&publisher);
        frames.iter().for_each(check);
    }
    let refused = subscriber(&place).attach("f").unwrap_err();
    assert!(
        matches!(refused, OpenError::NoFreeSeat { seats: 1, .. }),
        "{refused}"
    );
    let [first, second] = frames;
    thread::spawn(move || drop(first)).join().unwrap();
    assert_eq!(seat(0), Some(("left", 1, 1)));
    publisher.close().unwrap();
    // The channel's memory stays with the last frame, and goes with it.
    assert_eq!(place.files(), ["f"]);
    check(&second);
    drop(second);
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_newcomer_begins_where_it_wants_to() {
    let place = Place::new();
    let publisher = publisher(&place).history(4).open("f").unwrap();
    for _ in 0..20 {
        publish(&publisher);
    }
    for (back, first) in [(0, 21), (1, 20), (4, 17), (100, 17)] {
        for lossy in [false, true] {
            let options = subscriber(&place).history(back).lossy(lossy);
            let mut newcomer = options.attach("f").unwrap();
            assert_eq!(newcomer.next_sequence(), first);
            assert_eq!(newcomer.is_lossy(), lossy);
            for _ in first..21 {
                drop(receive(&mut newcomer));
            }
            assert!(newcomer.try_recv().unwrap().is_none());
        }
    }
}

#[test]
fn a_pool_that_cannot_serve_its_seats_is_refused_with_the_numbers() {
    let place = Place::new();
    let options = publisher(&place).history(2).loans(2);
    for refused in [
        options.clone().slots(9),
        options.clone().slots(10).held(4),
        options.clone().slots(10).seats(3),
        options.clone().slots(10).history(3),
        options.clone().slots(10).loans(3),
        options.clone().seats(64).held(4),
        options.clone().slots(257),
        options.clone().loans(u32::MAX),
        options.clone().held(0),
        options.clone().loans(0),
        options.clone().frame_size(0),
        options.clone().frame_size((1 << 30) + 1),
        options.clone().seats(0),
        options.clone().seats(65),
    ] {
        let error = refused.open("f").unwrap_err();
        assert!(matches!(error, OpenError::InvalidOption { .. }), "{error}");
    }
    let told = options.clone().slots(9).open("f").unwrap_err().to_string();
    assert!(
        told.contains("9 (seats 2 * held 3 + history 2 + loans 2 = 10)"),
        "{told}"
    );
    assert_eq!(place.files(), Vec::<String>::new());
    assert_eq!(options.slots(10).open("f").unwrap().slots(), 10);
}

#[test]
fn a_channel_in_use_keeps_its_numbers_and_one_that_is_too_small_is_made_anew() {
    let place = Place::new();
    let options = publisher(&place);
    let first = options.open("f").unwrap();
    let mut subscribed = subscriber(&place).attach("f").unwrap();
    publish(&first);
    first.abandon();
    for larger in [
        options.clone().held(4),
        options.clone().history(3),
        options.clone().loans(2),
        options.clone().slots(30),
        options.clone().frame_size(9000),
    ] {
        let refused = larger.open("f").unwrap_err();
        assert!(matches!(refused, OpenError::Mismatch { .. }), "{refused}");
    }
    let smaller = options.clone().held(1).slots(5).history(0).frame_size(10);
    let adopted = smaller.open("f").unwrap();
    assert_eq!(
        (adopted.slots(), adopted.held(), adopted.max_frame()),
        (9, 3, FRAME)
    );
    assert_eq!(receive(&mut subscribed).sequence(), 1);
    drop(subscribed);
    adopted.abandon();
    let anew = options.held(4).open("f").unwrap();
    assert_eq!((anew.generation(), anew.held(), anew.sequence()), (2, 4, 1));
    // A generation with fewer seats has as many as it asks for.
    let mut subscribed = subscriber(&place).attach("f").unwrap();
    publish(&anew);
    assert_eq!(receive(&mut subscribed).sequence(), 2);
    anew.close().unwrap();
    assert!(matches!(subscribed.recv(), Err(RecvError::Closed { .. })));
    let fewer = publisher(&place).seats(1).open("f").unwrap();
    assert_eq!((fewer.generation(), fewer.slots()), (3, 3 + 2 + 1));
    let mut subscribed = subscriber(&place).attach("f").unwrap();
    publish(&fewer);
    assert_eq!(receive(&mut subscribed).sequence(), 3);
}

#[test]
fn the_end_of_a_channel_is_told_for_what_it_is() {
    let place = Place::new();
    let options = subscriber(&place).wait(WaitStrategy::Park);
    let first = publisher(&place).open("f").unwrap();
    let mut closed = options.attach("f").unwrap();
    publish(&first);
    publish(&first);
    drop(first);
    // What was published before the end is still delivered.
    drop(receive(&mut closed));
    let last = receive(&mut closed);
    assert!(matches!(closed.recv(), Err(RecvError::Closed { .. })));
    assert!(matches!(closed.try_recv(), Err(RecvError::Closed { .. })));
    check(&last);
    drop((closed, last));
    assert_eq!(place.files(), Vec::<String>::new());

    let dying = publisher(&place).open("f").unwrap();
    let mut orphan = options.attach("f").unwrap();
    publish(&dying);
    dying.abandon();
    drop(receive(&mut orphan));
    assert!(matches!(orphan.recv(), Err(RecvError::OwnerDied { .. })));
    let successor = publisher(&place).open("f").unwrap();
    publish(&successor);
    assert_eq!(receive(&mut orphan).sequence(), 2);
    let late = orphan.recv_timeout(Duration::from_millis(2));
    assert!(matches!(late, Err(RecvError::TimedOut { .. })));

    let kept = {
        publish(&successor);
        receive(&mut orphan)
    };
    manage::remove(&place.namespace, "f", true).unwrap();
    assert!(matches!(orphan.recv(), Err(RecvError::Deleted { .. })));
    let end = Instant::now() + LONG;
    let told = loop {
        assert!(Instant::now() < end, "the publisher is told nothing");
        if let Err(error) = successor.publish_copy(b"nobody is there") {
            break error;
        }
    };
    assert!(matches!(told, SendError::Deleted { .. }), "{told}");
    // What is held is memory of one's own, even then.
    check(&kept);
}

#[test]
fn whoever_waits_is_woken() {
    let place = Place::new();
    let publisher = publisher(&place).open("f").unwrap();
    let options = subscriber(&place).wait(WaitStrategy::Park);
    thread::scope(|scope| {
        for lossy in [true, false] {
            let options = options.clone().lossy(lossy);
            scope.spawn(move || {
                let mut sleeper = options.attach("f").unwrap();
                while receive(&mut sleeper).sequence() < 50 {}
            });
        }
        publisher.wait_for_subscriber(Some(LONG)).unwrap();
        while publisher.subscribers() < 2 {
            thread::yield_now();
        }
        for _ in 0..50 {
            publish(&publisher);
            // So that the lossy one misses none.
            while inspect::inspect(&place.namespace, "f")
                .unwrap()
                .seats
                .iter()
                .any(|seat| seat.depth_records > 1)
            {
                thread::yield_now();
            }
        }
    });
}

#[test]
fn frames_are_written_and_read_where_they_lie() {
    #![allow(unsafe_code)]
    let place = Place::new();
    let publisher = publisher(&place).loans(2).open("f").unwrap();
    let subscriber = subscriber(&place).attach("f").unwrap();
    // SAFETY: the namespace is this test's own; nobody else writes there.
    let (publisher, mut subscriber) = unsafe { (publisher.in_place(), subscriber.in_place()) };
    let mut held = Vec::new();
    for round in 0..100_u8 {
        let mut loan = publisher.loan(4096).unwrap();
        // Several threads fill one frame.
        thread::scope(|scope| {
            for part in loan.chunks_mut(1024) {
                scope.spawn(move || part.fill(round));
            }
        });
        let mut loan = loan.into_inner();
        loan.set_kind(round.into());
        loan.publish().unwrap();
        let frame = subscriber.recv().unwrap();
        assert_eq!(frame.frame().kind(), round.into());
        assert!(frame.as_ptr().addr().is_multiple_of(4096), "for devices");
        held.push(frame);
        for frame in &held {
            let kind = frame.frame().kind();
            assert!(frame.iter().all(|&byte| u16::from(byte) == kind));
        }
        if held.len() == 3 {
            held.remove(round as usize % 3);
        }
    }
    let mut loan = publisher.try_loan(10).unwrap();
    loan.copy_from_slice(b"0123456789");
    loan.publish_len(4).unwrap();
    assert_eq!(&subscriber.try_recv().unwrap().unwrap()[..], b"0123");
}

#[test]
fn many_subscribers_of_both_kinds_get_whole_frames_under_load() {
    for crowd in [1, 2, 8] {
        let place = Place::new();
        let publisher = publisher(&place).seats(crowd).history(4).open("f").unwrap();
        thread::scope(|scope| {
            let readers: Vec<_> = (0..crowd)
                .map(|index| {
                    let options = subscriber(&place).lossy(index % 2 == 1);
                    scope.spawn(move || {
                        let mut reader = options.attach("f").unwrap();
                        let mut random = Random::from_seed(u64::from(index) * 7919 + 1);
                        let mut held: Vec<Frame> = Vec::new();
                        let first = reader.next_sequence();
                        let mut got = 0;
                        loop {
                            match reader.recv_timeout(LONG) {
                                Ok(frame) => {
                                    check(&frame);
                                    got += 1;
                                    held.push(frame);
                                }
                                Err(RecvError::Overrun { .. }) => assert!(reader.is_lossy()),
                                Err(RecvError::TooManyHeld { .. }) => {
                                    held.iter().for_each(check);
                                    held.swap_remove(random.below(3) as usize);
                                }
                                Err(RecvError::Closed { .. }) => break,
                                Err(error) => panic!("{error}"),
                            }
                        }
                        held.iter().for_each(check);
                        assert_eq!(reader.next_sequence(), first + got + reader.missed());
                        (reader.next_sequence(), got)
                    })
                })
                .collect();
            while publisher.subscribers() < crowd as usize {
                thread::yield_now();
            }
            for _ in 0..2000 {
                publish(&publisher);
            }
            publisher.close().unwrap();
            for reader in readers {
                let (next, got) = reader.join().unwrap();
                assert!(next == 2001 && got > 0, "{next}, {got}");
            }
        });
    }
}
