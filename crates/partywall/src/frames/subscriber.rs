//! The subscriber's handle.

use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, Instant};

use super::frame::Seat;
use super::role::MappedSubscriber;
use super::{Frame, SubscriberOptions};
use crate::channel::attach::Attached;
use crate::error::{OpenError, RecvError};
use crate::handle::PeerHandle;
use crate::handle::accessors::peer_accessors;
use crate::layout::header::{self, State};
use crate::layout::{owner, peers, seat};
use crate::memory::{ReadOnly, Region, Shared, SharedMut};
use crate::protocol::frames::{Next, seats};
use crate::protocol::park;

/// Who gets the frames of a channel. Dropping it gives its seat up; the frames that it gave out stay until they are
/// dropped, and keep the seat that long.
#[derive(Debug)]
pub struct Subscriber {
    /// There until it is dropped.
    handle: Option<PeerHandle>,
    role: MappedSubscriber,
    seat: Arc<Seat>,
    missed: u64,
}

peer_accessors!(Subscriber, self => self.handle());

impl Subscriber {
    /// Subscribes to a channel of the default namespace with default options.
    ///
    /// # Errors
    /// As [`SubscriberOptions::attach`].
    pub fn attach(channel: &str) -> Result<Subscriber, OpenError> {
        SubscriberOptions::new().attach(channel)
    }

    pub(super) fn new(attached: Attached<MappedSubscriber>, options: &SubscriberOptions) -> Self {
        let (handle, role) = PeerHandle::seated(attached, options.settings.clone());
        Subscriber {
            handle: Some(handle),
            seat: Arc::new(Seat::of(&role)),
            role,
            missed: 0,
        }
    }

    /// The next frame; waits for it.
    ///
    /// # Errors
    /// [`RecvError::Overrun`] with the number of frames that a lossy subscriber missed, after which it goes on;
    /// [`RecvError::TooManyHeld`] if there is a frame and this subscriber holds as many as it may;
    /// [`RecvError::Closed`] at the clean end; [`RecvError::OwnerDied`] once everything that a dead publisher
    /// published was read (unless [`await_successor`](SubscriberOptions::await_successor) was chosen);
    /// [`RecvError::Stopped`], [`RecvError::Superseded`], [`RecvError::Evicted`], [`RecvError::Deleted`],
    /// [`RecvError::Damaged`], [`RecvError::Forked`]. Where the publisher [goes on](super::Publisher::grow) with a larger
    /// pool, so does the subscriber: [`RecvError::SchemaMismatch`] if the frames there are of other records than it was
    /// attached for, [`RecvError::NotMoved`] if that pool could not be opened yet.
    pub fn recv(&mut self) -> Result<Frame, RecvError> {
        self.next(None)
    }

