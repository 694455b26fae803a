//! Subscribers that come while frames are published, or while the generation ends.

use loom::sync::atomic::Ordering::{Acquire, Release, SeqCst};

use super::super::explore;
use super::{LOSSY, RELIABLE, Reader, Wish, World, create, pool, publish, publish_some};
use crate::layout::header::{self, State};
use crate::layout::peers;
use crate::layout::seat::{self, Claim, SeatState};
use crate::memory::{Shared, SharedMut};

/// Somebody joins after `before` frames, while the publisher goes on.
fn joining(slots: u32, history: u32, wish: Wish, before: u64) {
    explore(3, move || {
        let world = World::frames(pool(slots, 1, history), 0);
        let mut publisher = create(&world);
        publish_some(&mut publisher, before, 1);
        assert_eq!(publisher.position(), before);
        let publishing = loom::thread::spawn(move || {
            publish_some(&mut publisher, 2, 1);
            publisher
        });
        let mut reader = Reader::attach(&world, world.process(None), 0, wish).unwrap();
        assert!(reader.first + u64::from(wish.back) >= before);
        reader.read(2);
        let mut publisher = publishing.join().unwrap();
        reader.drain();
        // One more, to see that the seat counts.
        publish(&mut publisher);
        reader.drain();
        if wish.lossy {
            reader.assert_all_told_to(publisher.position());
        } else {
            reader.assert_run_to(publisher.position());
        }
    });
}

#[test]
fn a_reliable_joiner_has_an_unbroken_run() {
    joining(2, 0, RELIABLE, 2);
}

#[test]
fn a_reliable_joiner_may_begin_with_what_is_kept() {
    joining(
        3,
        1,
        Wish {
            back: 1,
            ..RELIABLE
        },
        2,
    );
}

#[test]
fn a_lossy_joiner_holds_whole_frames() {
    joining(2, 0, LOSSY, 1);
}

#[test]
fn a_joiner_is_found_by_who_retires_or_turned_away() {
    explore(4, || {
        let world = World::frames(pool(2, 1, 0), 0);
        let publisher = create(&world);
        let remover = loom::thread::spawn(move || {
            let owner = publisher.owner();
            owner.store32(header::STATE, State::RETIRED.0, Release);
            owner.fence(SeqCst);
            let at = peers::seat_at(0) + seat::STATE;
            SeatState(publisher.peers().load(at, Acquire)).claim() != Some(Claim::Free)
        });
        let process = world.process(None);
        let joined = Reader::attach(&world, process.clone(), 0, RELIABLE).is_some();
        let found = remover.join().unwrap();
        assert!(!joined || found, "it sits where nobody will look");
        if !joined {
            let at = peers::seat_at(0) + seat::STATE;
            let state = SeatState(process.peers.load(at, Acquire));
            assert_eq!(state.claim(), Some(Claim::Free));
        }
    });
}
