//! Lanes: many senders, one receiver.

mod crash;
mod forged;
mod growing;
mod growth;
mod park;
mod people;
mod properties;
mod stream;
