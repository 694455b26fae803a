//! The demo's one `unsafe` opening: consumers look at a frame where it lies.
#![allow(unsafe_code)]

use partywall::ring::{Consumer, InPlaceConsumer};

pub(super) fn look_in_place(consumer: Consumer) -> InPlaceConsumer {
    // SAFETY: the contract is that the producer does not write into a record that it has
    // committed and that a consumer has not given back. The only producers of this channel are
    // the demo's own, which write through `Reservation` and keep it; the namespace is a directory
    // that only this user may enter.
    unsafe { consumer.in_place() }
}
