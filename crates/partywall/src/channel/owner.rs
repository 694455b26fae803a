//! Owning a channel: create it, adopt what a dead owner left, close it, hand it on.
//!
//! Exactly one process owns a channel: the one that holds byte 0 of its lock file, while the file still has
//! its name. Everything below happens under that lock, so there are no races between creators.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::directory::{ChannelDirectory, ROOT, owner_file, peers_file};
use super::generation::{self, Base, Wanted};
use super::liveness::{FILES, GenerationLocks, OWNER, lock_patiently, seat_byte};
use super::namespace::Namespace;
use super::removal;
use super::root::{self, Found, Generations};
use super::schema;
use super::segment::{self, Header, Opened};
use crate::error::{Denied, OpenError};
use crate::layout::header::{self, FLAG_CONFIDENTIAL, FLAG_KEEP, Pattern, Phase, Side, State};
use crate::layout::last_error::LastError;
use crate::layout::root::{CURRENT, LAST};
use crate::layout::seat;
use crate::layout::{MAX_SEATS, owner, peers};
use crate::memory::{ReadOnly, Region, Shared, SharedMut, Writable};
use crate::os::{self, LockFile, Provision};
use crate::protocol::Lie;
use crate::protocol::growth::{self, Later, Older};
use crate::protocol::{eviction, park};
use crate::record::Schema;

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

/// A channel directory whose owner lock we hold, and that of its files, and whose names are the ones we locked.
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
        // In another user's namespace nothing is made.
        let make = create && !namespace.is_foreign();
        let Some(channel) = ChannelDirectory::open(namespace, name, make)? else {
            if create && namespace.is_foreign() {
                return Err(OpenError::Missing {
                    channel: name.to_owned(),
                    namespace: namespace.path().to_owned(),
                });
            }
            return Ok(None);
        };
        channel.expect_own(Denied::Lock)?;
        let opened = channel.open_lock(create);
        if create && opened.is_err() {
            // What we may just have made.
            channel.remove_if_empty();
        }
        let Some(lock) = opened? else {
            if create {
                continue;
            }
            return Ok(None);
        };
        let system = |error| channel.error(Denied::Lock, "lock the channel", error);
        // Who has the first and not the second waits for one who removes the channel by force, for moments only.
        let locked = lock_patiently(&lock, OWNER).map_err(system)?
            && lock_patiently(&lock, FILES).map_err(system)?;
        if !locked {
            return Err(OpenError::AlreadyOwned {
                channel: name.to_owned(),
                pid: owner_pid(&channel),
            });
        }
        if channel.still_named(&lock) {
            let mut channel = channel;
            channel.claim_by(&lock);
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
    for _ in 0..256 {
        let owned = open_with_files(namespace, name, wanted)?;
        // Force does not wait for ever for the lock on the files. Who was that slow begins again.
        if owned.channel.still_named(&owned.lock) {
            // From here on it can be removed.
            let _ = owned.lock.unlock(FILES);
            return Ok(owned);
        }
    }
    Err(OpenError::System {
        channel: name.to_owned(),
        operation: "open the channel",
        source: std::io::Error::other("it is removed again and again"),
    })
}

