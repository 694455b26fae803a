//! Looking at channels from outside. Everything here maps read-only, or reads, takes no lock and disturbs nobody; what
//! it reports is of one moment, and each number by itself.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::thread;

use crate::channel::directory::{ChannelDirectory, ROOT, owner_file};
use crate::channel::liveness::{OWNER, Witness};
use crate::channel::namespace::{Namespace, check_name};
use crate::channel::root::{self, Found, Generations};
use crate::channel::{generation, schema, segment};
use crate::error::{Denied, ManageError, OpenError};
use crate::layout::guarded::{self, Condition};
use crate::layout::header::{self, FLAG_CONFIDENTIAL, Pattern, State};
use crate::layout::{self, last_error, owner};
use crate::memory::{ReadOnly, Region, Shared};
use crate::os;
use crate::protocol::Lie;
use crate::protocol::guarded::seat_of;
use crate::record::Schema;

mod lane;
mod seat;

pub use seat::SeatInfo;

use lane::LaneInfo;
use seat::{Progress, seat_info};

/// The state of a channel whose memory is gone.
const VANISHED: &str = "vanished";
/// Fewer channels are looked at in less time than a thread takes to start.
const ENOUGH_FOR_A_THREAD: usize = 32;
/// Heartbeats come every second; older than this is stuck.
const STUCK_AFTER_NS: u64 = 3_000_000_000;

/// Whether somebody is there: decided by a kernel lock, never by a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "lowercase")
)]
pub enum Liveness {
    /// It holds its lock.
    Alive,
    /// It holds its lock, but has given no sign of life for three seconds: stopped, starved, or opened
    /// without heartbeats.
    Stuck,
    /// Nobody holds its lock.
    Dead,
}

impl fmt::Display for Liveness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Liveness::Alive => "alive",
            Liveness::Stuck => "stuck",
            Liveness::Dead => "dead",
        })
    }
}

/// A channel, as it looked at one moment. Sizes are in bytes, ages in nanoseconds.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ChannelInfo {
    /// The channel's name.
    pub name: String,
    /// `ring`, `snapshot`, `broadcast`, `frames`, `mpsc` or `guarded`.
    pub pattern: &'static str,
    /// `initializing`, `ready`, `broken`, `retired`, `closed` or `deleted`; or `vanished`: its memory was of the page file (Windows),
    /// and went with the last process that had it, so that nothing more is known than what its root says.
    pub state: &'static str,
    /// What is wrong with it, if it cannot be read; then most numbers are 0.
    pub problem: Option<String>,
    /// Its owner: the producer, or the receiver of an mpsc channel. A guarded record has one only while it is locked: see
    /// [`Self::guarded`]. Such a one is never stuck, however long it holds the lock.
    pub owner: Liveness,
    /// As the owner wrote it, in its own pid namespace; for people.
    pub owner_pid: u32,
    /// Counts the owners of this generation from 1.
    pub owner_epoch: u64,
    /// Since the owner's last sign of life.
    pub heartbeat_age_ns: Option<u64>,
    /// The current generation.
    pub generation: u64,
    /// The oldest that still has files.
    pub oldest_generation: u64,
    /// The generations before the current one that still have files, because somebody has not come over yet; oldest
    /// first.
    pub older: Vec<OlderGeneration>,
    /// Version of the layout.
    pub abi_version: u16,
    /// Bytes of the segments' headers.
    pub header_size: u16,
    /// The random number that tells this channel from others of its name.
    pub instance: u64,
    /// Bytes of the current owner side.
    pub total_size: u64,
    /// Where its data begins.
    pub payload_offset: u64,
    /// Capacity.
    pub payload_size: u64,
    /// 0: records vary in length.
    pub record_size: u32,
    /// As in the header.
    pub flags: u32,
    /// Kept out of core dumps, and overwritten before it is freed.
    pub confidential: bool,
    /// Who may read it, as a file's mode: 0o600 its owner alone, 0o640 its group too, 0o644 everybody; 0 if unknown.
    pub mode: u32,
    /// 0: no schema.
    pub schema_hash: u64,
    /// Bytes committed since the channel began; of a snapshot, a broadcast, frames or a guarded record the sequence of
    /// the latest value.
    pub write_seq: u64,
    /// Records committed since the channel began; of an mpsc channel, received.
    pub records: u64,
    /// By the wall clock, in nanoseconds since 1970.
    pub created_unix_ns: u64,
    /// Since the last commit, to about a second; `None` if there was none yet.
    pub last_update_age_ns: Option<u64>,
    /// The seats that are claimed: of the current generation, and then of older ones. One that is coming over may be in
    /// two of them.
    pub seats: Vec<SeatInfo>,
    /// How many there are.
    pub seat_count: u32,
    /// The owner's counters.
    pub counters: OwnerCounters,
    /// Of a guarded record: its lock.
    pub guarded: Option<GuardedInfo>,
    /// Memory that the channel's files take.
    pub bytes_reserved: u64,
}

