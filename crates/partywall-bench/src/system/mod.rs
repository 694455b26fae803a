//! What the operating system offers itself: rivals that every machine has.

use crate::Outcome;
use crate::contest::{Party, Seat};

#[cfg(target_os = "linux")]
mod queue;
#[cfg(unix)]
mod streams;

/// Their names.
pub(crate) const NAMES: &[&str] = &[
    #[cfg(target_os = "linux")]
    PIPE,
    #[cfg(unix)]
    UNIX_STREAM,
    #[cfg(target_os = "linux")]
    SEQPACKET,
    #[cfg(target_os = "linux")]
    QUEUE,
];

/// A named pipe.
#[cfg(target_os = "linux")]
const PIPE: &str = "pipe";
/// A stream socket.
#[cfg(unix)]
const UNIX_STREAM: &str = "unix stream";
/// A socket that keeps records apart.
#[cfg(target_os = "linux")]
const SEQPACKET: &str = "unix seqpacket";
/// A POSIX message queue.
#[cfg(target_os = "linux")]
const QUEUE: &str = "posix queue";

/// Whether one of them carries bytes, in which nobody sees where a record ends.
pub(crate) fn is_stream(name: &str) -> bool {
    match name {
        #[cfg(target_os = "linux")]
        PIPE => true,
        #[cfg(unix)]
        UNIX_STREAM => true,
        _ => false,
    }
}

/// The largest record of one of them, in bytes.
pub(crate) fn at_most(name: &str) -> usize {
    match name {
        // As large as users may make a message.
        #[cfg(target_os = "linux")]
        QUEUE => 8192,
        // Larger ones need a larger buffer in the kernel than it has by itself.
        #[cfg(target_os = "linux")]
        SEQPACKET => 65_536,
        _ => usize::MAX,
    }
}

/// The party of a seat, if it is one of these.
pub(crate) fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    #[cfg(unix)]
    match seat.who.as_str() {
        #[cfg(target_os = "linux")]
        PIPE => return crate::transport::party::<streams::Pipe>(seat),
        UNIX_STREAM => return crate::transport::party::<streams::UnixStreams>(seat),
        #[cfg(target_os = "linux")]
        SEQPACKET => return crate::transport::party::<queue::Seqpacket>(seat),
        #[cfg(target_os = "linux")]
        QUEUE => return crate::transport::party::<queue::Queue>(seat),
        _ => {}
    }
    let _ = seat;
    None
}
