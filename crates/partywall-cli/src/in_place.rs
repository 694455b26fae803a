//! The commands' `unsafe` openings: records and frames are written and read where they lie.
#![allow(unsafe_code)]

use partywall::frames::{InPlacePublisher, InPlaceSubscriber, Publisher, Subscriber};
use partywall::ring::{Consumer, InPlaceConsumer, InPlaceProducer, Producer};

/// Lets input be read straight into the channel.
pub(crate) fn write_in_place(producer: Producer) -> InPlaceProducer {
    // SAFETY: the namespace was checked to belong to this user and to let no one else write, and its
    // segments have mode 0600; programs of the same user that break the protocol could change this process's
    // memory anyway (ptrace). The bytes are only filled by read(2) and never interpreted.
    unsafe { producer.in_place() }
}

/// Lets records be written out from where they lie.
pub(crate) fn read_in_place(consumer: Consumer) -> InPlaceConsumer {
    // SAFETY: as above; the bytes are only handed to write(2) or copied, and never interpreted.
    unsafe { consumer.in_place() }
}

/// Lets frames be filled where they lie.
pub(crate) fn publish_in_place(publisher: Publisher) -> InPlacePublisher {
    // SAFETY: as in `write_in_place`; the bytes are only filled by read(2) or a copy, and never interpreted.
    unsafe { publisher.in_place() }
}

/// Lets frames be written out from where they lie.
pub(crate) fn hold_in_place(subscriber: Subscriber) -> InPlaceSubscriber {
    // SAFETY: as in `write_in_place`; the bytes are only handed to write(2) or copied, and never interpreted.
    unsafe { subscriber.in_place() }
}
