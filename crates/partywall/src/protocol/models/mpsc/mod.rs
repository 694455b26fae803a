//! Lanes: many senders, one receiver.

mod crash;
mod forged;
mod forged_growth;
mod growing;
mod growth;
mod park;
mod people;
mod properties;
mod properties_growth;
mod stream;
