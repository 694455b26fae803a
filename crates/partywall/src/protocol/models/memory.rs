//! Shared memory as the model checker sees it: every word of the protocol is an atomic of loom's, so a load
//! may return any value that the memory model allows, and every order of operations is tried.
//!
//! Processes die here as they do in life, between two stores: a [`Process`] can be given a number of stores
//! after which whatever it stores is ignored.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::AtomicU64 as Plain;

use crate::layout::frames::Pool;
use crate::layout::{
    frames as pool, guarded, mpsc as lanes, owner, peers, ring, seat, slots as values, verdict,
};
use loom::cell::UnsafeCell;
use loom::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use loom::sync::{Condvar, Mutex};

use crate::layout::header::{self, State};
use crate::layout::record::LaneHeader;
use crate::memory::{Doorbell, Shared, SharedMut};
use crate::protocol::buffer::{self, Buffer};
use crate::protocol::ring::Shape;
use crate::protocol::{SeatLocks, cursor, frames, mpsc, slots};

/// One segment. Words that no protocol depends on (names, counters for people) are not in it: they are read
/// as 0, and stores to them vanish.
pub(super) struct Memory {
    words: BTreeMap<u64, AtomicU64>,
    halves: BTreeMap<u64, AtomicU32>,
    /// Stands for each word of data. Loom's atomics never return a value from the future, so they would not
    /// show a byte that is overwritten before its reader is through; this does, as a data race.
    cells: BTreeMap<u64, UnsafeCell<()>>,
    /// The kernel's queue of those who sleep on a half-word of this segment.
    futex: Rc<(Mutex<()>, Condvar)>,
}

impl Memory {
    /// `data` are the ranges of bytes in which records lie.
    fn new(
        words: impl Iterator<Item = u64>,
        halves: impl Iterator<Item = u64>,
        data: impl Iterator<Item = Range<u64>>,
    ) -> Self {
        let data: Vec<u64> = data.flat_map(|range| range.step_by(8)).collect();
        Memory {
            words: words
                .chain(data.iter().copied())
                .map(|at| (at, AtomicU64::new(0)))
                .collect(),
            halves: halves.map(|at| (at, AtomicU32::new(0))).collect(),
            cells: data.iter().map(|&at| (at, UnsafeCell::new(()))).collect(),
            futex: Rc::new((Mutex::new(()), Condvar::new())),
        }
    }

    /// Words alone. Readers may load them while they are overwritten, and find out by themselves.
    pub(super) fn racing(words: impl Iterator<Item = u64>) -> Rc<Self> {
        Rc::new(Memory::new(words, std::iter::empty(), std::iter::empty()))
    }

    /// The data word at `at`, if that is data.
    fn cell(&self, at: u64) -> Option<&UnsafeCell<()>> {
        self.cells.get(&at)
    }
}

/// How many stores a process has left, and whether it wanted one more.
#[derive(Default)]
struct Life {
    stores: Option<Plain>,
    dead: std::sync::atomic::AtomicBool,
}

impl Life {
    fn new(stores: Option<u64>) -> Rc<Self> {
        Rc::new(Life {
            stores: stores.map(Plain::new),
            dead: false.into(),
        })
    }

    /// Whether the process lives to do its next store.
    fn spend(&self) -> bool {
        let Some(stores) = &self.stores else {
            return true;
        };
        let left = stores.load(Relaxed);
        if left == 0 {
            self.dead.store(true, Relaxed);
            return false;
        }
        stores.store(left - 1, Relaxed);
        true
    }
}

/// A process's mapping of one segment.
#[derive(Clone)]
pub(super) struct Handle {
    memory: Rc<Memory>,
    life: Rc<Life>,
}

impl Handle {
    /// A process that has this segment alone, and is killed after so many stores, if that is given.
    pub(super) fn open(memory: &Rc<Memory>, stores: Option<u64>) -> Self {
        Handle {
            memory: Rc::clone(memory),
            life: Life::new(stores),
        }
    }

    /// Whether a store of its process was ignored: what it did since then did not happen.
    pub(super) fn dead(&self) -> bool {
        self.life.dead.load(Relaxed)
    }

