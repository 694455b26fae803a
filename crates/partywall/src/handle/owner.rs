//! The owner's part of a handle: it stamps signs of life, wakes sleepers, notices that the channel was removed
//! or scribbled over, and closes it at the end.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::channel::heartbeat::Heartbeat;
use crate::channel::owner::{Owned, OwnerRole};
use crate::error::{OpenError, SendError};
use crate::layout::last_error::LastError;
use crate::layout::owner;
use crate::memory::{ReadOnly, Region, SharedMut, Writable};
use crate::os::Process;
use crate::protocol::park;

/// After so many rings that wake nobody, the sleepers' locks are looked at.
const VAIN_RINGS: u32 = 32;

/// An owned channel. Dropping it closes the channel, unless the thread is panicking: then it looks dead to its
/// peers, as it should.
#[derive(Debug)]
pub(crate) struct OwnerHandle<R: OwnerRole> {
    heartbeat: Option<Heartbeat>,
    process: Process,
    pub(crate) owned: Owned<R>,
    /// Older generations are still needed by somebody.
    older: bool,
    /// Seats whose parked word is set though nobody woke, with the state word of the holder that died
    /// asleep there.
    asleep_for_good: Vec<(u32, u64)>,
    /// Rings in a row that woke nobody.
    vain_rings: u32,
    /// When the channel was looked at last.
    looked: Instant,
    abandoned: bool,
}

impl<R: OwnerRole> OwnerHandle<R> {
    pub(crate) fn new(mut owned: Owned<R>, heartbeat: bool) -> Result<Self, OpenError> {
        let older = owned.reclaim()?;
        let heartbeat = heartbeat.then(|| Heartbeat::of_producer(owned.role.owner().clone()));
        Ok(OwnerHandle {
            heartbeat,
            process: Process::current(),
            owned,
            older,
            asleep_for_good: Vec::new(),
            vain_rings: 0,
            looked: Instant::now(),
            abandoned: false,
        })
    }

    /// The pattern's own words.
    #[inline(always)]
    pub(crate) fn role(&self) -> &R {
        &self.owned.role
    }

    /// The pattern's own words.
    #[inline(always)]
    pub(crate) fn role_mut(&mut self) -> &mut R {
        &mut self.owned.role
    }

    #[inline(always)]
    pub(crate) fn owner(&self) -> &Region<Writable> {
        self.owned.role.owner()
    }

    #[inline(always)]
    pub(crate) fn peers(&self) -> &Region<ReadOnly> {
        self.owned.role.peers()
    }

    /// Whether this is the process that opened the handle, and not a fork of it.
    #[inline(always)]
    pub(crate) fn is_ours(&self) -> bool {
        self.process.is_this()
    }

    /// The handle belongs to the process that opened it.
    #[inline(always)]
    pub(crate) fn check_process(&self) -> Result<(), SendError> {
        if self.process.is_this() {
            Ok(())
        } else {
            Err(self.forked())
        }
    }

    /// After a commit: wakes who sleeps.
    #[inline(always)]
    pub(crate) fn wake_sleepers(&mut self) {
        let seats = self.owned.header.seat_count;
        let asleep = park::sleepers(self.owner(), self.peers(), seats);
        if asleep != 0 {
            self.ring(asleep);
        }
    }

    /// A peer that was killed asleep leaves its parked word set, and every commit would ring for it. So
    /// after some rings that woke nobody, its lock is looked at; a dead one's word is not looked at again
    /// until the seat has another holder.
    #[cold]
    #[inline(never)]
    fn ring(&mut self, mut asleep: u64) {
        for &(seat, state) in &self.asleep_for_good {
            if self.owned.seat_state(seat) == state {
                asleep &= !(1 << seat);
            }
        }
        if asleep == 0 {
            return;
        }
        if park::ring_for_peers(self.owner()) > 0 {
            self.vain_rings = 0;
            return;
        }
        self.vain_rings += 1;
        if self.vain_rings == VAIN_RINGS {
            self.vain_rings = 0;
            self.asleep_for_good = self.owned.dead_sleepers();
        }
    }

    /// When [`Self::look_at_channel`] was called last.
    pub(crate) fn looked(&self) -> Instant {
        self.looked
    }

    /// Is the channel still there, and still as we wrote it?
    pub(crate) fn look_at_channel(&mut self) -> Result<(), SendError> {
        self.looked = Instant::now();
        let channel = || self.channel().to_owned();
        match self.owned.stands() {
            Ok(Some(())) => Ok(()),
            Ok(None) => {
                self.note(LastError::Deleted);
                Err(SendError::Deleted { channel: channel() })
            }
            Err(lie) => {
                self.note(LastError::Damaged);
                Err(SendError::Damaged {
                    channel: channel(),
                    lie,
                })
            }
        }
    }

    /// Removes older generations that nobody needs any more.
    pub(crate) fn reclaim(&mut self) {
        if self.older {
            // What cannot be looked at now is kept, and counted as before.
            self.older = self.owned.reclaim().unwrap_or(true);
        }
    }

    /// Notes what went wrong, for whoever looks from outside.
    pub(crate) fn note(&self, error: LastError) {
        self.owner().store(owner::LAST_ERROR, error as u64, Relaxed);
    }

    /// Dropping the handle leaves the channel as a death would.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
    }

    pub(crate) fn channel(&self) -> &str {
        self.owned.channel.name()
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn forked(&self) -> SendError {
        SendError::Forked {
            channel: self.channel().to_owned(),
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn too_large(&self, len: usize, max: usize) -> SendError {
        self.note(LastError::TooLarge);
        SendError::TooLarge {
            channel: self.channel().to_owned(),
            len,
            max,
        }
    }
}

impl<R: OwnerRole> Drop for OwnerHandle<R> {
    fn drop(&mut self) {
        if !self.process.is_this() {
            return;
        }
        // The stamping stops before the channel is another's.
        self.heartbeat = None;
        if !self.abandoned && !std::thread::panicking() {
            self.owned.close();
        }
    }
}
