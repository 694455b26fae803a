//! Liveness is a kernel lock, and nothing else: bytes of the channel's lock file.
//!
//! Byte 0 is the owner's. Byte 1 is held over "search a durable consumer's name and claim a seat". Byte 2 is held
//! while files of the channel get names or lose them: a removal by force does not have byte 0. The byte of seat s in
//! generation g is `256 * g + s`.

use std::io;
use std::time::{Duration, Instant};

use crate::os::{FileIdentity, LockFile, LockView};
use crate::protocol::SeatLocks;

/// The owner's byte.
pub(crate) const OWNER: u64 = 0;
/// Held while a durable consumer's seat is looked for and claimed.
pub(crate) const NAMES: u64 = 1;

/// Held, as the last, while files of the channel get names or lose them.
pub(crate) const FILES: u64 = 2;

/// How long a claimant tries: whoever evicts, removes or claims holds a byte for moments only.
const PATIENCE: Duration = Duration::from_millis(50);

/// Between two tries.
const PAUSE: Duration = Duration::from_micros(200);

/// How often a claimant tries at least, which a slow machine does not come to in [`PATIENCE`].
const TRIES: u32 = 100;

/// The tries of a claimant who cannot tell who holds the bytes that it needs for moments from who is there to stay.
#[derive(Debug)]
pub(crate) struct Tries {
    end: Instant,
    left: u32,
}

impl Tries {
    pub(crate) fn begin() -> Self {
        Self::of(PATIENCE, TRIES)
    }

    /// For so long, and so often at least.
    pub(crate) fn of(patience: Duration, least: u32) -> Self {
        Tries {
            end: Instant::now() + patience,
            left: least,
        }
    }

    /// Sleeps until it is time for the next one; `false` if there is none.
    pub(crate) fn pause(&mut self) -> bool {
        if self.left == 0 && Instant::now() >= self.end {
            return false;
        }
        self.left = self.left.saturating_sub(1);
        std::thread::sleep(PAUSE);
        true
    }
}

/// The byte of a seat.
pub(crate) fn seat_byte(generation: u64, seat: u32) -> u64 {
    generation
        .wrapping_mul(256)
        .wrapping_add(u64::from(seat))
        // Offsets of locks are signed. No generation that a root may name comes so far.
        & (i64::MAX as u64)
}

/// Locks a byte that others hold only for moments, unless its holder is there to stay.
pub(crate) fn lock_patiently(lock: &LockFile, byte: u64) -> io::Result<bool> {
    let mut tries = Tries::begin();
    while !lock.try_lock(byte)? {
        // Only looked at while it is held, so that it is tried a number of times that does not depend on the clock.
        loop {
            if !tries.pause() {
                return Ok(false);
            }
            if !lock.is_locked(byte)? {
                break;
            }
        }
    }
    Ok(true)
}

/// How somebody learns who holds a byte.
#[derive(Debug)]
pub(crate) enum Witness {
    /// By the lock file itself, which can be locked, too.
    Lock(LockFile),
    /// From outside: the lock file is another user's, who lets us read the channel and no more. A lock that we could
    /// take, for reading even, would keep its owner out.
    View(LockView),
}

impl Witness {
    /// Whether somebody *else* holds a byte.
    ///
    /// # Errors
    /// Where the system does not tell; that is no proof of death.
    pub(crate) fn is_locked(&self, byte: u64) -> io::Result<bool> {
        match self {
            Witness::Lock(lock) => lock.is_locked(byte),
            Witness::View(view) => view.is_locked(byte),
        }
    }

    /// Which file the locks lie in.
    pub(crate) fn identity(&self) -> io::Result<FileIdentity> {
        match self {
            Witness::Lock(lock) => lock.identity(),
            Witness::View(view) => Ok(view.identity()),
        }
    }

    /// The lock file, if it may be locked.
    pub(crate) fn lock(&self) -> Option<&LockFile> {
        match self {
            Witness::Lock(lock) => Some(lock),
            Witness::View(_) => None,
        }
    }
}

/// The locks of one generation's seats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GenerationLocks<'a> {
    pub(crate) lock: &'a LockFile,
    pub(crate) generation: u64,
}

impl SeatLocks for GenerationLocks<'_> {
    fn try_lock(&self, seat: u32) -> bool {
        // An error is no proof of death: nobody is evicted for it.
        self.lock
            .try_lock(seat_byte(self.generation, seat))
            .unwrap_or(false)
    }

    fn unlock(&self, seat: u32) {
        let _ = self.lock.unlock(seat_byte(self.generation, seat));
    }
}