/// A generation whose memory is still needed. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OlderGeneration {
    /// Its number.
    pub generation: u64,
    /// `retired` or `closed`; for a moment `ready`, or for longer if its owner died just then.
    pub state: &'static str,
    /// Capacity.
    pub payload_size: u64,
    /// Of its owner side.
    pub total_size: u64,
}

/// The lock of a guarded record, and what became of those who had it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GuardedInfo {
    /// Whether somebody holds the lock.
    pub locked: bool,
    /// The holder's seat, while it is locked.
    pub holder_seat: Option<u32>,
    /// The holder's process id, in its own pid namespace, while it is locked; for people.
    pub holder_pid: Option<u32>,
    /// Since the holder locked it.
    pub held_ns: Option<u64>,
    /// `consistent`, or `not_recoverable` until somebody repairs it.
    pub condition: &'static str,
    /// Whether the last holder died, and nobody has locked the record since.
    pub owner_died: bool,
    /// Times it was locked.
    pub locks: u64,
    /// Times a holder was told that the one before it had died.
    pub owner_deaths: u64,
    /// Times such a holder gave up.
    pub given_up: u64,
    /// Times the record was repaired after that.
    pub repairs: u64,
}

/// What the owners counted.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OwnerCounters {
    /// Records refused by the drop-newest policy.
    pub dropped: u64,
    /// Records committed while no consumer was attached.
    pub discarded: u64,
    /// Sends that found no room.
    pub blocked: u64,
    /// Nanoseconds waited for room.
    pub blocked_ns: u64,
    /// Seats evicted because their holder was dead.
    pub evictions: u64,
    /// Seats evicted because they claimed the impossible.
    pub lies: u64,
    /// Owners that took over from a dead one.
    pub adoptions: u64,
    /// Rings for sleeping consumers.
    pub wakes: u64,
    /// What went wrong last.
    pub last_error: Option<&'static str>,
}

/// Every channel of a namespace, by name. One that cannot be read is a row with a
/// [`problem`](ChannelInfo::problem). Many are looked at by several threads, which have ended when this returns. A channel's
/// small files are read once and not mapped, so a busy one's numbers may be of slightly different moments, and a count one or two
/// behind; [`inspect`] looks at one more closely.
///
/// # Errors
/// [`OpenError::Namespace`] if the directory itself cannot be read.
pub fn list(namespace: &Namespace) -> Result<Vec<ChannelInfo>, ManageError> {
    let names = names(namespace)?;
    let helpers = match names.len() {
        ..=ENOUGH_FOR_A_THREAD => 1,
        many => thread::available_parallelism()
            .map_or(1, usize::from)
            .min(many.div_ceil(ENOUGH_FOR_A_THREAD)),
    };
    let mut parts = names.chunks(names.len().div_ceil(helpers).max(1));
    let mine = parts.next().unwrap_or_default();
    Ok(thread::scope(|scope| {
        let others: Vec<_> = parts
            .map(|part| {
                let helper = thread::Builder::new().spawn_scoped(scope, || rows(namespace, part));
                (part, helper)
            })
            .collect();
        let mut channels = rows(namespace, mine);
        for (part, helper) in others {
            channels.extend(match helper {
                Ok(helper) => helper.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // No thread can be had.
                Err(_) => rows(namespace, part),
            });
        }
        channels
    }))
}

