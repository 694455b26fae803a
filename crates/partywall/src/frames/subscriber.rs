//! The subscriber's handle.

use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

use super::frame::Seat;
use super::role::MappedSubscriber;
use super::{Frame, SubscriberOptions};
use crate::channel::attach::Attached;
use crate::error::{OpenError, RecvError};
use crate::handle::PeerHandle;
use crate::handle::accessors::peer_accessors;
use crate::layout::{owner, peers, seat};
use crate::memory::{Shared, SharedMut};
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
    /// [`RecvError::Damaged`], [`RecvError::Forked`].
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
            Ok(None) => match handle.look_for_the_end(&mut || role.take())? {
                Some(found) => found,
                None => return Ok(None),
            },
            Err(lie) => return Err(handle.damaged(lie)),
        };
        self.taken(found).map(Some)
    }

    pub(super) fn next(&mut self, timeout: Option<Duration>) -> Result<Frame, RecvError> {
        let (handle, role) = self.parts();
        handle.check()?;
        let found = match role.take() {
            Ok(Some(found)) => found,
            Ok(None) => handle.wait(timeout, &mut || role.take())?,
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
                self.missed = self.missed.wrapping_add(lost);
                Err(RecvError::Overrun {
                    channel: self.channel().to_owned(),
                    lost,
                })
            }
            Next::HandsFull => Err(RecvError::TooManyHeld {
                channel: self.channel().to_owned(),
                held: self.role.shape().pool.held,
            }),
        }
    }

    /// Passes every frame but the newest, for who wants the present rather than all of the past; how many. They count
    /// as given up, not as missed.
    ///
    /// # Errors
    /// [`RecvError::Forked`], and whatever ended the handle.
    pub fn skip_to_newest(&mut self) -> Result<u64, RecvError> {
        let (handle, role) = self.parts();
        handle.check()?;
        let skipped = role.skip_to_newest();
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

    /// Frames in hand, in all threads of this process.
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
        if !handle.was_evicted() {
            let role = &self.role;
            let (owner, peers, seat) = (role.owner(), role.peers(), role.seat());
            let written = owner.load(owner::WRITE_SEQ, Acquire);
            // The cursor may stand one past `write_seq`.
            let unread = (written.wrapping_sub(role.cursor()) as i64).max(0) as u64;
            peers.count(peers::seat_at(seat) + seat::UNREAD, unread);
            if role.held() > 0 {
                seats::leave_with_frames(peers, seat, role.state());
                park::wake_owner(owner, peers, seat);
            }
        }
        // The last of this and the frames drops it, and the seat is free.
        self.seat.leave_to_frames(handle);
    }
}
