//! What can go wrong, one enum an operation. Each message says to which channel, what was expected and
//! found, and what to do next.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::layout::verdict::EvictionReason;
use crate::protocol::Lie;
use crate::record::Difference;

/// Opening a namespace, or a channel as producer or consumer, did not work. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The name breaks the rule for names.
    #[error(
        "channel name {name:?} {problem}; a name is 1 to 64 letters, digits, '.', '_' or '-', and begins with a letter or a digit"
    )]
    InvalidName {
        /// What was given.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The directory for channels is not one that can be trusted.
    #[error("namespace {path}: {problem}; {next}")]
    Namespace {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        next: &'static str,
    },
    /// There is no such channel.
    #[error(
        "channel {channel}: there is none in {namespace}; start its producer, or look with `partywall ls`"
    )]
    Missing {
        /// The channel's name.
        channel: String,
        /// Where it was looked for.
        namespace: PathBuf,
    },
    /// Somebody else owns the channel and is alive.
    #[error(
        "channel {channel}: already owned by a live process ({pid}); a channel has one owner at a time"
    )]
    AlreadyOwned {
        /// The channel's name.
        channel: String,
        /// The owner's process id as it wrote it; 0 if unknown.
        pid: u32,
    },
    /// The system does not let this user do it. Nothing was changed.
    #[error("channel {channel}: {}", denied.explain(path, *user, *owner, *mode))]
    NotPermitted {
        /// The channel's name.
        channel: String,
        /// What was tried.
        denied: Denied,
        /// On what.
        path: PathBuf,
        /// Who tried: the effective user's number.
        user: u32,
        /// Whose it is; `None` if not even that may be seen.
        owner: Option<u32>,
        /// Its permission bits, such as 0o600; `None` if they may not be seen.
        mode: Option<u32>,
    },
    /// Memory that was to be kept out of swap cannot be.
    #[error(
        "channel {channel}: cannot lock {needed} bytes in memory: this process may lock {} in all (RLIMIT_MEMLOCK): {source}; raise the limit (`ulimit -l`, LimitMEMLOCK= of a service), make the channel smaller, or open it without locking it in memory",
        limit.map_or_else(|| "as many as there are".to_owned(), |bytes| format!("{bytes} bytes"))
    )]
    NotLockable {
        /// The channel's name.
        channel: String,
        /// Bytes that were to be locked just now.
        needed: u64,
        /// Bytes that the process may lock in all; `None`: no limit.
        limit: Option<u64>,
        /// What the system said.
        source: io::Error,
    },
    /// There is no memory behind a segment: it was of the page file (Windows, [`Backing::PageFile`](crate::Backing)), and went
    /// with the last process that had it open.
    #[error(
        "channel {channel}: the memory of {file} was of the page file, and went with the last process that had it open; its owner makes it anew when it opens the channel"
    )]
    Vanished {
        /// The channel's name.
        channel: String,
        /// The file's name.
        file: String,
    },
    /// Something else has the name of a segment's section (Windows), so that the section is gone.
    #[error(
        "channel {channel}: the memory of {file} is gone, and its name, {object}, is that of another kind of object (ERROR_INVALID_HANDLE) or of another user's: sections, events, mutexes, semaphores, timers and jobs share one table of names; end the program that made it, or start the channel's owner, which makes the memory anew under another name"
    )]
    ForeignObject {
        /// The channel's name.
        channel: String,
        /// The file's name.
        file: String,
        /// The name that clashes.
        object: String,
    },
    /// The memory of a segment belongs to another log-on session (Windows).
    #[error(
        "channel {channel}: the memory of {file} belongs to log-on session {theirs}, and this process runs in session {ours}; open the channel in that session with `global` (--global), or let its memory be files"
    )]
    OtherSession {
        /// The channel's name.
        channel: String,
        /// The file's name.
        file: String,
        /// The session in which it was made.
        theirs: u32,
        /// This process's.
        ours: u32,
    },
    /// This process may not make memory that other log-on sessions find (Windows).
    #[error(
        "channel {channel}: cannot make memory of the page file that every log-on session finds: {source}. Outside session 0 that takes the privilege SeCreateGlobalPrivilege, which services and administrators have; run its owner as one of them, give the user the right \"Create global objects\" (secpol.msc), leave `global` (--global) out, or let its memory be files, which need no privilege"
    )]
    NoGlobalRight {
        /// The channel's name.
        channel: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is not enough memory in the file system.
    #[error(
        "channel {channel}: needs {needed} bytes of shared memory and {free} are free; remove old channels (`partywall clean`), choose a smaller capacity, or enlarge the tmpfs (in a container: --shm-size, whose default is 64 MiB)"
    )]
    NoSpace {
        /// The channel's name.
        channel: String,
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// No file can be added to the file system, though there may be memory.
    #[error(
        "channel {channel}: its file system holds {files} files and directories, and no more (inodes); remove old channels (`partywall clean`), or mount the tmpfs with a larger nr_inodes"
    )]
    NoInodes {
        /// The channel's name.
        channel: String,
        /// How many there are.
        files: u64,
    },
    /// Something of another kind is where a channel's directory, or a file of it, should be.
    #[error(
        "channel {channel}: {} is {found}, expected {expected}; somebody put it there: remove it by hand",
        path.display()
    )]
    Misplaced {
        /// The channel's name.
        channel: String,
        /// Where.
        path: PathBuf,
        /// What is there.
        found: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// A file that is not Partywall's has a place that a channel's file should have.
    #[error(
        "channel {channel}: {file} is not a Partywall segment (expected magic \"PRTYWALL\", found {found:#018x}); remove it by `partywall rm --force {channel}`"
    )]
    Foreign {
        /// The channel's name.
        channel: String,
        /// The file's name in the channel's directory.
        file: String,
        /// Its first eight bytes.
        found: u64,
    },
    /// The segment was made by a version of Partywall with another layout.
    #[error(
        "channel {channel}: {file} has ABI version {found}, this library speaks {expected}; use the same version on both sides"
    )]
    WrongAbi {
        /// The channel's name.
        channel: String,
        /// The file's name.
        file: String,
        /// The version that this library speaks.
        expected: u16,
        /// The version in the header.
        found: u16,
    },
    /// The segment uses features that this version does not know.
    #[error(
        "channel {channel}: {file} needs features {features:#x} that this version of Partywall does not know; use a newer one"
    )]
    UnknownFeatures {
        /// The channel's name.
        channel: String,
        /// The file's name.
        file: String,
        /// The bits that are not known.
        features: u64,
    },
    /// The file's length and what its header says do not agree.
    #[error(
        "channel {channel}: {file} is {found} bytes long, expected {expected}; it was cut or is not complete: remove the channel by `partywall rm --force {channel}`"
    )]
    WrongSize {
        /// The channel's name.
        channel: String,
        /// The file's name.
        file: String,
        /// Bytes.
        expected: u64,
        /// Bytes.
        found: u64,
    },
    /// The channel has another pattern.
    #[error(
        "channel {channel}: expected a {expected}, found {found}; `partywall info {channel}` tells more"
    )]
    WrongPattern {
        /// The channel's name.
        channel: String,
        /// The pattern that was asked for.
        expected: &'static str,
        /// The pattern in the header; its number if this version does not know it.
        found: String,
    },
    /// Bytes that steer us are impossible.
    #[error(
        "channel {channel}: {file} is damaged: {lie}; remove the channel by `partywall rm --force {channel}` and start its producer again"
    )]
    Damaged {
        /// The channel's name.
        channel: String,
        /// The file's name.
        file: String,
        /// Which claim was impossible.
        lie: Lie,
    },
    /// The channel exists with other options and is in use.
    #[error(
        "channel {channel}: exists with {option} {found}, asked for {expected}; use the same, or remove it by `partywall rm {channel}` once its consumers are gone"
    )]
    Mismatch {
        /// The channel's name.
        channel: String,
        /// Which option.
        option: &'static str,
        /// What was asked for.
        expected: u64,
        /// What the channel has.
        found: u64,
    },
    /// The channel's records are not made of what is expected.
    #[error(
        "channel {channel}: other records than expected: {difference}; build both sides from one definition (`partywall schema {channel}` prints the channel's)"
    )]
    SchemaMismatch {
        /// The channel's name.
        channel: String,
        /// In what they differ.
        difference: Difference,
    },
    /// All seats are taken by live or durable peers.
    #[error(
        "channel {channel}: all {seats} seats are taken; stop one who sits there, `partywall forget` a durable consumer, or create the channel with more seats"
    )]
    NoFreeSeat {
        /// The channel's name.
        channel: String,
        /// How many there are.
        seats: u32,
    },
    /// A durable consumer of this name is attached already.
    #[error(
        "channel {channel}: consumer {consumer:?} is attached already, in another process or handle"
    )]
    ConsumerInUse {
        /// The channel's name.
        channel: String,
        /// The consumer's name.
        consumer: String,
    },
    /// What was waited for did not happen in time.
    #[error("channel {channel}: waited {waited:?} for {awaited}; is its producer running?")]
    TimedOut {
        /// The channel's name.
        channel: String,
        /// How long.
        waited: Duration,
        /// For what.
        awaited: &'static str,
    },
    /// The stop token was used.
    #[error("channel {channel}: stopped while opening")]
    Stopped {
        /// The channel's name.
        channel: String,
    },
    /// An option is out of range.
    #[error("{option} must be {expected}, not {found}")]
    InvalidOption {
        /// Which option.
        option: &'static str,
        /// Its range.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// The system said no for another reason.
    #[error("channel {channel}: cannot {operation}: {source}")]
    System {
        /// The channel's name.
        channel: String,
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    /// The memory is gone for good; only an owner can make it anew.
    pub(crate) fn is_of_vanished_memory(&self) -> bool {
        matches!(
            self,
            OpenError::Vanished { .. } | OpenError::ForeignObject { .. }
        )
    }
}

/// What a user was not permitted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// To look a channel up: its namespace may not be searched.
    See,
    /// To open what is shared with others only, or with nobody.
    Open,
    /// To map what the channel's own processes write: a seat, or the owner side.
    Map,
    /// To lock it, and so to own it, or to sit in it.
    Lock,
    /// To remove it.
    Delete,
    /// To make its files.
    Make,
}

