//! Why a command that moves data ended before the data did.

use std::io::{self, Write};

use partywall::{LockError, OpenError, RecvError, SendError};

use crate::exit::{Exit, Failure};
use crate::output::Unwritten;
use crate::signals::Signals;

/// Not an error by itself: `head` has seen enough, or somebody pressed Ctrl-C.
#[derive(Debug)]
pub(crate) enum Ended {
    Signal,
    /// Nobody reads our output any more.
    OutputClosed,
    Failed(Failure),
}

impl From<SendError> for Ended {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Stopped { .. } => Ended::Signal,
            error => Ended::Failed(error.into()),
        }
    }
}

impl From<RecvError> for Ended {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Stopped { .. } => Ended::Signal,
            error => Ended::Failed(error.into()),
        }
    }
}

impl From<LockError> for Ended {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Stopped { .. } => Ended::Signal,
            error => Ended::Failed(error.into()),
        }
    }
}

impl From<OpenError> for Ended {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Stopped { .. } => Ended::Signal,
            error => Ended::Failed(error.into()),
        }
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Ended::Failed(failure)
    }
}

impl From<Unwritten> for Ended {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Signal => Ended::Signal,
            Unwritten::Failed(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ended::OutputClosed
            }
            Unwritten::Failed(error) => {
                Ended::Failed(Failure::stream("write to standard output", &error))
            }
        }
    }
}

/// How the process ends.
pub(crate) fn exit(outcome: Result<(), Ended>, signals: &Signals) -> Result<Exit, Failure> {
    match outcome {
        Ok(()) | Err(Ended::OutputClosed) => Ok(Exit::Done),
        Err(Ended::Signal) => Ok(signals.exit().unwrap_or(Exit::Interrupted)),
        Err(Ended::Failed(failure)) => Err(failure),
    }
}

/// Says something where somebody may read it; with standard error closed there is nobody to tell.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "partywall: {message}");
}