/// The rows of some channels.
fn rows(namespace: &Namespace, names: &[String]) -> Vec<ChannelInfo> {
    let row = |name: &String| {
        // What is wrong must not be so for a moment only.
        match look(namespace, name, true).or_else(|_| look(namespace, name, false)) {
            Ok(info) => Some(info),
            // Removed since it was listed.
            Err(ManageError::Open(OpenError::Missing { .. })) => None,
            Err(error) => Some(ChannelInfo {
                problem: Some(error.to_string()),
                bytes_reserved: bytes_of(namespace, name).unwrap_or(0),
                ..ChannelInfo::unread(name)
            }),
        }
    };
    names.iter().filter_map(row).collect()
}

/// The names of all channels, sorted.
pub(crate) fn names(namespace: &Namespace) -> Result<Vec<String>, OpenError> {
    let names = namespace
        .directory()
        .names()
        .map_err(|error| OpenError::Namespace {
            path: namespace.path().to_owned(),
            problem: format!("cannot list it: {error}"),
            next: "check its permissions",
        })?;
    // What has no channel's name is somebody else's.
    Ok(names
        .into_iter()
        .filter(|name| check_name(name).is_ok())
        .filter(|name| namespace.directory().open_child(name).is_ok())
        .collect())
}

/// Memory that a channel's files take.
pub(crate) fn bytes_of(namespace: &Namespace, channel: &str) -> Result<u64, OpenError> {
    bytes_in(&open(namespace, channel)?)
}

fn bytes_in(directory: &ChannelDirectory) -> Result<u64, OpenError> {
    let names = directory
        .files()
        .names()
        .map_err(|error| directory.error(Denied::Open, "list the channel's directory", error))?;
    Ok(names
        .iter()
        .map(|name| directory.files().bytes_of(name).unwrap_or(0))
        // A stub may lie about its section.
        .fold(0, u64::saturating_add))
}

fn open(namespace: &Namespace, channel: &str) -> Result<ChannelDirectory, OpenError> {
    ChannelDirectory::open(namespace, channel, false)?.ok_or_else(|| OpenError::Missing {
        channel: channel.to_owned(),
        namespace: namespace.path().to_owned(),
    })
}

impl ChannelInfo {
    fn unread(name: &str) -> Self {
        ChannelInfo {
            name: name.to_owned(),
            pattern: "unknown",
            state: "unknown",
            problem: None,
            owner: Liveness::Dead,
            owner_pid: 0,
            owner_epoch: 0,
            heartbeat_age_ns: None,
            generation: 0,
            oldest_generation: 0,
            older: Vec::new(),
            abi_version: 0,
            header_size: 0,
            instance: 0,
            total_size: 0,
            payload_offset: 0,
            payload_size: 0,
            record_size: 0,
            flags: 0,
            confidential: false,
            mode: 0,
            schema_hash: 0,
            write_seq: 0,
            records: 0,
            created_unix_ns: 0,
            last_update_age_ns: None,
            seats: Vec::new(),
            seat_count: 0,
            counters: OwnerCounters::default(),
            guarded: None,
            bytes_reserved: 0,
        }
    }
}

/// Looks at one channel.
///
/// # Errors
/// [`OpenError::Missing`], or what is wrong with its files.
pub fn inspect(namespace: &Namespace, channel: &str) -> Result<ChannelInfo, ManageError> {
    look(namespace, channel, false)
}