impl Denied {
    fn explain(self, path: &Path, user: u32, owner: Option<u32>, mode: Option<u32>) -> String {
        let path = path.display();
        let owner = owner.map_or_else(|| "its owner".to_owned(), |owner| format!("user {owner}"));
        let mode = mode.map_or_else(|| "unknown".to_owned(), |mode| format!("{mode:04o}"));
        let whose = format!("(owner: {owner}, mode {mode})");
        match self {
            Denied::See => format!(
                "user {user} may not look into {path} {whose}, where it would be; have {owner} let others search it (`chmod go+x {path}`)"
            ),
            Denied::Open => format!(
                "user {user} may not open {path} {whose}; run as {owner}, or have {owner} share it by opening the channel with mode 0644, or 0640 for its group (`--mode`; snapshots and broadcasts only)"
            ),
            Denied::Map => format!(
                "user {user} may not map {path} for writing {whose}; other users can read snapshots and broadcasts that are shared with them, and take no seat: run as {owner}"
            ),
            Denied::Lock => format!(
                "user {user} may not lock {path} {whose}, and so neither own the channel nor sit in it; run as {owner}, or choose another namespace with PARTYWALL_DIR"
            ),
            Denied::Delete => format!(
                "user {user} may not delete {path} {whose}; run as {owner}, or have {owner} remove the channel by `partywall rm`"
            ),
            Denied::Make => format!(
                "user {user} may not make files in {path} {whose}; run as {owner}, or choose another namespace with PARTYWALL_DIR"
            ),
        }
    }
}

