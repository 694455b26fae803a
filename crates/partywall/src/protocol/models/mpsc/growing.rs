//! Who acts in a channel that grows.

use std::sync::atomic::Ordering::{Acquire, Release};

use super::super::memory::Process;
use super::people::{Lanes, Listener, Talker};
use crate::layout::header::{self, State};
use crate::memory::{Shared, SharedMut};
use crate::protocol::mpsc::receiver::Receiver;
use crate::protocol::mpsc::sender::{Look, Sender, end_unread, end_untouched};
use crate::protocol::{SeatLocks, park, seats};

/// Two generations. That the old one is RETIRED is all that says that the other one is there.
#[derive(Clone)]
pub(super) struct Growing {
    pub(super) old: Lanes,
    pub(super) new: Lanes,
}

impl Growing {
    pub(super) fn new(old: u64, new: u64, seats: u32) -> Self {
        let mut world = Growing {
            old: Lanes::mpsc(old, seats),
            new: Lanes::mpsc(new, seats),
        };
        world.new.share_sleepers(&world.old);
        world
    }

    fn has_grown(&self, process: &Process) -> bool {
        State(process.owner.load32(header::STATE, Acquire)) == State::RETIRED
    }
}

impl Listener {
    /// Makes the next generation, says so, and goes on there.
    pub(super) fn grow(self, world: &Growing) -> Listener {
        let next = world.new.also(&self.process);
        let (owner, peers) = (next.owner.clone(), next.peers.clone());
        let mut receiver = Receiver::create(owner, peers, world.new.shape);
        receiver.inherit(&self.receiver);
        let owner = &self.process.owner;
        owner.store32(header::STATE, State::RETIRED.0, Release);
        park::ring_for_peers(owner);
        receiver.follow(self.receiver);
        Listener {
            process: next,
            receiver,
            heard: self.heard,
        }
    }

    /// Takes over from one that is gone; says whether that one had grown.
    pub(super) fn adopt_growing(world: &Growing, process: Process) -> (Listener, bool) {
        if !world.has_grown(&process) {
            return (Listener::adopt(&world.old, process), false);
        }
        let mut listener = Listener::adopt(&world.new, world.new.also(&process));
        let (owner, peers) = (process.owner, process.peers);
        let receiver = &mut listener.receiver;
        receiver.follow(Receiver::adopt(owner, peers, world.old.shape).unwrap());
        (listener, true)
    }

    pub(super) fn look_for_dead_in(&mut self, world: &Growing) -> bool {
        let event = self
            .receiver
            .find_dead(&*world.new.locks, &*world.old.locks);
        self.take(event)
    }

    /// Everything that is there, and who is dead; nothing of the old generation is left then.
    pub(super) fn drain_growing(&mut self, world: &Growing) {
        self.drain();
        while self.look_for_dead_in(world) {}
        // A lane that was left by the last look.
        self.drain();
        while self.look_for_dead_in(world) {}
    }
}

/// A sender in one of the two generations.
pub(super) struct Mover {
    pub(super) talker: Talker,
    pub(super) moved: bool,
}

impl Mover {
    pub(super) fn stay(talker: Talker) -> Mover {
        Mover {
            talker,
            moved: false,
        }
    }

    /// Claims a seat; somebody may just look at its locks.
    pub(super) fn claim(world: &Growing, process: &Process, seat: u32) -> Mover {
        // As the root was found; what holds is what the claim finds under the lock.
        let had_grown = world.has_grown(process);
        lock(&world.old, seat);
        if !had_grown {
            let claimed = claim_in(&world.old, process, seat, None);
            if let Some(talker) = claimed {
                return Mover::stay(talker);
            }
        }
        assert!(world.has_grown(process), "READY before the lock");
        let (owner, peers, shape) = (&process.owner, &process.peers, world.old.shape);
        let ended = end_untouched(owner, peers, shape, seat).unwrap_or_else(|| {
            let lane = shape.lane_of(seat);
            end_unread(owner, peers, peers, lane, shape, seat).expect("an honest lane")
        });
        lock(&world.new, seat);
        let next = world.new.also(process);
        let claimed = claim_in(&world.new, &next, seat, Some(ended));
        let talker = claimed.expect("it is READY");
        park::wake_owner(owner, peers, seat);
        world.old.locks.unlock(seat);
        Mover {
            talker,
            moved: true,
        }
    }

    /// Goes on in the new generation if there is one.
    pub(super) fn follow(&mut self, world: &Growing) {
        if self.moved || !world.has_grown(&self.talker.process) {
            return;
        }
        let seat = self.talker.sender.seat();
        lock(&world.new, seat);
        let next = world.new.also(&self.talker.process);
        let sender = self
            .talker
            .sender
            .move_on(
                next.owner.clone(),
                next.peers.clone(),
                next.peers.clone(),
                world.new.shape.lane_of(seat),
                world.new.shape,
            )
            .expect("it is READY");
        let old = std::mem::replace(&mut self.talker.process, next);
        park::wake_owner(&old.owner, &old.peers, seat);
        seats::leave(&old.peers, seat, sender.state(), false);
        self.talker.sender = sender;
        world.old.locks.unlock(seat);
        self.moved = true;
    }

    /// Sends a record of 8 bytes; looks at the receiver's words at most `looks` times, and where it stands before.
    pub(super) fn send(&mut self, world: &Growing, kind: u16, looks: u32) -> bool {
        for look in 0..=looks {
            if self.talker.send(kind, 8, 0) {
                return true;
            }
            if look < looks {
                self.follow(world);
                assert_eq!(self.talker.sender.look(), Ok(Look::Fine));
            }
        }
        false
    }

    pub(super) fn leave(self, world: &Growing) {
        self.talker
            .leave(if self.moved { &world.new } else { &world.old });
    }

    /// Its process ends: the kernel unlocks what it had.
    pub(super) fn die(self, world: &Growing) {
        self.talker
            .die(if self.moved { &world.new } else { &world.old });
    }

    /// Where it stands, and its epoch.
    pub(super) fn stand(&self) -> (u64, u64) {
        let sender = &self.talker.sender;
        (sender.position(), sender.state().epoch())
    }
}

fn lock(world: &Lanes, seat: u32) {
    while !world.locks.try_lock(seat) {
        loom::thread::yield_now();
    }
}

fn claim_in(
    world: &Lanes,
    process: &Process,
    seat: u32,
    after: Option<crate::protocol::mpsc::sender::Ended>,
) -> Option<Talker> {
    let (owner, peers) = (process.owner.clone(), process.peers.clone());
    let lane = world.shape.lane_of(seat);
    let claimed = Sender::claim(owner, peers.clone(), peers, lane, world.shape, seat, after);
    let process = process.clone();
    claimed.ok().map(|sender| Talker { process, sender })
}