    /// As the kernel does it: the word is compared and the sleeper queued at once. There is one queue, but a ring of
    /// another bell ends no sleep.
    pub(super) fn sleep(&self, bells: &[(u64, u32)]) {
        self.sleep_either(bells, self, &[]);
    }

    /// The same on the words of two segments, which [share their sleepers](World::share_sleepers).
    pub(super) fn sleep_either(&self, bells: &[(u64, u32)], other: &Handle, others: &[(u64, u32)]) {
        let still = |handle: &Handle, bells: &[(u64, u32)]| {
            bells
                .iter()
                .all(|&(at, bell)| handle.load32(at, Relaxed) == bell)
        };
        let (queue, wakes) = &*self.memory.futex;
        let mut guard = queue.lock().unwrap();
        while still(self, bells) && still(other, others) {
            guard = wakes.wait(guard).unwrap();
        }
    }
}

impl Shared for Handle {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.memory
            .words
            .get(&at)
            .map_or(0, |word| word.load(order))
    }

    fn load32(&self, at: u64, order: Ordering) -> u32 {
        self.memory
            .halves
            .get(&at)
            .map_or(0, |word| word.load(order))
    }

    fn copy_out(&self, at: u64, out: &mut [u8]) {
        for (at, bytes) in (at..).step_by(8).zip(out.chunks_mut(8)) {
            // The dead read nothing.
            if let Some(cell) = self.memory.cell(at)
                && !self.life.dead.load(Relaxed)
            {
                cell.with(|_| ());
            }
            bytes.copy_from_slice(&self.load(at, Relaxed).to_le_bytes()[..bytes.len()]);
        }
    }

    fn fence(&self, order: Ordering) {
        loom::sync::atomic::fence(order);
    }
}

impl SharedMut for Handle {
    fn store(&self, at: u64, value: u64, order: Ordering) {
        if let Some(word) = self.memory.words.get(&at)
            && self.life.spend()
        {
            // A header stands where a payload stood before: nobody may still be reading that.
            if let Some(cell) = self.memory.cell(at) {
                cell.with_mut(|_| ());
            }
            word.store(value, order);
        }
    }

    fn store32(&self, at: u64, value: u32, order: Ordering) {
        if let Some(word) = self.memory.halves.get(&at)
            && self.life.spend()
        {
            word.store(value, order);
        }
    }

    fn set_bits(&self, at: u64, bits: u64, order: Ordering) -> u64 {
        let word = &self.memory.words[&at];
        if self.life.spend() {
            word.fetch_or(bits, order)
        } else {
            word.load(Relaxed)
        }
    }

    fn clear_bits(&self, at: u64, bits: u64, order: Ordering) -> u64 {
        let word = &self.memory.words[&at];
        if self.life.spend() {
            word.fetch_and(!bits, order)
        } else {
            word.load(Relaxed)
        }
    }

    fn copy_in(&self, at: u64, bytes: &[u8]) {
        for (at, bytes) in (at..).step_by(8).zip(bytes.chunks(8)) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            self.store(at, u64::from_le_bytes(word), Relaxed);
        }
    }
}

impl Doorbell for Handle {
    fn wake(&self, _at: u64) -> usize {
        if self.life.dead.load(Relaxed) {
            return 0;
        }
        let (queue, wakes) = &*self.memory.futex;
        drop(queue.lock().unwrap());
        wakes.notify_all();
        1
    }

    // A membarrier puts a full fence into the other process at *some* point of its program, which is at
    // least what this pair of fences gives.
    fn light_fence(&self) {
        self.fence(SeqCst);
    }

    fn heavy_fence(&self) {
        self.fence(SeqCst);
    }
}

/// The kernel's locks of the seats. A process that dies gives its lock up like one that leaves.
pub(super) struct Locks(Vec<AtomicBool>);

impl SeatLocks for Locks {
    fn try_lock(&self, seat: u32) -> bool {
        self.0[seat as usize]
            .compare_exchange(false, true, AcqRel, Acquire)
            .is_ok()
    }

    fn unlock(&self, seat: u32) {
        self.0[seat as usize].store(false, Release);
    }
}

