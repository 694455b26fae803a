//! Taking the owner lock, and then creating the channel, adopting what a dead owner left, or beginning anew.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::mismatch::{self, broken, check_readers, expect_pattern};
use super::{Owned, OwnerRole};
use crate::channel::directory::{ChannelDirectory, ROOT, owner_file, peers_file};
use crate::channel::generation::{self, Base, Wanted};
use crate::channel::liveness::{FILES, OWNER, lock_patiently};
use crate::channel::namespace::Namespace;
use crate::channel::removal;
use crate::channel::root::{self, Found, Generations};
use crate::channel::segment::{self, Header};
use crate::error::{Denied, OpenError};
use crate::layout::header::{self, Phase, State};
use crate::layout::last_error::LastError;
use crate::layout::owner;
use crate::layout::root::LAST;
use crate::memory::{ReadOnly, Region, Shared, SharedMut, Writable};
use crate::os::{self, LockFile};
use crate::protocol::park;

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
        let Some(mut channel) = ChannelDirectory::open(namespace, name, make)? else {
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
            channel.claim_by(&lock);
            return Ok(Some(Claimed { channel, lock }));
        }
    }
    Err(restless(
        name,
        "lock the channel",
        "its files are replaced again and again",
    ))
}

/// Others were faster, each of many times.
fn restless(name: &str, operation: &'static str, how: &'static str) -> OpenError {
    OpenError::System {
        channel: name.to_owned(),
        operation,
        source: std::io::Error::other(how),
    }
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
    Err(restless(
        name,
        "open the channel",
        "it is removed again and again",
    ))
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
                    file: ROOT.to_owned(),
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
    Err(restless(
        name,
        "open the channel",
        "it is removed again and again",
    ))
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

/// Takes over the words of the generation; what cannot be is marked BROKEN, so that peers stop too.
pub(super) fn adopt<R: OwnerRole>(
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

impl<R: OwnerRole> Owned<R> {
    /// Gives the files that are there the mode that was asked for, or that the root has: an owner before us may have
    /// died half-way. The lock file stays the owner's alone: who may open it, for reading even, could lock out others.
    fn let_readers_in(&self) -> Result<(), OpenError> {
        let (files, readers) = (self.channel.files(), self.channel.readers);
        let operation = "change who may read the channel";
        let set = |name: &str| {
            let set = files.set_readers_of(name, readers);
            set.map_err(|error| segment::named(&self.channel, name, Denied::Make, operation, error))
        };
        // The root first: it says to a successor what was wanted.
        set(ROOT)?;
        for number in self.oldest..=self.header.generation {
            for name in [owner_file(number), peers_file(number)] {
                set(&name)?;
            }
        }
        let set = files.set_readers(readers);
        set.map_err(|error| self.channel.error(Denied::Make, operation, error))
    }

    /// In what the generation falls short of what is wanted.
    fn mismatch(&self, wanted: &Wanted) -> Option<OpenError> {
        mismatch::mismatch(&self.channel, &self.header, self.role.owner(), wanted).or_else(|| {
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
}
