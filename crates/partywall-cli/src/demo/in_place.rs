//! The demo's `unsafe` openings: frames are written and looked at where they lie.
#![allow(unsafe_code)]

use partywall::frames::{InPlacePublisher, InPlaceSubscriber, Publisher, Subscriber};
use partywall::ring::{Consumer, InPlaceConsumer};

pub(super) fn look_in_place(consumer: Consumer) -> InPlaceConsumer {
    // SAFETY: the contract is that the producer does not write into a record that it has
    // committed and that a consumer has not given back. The only producers of this channel are
    // the demo's own, which write through `Reservation` and keep it; the namespace is a directory
    // that only this user may enter.
    unsafe { consumer.in_place() }
}

pub(super) fn publish_in_place(publisher: Publisher) -> InPlacePublisher {
    // SAFETY: the contract is that nobody else writes to the owner side. The other processes of this channel are the
    // demo's own subscribers, which map it read-only; the namespace is a directory that only this user may enter.
    unsafe { publisher.in_place() }
}

pub(super) fn hold_in_place(subscriber: Subscriber) -> InPlaceSubscriber {
    // SAFETY: the contract is that publishers do not write into a slot that is pinned, and that nobody else writes into
    // the subscriber's seat. The only publishers of this channel are the demo's own, which write through loans and keep
    // it; the namespace is a directory that only this user may enter.
    unsafe { subscriber.in_place() }
}
