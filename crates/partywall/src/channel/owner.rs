//! Owning a channel: create it, adopt what a dead owner left, close it, hand it on.
//!
//! Exactly one process owns a channel: the one that holds byte 0 of its lock file, while the file still has
//! its name. Everything below happens under that lock, so there are no races between creators.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::directory::{ChannelDirectory, owner_file, peers_file};
use super::generation::{self, Base, Wanted};
use super::liveness::{GenerationLocks, OWNER, lock_patiently, seat_byte};
use super::namespace::Namespace;
use super::removal;
use super::root::{self, Found};
use super::schema;
use super::segment::{self, Header, Opened};
use crate::error::OpenError;
use crate::layout::header::{self, FLAG_KEEP, Pattern, Phase, Side, State};
use crate::layout::{owner, peers, seat};
use crate::memory::{ReadOnly, Region, Shared, SharedMut, Writable};
use crate::os::{self, LockFile};
use crate::protocol::Lie;
use crate::protocol::park;

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

    /// What goes over into a generation that replaces `old` while nobody had closed that; by then nobody looks
    /// at this one yet.
    fn inherit(&mut self, _old: &Self) {}

    /// Something lies here that only its owner takes out: it must not be given up for a new generation.
    fn is_laden(&mut self) -> bool {
        false
    }

    /// Durable peers of older generations are on their way here.
    fn set_older(&mut self, _older: Vec<(Region<ReadOnly>, u32)>) {}
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

/// A channel directory whose owner lock we hold and whose names are the ones we locked.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) channel: ChannelDirectory,
    pub(crate) lock: LockFile,
}

/// Takes the owner lock; `None` if there is no channel and `create` is false.
pub(crate) fn claim(
    namespace: &Namespace,
    name: &str,
    create: bool,
) -> Result<Option<Claimed>, OpenError> {
    // Somebody can remove the names between our opening and our locking, again and again in theory.
    for _ in 0..256 {
        let Some(channel) = ChannelDirectory::open(namespace, name, create)? else {
            return Ok(None);
        };
        let Some(lock) = channel.open_lock(create)? else {
            if create {
                continue;
            }
            return Ok(None);
        };
        let locked = lock_patiently(&lock, OWNER)
            .map_err(|error| channel.error("lock the channel", error))?;
        if !locked {
            return Err(OpenError::AlreadyOwned {
                channel: name.to_owned(),
                pid: owner_pid(&channel),
            });
        }
        if channel.still_named(&lock) {
            return Ok(Some(Claimed { channel, lock }));
        }
    }
    Err(OpenError::System {
        channel: name.to_owned(),
        operation: "lock the channel",
        source: std::io::Error::other("its files are replaced again and again"),
    })
}

/// The owner's process id as it wrote it, for a message; 0 if it cannot be read.
fn owner_pid(channel: &ChannelDirectory) -> u32 {
    let Ok(Found::Ready(root, header)) = root::open_read_only(channel) else {
        return 0;
    };
    root::generations(&root)
        .ok()
        .and_then(|generations| {
            generation::open_for_reading(channel, generations.current, header.instance).ok()
        })
        .map_or(0, |(_, owner, _)| {
            owner.load(header::OWNER_PID, Relaxed) as u32
        })
}

