//! The generations before the current one: taken over from a dead owner, and removed once nobody needs them.

use std::sync::atomic::Ordering::Relaxed;

use super::growth::carry_losses;
use super::opening::adopt;
use super::{Owned, OwnerRole};
use crate::channel::directory::{UNFINISHED, owner_file, peers_file};
use crate::channel::generation;
use crate::channel::liveness::GenerationLocks;
use crate::channel::segment::{self, Opened};
use crate::channel::{removal, root, schema};
use crate::error::OpenError;
use crate::layout::MAX_SEATS;
use crate::layout::header::{self, Phase, Side, State};
use crate::memory::{ReadOnly, Region, Shared};
use crate::protocol::growth::{self, Later, Older};
use crate::protocol::park;
use crate::record::Schema;

impl<R: OwnerRole> Owned<R> {
    /// Takes over the older generations of a dead owner, as far as somebody may still come from there.
    ///
    /// # Errors
    /// If one of them cannot be looked at: then it may be needed. One that is damaged is given up, and those who sit
    /// there are told.
    pub(super) fn open_older(&mut self) -> Result<(), OpenError> {
        if !self.role.follows_older() {
            return Ok(());
        }
        let mut older = Vec::new();
        let mut closed = self.header.state == State::CLOSED;
        for number in (self.oldest..self.header.generation).rev() {
            let name = owner_file(number);
            if matches!(
                segment::open_read_only(&self.channel, &name, Side::Owner)?,
                Opened::Missing | Opened::Initializing | Opened::Vanished
            ) {
                // Its remover died between the root and the names.
                continue;
            }
            let (header, owner, peers) =
                generation::open_for_owner(&self.channel, number, self.header.instance)?;
            closed |= header.state == State::CLOSED;
            if header.state.phase() != Some(Phase::Retired) {
                continue;
            }
            if let Ok(role) = adopt::<R>(self.channel.name(), &header, owner, peers) {
                older.push(Older {
                    generation: number,
                    role,
                    durable_only: closed,
                });
            }
        }
        older.reverse();
        self.role.keep(older);
        Ok(())
    }

    /// A predecessor that died between advancing the root and retiring the old generation left its
    /// consumers waiting for ever: its successor retires it.
    pub(super) fn finish_retiring(&self) {
        for number in self.oldest..self.header.generation {
            let instance = self.header.instance;
            if let Ok((header, owner, _)) =
                generation::open_for_owner(&self.channel, number, instance)
                && header.state == State::READY
                && growth::retire(&owner)
            {
                park::ring_for_peers(&owner);
            }
        }
    }

    /// Files that a dead creator did not finish, of a generation that it did not come to use, or of one that it was about
    /// to remove. Only the holder of the owner lock makes and removes such.
    pub(super) fn remove_unfinished(&self) {
        for name in self.channel.files().names().unwrap_or_default() {
            let unused = name
                .split_once('.')
                .filter(|(_, side)| matches!(*side, "owner" | "peers"))
                .and_then(|(number, _)| number.parse::<u64>().ok())
                .is_some_and(|number| !(self.oldest..=self.header.generation).contains(&number));
            if unused || name.ends_with(UNFINISHED) {
                let _ = self.channel.files().remove_file(&name);
            }
        }
    }

    /// Evicts who died in an older generation, and removes those that nobody needs, strictly oldest first. Returns
    /// whether any are left.
    ///
    /// # Errors
    /// If one of them cannot be looked at: then it may be needed, and is kept, and so are those after it.
    pub(crate) fn reclaim(&mut self) -> Result<bool, OpenError> {
        let mut records = self.role.base().records;
        // No seat count shrinks: what is a seat in an older one is one in each of these.
        let mut peers = vec![self.role.peers().clone()];
        for older in self.role.older().into_iter().flatten().rev() {
            let role = &mut older.role;
            if State(role.owner().load32(header::STATE, Relaxed)) == State::CLOSED {
                // Behind a close, only durable ones would have read more, and they are not evicted. Who has the same
                // seat there is somebody else.
                records = role.base().records;
                peers.clear();
            }
            let locks = GenerationLocks {
                lock: &self.lock,
                generation: older.generation,
            };
            let later = Later {
                records,
                peers: &peers,
            };
            role.evict_left_behind(&locks, &later);
            peers.push(role.peers().clone());
        }
        while self.oldest < self.header.generation {
            let number = self.oldest;
            if self.is_needed(number)? {
                break;
            }
            // After a removal by force, the names may be another's.
            self.keep_losses(number);
            let removed = self.with_files(|owned| {
                root::advance_oldest(&owned.root, number + 1);
                owned.remove_generation(number);
            });
            if removed.is_none() {
                break;
            }
            self.oldest = number + 1;
            if let Some(older) = self.role.older() {
                older.retain(|before| before.generation != number);
            }
        }
        Ok(self.oldest < self.header.generation)
    }

    /// Nobody sits in a generation any more, and its memory is about to go: what its seats have lost is final now.
    fn keep_losses(&mut self, number: u64) {
        let next = number.wrapping_add(1);
        let current = self.role.owner().clone();
        let current = (next == self.header.generation).then_some(current);
        let Some(older) = self.role.older() else {
            return;
        };
        let of = |number| older.iter().find(|before| before.generation == number);
        let next = current.or_else(|| of(next).map(|next| next.role.owner().clone()));
        if let (Some(old), Some(next)) = (of(number), next) {
            carry_losses(&old.role, &next);
        }
    }

    /// Refuses an older generation whose records are not those that are wanted.
    pub(crate) fn expect_older(&self, number: u64, wanted: &Schema) -> Result<(), OpenError> {
        let instance = self.header.instance;
        let (header, owner, _) = generation::open_for_reading(&self.channel, number, instance)?;
        schema::expect(&self.channel, &header, &owner, Some(wanted))
    }

    /// The oldest generation that is kept.
    pub(crate) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Whether a seat of an older generation is claimed, or the owner is not done with it.
    fn is_needed(&mut self, number: u64) -> Result<bool, OpenError> {
        if self.role.needs_older() {
            return Ok(true);
        }
        let lock = &self.lock;
        let users = |peers: &Region<ReadOnly>, seats| {
            removal::users_of(peers, seats, number, lock).map_or(true, |users| !users.none())
        };
        let mut older = self.role.older().into_iter().flatten();
        if let Some(Older { role, .. }) = older.find(|before| before.generation == number) {
            let owner = role.owner();
            let seats = owner.load32(header::SEAT_COUNT, Relaxed).min(MAX_SEATS);
            // One that died since we evicted is evicted first.
            let sits = growth::promised(owner, role.peers(), seats) != Some(0);
            return Ok(sits || users(role.peers(), seats));
        }
        let name = peers_file(number);
        match segment::open_read_only(&self.channel, &name, Side::Peers)? {
            Opened::Segment(peers, header) => Ok(users(&peers, header.seat_count)),
            // Its remover died between the root and the names; or nobody has its memory any more.
            Opened::Missing | Opened::Initializing | Opened::Vanished => Ok(false),
        }
    }

    /// Removes a generation's files; what is not there, or cannot be removed, is left to the next owner.
    pub(super) fn remove_generation(&self, number: u64) {
        for name in [owner_file(number), peers_file(number)] {
            let _ = self.channel.discard(&name);
        }
    }
}
