//! Going on in a new generation: to grow, behind a close, or because the one that is there is not as wanted.

use std::sync::atomic::Ordering::Relaxed;

use super::{Owned, OwnerRole};
use crate::channel::directory::owner_file;
use crate::channel::generation::{self, Base, Wanted};
use crate::channel::liveness::seat_byte;
use crate::channel::segment::{self, Header};
use crate::channel::{removal, root, schema};
use crate::error::OpenError;
use crate::layout::header::{self, FLAG_CONFIDENTIAL, FLAG_KEEP, State};
use crate::layout::root::LAST;
use crate::layout::{MAX_SEATS, owner};
use crate::memory::{Region, Shared, SharedMut, Writable};
use crate::os::Provision;
use crate::protocol::growth::{self, Older};
use crate::protocol::{Lie, eviction, park};

/// Says in a generation what was lost at each seat in those before it: once when it is made, and again, for good, before
/// the old one goes.
pub(super) fn carry_losses<R: OwnerRole>(old: &R, new: &Region<Writable>) {
    if R::PATTERN.counts_losses() {
        let (owner, peers) = (old.owner(), old.peers());
        let seats = owner.load32(header::SEAT_COUNT, Relaxed).min(MAX_SEATS);
        eviction::carry_losses(owner, peers, seats, new);
    }
}

impl<R: OwnerRole> Owned<R> {
    /// Goes on in a new generation that is as wanted, if nobody needs the one that is not.
    ///
    /// All of its seats are locked from the decision until it is retired: a joiner in between would sit in a
    /// generation that has ended. The memory is reserved before, for that takes time.
    pub(super) fn replace_unused(
        &mut self,
        wanted: &Wanted,
        mismatch: OpenError,
    ) -> Result<(), OpenError> {
        let number = self.header.generation;
        if !self.is_unused() {
            return Err(mismatch);
        }
        let mut made = self.make_next(wanted, self.role.base())?;
        // A value of another schema is none of this one.
        let (owner, expected) = (self.role.owner(), wanted.schema.as_ref());
        if schema::expect(&self.channel, &self.header, owner, expected).is_ok() {
            made.1.inherit(&self.role);
        }
        self.carry_counters(made.1.owner());
        let locked: Vec<u64> = (0..self.header.seat_count)
            .map(|seat| seat_byte(number, seat))
            .take_while(|&byte| matches!(self.lock.try_lock(byte), Ok(true)))
            .collect();
        let all = locked.len() == self.header.seat_count as usize;
        let replaced = if all && self.is_unused() {
            self.switch_to(made);
            Ok(())
        } else {
            self.remove_generation(number.wrapping_add(1));
            Err(mismatch)
        };
        for byte in locked {
            let _ = self.lock.unlock(byte);
        }
        replaced
    }

    /// Nobody else holds a seat of the current generation, no durable consumer is expected back, and nothing lies
    /// there for us.
    fn is_unused(&mut self) -> bool {
        !self.role.is_laden()
            && removal::users_of(
                self.role.peers(),
                self.header.seat_count,
                self.header.generation,
                &self.lock,
            )
            .is_ok_and(|users| users.none())
    }

    /// Retires a generation that was closed, and goes on in a new one. Nobody is carried over but durable
    /// consumers, who come by themselves.
    pub(super) fn next_generation(&mut self, wanted: &Wanted) -> Result<(), OpenError> {
        let made = self.make_next(wanted, self.role.base())?;
        carry_losses(&self.role, made.1.owner());
        // Its owner may have died before it said so.
        growth::note_close(&self.root, self.header.generation);
        self.switch_to(made);
        Ok(())
    }

    /// Goes on in a new generation as wanted, while traffic runs: peers come over by themselves. It must not have fewer
    /// seats than this one. In the old one nothing was left half-done, and nothing is committed any more.
    ///
    /// # Errors
    /// If it cannot be made. Then nothing was changed.
    pub(crate) fn grow(&mut self, wanted: &Wanted) -> Result<(), OpenError> {
        debug_assert!(wanted.seats >= self.header.seat_count);
        let (old, schema) = (self.role.owner(), wanted.schema.as_ref());
        // Bytes are no value of a type, and values of a type are bytes that anybody may have.
        let same = match schema {
            Some(_) => schema::expect(&self.channel, &self.header, old, schema).is_ok(),
            None => self.header.schema_hash == 0,
        };
        let base = if same {
            self.role.base_of_growth()
        } else {
            self.role.base()
        };
        let mut made = match self.with_files(|owned| owned.make_next(wanted, base)) {
            Some(made) => made?,
            None => return Err(self.being_removed()),
        };
        let (_, role) = &mut made;
        role.succeed(&self.role);
        if same {
            role.inherit(&self.role);
        }
        // The first owner of it, before anybody looks.
        role.owner().store(header::OWNER_EPOCH, 1, Relaxed);
        self.carry_counters(role.owner());
        self.switch_to(made);
        self.epoch = 1;
        Ok(())
    }