/// A record was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It is larger than the channel was made for (in a ring: than half of it).
    #[error(
        "channel {channel}: a record of {len} bytes, and at most {max} fit; send it in pieces, or create the channel for larger ones"
    )]
    TooLarge {
        /// The channel's name.
        channel: String,
        /// Bytes.
        len: usize,
        /// Bytes.
        max: usize,
    },
    /// There is no room, and the call does not wait.
    #[error("channel {channel}: full; nobody has made room yet")]
    Full {
        /// The channel's name.
        channel: String,
    },
    /// The publisher has as many frames in hand as it may.
    #[error(
        "channel {channel}: {loans} frames are in hand, as many as may be; publish one or drop it, or create the channel with more loans"
    )]
    TooManyLoans {
        /// The channel's name.
        channel: String,
        /// How many.
        loans: u32,
    },
    /// There was no room in time.
    #[error(
        "channel {channel}: waited {waited:?} for {awaited}; `partywall info {channel}` shows who is behind"
    )]
    TimedOut {
        /// The channel's name.
        channel: String,
        /// How long.
        waited: Duration,
        /// For what.
        awaited: &'static str,
    },
    /// All consumers have gone without taking everything.
    #[error(
        "channel {channel}: no consumer is attached; {unread_bytes} bytes were not taken by any"
    )]
    NoConsumer {
        /// The channel's name.
        channel: String,
        /// Bytes, record headers included.
        unread_bytes: u64,
    },
    /// The stop token was used.
    #[error("channel {channel}: stopped while waiting")]
    Stopped {
        /// The channel's name.
        channel: String,
    },
    /// The receiver of an mpsc channel closed it: nobody will receive what is sent, nor what it had not received.
    #[error("channel {channel}: closed by its receiver; attach anew once there is another")]
    Closed {
        /// The channel's name.
        channel: String,
    },
    /// The receiver of an mpsc channel went on in a new generation whose records are others than this handle is for.
    #[error(
        "channel {channel}: goes on with other records than expected: {difference}; build both sides from one definition (`partywall schema {channel}` prints the channel's), and attach anew"
    )]
    SchemaMismatch {
        /// The channel's name.
        channel: String,
        /// In what they differ.
        difference: Difference,
    },
    /// The receiver of an mpsc channel went on in a new generation, which could not be opened yet: call again.
    #[error("channel {channel}: cannot go over to its next generation yet: {source}; call again")]
    NotMoved {
        /// The channel's name.
        channel: String,
        /// Why not.
        source: Box<OpenError>,
    },
    /// The receiver of an mpsc channel reads this sender no more.
    #[error("channel {channel}: the receiver gave up on this sender ({reason:?}); attach anew")]
    Evicted {
        /// The channel's name.
        channel: String,
        /// Why.
        reason: EvictionReason,
    },
    /// Another owner has taken the channel over, though this one lives: its lock file was replaced. What this one
    /// did since then may be lost, and dropping it closes nothing.
    #[error(
        "channel {channel}: superseded: another owner has taken it over; drop this handle, and do not remove lock files by hand"
    )]
    Superseded {
        /// The channel's name.
        channel: String,
    },
    /// The channel was removed while this producer had it.
    #[error("channel {channel}: it was removed by force; open it anew")]
    Deleted {
        /// The channel's name.
        channel: String,
    },
    /// Somebody wrote over words that only this producer writes.
    #[error(
        "channel {channel}: damaged: {lie}; close this producer, remove the channel by `partywall rm --force {channel}`, and open it anew"
    )]
    Damaged {
        /// The channel's name.
        channel: String,
        /// Which word is not as it was written.
        lie: Lie,
    },
    /// The handle belongs to the process that opened it.
    #[error(
        "channel {channel}: this process is a fork of the one that opened the handle; open the channel anew"
    )]
    Forked {
        /// The channel's name.
        channel: String,
    },
}

