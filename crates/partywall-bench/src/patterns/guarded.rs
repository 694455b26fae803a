//! The guarded record: whoever waits for its next value is woken by whoever commits it.

use super::snapshot::{Looking, reader};
use super::{namespace, strategy};
use crate::Outcome;
use crate::contest::Seat;
use crate::transport::{How, Sending, Transport};
use partywall::guarded::{Record, RecordOptions};

#[derive(Debug)]
pub(super) struct Guarded;

impl Sending for Record {
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        let mut guard = self.lock()?.consistent();
        let value = guard.value_mut();
        value.clear();
        value.extend_from_slice(payload);
        guard.commit()?;
        Ok(())
    }
}

impl Transport for Guarded {
    type Sender = Record;
    type Receiver = Looking;

    fn sender(seat: &Seat, name: &str, how: How) -> Outcome<Record> {
        let options = RecordOptions::new()
            .value_size(u32::try_from(seat.size)?)
            .seats(2)
            .wait(strategy(how));
        Ok(options.namespace(namespace(seat)?).open(&seat.name(name))?)
    }

    fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<Looking> {
        reader(seat, name, how)
    }
}