/// Creates a channel, or adopts the one that is there.
pub(crate) fn open<R: OwnerRole>(
    namespace: &Namespace,
    name: &str,
    wanted: &Wanted,
) -> Result<Owned<R>, OpenError> {
    os::register_waker();
    for _ in 0..256 {
        let Some(claimed) = claim(namespace, name, true)? else {
            continue;
        };
        match root::open_writable(&claimed.channel)? {
            Found::Deleted => {
                // Its remover died in the middle.
                removal::remove(&claimed.channel, None)?;
            }
            Found::Absent => return create_first(claimed, wanted),
            Found::Ready(root, root_header) => {
                expect_pattern(name, &root_header, &[R::PATTERN])?;
                let generations = root::generations(&root).map_err(|lie| OpenError::Damaged {
                    channel: name.to_owned(),
                    file: super::directory::ROOT.to_owned(),
                    lie,
                })?;
                let found = generation::open_for_owner(
                    &claimed.channel,
                    generations.current,
                    root_header.instance,
                )?;
                let retired = found.0.state.phase() != Some(Phase::Ready);
                let adopted = if found.0.state == State::BROKEN {
                    Err(broken(name, generations.current))
                } else {
                    adopt::<R>(name, &found.0, found.1, found.2)
                };
                let role = match adopted {
                    Ok(role) => role,
                    Err(error) => {
                        // With nobody there who could lose anything, it is made anew.
                        if removal::remove_if_unused(&claimed.channel, &claimed.lock)? {
                            continue;
                        }
                        return Err(error);
                    }
                };
                let mut owned = Owned {
                    channel: claimed.channel,
                    lock: claimed.lock,
                    root,
                    header: found.0,
                    role,
                    adopted: !retired,
                    epoch: 0,
                    oldest: generations.oldest,
                };
                if retired {
                    owned.next_generation(wanted)?;
                    owned.adopted = false;
                } else if let Some(mismatch) = owned.mismatch(wanted) {
                    owned.replace_unused(wanted, mismatch)?;
                    owned.adopted = false;
                }
                owned.remove_unfinished();
                owned.finish_retiring();
                owned.take_office();
                return Ok(owned);
            }
        }
    }
    Err(OpenError::System {
        channel: name.to_owned(),
        operation: "open the channel",
        source: std::io::Error::other("it is removed again and again"),
    })
}

pub(super) fn broken(name: &str, generation: u64) -> OpenError {
    OpenError::Damaged {
        channel: name.to_owned(),
        file: owner_file(generation),
        lie: crate::protocol::Lie {
            word: "state",
            place: header::STATE,
            expected: "READY; an earlier owner found the generation damaged",
            found: State::BROKEN.0.into(),
        },
    }
}

/// A channel has one pattern for its lifetime.
pub(crate) fn expect_pattern(
    name: &str,
    header: &Header,
    expected: &[Pattern],
) -> Result<(), OpenError> {
    if expected.contains(&header.pattern) {
        return Ok(());
    }
    Err(OpenError::WrongPattern {
        channel: name.to_owned(),
        expected: expected
            .first()
            .map_or("another pattern", |pattern| pattern.name()),
        found: header.pattern.name().to_owned(),
    })
}

/// Takes over the words of the generation; what cannot be is marked BROKEN, so that peers stop too.
fn adopt<R: OwnerRole>(
    name: &str,
    header: &Header,
    owner: Region<Writable>,
    peers: Region<ReadOnly>,
) -> Result<R, OpenError> {
    R::adopt(owner.clone(), peers, header).map_err(|lie| {
        owner.store32(header::STATE, State::BROKEN.0, Release);
        park::ring_for_peers(&owner);
        OpenError::Damaged {
            channel: name.to_owned(),
            file: owner_file(header.generation),
            lie,
        }
    })
}

/// In what a generation is not as wanted.
pub(crate) fn mismatch(
    channel: &ChannelDirectory,
    header: &Header,
    owner: &impl Shared,
    wanted: &Wanted,
) -> Option<OpenError> {
    if let Some((option, expected, found)) = shortcoming(header, wanted) {
        return Some(OpenError::Mismatch {
            channel: channel.name().to_owned(),
            option,
            expected,
            found,
        });
    }
    schema::expect(channel, header, owner, wanted.schema.as_ref()).err()
}

/// In what the generation that is there falls short: option, wanted, found.
fn shortcoming(header: &Header, wanted: &Wanted) -> Option<(&'static str, u64, u64)> {
    [
        (
            "a record size of",
            wanted.record_size.into(),
            header.record_size.into(),
        ),
        ("a capacity of", wanted.payload_size, header.payload_size),
        (
            "a number of seats of",
            wanted.seats.into(),
            header.seat_count.into(),
        ),
        (
            "checksums",
            wanted.checksums.into(),
            u64::from(header.flags & header::FLAG_CHECKSUM != 0),
        ),
    ]
    .into_iter()
    .find(|(_, wanted, found)| found < wanted)
}

