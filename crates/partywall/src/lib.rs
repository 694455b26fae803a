//! Bulk data between processes on one machine, through shared memory, at the speed of the memory.
//!
//! Shared memory shows the same bytes to several processes; it is not synchronisation, ownership, recovery,
//! permission or layout. Partywall is those. See the [`ring`] for what there is to send with.
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
//! # The one rule
//! Every byte of shared memory is written by one process at a time; everyone else maps it read-only, or has
//! no business with it. Liveness is a lock that the kernel releases when its holder dies; nothing is ever
//! decided by a process id or a time stamp. Whatever is read from shared memory is read once, checked, and
//! used from the local copy.

#![forbid(non_ascii_idents)]

pub mod broadcast;
mod channel;
mod error;
pub mod guarded;
mod handle;
pub mod inspect;
pub mod layout;
pub mod manage;
mod memory;
pub mod mpsc;
mod os;
mod protocol;
pub mod ring;
pub mod snapshot;
mod wait;

pub use channel::namespace::Namespace;
pub use error::{LockError, ManageError, OpenError, RecvError, SendError};
pub use layout::verdict::EvictionReason;
pub use protocol::Lie;
pub use wait::{SLICE, StopToken, WaitStrategy};

#[cfg(feature = "fault-points")]
#[doc(hidden)]
pub use memory::fault;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