/// The same, with the lock on its files still held.
fn open_with_files<R: OwnerRole>(
    namespace: &Namespace,
    name: &str,
    wanted: &Wanted,
) -> Result<Owned<R>, OpenError> {
    os::register_waker();
    check_readers(R::PATTERN, wanted)?;
    for _ in 0..256 {
        let Some(mut claimed) = claim(namespace, name, true)? else {
            continue;
        };
        if let Some(readers) = wanted.readers.filter(|readers| readers.any()) {
            namespace.lets_in(name, readers)?;
        }
        claimed.channel.lock_memory = wanted.lock_memory;
        // Unless it is said anew, who could read the channel can read what is made of it.
        claimed.channel.readers = match wanted.readers {
            Some(readers) => readers,
            None => claimed.channel.files().readers_of(ROOT).unwrap_or_default(),
        };
        let found = root::open_writable(&claimed.channel);
        if found.is_err()
            && !claimed.channel.has_root()
            && claimed.channel.still_named(&claimed.lock)
        {
            removal::unmake(&claimed.channel);
        }
        match found? {
            Found::Deleted => {
                // Its remover died in the middle.
                removal::remove(&claimed.channel, None)?;
            }
            Found::Absent => match create_first(claimed, wanted)? {
                Some(owned) => return Ok(owned),
                None => continue,
            },
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
                );
                let found = match found {
                    Err(error) if error.is_of_vanished_memory() => {
                        return begin_anew(claimed, root, &root_header, generations, wanted, error);
                    }
                    other => other?,
                };
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
                owned.remove_unfinished();
                owned.finish_retiring();
                owned.open_older()?;
                if retired {
                    owned.next_generation(wanted)?;
                    owned.adopted = false;
                } else if let Some(mismatch) = owned.mismatch(wanted) {
                    owned.replace_unused(wanted, mismatch)?;
                    owned.adopted = false;
                }
                owned.let_readers_in()?;
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
        (
            "confidentiality",
            wanted.confidential.into(),
            u64::from(header.flags & header::FLAG_CONFIDENTIAL != 0),
        ),
    ]
    .into_iter()
    .find(|(_, wanted, found)| found < wanted)
}

