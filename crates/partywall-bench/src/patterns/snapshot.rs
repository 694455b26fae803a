//! The snapshot.

use super::{namespace, strategy};
use crate::Outcome;
use crate::contest::Seat;
use crate::latest::{Getting, Latest, Putting};
use crate::transport::{How, Receiving, Sending, Transport};
use partywall::RecvError;
use partywall::snapshot::{Reader, ReaderOptions, Writer, WriterOptions};

#[derive(Debug)]
pub(super) struct Snapshot;

#[derive(Debug)]
pub(super) struct Looking {
    reader: Reader,
    buffer: Vec<u8>,
}

impl Putting for Writer {
    #[inline(always)]
    fn put(&mut self, value: &[u8]) -> Outcome<()> {
        Writer::put(self, value)?;
        Ok(())
    }
}

impl Sending for Writer {
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        Writer::put(self, payload)?;
        Ok(())
    }
}

impl Getting for Looking {
    #[inline(always)]
    fn get(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        loop {
            match self.reader.get_into(&mut self.buffer) {
                Ok(Some(_)) => return look(&self.buffer),
                Ok(None) | Err(RecvError::Contended { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Receiving for Looking {
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        self.reader.changed_into(&mut self.buffer, None)?;
        look(&self.buffer)
    }
}

fn writer(seat: &Seat, name: &str) -> Outcome<Writer> {
    let options = WriterOptions::new()
        .value_size(u32::try_from(seat.size)?)
        .seats(seat.followers.max(1) as u32)
        .time_stamps(false);
    Ok(options.namespace(namespace(seat)?).open(&seat.name(name))?)
}

pub(super) fn reader(seat: &Seat, name: &str, how: How) -> Outcome<Looking> {
    let options = ReaderOptions::new().wait(strategy(how));
    let reader = options
        .namespace(namespace(seat)?)
        .attach(&seat.name(name))?;
    Ok(Looking {
        reader,
        buffer: Vec::with_capacity(seat.size),
    })
}

const NAME: &str = "value";

impl Latest for Snapshot {
    type Writer = Writer;
    type Reader = Looking;

    fn writer(seat: &Seat) -> Outcome<Writer> {
        writer(seat, NAME)
    }

    fn reader(seat: &Seat) -> Outcome<Looking> {
        reader(seat, NAME, How::Awake)
    }
}

impl Transport for Snapshot {
    type Sender = Writer;
    type Receiver = Looking;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<Writer> {
        writer(seat, name)
    }

    fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<Looking> {
        reader(seat, name, how)
    }
}
