//! Owning a channel: create it, adopt what a dead owner left, close it, hand it on.
//!
//! Exactly one process owns a channel: the one that holds byte 0 of its lock file, while the file still has
//! its name. Everything below happens under that lock, so there are no races between creators.

mod growth;
mod mismatch;
mod older;
mod opening;

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::directory::ChannelDirectory;
use super::generation::{Base, Wanted};
use super::liveness::{FILES, GenerationLocks, lock_patiently, seat_byte};
use super::segment::Header;
use super::{removal, root};
use crate::layout::header::{self, FLAG_CONFIDENTIAL, FLAG_KEEP, Pattern, State};
use crate::layout::root::CURRENT;
use crate::layout::{peers, seat};
use crate::memory::{ReadOnly, Region, Shared, Writable};
use crate::os::LockFile;
use crate::protocol::growth::{Later, Older};
use crate::protocol::{self, Lie, park};

pub(super) use mismatch::{broken, expect_pattern};
pub(crate) use mismatch::{check_readers, mismatch};
pub(crate) use opening::{claim, open};

/// What a pattern brings to owning a channel: the words that its owner alone writes.
pub(crate) trait OwnerRole: Sized {
    const PATTERN: Pattern;

    /// The owner of a fresh generation, not yet published.
    fn create(
        owner: Region<Writable>,
        peers: Region<ReadOnly>,
        header: &Header,
        wanted: &Wanted,
    ) -> Self;

    /// Takes over what a dead owner left.
    fn adopt(
        owner: Region<Writable>,
        peers: Region<ReadOnly>,
        header: &Header,
    ) -> Result<Self, Lie>;

    fn owner(&self) -> &Region<Writable>;
    fn peers(&self) -> &Region<ReadOnly>;

    /// Where a generation after this one would begin.
    fn base(&self) -> Base;

    /// In what this generation falls short of what is wanted, beyond what its header says: option, wanted, found.
    fn shortcoming(&self, _wanted: &Wanted) -> Option<(&'static str, u64, u64)> {
        None
    }

    /// Evicts what is dead among seats, given by one bit each, so that it keeps nothing from the owner.
    fn evict_dead(&mut self, _locks: &GenerationLocks<'_>, _seats: u64) {}

    /// The same for all seats of a generation that is over.
    fn evict_left_behind(
        &mut self,
        locks: &GenerationLocks<'_>,
        _later: &Later<'_, Region<ReadOnly>>,
    ) {
        self.evict_dead(locks, u64::MAX);
    }

    /// What goes over into a generation that replaces `old` while nobody had closed that; by then nobody looks
    /// at this one yet.
    fn inherit(&mut self, _old: &Self) {}

    /// Something lies here that only its owner takes out: it must not be given up for a new generation.
    fn is_laden(&mut self) -> bool {
        false
    }

    /// Where the generation after this one would begin if the owner goes on in it itself, and its records are of the
    /// same schema: then [`Self::inherit`] follows.
    fn base_of_growth(&self) -> Base {
        self.base()
    }

    /// What goes over into a generation in which the owner itself goes on, whatever its records are.
    fn succeed(&mut self, _before: &Self) {}

    /// The generations before this one that somebody may still come from, oldest first: the pattern keeps them, counts
    /// who sits there, and receives what lies there. `None` where peers are not carried over.
    fn older(&mut self) -> Option<&mut Vec<Older<Self>>> {
        None
    }

    /// The same, to look at.
    fn kept(&self) -> &[Older<Self>] {
        &[]
    }

    /// Whether peers of older generations, or what lies there, come into this one.
    fn follows_older(&mut self) -> bool {
        self.older().is_some()
    }

    /// Takes those generations over.
    fn keep(&mut self, older: Vec<Older<Self>>) {
        if let Some(kept) = self.older() {
            *kept = older;
        }
    }

    /// A page of this generation, or of one before it that is kept, that was accessed and is gone.
    fn lost_page(&self) -> Option<u64> {
        let older = self.kept().iter().map(|older| &older.role);
        std::iter::once(self).chain(older).find_map(|role| {
            role.owner()
                .lost_page()
                .or_else(|| role.peers().lost_page())
        })
    }

    /// Whether the owner itself still needs the generations before this one.
    fn needs_older(&self) -> bool {
        false
    }
}

/// Whether what an owner wrote about its channel still stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Ours,
    /// The channel was removed by force.
    Deleted,
    /// Another owner has taken office.
    Superseded,
}

