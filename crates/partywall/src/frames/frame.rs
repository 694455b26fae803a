//! A frame that was taken, and the seat that holds it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::About;
use super::role::MappedSubscriber;
use crate::channel::attach::PeerRole;
use crate::channel::liveness::{Witness, seat_byte};
use crate::handle::PeerHandle;
use crate::handle::reservation::assert_fits;
use crate::handle::slots::age;
use crate::layout::seat::SeatState;
use crate::memory::{ReadOnly, Region, Shared, Writable};
use crate::os::Process;
use crate::protocol::frames::{self, Frame as Taken};
use crate::protocol::{park, seats};

/// What a subscriber and its frames share, in whichever generation those are.
#[derive(Debug, Default)]
struct Home {
    /// The handle of a subscriber that went before its frames: it keeps the seat's lock, and dropping it frees the
    /// seat.
    left: Mutex<Option<PeerHandle>>,
}

/// A seat that a subscriber and its frames of one generation share; it is given up when the last of them goes.
#[derive(Debug)]
pub(super) struct Seat {
    process: Process,
    owner: Region<ReadOnly>,
    peers: Region<Writable>,
    seat: u32,
    /// The subscriber went on in the next generation, and left this seat to its frames.
    moved: OnceLock<Moved>,
    home: Arc<Home>,
}

/// How a seat in an older generation is freed.
#[derive(Debug)]
struct Moved {
    generation: u64,
    /// What its holder stored in the seat when it was there.
    state: SeatState,
    /// Holds the seat's byte.
    lock: Arc<Witness>,
}

impl Seat {
    pub(super) fn of(role: &MappedSubscriber) -> Self {
        Self::at_home(role, Arc::default())
    }

    fn at_home(role: &MappedSubscriber, home: Arc<Home>) -> Self {
        Seat {
            process: Process::current(),
            owner: role.owner().clone(),
            peers: role.peers().clone(),
            seat: PeerRole::seat(role),
            moved: OnceLock::new(),
            home,
        }
    }

    /// The seat in the next generation, which the subscriber has taken.
    pub(super) fn next(&self, role: &MappedSubscriber) -> Self {
        Self::at_home(role, Arc::clone(&self.home))
    }

    /// The subscriber went over to the next generation, and some of its frames did not: the last of them frees the seat.
    pub(super) fn leave_behind(&self, generation: u64, state: SeatState, lock: Arc<Witness>) {
        let moved = Moved {
            generation,
            state,
            lock,
        };
        self.moved.set(moved).expect("it goes over once");
    }

    /// Whether there are frames of older generations.
    pub(super) fn has_older(&self) -> bool {
        // Each generation's seat has one, this one as well.
        Arc::strong_count(&self.home) > 1
    }

    /// The subscriber goes; whatever it holds yet keeps the seat, in whichever generation.
    pub(super) fn leave_to_frames(&self, handle: PeerHandle) {
        *self
            .home
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(handle);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(moved) = self.moved.take()
            && self.process.is_this()
        {
            seats::leave(&self.peers, self.seat, moved.state, false);
            if let Some(lock) = moved.lock.lock() {
                let _ = lock.unlock(seat_byte(moved.generation, self.seat));
            }
        }
    }
}

/// A frame where it lies. Its bytes stay as they are for as long as it lives, whatever becomes of the publisher and of
/// the [`Subscriber`](super::Subscriber) that it came from; dropping it gives its memory back.
///
/// It can be sent to other threads and shared among them. To have its bytes as a slice, see
/// [`Subscriber::in_place`](super::Subscriber::in_place).
#[derive(Debug)]
pub struct Frame {
    seat: Arc<Seat>,
    taken: Taken,
}

#[expect(
    clippy::len_without_is_empty,
    reason = "an empty frame is nothing special"
)]
impl Frame {
    pub(super) fn new(seat: &Arc<Seat>, taken: Taken) -> Self {
        Frame {
            seat: Arc::clone(seat),
            taken,
        }
    }

    /// Counts the frames of the channel from 1.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.taken.sequence
    }

    /// Its bytes, in number.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taken.len as usize
    }

    /// The application's own number.
    #[must_use]
    pub fn kind(&self) -> u16 {
        self.taken.kind
    }

    /// What the bytes are: see [`content`](super::content).
    #[must_use]
    pub fn content(&self) -> u16 {
        self.taken.content
    }

    /// `CLOCK_BOOTTIME` in nanoseconds at which it was published, or a time of the application's own; 0 for none.
    #[must_use]
    pub fn time_ns(&self) -> u64 {
        self.taken.time_ns
    }

    /// How long ago it was published; `None` if the publisher does not stamp. It means nothing with a time of the
    /// application's own.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        age(self.taken.time_ns)
    }

    /// What its publisher says about the bytes.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.taken.about
    }

    /// Copies bytes from a place in the frame. In a forked child, which does not have the mapping, they are zeros.
    ///
    /// # Panics
    /// If the frame has fewer.
    pub fn read_at(&self, offset: usize, out: &mut [u8]) {
        assert_fits(offset, out.len(), self.len());
        if self.seat.process.is_this() {
            self.seat.owner.copy_out(self.taken.at + offset as u64, out);
        } else {
            out.fill(0);
        }
    }

    /// Copies all of it to a buffer, which gets the frame's length. Once that is large enough nothing is allocated.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        // What the buffer has is overwritten anyway.
        out.resize(self.len(), 0);
        self.read_at(0, out);
    }

    /// A copy of all of it.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.copy_to(&mut bytes);
        bytes
    }

    /// Where the bytes are; none in a forked child, which does not have the mapping.
    pub(super) fn room(&self) -> Option<(*const u8, usize)> {
        if !self.seat.process.is_this() {
            return None;
        }
        let owner = &self.seat.owner;
        let pointer = owner.pointer(self.taken.at, self.taken.len.into());
        Some((pointer.cast_const(), self.len()))
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let Seat {
            process,
            owner,
            peers,
            seat,
            ..
        } = &*self.seat;
        // A forked child has no say in what its parent holds.
        if process.is_this() {
            frames::give_back(peers, *seat, self.taken.slot);
            park::wake_owner(owner, peers, *seat);
        }
    }
}
