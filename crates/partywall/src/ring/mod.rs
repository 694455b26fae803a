//! The ring: one producer, one consumer or up to 64, every record to each of them, nothing lost.
//!
//! Records are of any length up to [`Producer::max_record`]. The producer chooses what happens when its
//! consumers are behind ([`Overflow`]) and when there are none ([`Alone`]). Consumers that are named
//! ([`ConsumerOptions::durable`]) resume where they stood, even after their own death.
//!
//! When either side dies, the other goes on: a new producer of the same name adopts what the dead one left,
//! and everything that was committed is still received, once.

mod consumer;
mod in_place;
mod options;
mod producer;
mod record;
mod role;
mod typed;

pub use crate::handle::records::{Overflow, Sent};
pub use consumer::Consumer;
pub use in_place::{InPlaceConsumer, InPlaceProducer, RecordRef, ReservationMut};
pub use options::{Alone, ConsumerOptions, Delivery, ProducerOptions};
pub use producer::Producer;
pub use record::{Losses, Meta, Record, Records};
pub use typed::{TypedConsumer, TypedProducer};

/// Records of a ring that become visible together.
pub type Batch<'a> = crate::handle::batch::Batch<'a, Producer>;
/// Room for one record of a ring.
pub type Reservation<'a> = crate::handle::reservation::Reservation<'a, Producer>;
