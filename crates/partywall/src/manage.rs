//! Removing channels and giving up durable consumers.

use std::time::Duration;

use crate::channel::directory::ChannelDirectory;
use crate::channel::liveness::{FILES, OWNER, Tries, lock_patiently, seat_byte};
use crate::channel::namespace::Namespace;
use crate::channel::removal::Fate;
use crate::channel::root::{self, Found};
use crate::channel::{generation, owner, removal};
use crate::error::{Denied, ManageError, OpenError};
use crate::inspect::{self, Liveness};
use crate::layout::header::FLAG_KEEP;
use crate::layout::peers;
use crate::layout::seat::{self, Claim, SeatState};
use crate::memory::Shared;
use crate::os::LockFile;
use crate::protocol::seats;

/// How long a removal by force waits for whoever is just making or removing the files, and how often it tries at least, since
/// on a slow machine he may only be slow. Stopped in the middle of that, he would keep the channel for ever.
const STOPPED: (Duration, u32) = (Duration::from_secs(1), 20);

/// A channel that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Removed {
    /// Its name.
    pub channel: String,
    /// Bytes of memory that its files took.
    pub bytes: u64,
}

/// What [`clean`] did about a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Cleaned {
    /// Its name.
    pub channel: String,
    /// Bytes of memory that its files take or took.
    pub bytes: u64,
    /// Whether it was removed.
    pub removed: bool,
    /// Why, or why not.
    pub reason: String,
}

/// Removes a channel. With `force`, also one that is in use or damaged: whoever has it open gets
/// [`RecvError::Deleted`](crate::RecvError::Deleted), and its producer
/// [`SendError::Deleted`](crate::SendError::Deleted) when it looks for room.
///
/// # Errors
/// [`ManageError::InUse`] without `force`; [`OpenError::Missing`] and what the system says.
pub fn remove(namespace: &Namespace, channel: &str, force: bool) -> Result<Removed, ManageError> {
    open(namespace, channel)?.expect_own(Denied::Delete)?;
    let bytes = inspect::bytes_of(namespace, channel)?;
    let removed = || Removed {
        channel: channel.to_owned(),
        bytes,
    };
    let claimed = match owner::claim(namespace, channel, false) {
        // A directory without a lock file: what a remover left that died before its last step, or what a
        // creator is just making. Whoever gets the lock decides.
        Ok(None) => owner::claim(namespace, channel, true),
        claimed => claimed,
    };
    let claimed = match claimed {
        Ok(Some(claimed)) => claimed,
        Ok(None) => return Ok(removed()),
        Err(OpenError::AlreadyOwned { pid, .. }) if !force => {
            return Err(ManageError::InUse {
                channel: channel.to_owned(),
                by: format!("its live producer (process {pid})"),
            });
        }
        Err(OpenError::AlreadyOwned { .. }) => {
            remove_from_owner(namespace, channel)?;
            return Ok(removed());
        }
        Err(error) => return Err(error.into()),
    };
    if force {
        mark_and_remove(&claimed.channel)?;
        return Ok(removed());
    }
    match root::open_writable(&claimed.channel)? {
        Found::Absent | Found::Deleted => removal::remove(&claimed.channel, None)?,
        Found::Ready(..) => match removal::remove_unless_needed(&claimed.channel, &claimed.lock)? {
            Fate::Removed => {}
            Fate::Needed => {
                return Err(ManageError::InUse {
                    channel: channel.to_owned(),
                    by: "consumers that are attached, or durable ones that are away".to_owned(),
                });
            }
            Fate::Unclear(error) => return Err(error.into()),
        },
    }
    Ok(removed())
}

/// Removes a channel whose owner lives, and does not let go.
fn remove_from_owner(namespace: &Namespace, channel: &str) -> Result<(), OpenError> {
    let mut tries = Tries::of(STOPPED.0, STOPPED.1);
    loop {
        let Some(directory) = ChannelDirectory::open(namespace, channel, false)? else {
            // Somebody else has removed it.
            return Ok(());
        };
        // Whoever makes or removes files here lets us wait until he is ready, unless he was stopped.
        let locked = match directory.open_lock(false)? {
            Some(lock) => {
                let locked = lock_patiently(&lock, FILES)
                    .map_err(|error| directory.error(Denied::Lock, "lock the channel", error))?;
                locked.then_some(lock)
            }
            None => None,
        };
        let ours = matches!(&locked, Some(lock) if directory.still_named(lock));
        if ours || !tries.pause() {
            return mark_and_remove(&directory);
        }
    }
}

/// Even what is damaged: a root that cannot be read is removed unmarked.
fn mark_and_remove(channel: &ChannelDirectory) -> Result<(), OpenError> {
    match root::open_writable(channel) {
        Ok(Found::Ready(root, _)) => removal::remove(channel, Some(&root)),
        _ => removal::remove(channel, None),
    }
}