/// No record was received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The producer closed the channel, and everything was read: the end of the stream.
    #[error("channel {channel}: closed by its producer")]
    Closed {
        /// The channel's name.
        channel: String,
    },
    /// The producer died, and everything that it committed was read. A successor may go on: call again.
    #[error(
        "channel {channel}: its producer died and all that it committed was read; start it again, or call again to wait for a successor"
    )]
    OwnerDied {
        /// The channel's name.
        channel: String,
    },
    /// Nothing arrived in time.
    #[error("channel {channel}: nothing arrived within {waited:?}")]
    TimedOut {
        /// The channel's name.
        channel: String,
        /// How long.
        waited: Duration,
    },
    /// The stop token was used.
    #[error("channel {channel}: stopped while waiting")]
    Stopped {
        /// The channel's name.
        channel: String,
    },
    /// The producer counts this consumer no longer.
    #[error("channel {channel}: the producer gave up on this consumer ({reason:?}); attach anew")]
    Evicted {
        /// The channel's name.
        channel: String,
        /// Why.
        reason: EvictionReason,
    },
    /// Bytes that steer us are impossible. The handle stays where it is: every call gives this again.
    #[error("channel {channel}: damaged: {lie}; have the producer recreate the channel")]
    Damaged {
        /// The channel's name.
        channel: String,
        /// Which claim was impossible.
        lie: Lie,
    },
    /// The channel was removed.
    #[error("channel {channel}: it was removed; attach anew once it exists again")]
    Deleted {
        /// The channel's name.
        channel: String,
    },
    /// The sender has lapped this receiver, which goes on behind what was lost: call again.
    #[error(
        "channel {channel}: overrun: {lost} records were overwritten before they were read; read faster, or have the channel made with more slots"
    )]
    Overrun {
        /// The channel's name.
        channel: String,
        /// How many records, exactly.
        lost: u64,
    },
    /// There is a frame, but this subscriber holds as many as it may.
    #[error(
        "channel {channel}: {held} frames are held, as many as may be; drop one, or have the channel made with more"
    )]
    TooManyHeld {
        /// The channel's name.
        channel: String,
        /// How many.
        held: u32,
    },
    /// Each value was written over while it was copied: the writer is too fast for this reader.
    #[error(
        "channel {channel}: every value was overwritten while it was copied; call again, or have the channel made with more slots"
    )]
    Contended {
        /// The channel's name.
        channel: String,
    },
    /// Something that is not as long as the channel's records; it is passed over, and the next one can be received.
    #[error(
        "channel {channel}: {found} bytes where a record has {expected}; its writer does not keep to the channel's schema"
    )]
    WrongLength {
        /// The channel's name.
        channel: String,
        /// Bytes of a record.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// The producer went on in a new generation whose records are others than this handle is for. All that were of its
    /// kind have been received.
    #[error(
        "channel {channel}: goes on with other records than expected: {difference}; build both sides from one definition (`partywall schema {channel}` prints the channel's), and attach anew"
    )]
    SchemaMismatch {
        /// The channel's name.
        channel: String,
        /// In what they differ.
        difference: Difference,
    },
    /// The producer went on in a new generation, which could not be opened yet: call again.
    #[error("channel {channel}: cannot go over to its next generation yet: {source}; call again")]
    NotMoved {
        /// The channel's name.
        channel: String,
        /// Why not.
        source: Box<OpenError>,
    },
    /// The producer went on in a new generation that this consumer was not carried over to.
    #[error("channel {channel}: superseded by a new generation; attach anew")]
    Superseded {
        /// The channel's name.
        channel: String,
    },
    /// The handle belongs to the process that opened it.
    #[error(
        "channel {channel}: this process is a fork of the one that opened the handle; attach anew"
    )]
    Forked {
        /// The channel's name.
        channel: String,
    },
}

