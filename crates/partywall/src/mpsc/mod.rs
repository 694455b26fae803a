//! Many senders, one receiver: logs, results of workers, anything that many processes have to say to one.
//!
//! The [`Receiver`] owns the channel. Each [`Sender`] has a seat and a lane of its own, in which it sends without waiting
//! for anybody while the lane has room, so no sender can hold another up, by dying or otherwise. Records of one sender
//! come in order; between senders there is no order, and none starves. That a sender came, left or died is told at its
//! place: after its last record ([`Event`]).
//!
//! When the receiver dies, senders go on filling their lanes, and its successor receives everything that was committed;
//! what the dead one had received but not acknowledged comes again.
//!
//! *A record is safe to read from the moment that its own header word is not zero.*
//!
//! ```
//! # let place = tempfile::tempdir_in("/dev/shm").unwrap();
//! # let namespace = partywall::Namespace::open(place.path()).unwrap();
//! use partywall::mpsc::{Event, ReceiverOptions, SenderOptions};
//!
//! let mut receiver = ReceiverOptions::new().namespace(namespace.clone()).open("log")?;
//! let mut sender = SenderOptions::new().namespace(namespace).attach("log")?; // another process
//!
//! sender.send(b"hello")?;
//! sender.close()?;
//! assert!(matches!(receiver.recv()?, Event::Opened(_)));
//! let Event::Record(record) = receiver.recv()? else { panic!() };
//! assert_eq!((&record[..], record.sender.seat), (&b"hello"[..], 0));
//! assert!(matches!(receiver.recv()?, Event::Closed(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod event;
mod options;
mod receiver;
mod role;
mod sender;
mod typed;

pub use crate::handle::records::{Overflow, Sent};
pub use event::{Event, LaneCounters, Meta, Record, SenderId};
pub use options::{ReceiverOptions, SenderOptions};
pub use receiver::{Receiver, Records};
pub use sender::Sender;
pub use typed::{Received, TypedReceiver, TypedSender};

/// Records of a sender that become visible together.
pub type Batch<'a> = crate::handle::batch::Batch<'a, Sender>;
/// Room for one record of a sender.
pub type Reservation<'a> = crate::handle::reservation::Reservation<'a, Sender>;
