//! Lanes: many senders, one receiver.

mod crash;
mod forged;
mod park;
mod people;
mod properties;
mod stream;
