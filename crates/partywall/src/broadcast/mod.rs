//! The broadcast: every record to any number of receivers, from a sender that never waits.
//!
//! The [`Sender`] writes records of up to a fixed size into slots, round and round. A [`Receiver`] has a cursor of
//! its own, needs no seat and stores nothing in shared memory. One that is lapped is told so, with the exact
//! number of records that it lost ([`RecvError::Overrun`](crate::RecvError::Overrun)), and goes on.
//!
//! *A record is safe to use once it was copied, if the mark of its slot was twice its sequence before and after.*
//!
//! ```
//! # let place = tempfile::tempdir_in("/dev/shm").unwrap();
//! # let namespace = partywall::Namespace::open(place.path()).unwrap();
//! use partywall::RecvError;
//! use partywall::broadcast::{ReceiverOptions, SenderOptions, Start};
//!
//! let mut sender = SenderOptions::new().namespace(namespace.clone()).slots(8).open("imu")?;
//! let options = ReceiverOptions::new().namespace(namespace).start(Start::At(1));
//! let mut receiver = options.attach("imu")?; // another process
//!
//! for sample in 1..=20_u64 {
//!     sender.send(&sample.to_le_bytes())?;
//! }
//! let lost = match receiver.recv() {
//!     Err(RecvError::Overrun { lost, .. }) => lost,
//!     other => panic!("{other:?}"),
//! };
//! assert_eq!(receiver.recv()?.sequence, lost + 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod options;
mod receiver;
mod sender;
mod typed;

pub use crate::handle::slots::{Meta, Value};
pub use crate::protocol::slots::Start;
pub use options::{ReceiverOptions, SenderOptions};
pub use receiver::Receiver;
pub use sender::Sender;
pub use typed::{TypedReceiver, TypedSender};
