//! The owner's part of a handle: it stamps signs of life, wakes sleepers, notices that the channel was removed
//! or scribbled over, and closes it at the end.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::channel::directory::owner_file;
use crate::channel::generation::Wanted;
use crate::channel::heartbeat::Heartbeat;
use crate::channel::liveness::GenerationLocks;
use crate::channel::owner::{Owned, OwnerRole, Standing};
use crate::error::{GrowError, OpenError, SendError};
use crate::layout::last_error::LastError;
use crate::layout::owner;
use crate::memory::{ReadOnly, Region, SharedMut, Writable};
use crate::os::{self, Process};
use crate::protocol::{Lie, park};
use crate::wait::{SLICE, Step, StopToken, WaitStrategy, Waiter};

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
    looked_ms: u64,
    /// When older generations were looked at after a commit.
    reclaimed_ms: u64,
    /// When seats' locks were probed last.
    probed: Option<Instant>,
    abandoned: bool,
}

/// How an owner waits for its peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting<'a> {
    pub(crate) strategy: WaitStrategy,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stop: Option<&'a StopToken>,
    /// For what, in a message.
    pub(crate) awaited: &'static str,
}

impl<R: OwnerRole> OwnerHandle<R> {
    pub(crate) fn new(mut owned: Owned<R>, heartbeat: bool) -> Result<Self, OpenError> {
        let older = owned.reclaim()?;
        if let Some(at) = owned.lost_page() {
            return Err(OpenError::Damaged {
                channel: owned.channel.name().to_owned(),
                file: owner_file(owned.header.generation),
                lie: Lie::lost_page(at),
            });
        }
        let heartbeat = heartbeat.then(|| Heartbeat::of_producer(owned.role.owner().clone()));
        Ok(OwnerHandle {
            heartbeat,
            process: Process::current(),
            owned,
            older,
            asleep_for_good: Vec::new(),
            vain_rings: 0,
            looked_ms: os::coarse_ms(),
            reclaimed_ms: os::coarse_ms(),
            probed: None,
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
        if !self.process.is_this() {
            return Err(self.forked());
        }
        self.check_pages()
    }

    /// Whether everything was there that was accessed so far. Asked again behind what gives something to the caller, or
    /// tells it that something was done.
    #[inline(always)]
    pub(crate) fn check_pages(&self) -> Result<(), SendError> {
        if os::pages_lost() {
            self.look_for_lost_pages()
        } else {
            Ok(())
        }
    }

    #[cold]
    #[inline(never)]
    fn look_for_lost_pages(&self) -> Result<(), SendError> {
        match self.owned.lost_page() {
            None => Ok(()),
            Some(at) => {
                self.note(LastError::Damaged);
                Err(SendError::Damaged {
                    channel: self.channel().to_owned(),
                    lie: Lie::lost_page(at),
                })
            }
        }
    }

    /// After a commit: wakes who sleeps.
    #[inline(always)]
    pub(crate) fn wake_sleepers(&mut self) {
        if self.older {
            self.reclaim_once_a_slice();
        }
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

    /// Once a slice, by a clock that costs next to nothing: is the channel still there, and is older memory of it
    /// needed still?
    #[inline]
    pub(crate) fn look_at_channel_once_a_slice(&mut self) -> Result<(), SendError> {
        let passed = os::coarse_ms().wrapping_sub(self.looked_ms);
        if passed < SLICE.as_millis() as u64 {
            return Ok(());
        }
        self.look_at_channel()?;
        self.reclaim();
        Ok(())
    }

    /// Is the channel still there, and still as we wrote it?
    pub(crate) fn look_at_channel(&mut self) -> Result<(), SendError> {
        self.looked_ms = os::coarse_ms();
        let stands = self.owned.stands();
        // Zeros in the place of what is gone look like another's words.
        self.check_pages()?;
        let channel = || self.channel().to_owned();
        match stands {
            Ok(Standing::Ours) => Ok(()),
            Ok(Standing::Deleted) => {
                self.note(LastError::Deleted);
                Err(SendError::Deleted { channel: channel() })
            }
            // Not even the error is noted: the words are another's.
            Ok(Standing::Superseded) => Err(SendError::Superseded { channel: channel() }),
            Err(lie) => {
                self.note(LastError::Damaged);
                Err(SendError::Damaged {
                    channel: channel(),
                    lie,
                })
            }
        }
    }

    /// Goes on in a new generation, like the one that is there but for what `change` does to it. Peers come over by
    /// themselves, and the memory of the old one goes when the last of them has.
    ///
    /// # Errors
    /// Nothing was changed then.
    pub(crate) fn grow(&mut self, change: impl FnOnce(&mut Wanted)) -> Result<(), GrowError> {
        self.check_process()?;
        self.expect_to_be_named()?;
        let mut wanted = self.owned.as_it_is()?;
        change(&mut wanted);
        let grown = self.owned.grow(&wanted);
        if grown.is_err() {
            self.check_pages()?;
            // It may have been taken away meanwhile.
            self.expect_to_be_named()?;
        }
        grown?;
        if self.heartbeat.take().is_some() {
            self.heartbeat = Some(Heartbeat::of_producer(self.owner().clone()));
        }
        // Who slept in the old generation was woken.
        self.asleep_for_good.clear();
        self.vain_rings = 0;
        self.probed = None;
        self.older = true;
        self.reclaim();
        Ok(())
    }

    /// The oldest generation that is still in use, if that is not the current one.
    pub(crate) fn unfinished(&mut self) -> Option<u64> {
        self.reclaim();
        let oldest = self.owned.oldest();
        (oldest != self.owned.header.generation).then_some(oldest)
    }

    /// Is the channel still there, under its name?
    fn expect_to_be_named(&mut self) -> Result<(), SendError> {
        self.look_at_channel()?;
        match self.owned.channel.still_named(&self.owned.lock) {
            true => Ok(()),
            false => Err(self.superseded()),
        }
    }

    #[cold]
    fn superseded(&self) -> SendError {
        SendError::Superseded {
            channel: self.channel().to_owned(),
        }
    }

    /// Evicts what is dead among seats, given by one bit each.
    pub(crate) fn evict_dead(&mut self, seats: u64) {
        self.probed = Some(Instant::now());
        let locks = GenerationLocks {
            lock: &self.owned.lock,
            generation: self.owned.header.generation,
        };
        self.owned.role.evict_dead(&locks, seats);
        // Whoever is in the way may be in an older generation still.
        self.reclaim();
    }

    /// The same, but not for every call: a look at locks is a system call. Whether it was done.
    pub(crate) fn evict_dead_once_a_slice(&mut self, seats: u64) -> bool {
        let due = self.probed.is_none_or(|probed| probed.elapsed() >= SLICE);
        if due {
            self.evict_dead(seats);
        }
        due
    }

    /// Waits until `look` finds something. What it gives else are the seats that are in the way, one bit each; with
    /// none of them everybody who comes is waited for. A page that was found gone meanwhile is told before anything else
    /// that ends the wait.
    pub(crate) fn wait<T>(
        &mut self,
        waiting: &Waiting<'_>,
        look: &mut impl FnMut(&mut Self) -> Result<T, u64>,
    ) -> Result<T, SendError> {
        let waited = self.wait_for(waiting, look);
        if waited.is_err() {
            self.check_pages()?;
        }
        waited
    }

    fn wait_for<T>(
        &mut self,
        waiting: &Waiting<'_>,
        look: &mut impl FnMut(&mut Self) -> Result<T, u64>,
    ) -> Result<T, SendError> {
        let mut in_the_way = match look(self) {
            Ok(found) => return Ok(found),
            Err(seats) => seats,
        };
        let mut waiter = Waiter::new(waiting.strategy, waiting.timeout, waiting.stop);
        loop {
            match waiter.step() {
                Step::Spin => {}
                Step::LookAround => {
                    self.look_at_channel()?;
                    self.evict_dead(in_the_way);
                }
                Step::Park(longest) => {
                    if let Some(found) = self.park(in_the_way, longest, look) {
                        return Ok(found);
                    }
                }
                Step::TimedOut => {
                    self.note(LastError::TimedOut);
                    return Err(SendError::TimedOut {
                        channel: self.channel().to_owned(),
                        waited: waiter.waited(),
                        awaited: waiting.awaited,
                    });
                }
                Step::Stopped => {
                    return Err(SendError::Stopped {
                        channel: self.channel().to_owned(),
                    });
                }
            }
            match look(self) {
                Ok(found) => return Ok(found),
                Err(seats) => in_the_way = seats,
            }
        }
    }

    /// Sleeps until one of the seats rings, unless there is something already.
    fn park<T>(
        &mut self,
        in_the_way: u64,
        longest: Duration,
        look: &mut impl FnMut(&mut Self) -> Result<T, u64>,
    ) -> Option<T> {
        let (owner, peers) = (self.owner().clone(), self.peers().clone());
        // Who is in the way rings when it goes; with nobody there, who comes rings.
        let all = u64::MAX >> (64 - self.owned.header.seat_count);
        let seats = if in_the_way == 0 { all } else { in_the_way };
        let seats = (0..64).filter(|seat| seats >> seat & 1 != 0);
        let mut found = None;
        park::park_owner(
            &owner,
            &peers,
            seats,
            || {
                found = look(self).ok();
                found.is_some()
            },
            |bells| {
                let words: Vec<_> = bells
                    .iter()
                    .map(|&(at, value)| (&peers, at, value))
                    .collect();
                Region::sleep_any(&words, longest);
            },
        );
        found
    }

    /// The last one may have come over; but a look at locks is a system call.
    #[cold]
    #[inline(never)]
    fn reclaim_once_a_slice(&mut self) {
        let now = os::coarse_ms();
        if now.wrapping_sub(self.reclaimed_ms) >= SLICE.as_millis() as u64 {
            self.reclaimed_ms = now;
            self.reclaim();
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
        self.owned.wipe_if_removed();
    }
}