    /// What was counted so far is not forgotten.
    fn carry_counters(&self, new: &Region<Writable>) {
        let old = self.role.owner();
        for at in (owner::DROPPED..=owner::LAST_ERROR).step_by(8) {
            new.store(at, old.load(at, Relaxed), Relaxed);
        }
        carry_losses(&self.role, new);
    }

    /// What the current generation is like.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] if its schema is none.
    pub(crate) fn as_it_is(&self) -> Result<Wanted, OpenError> {
        let header = &self.header;
        Ok(Wanted {
            payload_size: header.payload_size,
            record_size: header.record_size,
            seats: header.seat_count,
            keep: header.flags & FLAG_KEEP != 0,
            checksums: header.flags & header::FLAG_CHECKSUM != 0,
            confidential: header.flags & FLAG_CONFIDENTIAL != 0,
            lock_memory: self.channel.lock_memory,
            readers: Some(self.channel.readers),
            // Who grows has peers that will come over, and what they have not come to yet must not go with its owner.
            provision: Provision {
                page_file: false,
                ..header.provision()
            },
            schema: schema::read(&self.channel, header, self.role.owner())?,
            pool: None,
        })
    }

    /// Makes the segments of the next generation; nobody looks at them yet. Of what cannot be made nothing is
    /// left.
    fn make_next(&self, wanted: &Wanted, base: Base) -> Result<(Header, R), OpenError> {
        let next = self.next_number(base)?;
        // An index that a durable consumer holds must exist in the new generation too.
        let seats = if R::PATTERN.has_durable_peers() {
            wanted.seats.max(self.header.seat_count)
        } else {
            wanted.seats
        };
        let wanted = Wanted {
            seats,
            // What is secret does not become public because a later owner forgot to say so.
            confidential: wanted.confidential || self.header.flags & FLAG_CONFIDENTIAL != 0,
            provision: Provision {
                // A durable consumer that is away has a seat before it, and will come over.
                page_file: wanted.provision.page_file && self.expects_nobody(),
                global: wanted.provision.global || self.header.provision().global,
            },
            ..wanted.clone()
        };
        generation::create(&self.channel, next, self.header.instance, &wanted, base)
            .inspect_err(|_| self.remove_generation(next))
    }

    /// No durable consumer is expected back, in this generation or an older one.
    fn expects_nobody(&self) -> bool {
        let (header, peers) = (&self.header, self.role.peers());
        let users = removal::users_of(peers, header.seat_count, header.generation, &self.lock);
        self.oldest == header.generation && users.is_ok_and(|users| users.durable == 0)
    }

    /// The next generation's number, if there is one after this, and something can begin at that base. No honest owner
    /// comes so far.
    fn next_number(&self, base: Base) -> Result<u64, OpenError> {
        let next = self.header.generation + 1;
        let (word, place, found, expected) = if next > LAST {
            let expected = "2^55 - 1 at most: no generation follows the last";
            ("generation", header::GENERATION, next, expected)
        } else if let Some(expected) = segment::wrong_base(R::PATTERN, base.position) {
            let word = "base of the next generation";
            (word, header::BASE_SEQ, base.position, expected)
        } else {
            return Ok(next);
        };
        Err(OpenError::Damaged {
            channel: self.channel.name().to_owned(),
            file: owner_file(self.header.generation),
            lie: Lie {
                word,
                place,
                expected,
                found,
            },
        })
    }

    fn switch_to(&mut self, (header, role): (Header, R)) {
        let number = self.header.generation;
        let mut old = std::mem::replace(&mut self.role, role);
        // The one commit point. A successor that finds it retires the old one again if we die before we do.
        growth::advance(&self.root, old.owner(), header.generation);
        root::ring(&self.root);
        park::ring_for_peers(old.owner());
        self.header = header;
        let closed = State(old.owner().load32(header::STATE, Relaxed)) != State::RETIRED;
        let mut older = old.older().map(std::mem::take).unwrap_or_default();
        for before in &mut older {
            before.durable_only |= closed;
        }
        older.push(Older {
            generation: number,
            role: old,
            durable_only: closed,
        });
        self.role.keep(older);
    }

    fn being_removed(&self) -> OpenError {
        OpenError::System {
            channel: self.channel.name().to_owned(),
            operation: "make a new generation",
            source: std::io::Error::other("the channel is just being removed, or was"),
        }
    }
}