    /// [`Self::recv`], at most so long.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and as [`Self::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Frame, RecvError> {
        self.next(Some(timeout))
    }

    /// The next frame if there is one.
    ///
    /// # Errors
    /// As [`Self::recv`], but for waiting.
    pub fn try_recv(&mut self) -> Result<Option<Frame>, RecvError> {
        let (handle, role) = self.parts();
        handle.check()?;
        let found = match role.take() {
            Ok(Some(found)) => found,
            Ok(None) => match self.found_nothing()? {
                Some(found) => found,
                None => return Ok(None),
            },
            Err(lie) => return Err(handle.damaged(lie)),
        };
        self.taken(found).map(Some)
    }

    #[cold]
    #[inline(never)]
    fn found_nothing(&mut self) -> Result<Option<Next>, RecvError> {
        loop {
            let (handle, role) = self.parts();
            match handle.look_for_the_end(&mut || role.take()) {
                Err(RecvError::Superseded { .. }) => self.move_over()?,
                other => return other,
            }
            let (handle, role) = self.parts();
            if let Some(found) = role.take().map_err(|lie| handle.damaged(lie))? {
                return Ok(Some(found));
            }
        }
    }

    #[inline(never)]
    fn wait_for_frame(&mut self, timeout: Option<Duration>) -> Result<Next, RecvError> {
        let started = Instant::now();
        let mut left = timeout;
        loop {
            let (handle, role) = self.parts();
            match handle.wait(left, &mut || role.take()) {
                Err(RecvError::Superseded { .. }) => self.move_over()?,
                other => return other,
            }
            left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        }
    }

    /// The generation is over, and everything in it was taken or passed: on in the next one, from its base. Frames in hand
    /// stay where they are, and the last of them gives up the old seat.
    #[cold]
    fn move_over(&mut self) -> Result<(), RecvError> {
        let (handle, role) = self.parts();
        let generation = handle.header().generation;
        let lock = handle.shared_lock_file();
        let old = handle.move_over(role)?;
        let next = Arc::new(self.seat.next(&self.role));
        let seat = std::mem::replace(&mut self.seat, next);
        if old.has_left() {
            seat.leave_behind(generation, old.state(), lock);
        }
        Ok(())
    }

    pub(super) fn next(&mut self, timeout: Option<Duration>) -> Result<Frame, RecvError> {
        let (handle, role) = self.parts();
        handle.check()?;
        let found = match role.take() {
            Ok(Some(found)) => found,
            Ok(None) => self.wait_for_frame(timeout)?,
            Err(lie) => return Err(handle.damaged(lie)),
        };
        self.taken(found)
    }

    #[inline(always)]
    fn taken(&mut self, found: Next) -> Result<Frame, RecvError> {
        match found {
            Next::Frame(taken) => {
                let at = peers::seat_at(self.role.seat());
                self.role.peers().count(at + seat::RECEIVED, 1);
                self.tell_publisher();
                let frame = Frame::new(&self.seat, taken);
                self.handle().check_pages()?;
                Ok(frame)
            }
            Next::Missed(lost) => {
                self.handle().check_pages()?;
                self.missed = self.missed.wrapping_add(lost);
                Err(RecvError::Overrun {
                    channel: self.channel().to_owned(),
                    lost,
                })
            }
            Next::HandsFull => {
                self.handle().check_pages()?;
                Err(RecvError::TooManyHeld {
                    channel: self.channel().to_owned(),
                    held: self.role.shape().pool.held,
                })
            }
        }
    }

    /// Passes every frame but the newest, for who wants the present rather than all of the past; how many. They count
    /// as given up, not as missed.
    ///
    /// # Errors
    /// [`RecvError::Forked`], and whatever ended the handle.
    pub fn skip_to_newest(&mut self) -> Result<u64, RecvError> {
        let mut skipped = 0;
        loop {
            let (handle, role) = self.parts();
            handle.check()?;
            let newest = handle.with_current(|owner| owner.load(owner::WRITE_SEQ, Acquire));
            let written = role.owner().load(owner::WRITE_SEQ, Acquire);
            let state = State(role.owner().load32(header::STATE, Acquire));
            if state != State::RETIRED || newest.is_none_or(|newest| newest == written) {
                skipped += role.skip_to_newest();
                break;
            }
            // The newest is in a later generation.
            skipped += role.skip_to_the_end();
            self.move_over()?;
        }
        self.handle().check_pages()?;
        if skipped > 0 {
            self.tell_publisher();
        }
        Ok(skipped)
    }

    /// The cursor moved: a publisher that waits for a reliable subscriber may go on.
    #[inline(always)]
    fn tell_publisher(&mut self) {
        let (handle, role) = self.parts();
        if !role.state().lossy() {
            handle.wake_owner();
        }
    }

    /// Frames in hand, in all threads of this process; those of the channel's present generation, for what is held in an
    /// older one is in nobody's way.
    #[must_use]
    pub fn held(&self) -> usize {
        if self.handle().is_ours() {
            self.role.held() as usize
        } else {
            0
        }
    }

    /// Frames that may be held at once.
    #[must_use]
    pub fn max_held(&self) -> usize {
        self.role.shape().pool.held as usize
    }

    /// The sequence of the next frame to be received, as far as none is missed.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.role.cursor().wrapping_add(1)
    }

    /// Frames that this subscriber missed so far.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Bytes of the largest frame.
    #[must_use]
    pub fn max_frame(&self) -> usize {
        self.role.shape().frame as usize
    }

    /// Whether the publisher may write over frames that this subscriber has not come to.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.role.state().lossy()
    }

    /// The seat's number.
    #[must_use]
    pub fn seat(&self) -> u32 {
        self.role.seat()
    }

    #[inline(always)]
    fn handle(&self) -> &PeerHandle {
        self.handle.as_ref().expect(GONE)
    }

    #[inline(always)]
    fn parts(&mut self) -> (&mut PeerHandle, &mut MappedSubscriber) {
        (self.handle.as_mut().expect(GONE), &mut self.role)
    }
}

const GONE: &str = "the handle goes when the subscriber is dropped";

impl Drop for Subscriber {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else {
            return;
        };
        if !handle.is_ours() {
            return;
        }
        if !handle.was_evicted() && handle.seat().is_some() {
            let role = &self.role;
            let (owner, peers, seat) = (role.owner(), role.peers(), role.seat());
            let written = |owner: &Region<ReadOnly>| owner.load(owner::WRITE_SEQ, Acquire);
            let written = handle
                .with_current(written)
                .unwrap_or_else(|| written(owner));
            // The cursor may stand one past `write_seq`. Who could not go over had read all that there was for it.
            let unread = if handle.has_ended() {
                0
            } else {
                (written.wrapping_sub(role.cursor()) as i64).max(0) as u64
            };
            peers.count(peers::seat_at(seat) + seat::UNREAD, unread);
            if role.held() > 0 || self.seat.has_older() {
                seats::leave_with_frames(peers, seat, role.state());
                park::wake_owner(owner, peers, seat);
            }
        }
        // The last of this and the frames drops it, and the seat is free.
        self.seat.leave_to_frames(handle);
    }
}
