//! What every pattern stands on: namespaces, channel directories, generations, ownership, seats, liveness.
//!
//! A channel is a directory that a person can look at:
//!
//! ```text
//! /dev/shm/partywall-1000/        namespace, mode 0700
//!   cam0/                         channel
//!     root                        one page: current and oldest generation, DELETED
//!     lock                        nobody reads it; bytes of it are locked
//!     1.owner                     written by the owner, read by all
//!     1.peers                     the seats
//! ```

pub(crate) mod attach;
pub(crate) mod directory;
pub(crate) mod generation;
pub(crate) mod heartbeat;
pub(crate) mod joining;
pub(crate) mod liveness;
pub(crate) mod moving;
pub(crate) mod namespace;
pub(crate) mod owner;
pub(crate) mod removal;
pub(crate) mod root;
pub(crate) mod schema;
pub(crate) mod segment;
pub(crate) mod visit;
pub(crate) mod watch;