/// A channel did not get a new generation: it goes on in the one that it has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrowError {
    /// The new generation could not be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The channel is not this handle's any more.
    #[error(transparent)]
    Owner(#[from] SendError),
    /// The last growth of an mpsc channel is not over.
    #[error(
        "channel {channel}: its last growth is not over: a sender, or something to receive, is still in generation {generation}; a sender comes over with its next send: receive on, and call again"
    )]
    Unfinished {
        /// The channel's name.
        channel: String,
        /// The oldest generation that is still in use.
        generation: u64,
    },
}

/// A handle that did not change its type, with the reason. Nothing was changed.
#[derive(Debug)]
pub struct Unchanged<Handle>(Box<(Handle, GrowError)>);

impl<Handle> Unchanged<Handle> {
    pub(crate) fn new(handle: Handle, error: GrowError) -> Self {
        Unchanged(Box::new((handle, error)))
    }

    /// Why.
    #[must_use]
    pub fn error(&self) -> &GrowError {
        &self.0.1
    }

    /// The handle as it was.
    #[must_use]
    pub fn into_handle(self) -> Handle {
        self.0.0
    }

    /// Why; the handle is dropped, which closes its channel.
    #[must_use]
    pub fn into_error(self) -> GrowError {
        self.0.1
    }
}

