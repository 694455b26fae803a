//! A lock that is held.

use std::ops::Deref;

use super::Record;
use super::record::owner_died;
use crate::error::{LockError, SendError};
use crate::memory::{Region, Writable};
use crate::os;
use crate::protocol::guarded::Held;
use crate::protocol::park;

/// A locked record, and how it was left.
#[derive(Debug)]
#[must_use = "dropping it unlocks the record, and gives it up if its owner had died"]
pub enum Lock<G> {
    /// The holder before let go of it in an orderly way.
    Clean(G),
    /// The holder before died. The value is the last one that was committed; whatever it was editing is gone. Until
    /// somebody calls the record consistent this stays news; a guard that is dropped without that gives the
    /// record up: everybody then gets [`LockError::NotRecoverable`], until somebody repairs it.
    OwnerDied(G),
}

/// A guard that can call its record consistent: a [`Guard`], or a [`TypedGuard`](super::TypedGuard).
pub trait Consistent {
    /// Says that the value is as it should be, whatever befell the holders before. Needs no commit.
    fn mark_consistent(&mut self);
}

impl Consistent for Guard<'_> {
    fn mark_consistent(&mut self) {
        Guard::mark_consistent(self);
    }
}

impl<G: Consistent> Lock<G> {
    /// The guard, with the record called consistent: for records whose every committed value will do, since a value
    /// is committed whole or not at all.
    #[must_use]
    pub fn consistent(self) -> G {
        let mut guard = self.into_guard();
        guard.mark_consistent();
        guard
    }
}

impl<G> Lock<G> {
    /// The guard, whatever it is.
    #[must_use]
    pub fn into_guard(self) -> G {
        match self {
            Lock::Clean(guard) | Lock::OwnerDied(guard) => guard,
        }
    }

    /// Whether the holder before died.
    #[must_use]
    pub fn owner_died(&self) -> bool {
        matches!(self, Lock::OwnerDied(_))
    }
}

/// The lock of a record, and a copy of its value to edit. Dropping it unlocks; what was not committed is as though it
/// had never been. A guard that is dropped by a panic looks like a death, as it should.
#[derive(Debug)]
pub struct Guard<'a> {
    record: &'a mut Record,
    /// `None` once it was given back.
    held: Option<Held<Region<Writable>>>,
    value: Vec<u8>,
    kind: u16,
    /// Nobody can judge a value that cannot be read, and so it is never left as though all were well.
    unreadable: bool,
    /// It was locked while its thread panicked already, by a destructor: then that panic is no death.
    panicking: bool,
}

impl<'a> Guard<'a> {
    pub(super) fn begin(
        record: &'a mut Record,
        held: Held<Region<Writable>>,
        repairing: bool,
    ) -> Result<Lock<Guard<'a>>, LockError> {
        let died = owner_died(held.found());
        let mut value = Vec::new();
        let read = held.read(&mut value);
        let mut guard = Guard {
            record,
            held: Some(held),
            value,
            kind: 0,
            unreadable: false,
            panicking: std::thread::panicking(),
        };
        if let Err(error) = guard.record.check_pages() {
            guard.held = None;
            return Err(error);
        }
        match read {
            Ok(meta) => guard.kind = meta.map_or(0, |meta| meta.kind),
            Err(_) if repairing => {
                guard.value.clear();
                guard.unreadable = true;
            }
            Err(lie) => {
                // The value cannot be believed. Whoever is next is told of a death, whatever was found.
                guard.held = None;
                let channel = guard.record.channel().to_owned();
                return Err(LockError::Damaged { channel, lie });
            }
        }
        Ok(if died {
            Lock::OwnerDied(guard)
        } else {
            Lock::Clean(guard)
        })
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.record.channel()
    }

    /// The copy of the value; empty before the first commit.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The copy of the value, to be edited. Nobody sees it before it is committed.
    #[must_use]
    pub fn value_mut(&mut self) -> &mut Vec<u8> {
        &mut self.value
    }

    /// The application's own number of the value.
    #[must_use]
    pub fn kind(&self) -> u16 {
        self.kind
    }

    /// Changes that number, with the next commit.
    pub fn set_kind(&mut self, kind: u16) {
        self.kind = kind;
    }

    /// The sequence of the committed value; 0 before the first.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.held.as_ref().map_or(0, |held| held.slots().version())
    }

    /// Makes the copy the value, by one store, and gives its sequence. Commits as often as one likes.
    ///
    /// # Errors
    /// [`SendError::TooLarge`]; [`SendError::Deleted`] if the channel was removed meanwhile;
    /// [`SendError::Damaged`] if its file was cut short; [`SendError::Forked`].
    pub fn commit(&mut self) -> Result<u64, SendError> {
        let channel = |record: &Record| record.channel().to_owned();
        if !self.record.handle.is_ours() {
            return Err(SendError::Forked {
                channel: channel(self.record),
            });
        }
        let (len, max) = (self.value.len(), self.record.max_value());
        if len > max {
            let channel = channel(self.record);
            return Err(SendError::TooLarge { channel, len, max });
        }
        let there = self.record.handle.state();
        if let Err(LockError::Damaged { channel, lie }) = self.record.check_pages() {
            return Err(SendError::Damaged { channel, lie });
        }
        let (Some(held), Ok(_)) = (&mut self.held, there) else {
            return Err(SendError::Deleted {
                channel: channel(self.record),
            });
        };
        let time_ns = if self.record.time_stamps {
            os::boottime_ns()
        } else {
            0
        };
        if let Err(lie) = held.slots().expect_more() {
            let channel = channel(self.record);
            return Err(SendError::Damaged { channel, lie });
        }
        held.commit(&self.value, self.kind, time_ns);
        let sequence = held.slots().version();
        self.unreadable = false;
        let owner = &self.record.owner;
        if let Some(seated) = self.record.handle.seat() {
            let seats = self.record.handle.header().seat_count;
            if park::sleepers(owner, &seated.peers, seats) != 0 {
                park::ring_for_peers(owner);
            }
        }
        match self.record.check_pages() {
            Err(LockError::Damaged { channel, lie }) => Err(SendError::Damaged { channel, lie }),
            _ => Ok(sequence),
        }
    }

    /// Says that the value is as it should be, whatever befell the holders before. Needs no commit.
    pub fn mark_consistent(&mut self) {
        if let Some(held) = &mut self.held
            && self.record.handle.is_ours()
        {
            held.mark_consistent();
        }
    }

    /// Whether nobody died before, or somebody called the record consistent since, and its value can be read.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        !self.unreadable && self.held.as_ref().is_some_and(Held::settled)
    }

    /// Unlocks, and leaves to the next holder what this one was told: that one before died, or that the record is not
    /// recoverable. For a holder that cannot judge the value. If nobody died it just unlocks.
    pub fn leave_news(mut self) {
        if !self.is_consistent() {
            self.held = None;
        }
    }
}

impl Deref for Guard<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.value
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // In a forked child the lock is the parent's.
        if !self.record.handle.is_ours() {
            return;
        }
        // After a removal by force nobody needs to be told anything.
        match self.held.take() {
            Some(_) if self.unreadable => {}
            Some(held) if self.panicking || !std::thread::panicking() => held.release(),
            _ => {}
        }
        self.record.unlock();
    }
}
