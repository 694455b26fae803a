//! Removing a channel. Always under the owner lock, or by force without it, and always under the lock of the channel's
//! files, and only while the names still mean what was locked: who makes files has both, so nobody removes what another
//! is just making, or has made of the same name meanwhile.
//!
//! DELETED is stored before any name goes, so that joiners and sleepers see it; the lock file's name goes
//! last, so that whoever makes a channel of the same name meanwhile waits for us or finds our work to
//! finish, and never has its own removed.

use std::io;
use std::sync::atomic::Ordering;

use super::directory::{ChannelDirectory, LOCK, ROOT, UNFINISHED, owner_file, peers_file};
use super::generation;
use super::liveness::{FILES, OWNER, Tries, lock_patiently, seat_byte};
use super::root::{self, Found};
use crate::error::{Denied, OpenError};
use crate::layout::header::State;
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::{MAX_SEATS, owner, peers};
use crate::memory::{Doorbell, ReadOnly, Region, Shared, SharedMut, Writable};
use crate::os::LockFile;
use crate::protocol::growth;

/// Who still needs a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Users {
    /// Seats whose lock is held.
    pub(crate) live: u32,
    /// Durable consumers, live or away.
    pub(crate) durable: u32,
}

impl Users {
    pub(crate) fn none(&self) -> bool {
        self.live == 0 && self.durable == 0
    }
}

/// Counts who needs one generation, from its seats and their locks.
pub(crate) fn users_of(
    peers: &Region<ReadOnly>,
    seats: u32,
    generation: u64,
    lock: &LockFile,
) -> io::Result<Users> {
    let mut users = Users::default();
    for seat in 0..seats {
        if lock.is_locked(seat_byte(generation, seat))? {
            users.live += 1;
        }
        let state = peers.load(peers::seat_at(seat) + seat::STATE, Ordering::Acquire);
        let state = SeatState(state);
        if state.durable() && matches!(state.claim(), Some(Claim::Active | Claim::Absent)) {
            users.durable += 1;
        }
    }
    Ok(users)
}

/// Whether somebody may sit in a generation, by its locks alone.
pub(crate) fn sits(lock: &LockFile, generation: u64) -> bool {
    let free = |seat| matches!(lock.is_locked(seat_byte(generation, seat)), Ok(false));
    !(0..MAX_SEATS).all(free)
}

/// What became of a channel that was to be removed unless somebody needs it.
#[derive(Debug)]
pub(crate) enum Fate {
    Removed,
    /// Somebody sits in it, or is expected back.
    Needed,
    /// Nobody can see who needs it: for a person to decide.
    Unclear(OpenError),
}

/// Removes a channel whose owner lock the caller holds, and that of its files, if nobody needs it; whether it did.
pub(crate) fn remove_if_unused(
    channel: &ChannelDirectory,
    lock: &LockFile,
) -> Result<bool, OpenError> {
    remove_unless_needed(channel, lock).map(|fate| matches!(fate, Fate::Removed))
}

/// The same, with the reason why not.
///
/// Every seat is locked while that is decided, so that nobody can sit down meanwhile; a seat that is just
/// being looked at counts as needed, and the channel stays for the next who leaves. Where somebody sits no seat is
/// locked: who looks again and again would keep out who wants to sit down.
pub(crate) fn remove_unless_needed(
    channel: &ChannelDirectory,
    lock: &LockFile,
) -> Result<Fate, OpenError> {
    let Found::Ready(root, root_header) = root::open_writable(channel)? else {
        return Ok(Fate::Needed);
    };
    let generations = match root::generations(&root) {
        Ok(generations) => generations,
        Err(lie) => {
            return Ok(Fate::Unclear(OpenError::Damaged {
                channel: channel.name().to_owned(),
                file: ROOT.to_owned(),
                lie,
            }));
        }
    };
    let mut locked = Vec::new();
    let mut unused = true;
    let mut unclear = None;
    'generations: for number in generations.oldest..=generations.current {
        let opened = generation::open_for_reading(channel, number, root_header.instance);
        let (header, _, peers) = match opened {
            Ok(opened) => opened,
            // Who sits there would have its memory.
            Err(error) if error.is_of_vanished_memory() && !sits(lock, number) => continue,
            Err(error) => {
                // Damaged, or already gone.
                unclear = Some(error);
                unused = false;
                break;
            }
        };
        if sits(lock, number) {
            unused = false;
            break;
        }
        for seat in 0..header.seat_count {
            let byte = seat_byte(number, seat);
            if !matches!(lock.try_lock(byte), Ok(true)) {
                unused = false;
                break 'generations;
            }
            locked.push(byte);
        }
        unused = matches!(
            users_of(&peers, header.seat_count, number, lock),
            Ok(users) if users.none()
        );
        if !unused {
            break;
        }
    }
    if unused {
        remove(channel, Some(&root))?;
    }
    for byte in locked {
        let _ = lock.unlock(byte);
    }
    Ok(match unclear {
        _ if unused => Fate::Removed,
        Some(error) => Fate::Unclear(error),
        None => Fate::Needed,
    })
}