/// Makes a channel; `None` if it was removed by force meanwhile, and may be another's by now.
fn create_first<R: OwnerRole>(
    claimed: Claimed,
    wanted: &Wanted,
) -> Result<Option<Owned<R>>, OpenError> {
    let Claimed { channel, lock } = claimed;
    let made = generation::create(&channel, 1, os::random_word(), wanted, Base::default())
        .and_then(|(header, role)| {
            root::create(&channel, &header).map(|root| (header, role, root))
        });
    let (header, role, root) = match made {
        Ok(made) => made,
        Err(_) if !channel.still_named(&lock) => return Ok(None),
        Err(error) => {
            // Nothing is left of what could not be made; that this fails too is not the error that counts.
            removal::unmake(&channel);
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
    owned.let_readers_in()?;
    owned.take_office();
    Ok(Some(owned))
}

/// Makes the generation after one whose memory went with the last process that had it. What was in it is lost, and nobody
/// can say how much that was; so positions and counts begin anew.
///
/// An owner that dies before `root.current` is stored leaves files that the next one replaces; one that dies
/// behind it has made what its successor adopts, or finds gone again.
fn begin_anew<R: OwnerRole>(
    claimed: Claimed,
    root: Region<Writable>,
    root_header: &Header,
    generations: Generations,
    wanted: &Wanted,
    gone: OpenError,
) -> Result<Owned<R>, OpenError> {
    let Claimed { channel, lock } = claimed;
    let (before, next) = (generations.current, generations.current + 1);
    // Whoever sits there has its memory. That we cannot see it does not mean that he may be left behind.
    if next > LAST || removal::sits(&lock, before) {
        return Err(gone);
    }
    let instance = root_header.instance;
    let remove = |number| {
        for name in [owner_file(number), peers_file(number)] {
            let _ = channel.discard(&name);
        }
    };
    let (header, role) = generation::create::<R>(&channel, next, instance, wanted, Base::default())
        .inspect_err(|_| remove(next))?;
    root::begin(&root, next);
    let mut oldest = generations.oldest;
    if oldest == before {
        root::advance_oldest(&root, next);
        remove(before);
        oldest = next;
    }
    let mut owned = Owned {
        channel,
        lock,
        root,
        header,
        role,
        adopted: false,
        epoch: 0,
        oldest,
    };
    owned.remove_unfinished();
    owned.finish_retiring();
    owned.open_older()?;
    owned.let_readers_in()?;
    let last_error = LastError::Vanished as u64;
    owned
        .role
        .owner()
        .store(owner::LAST_ERROR, last_error, Relaxed);
    owned.take_office();
    Ok(owned)
}

/// Says in a generation what was lost at each seat in those before it: once when it is made, and again, for good, before
/// the old one goes.
fn carry_losses<R: OwnerRole>(old: &R, new: &Region<Writable>) {
    if R::PATTERN.counts_losses() {
        let (owner, peers) = (old.owner(), old.peers());
        let seats = owner.load32(header::SEAT_COUNT, Relaxed).min(MAX_SEATS);
        eviction::carry_losses(owner, peers, seats, new);
    }
}

/// Only what is read without a seat can be shared with other users.
pub(crate) fn check_readers(pattern: Pattern, wanted: &Wanted) -> Result<(), OpenError> {
    match wanted.readers {
        Some(readers) if readers.any() && !os::SHARES_WITH_OTHERS => {
            Err(OpenError::InvalidOption {
                option: "the mode of a channel on Windows",
                expected: "0600: its owner and SYSTEM have access, by the lists of its directory, its files and its named objects, and sharing it with other users is not offered here",
                found: format!("{:04o}", readers.mode()),
            })
        }
        Some(readers) if readers.any() && !pattern.may_be_shared() => {
            Err(OpenError::InvalidOption {
                option: "the mode of such a channel",
                expected: "0600 (only snapshots and broadcasts can be shared with other users, who read and do nothing else)",
                found: format!("{:04o}", readers.mode()),
            })
        }
        _ => Ok(()),
    }
}

impl<R: OwnerRole> Owned<R> {
    /// Gives the files that are there the mode that was asked for, or that the root has: an owner before us may have
    /// died half-way. The lock file stays the owner's alone: who may open it, for reading even, could lock out others.
    fn let_readers_in(&self) -> Result<(), OpenError> {
        let (files, readers) = (self.channel.files(), self.channel.readers);
        let failed = |error| {
            self.channel
                .error(Denied::Make, "change who may read the channel", error)
        };
        // The root first: it says to a successor what was wanted.
        files.set_readers_of(ROOT, readers).map_err(failed)?;
        for number in self.oldest..=self.header.generation {
            for name in [owner_file(number), peers_file(number)] {
                files.set_readers_of(&name, readers).map_err(failed)?;
            }
        }
        files.set_readers(readers).map_err(failed)
    }

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
    fn next_generation(&mut self, wanted: &Wanted) -> Result<(), OpenError> {
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

    /// Takes over the older generations of a dead owner, as far as somebody may still come from there.
    ///
    /// # Errors
    /// If one of them cannot be looked at: then it may be needed. One that is damaged is given up, and those who sit
    /// there are told.
    fn open_older(&mut self) -> Result<(), OpenError> {
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

    /// Removes a generation's files; what is not there, or cannot be removed, is left to the next owner.
    fn remove_generation(&self, number: u64) {
        for name in [owner_file(number), peers_file(number)] {
            let _ = self.channel.discard(&name);
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
                && growth::retire(&owner)
            {
                park::ring_for_peers(&owner);
            }
        }
    }

    /// Files that a dead creator did not finish, of a generation that it did not come to use, or of one that it was about
    /// to remove. Only the holder of the owner lock makes and removes such.
    fn remove_unfinished(&self) {
        for name in self.channel.files().names().unwrap_or_default() {
            let unused = name
                .split_once('.')
                .filter(|(_, side)| matches!(*side, "owner" | "peers"))
                .and_then(|(number, _)| number.parse::<u64>().ok())
                .is_some_and(|number| !(self.oldest..=self.header.generation).contains(&number));
            if unused || name.ends_with(super::directory::UNFINISHED) {
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
            if older.durable_only {
                // Behind a close, only durable ones would have read more, and they are not evicted.
                records = role.base().records;
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
        growth::close(&self.root, owner, self.header.generation, position);
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

    fn being_removed(&self) -> OpenError {
        OpenError::System {
            channel: self.channel.name().to_owned(),
            operation: "make a new generation",
            source: std::io::Error::other("the channel is just being removed, or was"),
        }
    }
}