/// One generation, READY: of a ring, if nothing else is said. Loom's threads are coroutines of one thread, hence `Rc`.
#[derive(Clone)]
pub(super) struct World<S = Shape> {
    owner: Rc<Memory>,
    peers: Rc<Memory>,
    pub(super) locks: Rc<Locks>,
    pub(super) shape: S,
}

/// The words of a counted position.
fn counted(at: u64) -> [u64; 3] {
    [at, at + 8, at + 16]
}

/// The half-words that every owner side has.
const OWNER_HALVES: [u64; 3] = [header::STATE, owner::OWNER_BELL, owner::OWNER_PARKED];

/// The half-words that every peer side has.
fn peer_halves(seats: u32) -> impl Iterator<Item = u64> {
    (0..seats).flat_map(|seat| [peers::parked(seat), peers::seat_at(seat) + seat::SEAT_BELL])
}

impl World<Shape> {
    /// A ring.
    pub(super) fn new(capacity: u64, seats: u32, base: u64) -> Self {
        let seat_words = [
            seat::STATE,
            seat::ABANDONED_0,
            seat::ABANDONED_1,
            seat::START_0,
            seat::START_1,
        ];
        let shape = Shape {
            capacity,
            seats,
            base,
        };
        let peer_words = (0..seats).map(peers::seat_at).flat_map(|at| {
            let own = seat_words.map(|word| at + word);
            own.into_iter().chain(counted(at + seat::READ_SEQ))
        });
        let data = (0..capacity / 8).map(|index| ring::PAYLOAD_OFFSET + 8 * index);
        Self::build(
            shape,
            seats,
            counted(owner::WRITE_SEQ).into_iter(),
            data,
            peer_words,
        )
    }
}

impl World<frames::Shape> {
    /// A pool of frames of 8 bytes; at most 64 slots.
    pub(super) fn frames(pool: Pool, base: u64) -> Self {
        let shape = frames::Shape::new(pool.check().expect("a pool"), 8, base);
        let descriptors = u64::from(pool.slots).next_power_of_two();
        let owner_words = [owner::WRITE_SEQ]
            .into_iter()
            .chain((0..pool.slots).map(|slot| shape.word(slot)))
            .chain((0..descriptors).flat_map(|index| {
                [pool::MARK, pool::OFFSET, pool::INFO].map(|word| shape.descriptor(index) + word)
            }));
        let seat_words = [
            seat::STATE,
            seat::ABANDONED_0,
            seat::ABANDONED_1,
            seat::READ_SEQ,
            seat::PINS,
        ];
        let peer_words = (0..pool.seats)
            .map(peers::seat_at)
            .flat_map(|at| seat_words.map(|word| at + word));
        let data = (0..pool.slots).map(|slot| shape.data(slot));
        Self::build(shape, pool.seats, owner_words, data, peer_words)
    }
}

impl World<slots::Shape> {
    /// A guarded record with values of 8 bytes in two slots. The lock of seat 0 stands for the owner's.
    pub(super) fn guarded(seats: u32) -> Self {
        let shape = slots::Shape {
            slots: 2,
            value: 8,
            base: 0,
            checksums: false,
        };
        let words = (1..=2)
            .map(|version| shape.slot(version))
            .flat_map(|at| [values::MARK, values::INFO, values::HEADER].map(|word| at + word))
            .chain([owner::WRITE_SEQ, guarded::HOLDER, guarded::CONDITION]);
        let owner = Memory::new(words, OWNER_HALVES.into_iter(), [].into_iter());
        let peers = Memory::new([].into_iter(), peer_halves(seats), [].into_iter());
        World::ready(owner, peers, seats, shape)
    }
}

