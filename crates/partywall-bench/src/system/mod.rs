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
pub(crate) const QUEUE: &str = "posix queue";

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
