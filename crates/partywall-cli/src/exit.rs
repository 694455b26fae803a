//! Exit codes, and which error gives which.

use std::fmt;
use std::io;
use std::process::ExitCode;

use partywall::{GrowError, LockError, ManageError, OpenError, RecvError, SendError};

/// The table that `--help` shows.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done; for recv: the channel was closed by its producer
    1  failed for another reason than those below
    2  wrong usage
    3  a time-out passed
    4  in use: the channel has an owner, no seat is free, a consumer is attached
    5  there is no such channel or consumer
    6  damaged, foreign, or of another version
    7  a guarded record was given up, and wants --repair
  130  ended by Ctrl-C (SIGINT)
  143  ended by SIGTERM

Channels live in $PARTYWALL_DIR, or in a directory of the user's own if that is not set
(Linux: /dev/shm/partywall-<uid>, Windows: %LOCALAPPDATA%\\partywall).";

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    TimedOut = 3,
    InUse = 4,
    Missing = 5,
    Damaged = 6,
    NotRecoverable = 7,
    Interrupted = 130,
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure {
            exit,
            message: message.into(),
        }
    }

    /// What the system said about a stream.
    pub(crate) fn stream(what: &str, error: &io::Error) -> Self {
        Failure::new(Exit::Failed, format!("cannot {what}: {error}"))
    }

    fn of(exit: Exit, error: &impl fmt::Display) -> Self {
        Failure::new(exit, error.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let exit = match &error {
            OpenError::TimedOut { .. } => Exit::TimedOut,
            OpenError::AlreadyOwned { .. }
            | OpenError::NoFreeSeat { .. }
            | OpenError::ConsumerInUse { .. }
            | OpenError::Mismatch { .. } => Exit::InUse,
            OpenError::Missing { .. } => Exit::Missing,
            OpenError::Misplaced { .. }
            | OpenError::Foreign { .. }
            | OpenError::WrongAbi { .. }
            | OpenError::UnknownFeatures { .. }
            | OpenError::WrongSize { .. }
            | OpenError::WrongPattern { .. }
            | OpenError::SchemaMismatch { .. }
            | OpenError::Damaged { .. } => Exit::Damaged,
            _ => Exit::Failed,
        };
        let mut failure = Failure::of(exit, &error);
        if let OpenError::WrongPattern { channel, found, .. } = &error
            && let Some(commands) = commands_for(found)
        {
            failure.message += &format!("; use {}", commands.replace("NAME", channel));
        }
        failure
    }
}

/// The commands that a pattern is for.
fn commands_for(pattern: &str) -> Option<&'static str> {
    Some(match pattern {
        "ring" => "`partywall send NAME` and `partywall recv NAME`",
        "snapshot" => "`partywall put NAME`, `partywall get NAME` and `partywall watch NAME`",
        "broadcast" => "`partywall pub NAME` and `partywall sub NAME`",
        "frames" => "`partywall frames publish NAME` and `partywall frames recv NAME`",
        "mpsc" => "`partywall send NAME --to-collector` and `partywall collect NAME`",
        _ => return None,
    })
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let exit = match &error {
            SendError::TimedOut { .. } => Exit::TimedOut,
            SendError::Deleted { .. } => Exit::Missing,
            SendError::Damaged { .. } => Exit::Damaged,
            _ => Exit::Failed,
        };
        Failure::of(exit, &error)
    }
}

impl From<RecvError> for Failure {
    fn from(error: RecvError) -> Self {
        let exit = match &error {
            RecvError::TimedOut { .. } => Exit::TimedOut,
            RecvError::Deleted { .. } => Exit::Missing,
            RecvError::Damaged { .. }
            | RecvError::WrongLength { .. }
            | RecvError::SchemaMismatch { .. } => Exit::Damaged,
            _ => Exit::Failed,
        };
        Failure::of(exit, &error)
    }
}

impl From<GrowError> for Failure {
    fn from(error: GrowError) -> Self {
        match error {
            GrowError::Open(error) => error.into(),
            GrowError::Owner(error) => error.into(),
            other => Failure::of(Exit::Failed, &other),
        }
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let exit = match &error {
            LockError::Busy { .. } => Exit::InUse,
            LockError::TimedOut { .. } => Exit::TimedOut,
            LockError::NotRecoverable { .. } => Exit::NotRecoverable,
            LockError::Deleted { .. } => Exit::Missing,
            LockError::Damaged { .. } => Exit::Damaged,
            _ => Exit::Failed,
        };
        Failure::of(exit, &error)
    }
}

impl From<ManageError> for Failure {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::Open(error) => error.into(),
            ManageError::InUse { .. } => Failure::of(Exit::InUse, &error),
            ManageError::NoSuchConsumer { .. } => Failure::of(Exit::Missing, &error),
            _ => Failure::of(Exit::Failed, &error),
        }
    }
}