/// The same; of one channel among many each small file is copied and not mapped.
fn look(namespace: &Namespace, channel: &str, glance: bool) -> Result<ChannelInfo, ManageError> {
    let mut directory = open(namespace, channel)?;
    directory.glance = glance;
    let mut info = ChannelInfo::unread(channel);
    info.bytes_reserved = bytes_in(&directory)?;
    info.mode = directory
        .files()
        .readers_of(ROOT)
        .map_or(0, |readers| readers.mode());
    let lock = directory.open_witness()?;
    let (root, root_header) = match root::open_read_only(&directory)? {
        Found::Ready(root, header) => (root, header),
        Found::Absent => {
            info.state = State::INITIALIZING.name();
            info.owner = liveness(lock.as_ref(), OWNER, None);
            return Ok(info);
        }
        Found::Deleted => {
            info.state = State::DELETED.name();
            return Ok(info);
        }
    };
    // Of a lock the words and the lock itself must be of one moment.
    directory.glance &= root_header.pattern != Pattern::Guarded;
    let generations = generations(channel, &root)?;
    let opened =
        generation::open_for_reading(&directory, generations.current, root_header.instance);
    let (header, owner, peers) = match opened {
        Err(error) if error.is_of_vanished_memory() => {
            info.state = VANISHED;
            info.pattern = root_header.pattern.name();
            info.owner = liveness(lock.as_ref(), OWNER, None);
            info.generation = generations.current;
            info.oldest_generation = generations.oldest;
            info.abi_version = layout::ABI_VERSION;
            info.header_size = header::SIZE as u16;
            info.instance = root_header.instance;
            info.created_unix_ns = root_header.created_ns;
            return Ok(info);
        }
        other => other?,
    };
    let now = os::boottime_ns();
    let progress = Progress::of(header.pattern, &owner);
    info.pattern = header.pattern.name();
    info.state = header.state.name();
    info.heartbeat_age_ns = age(now, owner.load(header::HEARTBEAT_NS, Relaxed));
    if header.pattern == Pattern::Guarded {
        // A lock may be held as long as one likes.
        info.owner = liveness(lock.as_ref(), OWNER, None);
        let locked = info.owner == Liveness::Alive;
        info.guarded = Some(guarded_info(&owner, header.seat_count, locked, now));
    } else {
        info.owner = liveness(lock.as_ref(), OWNER, info.heartbeat_age_ns);
    }
    info.owner_pid = owner.load(header::OWNER_PID, Relaxed) as u32;
    info.owner_epoch = owner.load(header::OWNER_EPOCH, Acquire);
    info.generation = header.generation;
    info.oldest_generation = generations.oldest;
    info.abi_version = layout::ABI_VERSION;
    info.header_size = header::SIZE as u16;
    info.instance = header.instance;
    fill_geometry(&mut info, &header);
    info.write_seq = progress.written.position;
    info.records = progress.written.records.unwrap_or(0);
    info.last_update_age_ns = age(now, owner.load(owner::LAST_UPDATE_NS, Relaxed));
    info.counters = counters(&owner);
    let before = (header.pattern == Pattern::Mpsc && generations.oldest < generations.current)
        .then(|| {
            let (number, instance) = (generations.current - 1, root_header.instance);
            generation::open_for_reading(&directory, number, instance).ok()
        })
        .flatten()
        // Nothing goes over from what was closed.
        .filter(|(older, _, _)| older.state != State::CLOSED)
        .map(|(older, owner, peers)| (owner, peers, older.seat_count));
    info.seats = (0..header.seat_count)
        .filter_map(|seat| {
            let lane = (header.pattern == Pattern::Mpsc)
                .then(|| LaneInfo::read(&owner, &peers, header.seat_count, seat, before.as_ref()));
            info.add_lane(lane.as_ref());
            seat_info(
                &owner,
                &peers,
                header.generation,
                seat,
                &progress,
                lane.as_ref(),
                now,
                lock.as_ref(),
            )
        })
        .collect();
    for number in generations.oldest..generations.current {
        // It may be going away just now.
        let opened = generation::open_for_reading(&directory, number, root_header.instance);
        let Ok((older, owner, peers)) = opened else {
            continue;
        };
        info.older.push(OlderGeneration {
            generation: number,
            state: older.state.name(),
            payload_size: older.payload_size,
            total_size: older.total_size,
        });
        // Senders have lanes of their own in each.
        if header.pattern != Pattern::Mpsc {
            let lock = lock.as_ref();
            info.seats.extend((0..older.seat_count).filter_map(|seat| {
                seat_info(&owner, &peers, number, seat, &progress, None, now, lock)
            }));
        }
    }
    // Cut short while we looked: nothing of it is to be believed.
    let lost = owner.lost_page().or_else(|| peers.lost_page());
    if let Some(at) = lost.or_else(|| root.lost_page()) {
        return Err(ManageError::Open(OpenError::Damaged {
            channel: channel.to_owned(),
            file: owner_file(header.generation),
            lie: Lie::lost_page(at),
        }));
    }
    Ok(info)
}

