//! Bulk data between processes on one machine, through shared memory, at the speed of the memory.
//!
//! Shared memory shows the same bytes to several processes; it is not synchronisation, ownership, recovery,
//! permission or layout. Partywall is those.
//!
//! ```
//! # let place = tempfile::tempdir_in("/dev/shm").unwrap();
//! # let namespace = partywall::Namespace::open(place.path()).unwrap();
//! use partywall::ring::{ConsumerOptions, ProducerOptions};
//!
//! let mut producer = ProducerOptions::new().namespace(namespace.clone()).open("cam0")?;
//! let mut consumer = ConsumerOptions::new().namespace(namespace).attach("cam0")?; // another process
//!
//! producer.send(b"a frame")?;
//! assert_eq!(&consumer.recv()?[..], b"a frame");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which pattern for what
//!
//! | pattern | for | costs | waits for | may lose |
//! |---|---|---|---|---|
//! | [`ring`] | a stream in which every record counts, to one consumer or several | a copy in, a copy out (none in place) | the producer for its slowest consumer, or as it chose | nothing, unless it chose to drop |
//! | [`snapshot`] | the latest value of something | a copy in, a copy out | nobody | values between two looks, as meant |
//! | [`broadcast`] | a stream for anybody who listens, from a sender that must never wait | a copy in, a copy out | nobody | what a lapped receiver missed, told exactly |
//! | [`frames`] | large buffers, held and given back in any order | no copy | the publisher for reliable subscribers, or as it chose | what lossy subscribers missed, told exactly |
//! | [`mpsc`] | many senders, one receiver | a copy in, a copy out | a sender for room in its own lane only | nothing, unless it chose to drop |
//! | [`guarded`] | one record with several writers | a lock in the kernel, two copies | writers for each other; readers nobody | nothing committed |
//!
//! All of them survive the death of anybody at any moment: what was committed stays, what was not is never seen, and who
//! comes next goes on. A record is **safe to read from the moment that**: in a ring or an mpsc lane, its own header
//! word is not zero; in a snapshot, a broadcast or a guarded record, it was copied and the mark of its slot was twice its
//! sequence before and after; in frames, its slot is pinned and still has the sequence that its descriptor names.
//!
//! # The one rule
//! Every byte of shared memory is written by one process at a time; everyone else maps it read-only, or has
//! no business with it. Liveness is a lock that the kernel releases when its holder dies; nothing is ever
//! decided by a process id or a time stamp. Whatever is read from shared memory is read once, checked, and
//! used from the local copy.

#![forbid(non_ascii_idents)]

pub mod broadcast;
mod channel;
mod error;
pub mod frames;
pub mod guarded;
mod handle;
pub mod inspect;
pub mod layout;
pub mod manage;
mod memory;
pub mod mpsc;
mod os;
mod protocol;
pub mod record;
pub mod ring;
pub mod snapshot;
mod wait;

pub use channel::namespace::Namespace;
pub use error::{
    Denied, GrowError, LockError, ManageError, OpenError, RecvError, SendError, Unchanged,
};
pub use handle::options::Backing;
pub use layout::verdict::EvictionReason;
pub use os::decline_sigbus_handler;
pub use protocol::Lie;
pub use wait::{SLICE, StopToken, WaitStrategy};

#[cfg(test)]
extern crate self as partywall; // What the derive's code calls this library.

#[cfg(feature = "fuzz-entries")]
#[doc(hidden)]
pub mod fuzz;

#[cfg(feature = "fault-points")]
#[doc(hidden)]
pub use memory::fault;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