impl World<mpsc::Shape> {
    /// Lanes of so many bytes.
    pub(super) fn mpsc(lane: u64, seats: u32) -> Self {
        let shape = mpsc::Shape { lane, seats };
        let owner_words = (0..seats).map(lanes::lane_words).flat_map(|at| {
            counted(at + lanes::LANE_READ_SEQ)
                .into_iter()
                .chain([at + lanes::LANE_STATE, at + lanes::LANE_LEFT])
                .chain([at + lanes::LANE_DROPPED])
        });
        let peer_words = (0..seats)
            .map(peers::seat_at)
            .flat_map(|at| [at + seat::STATE, at + lanes::END, at + lanes::DROPPED]);
        let notices = (0..seats).map(|seat| lanes::notice(seats, seat));
        let data = (0..seats).map(|seat| {
            let at = shape.lane_of(seat).data(0);
            at..at + lane
        });
        let owner = Memory::new(owner_words, OWNER_HALVES.into_iter(), [].into_iter());
        let peers = Memory::new(peer_words, peer_halves(seats).chain(notices), data);
        World::ready(owner, peers, seats, shape)
    }

    /// Records committed in a lane since the channel began, by the receiver's count and a walk; when nobody acts.
    pub(super) fn committed(&self, seat: u32, process: &Process) -> u64 {
        let read = cursor::read(
            &process.owner,
            lanes::lane_words(seat) + lanes::LANE_READ_SEQ,
        );
        let lane = self.shape.lane_of(seat);
        let walked = buffer::walk::<LaneHeader>(&process.peers, lane, read.position).unwrap();
        read.records.unwrap() + walked.records
    }
}

impl<S: Copy> World<S> {
    /// `owner_words` are those of the pattern, besides the verdicts; `data` are the words in which records lie.
    fn build(
        shape: S,
        seats: u32,
        owner_words: impl Iterator<Item = u64>,
        data: impl Iterator<Item = u64>,
        peer_words: impl Iterator<Item = u64>,
    ) -> Self {
        let verdicts = (0..seats).map(verdict::at).flat_map(|at| {
            [
                verdict::EVICTED,
                verdict::LOST_0,
                verdict::LOST_1,
                verdict::FORMER,
            ]
            .map(|w| at + w)
        });
        let data = data.map(|at| at..at + 8);
        let owner = Memory::new(owner_words.chain(verdicts), OWNER_HALVES.into_iter(), data);
        let peers = Memory::new(peer_words, peer_halves(seats), [].into_iter());
        Self::ready(owner, peers, seats, shape)
    }

    fn ready(owner: Memory, peers: Memory, seats: u32, shape: S) -> Self {
        let world = World {
            owner: Rc::new(owner),
            peers: Rc::new(peers),
            locks: Rc::new(Locks((0..seats).map(|_| AtomicBool::new(false)).collect())),
            shape,
        };
        let owner = world.process(None).owner;
        owner.store32(header::STATE, State::READY.0, Release);
        world
    }

    /// A process that is killed after so many stores, if that is given.
    pub(super) fn process(&self, stores: Option<u64>) -> Process {
        self.opened_by(Life::new(stores))
    }

    /// Whoever sleeps on the peer side of one of the two is woken by rings in both. Before anybody has it mapped.
    pub(super) fn share_sleepers(&mut self, other: &Self) {
        let peers = Rc::get_mut(&mut self.peers).expect("nobody has it mapped");
        peers.futex = Rc::clone(&other.peers.futex);
    }

    /// A process that has another generation open already.
    pub(super) fn also(&self, process: &Process) -> Process {
        self.opened_by(Rc::clone(&process.life))
    }

    fn opened_by(&self, life: Rc<Life>) -> Process {
        let handle = |memory: &Rc<Memory>| Handle {
            memory: Rc::clone(memory),
            life: Rc::clone(&life),
        };
        Process {
            owner: handle(&self.owner),
            peers: handle(&self.peers),
            life: Rc::clone(&life),
        }
    }
}

/// Both segments as one process sees them.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) owner: Handle,
    pub(super) peers: Handle,
    life: Rc<Life>,
}

impl Process {
    /// Another segment that it has mapped.
    pub(super) fn map(&self, memory: &Rc<Memory>) -> Handle {
        Handle {
            memory: Rc::clone(memory),
            life: Rc::clone(&self.life),
        }
    }

    /// Whether a store of it was ignored: what it did since then did not happen.
    pub(super) fn dead(&self) -> bool {
        self.life.dead.load(Relaxed)
    }
}