fn guarded_info(owner: &Region<ReadOnly>, seats: u32, locked: bool, now: u64) -> GuardedInfo {
    let load = |at| owner.load(at, Relaxed);
    let holder = owner.load(guarded::HOLDER, Acquire);
    let condition = Condition::from_number(load(guarded::CONDITION));
    GuardedInfo {
        locked,
        holder_seat: seat_of(holder, seats).filter(|_| locked),
        holder_pid: locked.then(|| load(header::OWNER_PID) as u32),
        held_ns: age(now, load(header::OWNER_SINCE_NS)).filter(|_| locked),
        condition: condition.map_or("unknown", Condition::name),
        owner_died: !locked && holder != 0 && condition == Some(Condition::Consistent),
        locks: load(guarded::LOCKS),
        owner_deaths: load(guarded::OWNER_DEATHS),
        given_up: load(guarded::GIVEN_UP),
        repairs: load(guarded::REPAIRS),
    }
}

/// What the records of a channel's current generation are made of; `None` if they are bytes without a schema, or
/// nothing is there yet.
///
/// # Errors
/// [`OpenError::Missing`], or what is wrong with its files.
pub fn schema(namespace: &Namespace, channel: &str) -> Result<Option<Schema>, ManageError> {
    let directory = open(namespace, channel)?;
    let Found::Ready(root, header) = root::open_read_only(&directory)? else {
        return Ok(None);
    };
    let current = generations(channel, &root)?.current;
    let (header, owner) = generation::open_owner_side(&directory, current, header.instance)?;
    Ok(schema::read(&directory, &header, &owner)?)
}

fn generations(channel: &str, root: &Region<ReadOnly>) -> Result<Generations, OpenError> {
    root::generations(root).map_err(|lie| OpenError::Damaged {
        channel: channel.to_owned(),
        file: ROOT.to_owned(),
        lie,
    })
}

fn fill_geometry(info: &mut ChannelInfo, header: &segment::Header) {
    info.total_size = header.total_size;
    info.payload_offset = header.payload_offset;
    info.payload_size = header.payload_size;
    info.record_size = header.record_size;
    info.flags = header.flags;
    info.confidential = header.flags & FLAG_CONFIDENTIAL != 0;
    info.schema_hash = header.schema_hash;
    info.seat_count = header.seat_count;
    info.created_unix_ns = header.created_ns;
}

fn counters(owner: &Region<ReadOnly>) -> OwnerCounters {
    let load = |at| owner.load(at, Relaxed);
    OwnerCounters {
        dropped: load(owner::DROPPED),
        discarded: load(owner::DISCARDED),
        blocked: load(owner::BLOCKED),
        blocked_ns: load(owner::BLOCKED_NS),
        evictions: load(owner::EVICTIONS),
        lies: load(owner::LIES),
        adoptions: load(owner::ADOPTIONS),
        wakes: load(owner::WAKES),
        last_error: last_error::name(load(owner::LAST_ERROR)),
    }
}

/// Nanoseconds since a stamp; `None` if there is none.
fn age(now: u64, stamp: u64) -> Option<u64> {
    (stamp != 0).then(|| now.saturating_sub(stamp))
}

fn liveness(lock: Option<&Witness>, byte: u64, heartbeat_age_ns: Option<u64>) -> Liveness {
    match lock.map(|lock| lock.is_locked(byte)) {
        Some(Ok(true)) => match heartbeat_age_ns {
            Some(age) if age > STUCK_AFTER_NS => Liveness::Stuck,
            _ => Liveness::Alive,
        },
        _ => Liveness::Dead,
    }
}