/// Removes every channel whose producer is dead, or that is closed, and of which nobody holds a seat, nor a
/// durable consumer is expected back, unless it was made to stay. Says what it did about each channel that no live producer owns.
///
/// # Errors
/// [`OpenError::Namespace`] if the directory cannot be read. What goes wrong with a channel is its row's
/// reason.
pub fn clean(namespace: &Namespace) -> Result<Vec<Cleaned>, ManageError> {
    let mut rows = Vec::new();
    for channel in inspect::names(namespace)? {
        let bytes = inspect::bytes_of(namespace, &channel).unwrap_or(0);
        if let Ok(info) = inspect::inspect(namespace, &channel)
            && info.flags & FLAG_KEEP != 0
            && info.owner == Liveness::Dead
        {
            rows.push(Cleaned {
                channel,
                bytes,
                removed: false,
                reason: "it was made to stay; `partywall rm` removes it".to_owned(),
            });
            continue;
        }
        let outcome = match remove(namespace, &channel, false) {
            Ok(_) => Ok(()),
            Err(ManageError::InUse { by, .. }) if by.contains("live producer") => continue,
            Err(ManageError::InUse { by, .. }) => Err(format!("kept for {by}")),
            // Removed by somebody else meanwhile.
            Err(ManageError::Open(OpenError::Missing { .. })) => continue,
            Err(error) => Err(error.to_string()),
        };
        rows.push(Cleaned {
            removed: outcome.is_ok(),
            reason: outcome
                .err()
                .unwrap_or_else(|| "its producer is gone and nobody needs it".to_owned()),
            channel,
            bytes,
        });
    }
    Ok(rows)
}

/// Gives up a durable consumer's seat: its producer waits for it no longer, and what it has not read is
/// lost to it.
///
/// # Errors
/// [`ManageError::NoSuchConsumer`]; [`ManageError::InUse`] if it is attached.
pub fn forget(namespace: &Namespace, channel: &str, consumer: &str) -> Result<(), ManageError> {
    let directory = open(namespace, channel)?;
    directory.expect_own(Denied::Map)?;
    let missing = || OpenError::Missing {
        channel: channel.to_owned(),
        namespace: namespace.path().to_owned(),
    };
    let lock = directory.open_lock(false)?.ok_or_else(missing)?;
    let Found::Ready(root, root_header) = root::open_read_only(&directory)? else {
        return Err(missing().into());
    };
    let generations = root::generations(&root).map_err(|lie| OpenError::Damaged {
        channel: channel.to_owned(),
        file: crate::channel::directory::ROOT.to_owned(),
        lie,
    })?;
    let mut found = false;
    for number in generations.oldest..=generations.current {
        let (header, _, peers) =
            generation::open_for_peer(&directory, number, root_header.instance)?;
        for seat in 0..header.seat_count {
            let at = peers::seat_at(seat) + seat::STATE;
            let named = || {
                let state = SeatState(peers.load(at, std::sync::atomic::Ordering::Acquire));
                let theirs = state.durable()
                    && matches!(state.claim(), Some(Claim::Active | Claim::Absent))
                    && seats::name_of(&peers, seat).as_deref() == Some(consumer);
                theirs.then_some(state)
            };
            if named().is_none() {
                continue;
            }
            let byte = seat_byte(number, seat);
            lock_seat(&directory, &lock, byte, consumer)?;
            // Read again under the lock: it may have come and gone meanwhile.
            if let Some(state) = named() {
                seats::leave(&peers, seat, state, false);
                found = true;
            }
            let _ = lock.unlock(byte);
        }
    }
    if !found {
        return Err(ManageError::NoSuchConsumer {
            channel: channel.to_owned(),
            consumer: consumer.to_owned(),
        });
    }
    // A closed channel that was kept for this consumer only has nobody left.
    if matches!(lock.is_locked(OWNER), Ok(false)) {
        removal::remove_if_closed_and_unused(&directory, &lock);
    }
    Ok(())
}

fn lock_seat(
    directory: &ChannelDirectory,
    lock: &LockFile,
    byte: u64,
    consumer: &str,
) -> Result<(), ManageError> {
    match lock_patiently(lock, byte) {
        Ok(true) => Ok(()),
        Ok(false) => Err(ManageError::InUse {
            channel: directory.name().to_owned(),
            by: format!("the consumer {consumer:?} itself, which is attached"),
        }),
        Err(error) => Err(directory.error(Denied::Lock, "lock a seat", error).into()),
    }
}

fn open(namespace: &Namespace, channel: &str) -> Result<ChannelDirectory, OpenError> {
    ChannelDirectory::open(namespace, channel, false)?.ok_or_else(|| OpenError::Missing {
        channel: channel.to_owned(),
        namespace: namespace.path().to_owned(),
    })
}
