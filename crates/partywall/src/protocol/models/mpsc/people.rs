//! Who acts: talkers, each with a seat, and the listener, who knows what it must hear.

use super::super::memory::{Handle, Process, World};
use super::super::people::payload;
use crate::layout::record;
use crate::memory::{Shared, SharedMut};
use crate::protocol::SeatLocks;
use crate::protocol::mpsc::Shape;
use crate::protocol::mpsc::receiver::{Event, Receiver};
use crate::protocol::mpsc::sender::{Look, Sender, Unclaimed};

pub(super) type Lanes = World<Shape>;

/// A sender with its process.
pub(super) struct Talker {
    pub(super) process: Process,
    pub(super) sender: Sender<Handle, Handle, Handle>,
}

impl Talker {
    /// Takes a free lock and the seat; `None` if somebody has it.
    pub(super) fn attach(world: &Lanes, process: Process, seat: u32) -> Option<Talker> {
        Self::try_attach(world, process, seat).map(|claimed| claimed.expect("an honest lane"))
    }

    /// Takes the seat of somebody who has left or died; the receiver may look at the lock just now.
    pub(super) fn follow(world: &Lanes, process: Process, seat: u32) -> Talker {
        loop {
            if let Some(talker) = Self::attach(world, process.clone(), seat) {
                return talker;
            }
            loom::thread::yield_now();
        }
    }

    pub(super) fn try_attach(
        world: &Lanes,
        process: Process,
        seat: u32,
    ) -> Option<Result<Talker, Unclaimed>> {
        if !world.locks.try_lock(seat) {
            return None;
        }
        let claimed = Sender::claim(
            process.owner.clone(),
            process.peers.clone(),
            process.peers.clone(),
            world.shape.lane_of(seat),
            world.shape,
            seat,
            None,
        );
        if claimed.is_err() {
            world.locks.unlock(seat);
        }
        Some(claimed.map(|sender| Talker { process, sender }))
    }

    /// Sends a record of `len` bytes, a multiple of 8; looks at the receiver's cursor at most `looks` times.
    pub(super) fn send(&mut self, kind: u16, len: u64, looks: u32) -> bool {
        self.send_shorter(kind, len, len, looks)
    }

    /// Claims and fills `claimed` bytes, and commits `len` of them.
    pub(super) fn send_shorter(&mut self, kind: u16, claimed: u64, len: u64, looks: u32) -> bool {
        for look in 0..=looks {
            if let Some(room) = self.sender.room(claimed) {
                let at = self.sender.payload_at(room);
                self.sender.lane().copy_in(at, &payload(kind, claimed));
                self.sender.commit(room, len, kind);
                return true;
            }
            if look < looks {
                self.look();
            }
        }
        false
    }

    pub(super) fn look(&mut self) {
        assert_eq!(self.sender.look(), Ok(Look::Fine));
    }

    /// Leaves in an orderly way.
    pub(super) fn leave(self, world: &Lanes) {
        let seat = self.sender.seat();
        self.sender.leave();
        world.locks.unlock(seat);
    }

    /// Its process ends without leaving the seat: the kernel unlocks it.
    pub(super) fn die(self, world: &Lanes) {
        world.locks.unlock(self.sender.seat());
    }
}

/// What a listener heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Record { seat: u32, epoch: u64, kind: u16 },
    Opened { seat: u32, epoch: u64 },
    Closed { seat: u32, epoch: u64 },
    Died { seat: u32, epoch: u64 },
    Lied { seat: u32, epoch: u64 },
}

/// A receiver with its process, and what it handed out before it died.
pub(super) struct Listener {
    pub(super) process: Process,
    pub(super) receiver: Receiver<Handle, Handle>,
    pub(super) heard: Vec<Heard>,
}

impl Listener {
    /// The first one of a channel.
    pub(super) fn create(world: &Lanes) -> Listener {
        let process = world.process(None);
        let (owner, peers) = (process.owner.clone(), process.peers.clone());
        Listener {
            receiver: Receiver::create(owner, peers, world.shape),
            process,
            heard: Vec::new(),
        }
    }

    /// Takes over from one that is gone.
    pub(super) fn adopt(world: &Lanes, process: Process) -> Listener {
        let (owner, peers) = (process.owner.clone(), process.peers.clone());
        Listener {
            receiver: Receiver::adopt(owner, peers, world.shape).expect("honest words"),
            process,
            heard: Vec::new(),
        }
    }

    /// Asks so often; whether anything came.
    pub(super) fn listen(&mut self, looks: u32) -> bool {
        let before = self.heard.len();
        for _ in 0..looks {
            let event = self.receiver.next();
            self.take(event);
        }
        self.heard.len() > before
    }

    /// Looks for a sender that died.
    pub(super) fn look_for_dead(&mut self, world: &Lanes) -> bool {
        let event = self.receiver.find_dead(&*world.locks, &*world.locks);
        self.take(event)
    }

    /// Reads everything there is, after everybody else has come to an end.
    pub(super) fn drain(&mut self) {
        self.receiver.sweep();
        while self.listen(1) {}
        self.receiver.publish_all();
    }

    /// The same, and the end of those that are dead too.
    pub(super) fn drain_with_dead(&mut self, world: &Lanes) {
        self.drain();
        while self.look_for_dead(world) {}
    }

    pub(super) fn take(&mut self, event: Option<Event>) -> bool {
        let Some(event) = event else {
            return false;
        };
        let heard = match event {
            Event::Record { seat, epoch, found } => {
                let mut bytes = vec![0; found.len as usize];
                let peers = self.receiver.peers_of(seat);
                peers.copy_out(found.payload_at, &mut bytes);
                let expected = payload(found.kind, u64::from(found.len));
                assert_eq!(bytes, expected, "payload of record {}", found.kind);
                let kind = found.kind;
                Heard::Record { seat, epoch, kind }
            }
            Event::Opened { seat, epoch } => Heard::Opened { seat, epoch },
            Event::Closed { seat, epoch } => Heard::Closed { seat, epoch },
            Event::Died { seat, epoch } => Heard::Died { seat, epoch },
            Event::Lied { seat, epoch, .. } => Heard::Lied { seat, epoch },
        };
        // What a dead process heard, nobody heard.
        if !self.process.dead() {
            self.heard.push(heard);
        }
        true
    }
}

/// What is heard of a holder that sends the kinds of `kinds`, up to its end.
pub(super) fn story(
    seat: u32,
    epoch: u64,
    kinds: impl Iterator<Item = u16>,
    end: impl Into<Option<Heard>>,
) -> Vec<Heard> {
    let mut story = vec![Heard::Opened { seat, epoch }];
    story.extend(kinds.map(|kind| Heard::Record { seat, epoch, kind }));
    story.extend(end.into());
    story
}

/// Bytes of a record with a payload of 8 bytes.
pub(super) const RECORD: u64 = record::total(8);