impl<Handle> fmt::Display for Unchanged<Handle> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.1.fmt(formatter)
    }
}

impl<Handle: fmt::Debug> std::error::Error for Unchanged<Handle> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0.1)
    }
}

/// A guarded record was not locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else holds it, and the call does not wait.
    #[error("channel {channel}: locked by somebody else; `partywall info {channel}` shows whom")]
    Busy {
        /// The channel's name.
        channel: String,
    },
    /// Nobody let go of it in time.
    #[error(
        "channel {channel}: waited {waited:?} for its lock; `partywall info {channel}` shows who holds it"
    )]
    TimedOut {
        /// The channel's name.
        channel: String,
        /// How long.
        waited: Duration,
    },
    /// The stop token was used.
    #[error("channel {channel}: stopped while waiting for its lock")]
    Stopped {
        /// The channel's name.
        channel: String,
    },
    /// A holder died, and the one after it gave the record up. Readers still get the last value.
    #[error(
        "channel {channel}: a holder died, and the one after it gave the record up; look at its value, and repair it (`partywall lock --repair {channel}`)"
    )]
    NotRecoverable {
        /// The channel's name.
        channel: String,
    },
    /// The value is none of the type that was asked for.
    #[error("channel {channel}: its value has {found} bytes, expected a record of {expected}")]
    WrongLength {
        /// The channel's name.
        channel: String,
        /// Bytes of the type.
        expected: usize,
        /// Bytes of the value.
        found: usize,
    },
    /// The channel was removed, or made anew for larger values.
    #[error("channel {channel}: it was removed or made anew; open it again")]
    Deleted {
        /// The channel's name.
        channel: String,
    },
    /// Bytes that steer us are impossible.
    #[error("channel {channel}: damaged: {lie}; remove it by `partywall rm --force {channel}`")]
    Damaged {
        /// The channel's name.
        channel: String,
        /// Which claim was impossible.
        lie: Lie,
    },
    /// The handle belongs to the process that opened it.
    #[error(
        "channel {channel}: this process is a fork of the one that opened the handle; open the channel anew"
    )]
    Forked {
        /// The channel's name.
        channel: String,
    },
    /// The system said no.
    #[error("channel {channel}: cannot lock it: {source}")]
    System {
        /// The channel's name.
        channel: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Looking at channels or removing them did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// The channel is in use.
    #[error("channel {channel}: in use by {by}; stop them, or use --force")]
    InUse {
        /// The channel's name.
        channel: String,
        /// By whom.
        by: String,
    },
    /// There is no durable consumer of this name.
    #[error(
        "channel {channel}: no durable consumer {consumer:?}; `partywall info {channel}` lists them"
    )]
    NoSuchConsumer {
        /// The channel's name.
        channel: String,
        /// The consumer's name.
        consumer: String,
    },
    /// The channel could not be opened for looking.
    #[error(transparent)]
    Open(#[from] OpenError),
}