/// An owned channel.
#[derive(Debug)]
pub(crate) struct Owned<R> {
    pub(crate) channel: ChannelDirectory,
    pub(crate) lock: LockFile,
    root: Region<Writable>,
    pub(crate) header: Header,
    pub(crate) role: R,
    /// A dead owner's generation was taken over.
    pub(crate) adopted: bool,
    pub(crate) epoch: u64,
    oldest: u64,
}

impl<R: OwnerRole> Owned<R> {
    /// Whether what this owner wrote about the channel still stands. No peer could join what does not say that it is
    /// ready.
    pub(crate) fn stands(&self) -> Result<Standing, Lie> {
        if root::state(&self.root) == State::DELETED {
            return Ok(Standing::Deleted);
        }
        if self.is_superseded() {
            return Ok(Standing::Superseded);
        }
        let owner = self.role.owner();
        let state = u64::from(owner.load32(header::STATE, Relaxed));
        let magic = owner.load(header::MAGIC, Relaxed);
        for (word, place, found, written) in [
            ("state", header::STATE, state, State::READY.0.into()),
            ("magic", header::MAGIC, magic, header::MAGIC_VALUE),
            (
                "root's state",
                header::STATE,
                root::state(&self.root).0.into(),
                State::READY.0.into(),
            ),
        ] {
            if found != written {
                return Err(Lie {
                    word,
                    place,
                    expected: "what its owner wrote",
                    found,
                });
            }
        }
        Ok(Standing::Ours)
    }

    /// Whether another owner has taken office: in this generation, or by making the next one. While we hold the lock
    /// that is a lock file which somebody replaced.
    fn is_superseded(&self) -> bool {
        self.role.owner().load(header::OWNER_EPOCH, Acquire) != self.epoch
            || self.root.load(CURRENT, Acquire) != self.header.generation
    }

    /// A page that was accessed and is gone, of any segment.
    pub(crate) fn lost_page(&self) -> Option<u64> {
        self.role.lost_page().or_else(|| self.root.lost_page())
    }

    /// The state word of a seat.
    pub(crate) fn seat_state(&self, seat: u32) -> u64 {
        let at = peers::seat_at(seat) + seat::STATE;
        self.role.peers().load(at, Acquire)
    }

    /// Seats whose parked word is set and whose holder is dead, with the dead holder's state word.
    pub(crate) fn dead_sleepers(&self) -> Vec<(u32, u64)> {
        let peers = self.role.peers();
        (0..self.header.seat_count)
            .filter(|&seat| peers.load32(peers::parked(seat), Relaxed) != 0)
            .filter(|&seat| {
                let byte = seat_byte(self.header.generation, seat);
                matches!(self.lock.is_locked(byte), Ok(false))
            })
            .map(|seat| (seat, self.seat_state(seat)))
            .collect()
    }

    /// What is confidential is overwritten where the channel was removed while this owner had it: its remover has
    /// overwritten what was there then.
    pub(crate) fn wipe_if_removed(&self) {
        if self.header.flags & FLAG_CONFIDENTIAL != 0 && root::state(&self.root) == State::DELETED {
            self.role.owner().wipe(header::SIZE);
        }
    }

    /// The clean end of the stream. The channel goes if nobody needs it and it is not to be kept.
    pub(crate) fn close(&mut self) {
        if self.is_superseded() {
            // Not ours to end.
            return;
        }
        let (owner, position) = (self.role.owner(), self.role.base().position);
        protocol::growth::close(&self.root, owner, self.header.generation, position);
        park::ring_for_peers(owner);
        root::ring(&self.root);
        if self.header.flags & FLAG_KEEP == 0 {
            // What cannot be removed now, the last consumer or `partywall clean` removes.
            self.with_files(|owned| drop(removal::remove_if_unused(&owned.channel, &owned.lock)));
        }
    }

    /// Does something with the names of the channel's files; `None` if they are not ours any more, or are just being
    /// removed by force.
    fn with_files<T>(&self, act: impl FnOnce(&Self) -> T) -> Option<T> {
        if !matches!(lock_patiently(&self.lock, FILES), Ok(true)) {
            return None;
        }
        let done = self.channel.still_named(&self.lock).then(|| act(self));
        let _ = self.lock.unlock(FILES);
        done
    }
}
