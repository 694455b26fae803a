//! Subscribers that die or leave with frames in hand, and who takes their seats.

use std::sync::atomic::Ordering::Acquire;

use super::super::{explore, kill_everywhere};
use super::{LOSSY, Process, RELIABLE, Reader, Wish, World, check, create, frame_seats, pool};
use super::{publish, publish_some};
use crate::layout::peers;
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::verdict::{self, Evicted};
use crate::memory::Shared;
use crate::protocol::{SeatLocks, frames, seats};

/// Frames that the owner says were lost with dead holders of the seat, and those that their successors counted.
fn counted(process: &Process, seat: u32) -> u64 {
    let at = verdict::at(seat);
    let word = Evicted(process.owner.load(at + verdict::EVICTED, Acquire));
    let count = [verdict::LOST_0, verdict::LOST_1][word.selector() as usize];
    let state = state(process, seat);
    let abandoned = peers::seat_at(seat) + seats::abandoned(state.epoch());
    process.owner.load(at + count, Acquire) + process.peers.load(abandoned, Acquire)
}

fn state(process: &Process, seat: u32) -> SeatState {
    SeatState(
        process
            .peers
            .load(peers::seat_at(seat) + seat::STATE, Acquire),
    )
}

/// A subscriber dies anywhere; its seat is evicted, or taken by the next one, while the publisher goes on.
fn taking_over(first: Wish, second: Wish) {
    kill_everywhere(2, move |stores| {
        let world = World::frames(pool(2, 1, 0), 0);
        let mut publisher = create(&world);
        let victim = world.process(Some(stores));
        let (other, process) = (world.clone(), victim.clone());
        let reading = loom::thread::spawn(move || {
            if let Some(mut reader) = Reader::attach(&other, process, 0, first) {
                reader.take();
                reader.die(&other);
            }
            let mut reader = Reader::attach(&other, other.process(None), 0, second)?;
            reader.take();
            Some(reader)
        });
        for _ in 0..2 {
            if !publish(&mut publisher) {
                publisher.evict_dead(&*world.locks, 1);
            }
        }
        let reader = reading.join().unwrap();
        // Whoever was dead is out of the way by now, or will be.
        match reader {
            Some(mut reader) => {
                reader.drain();
                assert!(publish(&mut publisher) && publish(&mut publisher));
                reader.drain();
                if second.lossy {
                    reader.assert_all_told_to(publisher.position());
                } else {
                    reader.assert_run_to(publisher.position());
                }
            }
            None => {
                publisher.evict_dead(&*world.locks, 1);
                assert!(publish(&mut publisher) && publish(&mut publisher));
            }
        }
        victim.dead()
    });
}

#[test]
fn a_dead_lossy_subscribers_seat_goes_to_a_lossy_one() {
    taking_over(LOSSY, LOSSY);
}

#[test]
fn a_dead_lossy_subscribers_seat_goes_to_a_reliable_one() {
    taking_over(LOSSY, RELIABLE);
}

#[test]
fn a_dead_reliable_subscribers_seat_goes_to_the_next() {
    taking_over(RELIABLE, RELIABLE);
}

/// One of three frames was taken by a holder that died; takers die too, and the owner evicts meanwhile.
#[test]
fn what_the_dead_had_not_come_to_is_counted_once() {
    kill_everywhere(3, |stores| {
        let world = World::frames(pool(3, 1, 0), 0);
        let mut publisher = create(&world);
        let mut reader = Reader::attach(&world, world.process(None), 0, RELIABLE).unwrap();
        publish_some(&mut publisher, 3, 1);
        reader.take();
        reader.die(&world);
        let victim = world.process(Some(stores));
        let (other, process) = (world.clone(), victim.clone());
        let taking = loom::thread::spawn(move || {
            if let Some(reader) = Reader::attach(&other, process, 0, RELIABLE) {
                reader.die(&other);
            }
        });
        publisher.evict_dead(&*world.locks, 1);
        taking.join().unwrap();
        publisher.evict_dead(&*world.locks, 1);
        let process = world.process(None);
        assert_eq!(counted(&process, 0), 2);
        // Everything that the dead held is there again.
        for _ in 0..3 {
            assert!(publish(&mut publisher));
        }
        victim.dead()
    });
}

/// The holder takes no more, another thread of its process still looks at a frame.
#[test]
fn who_leaves_with_a_frame_keeps_that_and_no_other() {
    explore(3, || {
        let world = World::frames(pool(2, 1, 0), 0);
        let mut publisher = create(&world);
        let mut reader = Reader::attach(&world, world.process(None), 0, RELIABLE).unwrap();
        // It holds the newest: the slot that the publisher would like best.
        assert!(publish(&mut publisher));
        reader.read(1);
        assert!(publish(&mut publisher) && reader.take());
        let locks = std::rc::Rc::clone(&world.locks);
        let leaving = loom::thread::spawn(move || {
            let left = reader.subscriber.state();
            frame_seats::leave_with_frames(&reader.process.peers, 0, left);
            let frame = reader.held.pop().unwrap();
            check(&reader.process, &frame);
            frames::give_back(&reader.process.peers, 0, frame.slot);
            seats::leave(&reader.process.peers, 0, left, false);
            locks.unlock(0);
        });
        publish_some(&mut publisher, 2, 1);
        leaving.join().unwrap();
        assert_eq!(state(&world.process(None), 0).claim(), Some(Claim::Free));
        for _ in 0..2 {
            assert!(publish(&mut publisher));
        }
    });
}

/// The second frame of a reliable subscriber that has left is not waited for, however long it keeps the first.
#[test]
fn a_frame_in_hand_is_all_that_one_who_left_keeps() {
    explore(1, || {
        let world = World::frames(pool(2, 1, 0), 0);
        let mut publisher = create(&world);
        let mut reader = Reader::attach(&world, world.process(None), 0, RELIABLE).unwrap();
        publish_some(&mut publisher, 2, 1);
        assert!(reader.take());
        assert_eq!(publisher.loan().unwrap_err().behind, 1);
        let left = reader.subscriber.state();
        frame_seats::leave_with_frames(&reader.process.peers, 0, left);
        for _ in 0..3 {
            assert!(publish(&mut publisher));
        }
        check(&reader.process, &reader.held[0]);
        // It dies there: its pin goes with it.
        reader.die(&world);
        assert_eq!(publisher.evict_dead(&*world.locks, 1), 1);
        let slots = |publisher: &mut super::Publisher| {
            let loan = publisher.loan().unwrap();
            publisher.data_at(&loan)
        };
        let first = slots(&mut publisher);
        assert_ne!(first, 0);
    });
}