/// Removes a channel, used or not. The caller holds the lock of its files. Whoever still has it open goes on in
/// its memory until it sees DELETED.
pub(crate) fn remove(
    channel: &ChannelDirectory,
    root: Option<&Region<Writable>>,
) -> Result<(), OpenError> {
    // Before anybody is told that it goes.
    for directory in [channel.files(), channel.namespace().directory()] {
        directory
            .expect_names_to_change()
            .map_err(|error| channel.error(Denied::Delete, "remove files here", error))?;
    }
    if let Some(root) = root {
        let instance = root.load(crate::layout::header::INSTANCE, Ordering::Relaxed);
        note_close(channel, root, instance);
        root::mark_deleted(root);
        wake_everybody(channel, root, instance);
    }
    let files = channel.files();
    let remove = |name: &str| match channel.discard(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(channel.error_at(name, Denied::Delete, "remove a file of the channel", error))
        }
        _ => Ok(()),
    };
    remove(ROOT)?;
    let names = files
        .names()
        .map_err(|error| channel.error(Denied::Open, "list the channel's directory", error))?;
    for name in names.iter().filter(|name| is_ours(name)) {
        remove(name)?;
    }
    remove(LOCK)?;
    // A file that is not ours keeps the directory; so does a creator that is just making a new lock file.
    let parent = channel.namespace().directory();
    match parent.remove_child(channel.name()) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(channel.error(Denied::Delete, "remove the channel's directory", error))
        }
        _ => Ok(()),
    }
}

/// Takes back what a creator has made of a channel that never had a root. The caller holds the owner lock. It lists nothing,
/// since what the creator ran out of may be open files, and nobody is told what else goes wrong: the creator's own
/// error is the one that counts.
pub(crate) fn unmake(channel: &ChannelDirectory) {
    for name in [ROOT.to_owned(), owner_file(1), peers_file(1)] {
        let _ = channel.files().remove_file(&(name.clone() + UNFINISHED));
        let _ = channel.files().remove_file(&name);
    }
    let _ = channel.files().remove_file(LOCK);
    channel.remove_if_empty();
}

/// Segments and unfinished files; never the lock file, and nothing that somebody else put here.
fn is_ours(name: &str) -> bool {
    let name = name
        .strip_suffix(super::directory::UNFINISHED)
        .unwrap_or(name);
    name == ROOT
        || name.split_once('.').is_some_and(|(number, side)| {
            number.parse::<u64>().is_ok() && matches!(side, "owner" | "peers")
        })
}

/// Who stands in an earlier generation learns from the root alone that this is the end of a stream and no removal; its
/// owner may have died before it said so.
fn note_close(channel: &ChannelDirectory, root: &Region<Writable>, instance: u64) {
    if let Ok(generations) = root::generations(root)
        && let Ok((header, _)) = generation::open_owner_side(channel, generations.current, instance)
        && header.state == State::CLOSED
    {
        growth::note_close(root, generations.current);
    }
}

/// Consumers sleep on their generation's bell: they must look up and see DELETED.
fn wake_everybody(channel: &ChannelDirectory, root: &Region<Writable>, instance: u64) {
    let Ok(generations) = root::generations(root) else {
        return;
    };
    for number in generations.oldest..=generations.current {
        // Damage is no reason to keep a channel; who sleeps there wakes within a slice anyway.
        if let Ok((_, owner, _)) = generation::open_for_owner(channel, number, instance) {
            let bell = owner.load32(owner::OWNER_BELL, Ordering::Relaxed);
            owner.store32(owner::OWNER_BELL, bell.wrapping_add(1), Ordering::Release);
            owner.wake(owner::OWNER_BELL);
        }
    }
}

/// The last consumer of a closed channel turns out the light, if nobody else is at the door.
pub(crate) fn remove_if_closed_and_unused(channel: &ChannelDirectory, lock: &LockFile) {
    let closed = || -> Option<bool> {
        let Ok(Found::Ready(root, header)) = root::open_read_only(channel) else {
            return None;
        };
        let current = root::generations(&root).ok()?.current;
        let (header, _, _) =
            generation::open_for_reading(channel, current, header.instance).ok()?;
        Some(header.state == State::CLOSED && header.flags & crate::layout::header::FLAG_KEEP == 0)
    };
    // Busy: another who leaves is just looking, or the producer has not let go yet: then it is our turn in a
    // moment. Or there is a new owner: then it is closed no longer.
    let mut tries = Tries::begin();
    while !matches!(lock.try_lock(OWNER), Ok(true)) {
        if closed() != Some(true) || !tries.pause() {
            return;
        }
    }
    if matches!(lock_patiently(lock, FILES), Ok(true)) {
        if channel.still_named(lock) && closed() == Some(true) {
            // What cannot be removed now is for the next owner or `partywall clean`.
            let _ = remove_if_unused(channel, lock);
        }
        let _ = lock.unlock(FILES);
    }
    let _ = lock.unlock(OWNER);
}
