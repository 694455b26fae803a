//! Ctrl-C and SIGTERM end every wait, and then the command, in an orderly way.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use partywall::StopToken;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::exit::{Exit, Failure};

/// The handlers of this process.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) stop: StopToken,
    /// The signal that came; 0 before.
    signal: Arc<AtomicUsize>,
    /// Becomes readable with it.
    came: OwnedFd,
}

impl Signals {
    pub(crate) fn install() -> Result<Self, Failure> {
        let install = || -> io::Result<Self> {
            let stopped = Arc::new(AtomicBool::new(false));
            let signal = Arc::new(AtomicUsize::new(0));
            let (came, rings) = UnixStream::pair()?;
            for number in [SIGINT, SIGTERM] {
                flag::register_usize(number, Arc::clone(&signal), number as usize)?;
                flag::register(number, Arc::clone(&stopped))?;
                low_level::pipe::register(number, rings.try_clone()?)?;
            }
            Ok(Signals {
                stop: StopToken::from(stopped),
                signal,
                came: came.into(),
            })
        };
        install().map_err(|error| Failure::stream("install signal handlers", &error))
    }

    /// How to end, if a signal came.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            number if number == SIGINT as usize => Some(Exit::Interrupted),
            _ => Some(Exit::Terminated),
        }
    }

    /// Waits for a child to end. Signals do not end us before it; SIGTERM is passed on.
    pub(crate) fn wait_for_child(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let pid = Pid::from_raw(child.id().cast_signed()).expect("a child has an id");
        // It is our child and was not waited for, so the id is its own.
        let ends = pidfd_open(pid, PidfdFlags::empty())?;
        while !self.wait_for(&ends, PollFlags::IN)? {
            // It stays readable, and would be seen again.
            rustix::io::read(&self.came, &mut [0; 1])?;
            if self.exit() == Some(Exit::Terminated) {
                // It may have ended just now.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        child.wait()
    }

    /// Reads from standard input what is there, at most so much; 0 at the end, `None` if a signal came first.
    pub(crate) fn read_input(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let input = io::stdin();
        loop {
            // A signal goes first, also when the input ended in the same moment.
            if !self.wait_for(&input, PollFlags::IN)? || self.exit().is_some() {
                return Ok(None);
            }
            match rustix::io::read(&input, &mut *buffer) {
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                read => return Ok(Some(read?)),
            }
        }
    }

    /// Waits until an output takes more (or nobody reads it any more); `false` if a signal came first. What has
    /// been received is still written after a signal, as long as that needs no waiting.
    pub(super) fn wait_for_output(&self, output: impl AsFd) -> io::Result<bool> {
        self.wait_for(output, PollFlags::OUT)
    }

    fn wait_for(&self, stream: impl AsFd, what: PollFlags) -> io::Result<bool> {
        loop {
            let mut both = [
                PollFd::new(&stream, what),
                PollFd::new(&self.came, PollFlags::IN),
            ];
            match poll(&mut both, None) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) if !both[0].revents().is_empty() => return Ok(true),
                Ok(_) if !both[1].revents().is_empty() => return Ok(false),
                Ok(_) => {}
            }
        }
    }
}
