//! A reader without a seat that comes from an older generation: was the channel closed between there and the current one?

use loom::sync::atomic::Ordering::Acquire;
use std::rc::Rc;

use super::memory::{Memory, Process, World};
use super::{explore, kill_everywhere};
use crate::layout::header::{self, State};
use crate::layout::root::{CLOSED_0, CLOSED_1, CLOSED_SEQ_0, CLOSED_SEQ_1, CURRENT};
use crate::memory::Shared;
use crate::protocol::growth;

/// Where the stream ends.
const END: u64 = 40;
const WORDS: [u64; 5] = [CURRENT, CLOSED_0, CLOSED_1, CLOSED_SEQ_0, CLOSED_SEQ_1];

/// A root that names generation 1 of three. The reader stands in generation 0, which is over.
#[derive(Clone)]
struct Channel {
    root: Rc<Memory>,
    generations: Vec<World>,
}

impl Channel {
    fn new() -> Self {
        let channel = Channel {
            root: Memory::racing(WORDS.into_iter()),
            generations: (0..3).map(|_| World::new(64, 1, 0)).collect(),
        };
        let process = channel.process(None);
        channel.advance(&process, 1);
        channel
    }

    fn process(&self, stores: Option<u64>) -> Process {
        self.generations[0].process(stores)
    }

    fn advance(&self, process: &Process, generation: usize) {
        let old = self.generations[generation - 1].also(process);
        growth::advance(&process.map(&self.root), &old.owner, generation as u64);
    }

    /// As `Owned::close` does it.
    fn close(&self, process: &Process) {
        self.close_at(process, 1, END);
    }

    fn close_at(&self, process: &Process, generation: usize, position: u64) {
        let here = self.generations[generation].also(process);
        let root = process.map(&self.root);
        growth::close(&root, &here.owner, generation as u64, position);
    }

    fn is_closed(&self, process: &Process) -> bool {
        let here = self.generations[1].also(process);
        State(here.owner.load32(header::STATE, Acquire)) == State::CLOSED
    }

    /// What the reader is told, if generation 2 is the current one.
    fn look(&self, process: &Process) -> Option<Option<u64>> {
        let root = process.map(&self.root);
        let current = root.load(CURRENT, Acquire);
        (current == 2).then(|| since(&root, 0, current))
    }
}

/// Where the stream ended before the generation that was found.
fn since(root: &impl Shared, generation: u64, before: u64) -> Option<u64> {
    growth::closed_since(root, generation, before).map(|close| {
        assert!(close.certain, "{close:?}");
        close.position
    })
}

/// The same where that is not said any more.
fn perhaps(root: &impl Shared, generation: u64, before: u64) -> Option<u64> {
    growth::closed_since(root, generation, before).map(|close| {
        assert!(!close.certain, "{close:?}");
        close.position
    })
}

#[test]
fn who_finds_the_next_stream_finds_that_one_has_ended() {
    explore(3, || {
        let channel = Channel::new();
        let other = channel.clone();
        let closing = loom::thread::spawn(move || {
            let process = other.process(None);
            other.close(&process);
            other.advance(&process, 2);
        });
        let process = channel.process(None);
        if let Some(told) = channel.look(&process) {
            assert_eq!(told, Some(END));
        }
        closing.join().unwrap();
        assert_eq!(channel.look(&process), Some(Some(END)));
    });
}

#[test]
fn who_finds_a_stream_that_has_ended_too_finds_that_its_own_ended_before() {
    explore(3, || {
        let channel = Channel::new();
        let process = channel.process(None);
        channel.close(&process);
        channel.advance(&process, 2);
        let other = channel.clone();
        let closing = loom::thread::spawn(move || {
            let process = other.process(None);
            other.close_at(&process, 2, END + 8);
        });
        assert_eq!(channel.look(&process), Some(Some(END)));
        closing.join().unwrap();
        assert_eq!(channel.look(&process), Some(Some(END)));
        let root = process.map(&channel.root);
        // Who stood in that one, and finds the channel removed.
        assert_eq!(since(&root, 1, u64::MAX), Some(END + 8));
        assert_eq!(since(&root, 1, 2), None);
        assert_eq!(since(&root, 2, u64::MAX), None);
    });
}

#[test]
fn who_is_overtaken_by_later_closes_is_told_of_one() {
    explore(1, || {
        let channel = Memory::racing(WORDS.into_iter());
        let world = World::new(64, 1, 0);
        let process = world.process(None);
        let root = process.map(&channel);
        let owner = world.also(&process).owner;
        growth::close(&root, &owner, 3, 30);
        // The other place may be just changing.
        assert_eq!(perhaps(&root, 1, 2), Some(30));
        for (generation, position) in [(4, 40), (7, 70)] {
            growth::close(&root, &owner, generation, position);
        }
        assert_eq!(since(&root, 3, 5), Some(40));
        // What was before 4 is forgotten.
        assert_eq!(perhaps(&root, 2, 4), Some(40));
        // There was no close between 4 and 7.
        assert_eq!(since(&root, 4, 5), None);
        assert_eq!(perhaps(&root, 1, 2), Some(40));
        assert_eq!(since(&root, 4, 9), Some(70));
        assert_eq!(since(&root, 4, 7), None);
        assert_eq!(since(&root, 7, 9), None);
    });
}

#[test]
fn who_found_a_generation_that_was_followed_and_closed_looks_again() {
    explore(3, || {
        let channel = Channel::new();
        let other = channel.clone();
        let going_on = loom::thread::spawn(move || {
            let process = other.process(None);
            // Of the same stream.
            other.advance(&process, 2);
            other.close_at(&process, 2, END);
        });
        let process = channel.process(None);
        let root = process.map(&channel.root);
        let found = root.load(CURRENT, Acquire);
        if perhaps(&root, 0, found).is_some() {
            assert_eq!((found, root.load(CURRENT, Acquire)), (1, 2));
        }
        going_on.join().unwrap();
        assert_eq!(since(&root, 0, 2), None);
    });
}

#[test]
fn no_end_is_taken_for_anothers_while_it_is_said() {
    explore(3, || {
        let channel = Channel::new();
        let process = channel.process(None);
        channel.close_at(&process, 1, 10);
        channel.close_at(&process, 2, 20);
        let other = channel.clone();
        let closing = loom::thread::spawn(move || {
            let process = other.process(None);
            let owner = other.generations[2].also(&process).owner;
            growth::close(&process.map(&other.root), &owner, 3, 30);
        });
        let root = process.map(&channel.root);
        let told = since(&root, 0, u64::MAX);
        assert!(matches!(told, Some(10 | 20)), "{told:?}");
        closing.join().unwrap();
        assert_eq!(since(&root, 0, u64::MAX), Some(20));
    });
}

#[test]
fn an_owner_may_die_while_it_closes() {
    kill_everywhere(3, |stores| {
        let channel = Channel::new();
        let victim = channel.process(Some(stores));
        channel.close(&victim);
        let other = channel.clone();
        let succeeding = loom::thread::spawn(move || {
            let process = other.process(None);
            // As `owner::open` does it: what is closed is followed by another stream, what is not goes on, and grows.
            let closed = other.is_closed(&process);
            if closed {
                growth::note_close(&process.map(&other.root), 1);
            }
            other.advance(&process, 2);
            closed
        });
        let process = channel.process(None);
        let early = channel.look(&process);
        let closed = succeeding.join().unwrap();
        let told = channel.look(&process).expect("there is a successor");
        assert_eq!(told, closed.then_some(END));
        assert!(early.is_none_or(|early| early == told));
        victim.dead()
    });
}
