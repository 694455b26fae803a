//! The ring: copies in and out, or in place.
#![allow(unsafe_code)]

use super::{capacity, namespace, strategy};
use crate::Outcome;
use crate::contest::{PATIENCE, Seat};
use crate::transport::{How, Receiving, Sending, Transport};
use partywall::ring::{Consumer, ConsumerOptions, InPlaceConsumer, Producer, ProducerOptions};

/// Records copied in and out.
#[derive(Debug)]
pub(super) struct Ring;

/// Records copied in, and read where they lie.
#[derive(Debug)]
pub(super) struct InPlaceRing;

#[derive(Debug)]
pub(super) struct Copying {
    consumer: Consumer,
    buffer: Vec<u8>,
}

impl Sending for Producer {
    fn meet(&mut self) -> Outcome<()> {
        Ok(self.wait_for_consumer(Some(PATIENCE))?)
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        Producer::send(self, payload)?;
        Ok(())
    }

    #[inline(always)]
    fn send_all<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        let mut batch = self.batch();
        for payload in payloads {
            batch.push(payload)?;
        }
        batch.commit();
        Ok(())
    }
}

impl Receiving for Copying {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        self.consumer.recv_into(&mut self.buffer)?;
        look(&self.buffer)
    }
}

impl Receiving for InPlaceConsumer {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let record = self.recv_ref(None)?;
        look(&record)
    }
}

fn producer(seat: &Seat, name: &str, how: How) -> Outcome<Producer> {
    let capacity = capacity(seat);
    let options = ProducerOptions::new()
        .capacity(capacity)
        .seats(seat.followers.max(1) as u32)
        .wait(strategy(how));
    Ok(options.namespace(namespace(seat)?).open(&seat.name(name))?)
}

fn consumer(seat: &Seat, name: &str, how: How) -> Outcome<Consumer> {
    let options = ConsumerOptions::new().wait(strategy(how));
    Ok(options
        .namespace(namespace(seat)?)
        .attach(&seat.name(name))?)
}

impl Transport for Ring {
    type Sender = Producer;
    type Receiver = Copying;

    fn sender(seat: &Seat, name: &str, how: How) -> Outcome<Producer> {
        producer(seat, name, how)
    }

    fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<Copying> {
        let buffer = Vec::with_capacity(seat.size);
        Ok(Copying {
            consumer: consumer(seat, name, how)?,
            buffer,
        })
    }
}

impl Transport for InPlaceRing {
    type Sender = Producer;
    type Receiver = InPlaceConsumer;

    fn sender(seat: &Seat, name: &str, how: How) -> Outcome<Producer> {
        producer(seat, name, how)
    }

    fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<InPlaceConsumer> {
        // SAFETY: the channel lies in this run's own directory, and its producer is this program.
        Ok(unsafe { consumer(seat, name, how)?.in_place() })
    }
}