fn create_first<R: OwnerRole>(claimed: Claimed, wanted: &Wanted) -> Result<Owned<R>, OpenError> {
    let Claimed { channel, lock } = claimed;
    let made = generation::create(&channel, 1, os::random_word(), wanted, Base::default())
        .and_then(|(header, role)| {
            root::create(&channel, &header).map(|root| (header, role, root))
        });
    let (header, role, root) = match made {
        Ok(made) => made,
        Err(error) => {
            // Nothing is left of what could not be made; that this fails too is not the error that counts.
            let _ = removal::remove(&channel, None);
            return Err(error);
        }
    };
    let mut owned = Owned {
        channel,
        lock,
        root,
        header,
        role,
        adopted: false,
        epoch: 0,
        oldest: 1,
    };
    owned.take_office();
    Ok(owned)
}

impl<R: OwnerRole> Owned<R> {
    /// In what the generation falls short.
    /// In what the generation falls short of what is wanted.
    fn mismatch(&self, wanted: &Wanted) -> Option<OpenError> {
        mismatch(&self.channel, &self.header, self.role.owner(), wanted).or_else(|| {
            let (option, expected, found) = self.role.shortcoming(wanted)?;
            Some(OpenError::Mismatch {
                channel: self.channel.name().to_owned(),
                option,
                expected,
                found,
            })
        })
    }

    /// Says who owns the generation now, and wakes everybody to look.
    fn take_office(&mut self) {
        let owner = self.role.owner();
        self.epoch = owner.load(header::OWNER_EPOCH, Relaxed).wrapping_add(1);
        owner.store(header::OWNER_PID, os::process_id().into(), Relaxed);
        owner.store(header::OWNER_SINCE_NS, os::boottime_ns(), Relaxed);
        owner.store(header::HEARTBEAT_NS, os::boottime_ns(), Relaxed);
        if self.adopted {
            owner.count(owner::ADOPTIONS, 1);
        }
        // A dead owner may have slept.
        owner.store32(owner::OWNER_PARKED, 0, Relaxed);
        owner.store(header::OWNER_EPOCH, self.epoch, Release);
        park::ring_for_peers(owner);
        root::ring(&self.root);
    }

