//! Standard output that a signal can end, also while whoever should read it does not.
//!
//! A blocking write to a full pipe cannot be interrupted: the handlers restart system calls, as those of most
//! programs do. So nothing here waits inside `write`; it waits in `poll`, where a signal is seen as well.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use super::signals::Signals;

/// So many bytes fit whenever `poll` calls a pipe, socket or terminal writable (`PIPE_BUF` of Linux).
const SURE: usize = 4096;

/// Where the received bytes go.
#[derive(Debug)]
pub(crate) enum Output {
    /// Files and devices: a write ends by itself.
    Prompt,
    /// A pipe, opened once more. Our own description of it can be non-blocking; to make the inherited one so
    /// would change it for every process that shares it.
    Pipe(OwnedFd),
    /// Everything else: as much at a time as is known to fit.
    Careful,
}

/// Why not everything was written.
#[derive(Debug)]
pub(crate) enum Unwritten {
    Signal,
    Failed(io::Error),
}

impl From<Errno> for Unwritten {
    fn from(error: Errno) -> Self {
        Unwritten::Failed(error.into())
    }
}

impl Output {
    /// Looks at what standard output is.
    pub(crate) fn standard() -> Self {
        let stdout = io::stdout();
        let Ok(stat) = fstat(&stdout) else {
            return Output::Careful;
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::BlockDevice => Output::Prompt,
            FileType::CharacterDevice if !stdout.is_terminal() => Output::Prompt,
            FileType::Fifo => {
                let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                // Without /proc, without permission, or without a reader: the careful way works, if slower.
                open("/proc/self/fd/1", flags, Mode::empty()).map_or(Output::Careful, Output::Pipe)
            }
            _ => Output::Careful,
        }
    }

    /// Writes everything, around the standard library's line buffer, which would look for newlines in it.
    pub(crate) fn write_all(&self, mut bytes: &[u8], signals: &Signals) -> Result<(), Unwritten> {
        let stdout = io::stdout();
        let file: BorrowedFd<'_> = match self {
            Output::Pipe(pipe) => pipe.as_fd(),
            Output::Prompt | Output::Careful => stdout.as_fd(),
        };
        while !bytes.is_empty() {
            let mut now = bytes.len();
            if matches!(self, Output::Careful) {
                wait(file, signals)?;
                now = now.min(SURE);
            }
            match rustix::io::write(file, &bytes[..now]) {
                Ok(0) => return Err(Unwritten::Failed(io::ErrorKind::WriteZero.into())),
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                // A full pipe, or an output that somebody made non-blocking.
                Err(Errno::AGAIN) => wait(file, signals)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn wait(file: BorrowedFd<'_>, signals: &Signals) -> Result<(), Unwritten> {
    match signals.wait_for_output(file) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Unwritten::Signal),
        Err(error) => Err(Unwritten::Failed(error)),
    }
}