    /// Goes on in a new generation that is as wanted, if nobody needs the one that is not.
    ///
    /// All of its seats are locked from the decision until it is retired: a joiner in between would sit in a
    /// generation that has ended. The memory is reserved before, for that takes time.
    fn replace_unused(&mut self, wanted: &Wanted, mismatch: OpenError) -> Result<(), OpenError> {
        let number = self.header.generation;
        if !self.is_unused() {
            return Err(mismatch);
        }
        let mut made = self.make_next(wanted)?;
        // A value of another schema is none of this one.
        let (owner, expected) = (self.role.owner(), wanted.schema.as_ref());
        if schema::expect(&self.channel, &self.header, owner, expected).is_ok() {
            made.1.inherit(&self.role);
        }
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
    fn next_generation(&mut self, wanted: &Wanted) -> Result<(), OpenError> {
        let made = self.make_next(wanted)?;
        self.switch_to(made);
        Ok(())
    }

    /// Makes the segments of the next generation; nobody looks at them yet. Of what cannot be made nothing is
    /// left.
    fn make_next(&self, wanted: &Wanted) -> Result<(Header, R), OpenError> {
        let next = self.header.generation.wrapping_add(1);
        let base = self.role.base();
        // An index that a durable consumer holds must exist in the new generation too.
        let seats = if R::PATTERN.has_durable_peers() {
            wanted.seats.max(self.header.seat_count)
        } else {
            wanted.seats
        };
        let wanted = Wanted {
            seats,
            ..wanted.clone()
        };
        generation::create(&self.channel, next, self.header.instance, &wanted, base)
            .inspect_err(|_| self.remove_generation(next))
    }

    fn switch_to(&mut self, (header, role): (Header, R)) {
        // The one commit point. A successor that finds it stores RETIRED again if we die before we do.
        root::advance_current(&self.root, header.generation);
        let old = std::mem::replace(&mut self.role, role);
        if State(old.owner().load32(header::STATE, Acquire)) == State::READY {
            old.owner()
                .store32(header::STATE, State::RETIRED.0, Release);
        }
        park::ring_for_peers(old.owner());
        self.header = header;
    }

    /// Removes a generation's files; what is not there, or cannot be removed, is left to the next owner.
    fn remove_generation(&self, number: u64) {
        for name in [owner_file(number), peers_file(number)] {
            let _ = self.channel.files().remove_file(&name);
        }
    }

    /// A predecessor that died between advancing the root and retiring the old generation left its
    /// consumers waiting for ever: its successor retires it.
    fn finish_retiring(&self) {
        for number in self.oldest..self.header.generation {
            let instance = self.header.instance;
            if let Ok((header, owner, _)) =
                generation::open_for_owner(&self.channel, number, instance)
                && header.state == State::READY
            {
                owner.store32(header::STATE, State::RETIRED.0, Release);
                park::ring_for_peers(&owner);
            }
        }
    }

    /// Files that a dead creator did not finish. Only the holder of the owner lock makes such.
    fn remove_unfinished(&self) {
        for name in self.channel.files().names().unwrap_or_default() {
            if name.ends_with(super::directory::UNFINISHED) {
                let _ = self.channel.files().remove_file(&name);
            }
        }
    }

    /// Removes generations that nobody needs, strictly oldest first, and counts the durable consumers of
    /// the others. Returns whether any are left.
    ///
    /// # Errors
    /// If one of them cannot be looked at: then it may be needed, and is kept, and so are those after it.
    pub(crate) fn reclaim(&mut self) -> Result<bool, OpenError> {
        let current = self.header.generation;
        let mut older = Vec::new();
        for number in self.oldest..current {
            let name = peers_file(number);
            match segment::open_read_only(&self.channel, &name, Side::Peers)? {
                Opened::Segment(peers, header) => {
                    let needed = removal::users_of(&peers, header.seat_count, number, &self.lock)
                        .map_or(true, |users| !users.none());
                    if needed || !older.is_empty() {
                        older.push((peers, header.seat_count));
                        continue;
                    }
                }
                // Its remover died between the root and the names.
                Opened::Missing | Opened::Initializing => {}
            }
            // After a removal by force, the names may be another's.
            if !older.is_empty() || !self.channel.still_named(&self.lock) {
                continue;
            }
            root::advance_oldest(&self.root, number + 1);
            self.oldest = number + 1;
            self.remove_generation(number);
        }
        let left = !older.is_empty();
        self.role.set_older(older);
        Ok(left)
    }

    /// Whether what this owner wrote about the channel still stands: `None` if the channel was removed by
    /// force. No peer could join what does not say that it is ready.
    pub(crate) fn stands(&self) -> Result<Option<()>, Lie> {
        if root::state(&self.root) == State::DELETED {
            return Ok(None);
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
        Ok(Some(()))
    }

    /// A page that was accessed and is gone, of any segment.
    pub(crate) fn lost_page(&self) -> Option<u64> {
        let owner = self.role.owner().lost_page();
        owner
            .or_else(|| self.role.peers().lost_page())
            .or_else(|| self.root.lost_page())
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

    /// The clean end of the stream. The channel goes if nobody needs it and it is not to be kept.
    pub(crate) fn close(&mut self) {
        let owner = self.role.owner();
        // SYNC close: behind the last record; whoever sees CLOSED sees every header.
        owner.store32(header::STATE, State::CLOSED.0, Release);
        park::ring_for_peers(owner);
        root::ring(&self.root);
        // After a removal by force, the names may be another's.
        if self.header.flags & FLAG_KEEP == 0 && self.channel.still_named(&self.lock) {
            // What cannot be removed now, the last consumer or `partywall clean` removes.
            let _ = removal::remove_if_unused(&self.channel, &self.lock);
        }
    }
}
