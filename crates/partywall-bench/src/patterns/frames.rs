//! Frames, written and read where they lie.
#![allow(unsafe_code)]

use super::{namespace, strategy};
use crate::Outcome;
use crate::contest::{PATIENCE, Seat};
use crate::transport::{How, Receiving, Sending, Transport};
use partywall::frames::{InPlacePublisher, InPlaceSubscriber, PublisherOptions, SubscriberOptions};

#[derive(Debug)]
pub(super) struct Frames;

#[derive(Debug)]
pub(super) struct Publishing {
    publisher: InPlacePublisher,
    subscribers: usize,
}

impl Sending for Publishing {
    fn meet(&mut self) -> Outcome<()> {
        let started = std::time::Instant::now();
        while self.publisher.subscribers() < self.subscribers {
            if started.elapsed() > PATIENCE {
                return Err("the subscribers have not come".into());
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        let mut loan = self.publisher.loan(payload.len())?;
        loan.copy_from_slice(payload);
        loan.publish()?;
        Ok(())
    }

    fn send_filled(
        &mut self,
        len: usize,
        _: &mut Vec<u8>,
        fill: impl FnOnce(&mut [u8]),
    ) -> Outcome<()> {
        let mut loan = self.publisher.loan(len)?;
        fill(&mut loan);
        loan.publish()?;
        Ok(())
    }
}

impl Receiving for InPlaceSubscriber {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let frame = self.recv()?;
        look(&frame)
    }
}

impl Transport for Frames {
    type Sender = Publishing;
    type Receiver = InPlaceSubscriber;

    fn sender(seat: &Seat, name: &str, how: How) -> Outcome<Publishing> {
        let subscribers = seat.followers.max(1);
        let options = PublisherOptions::new()
            .frame_size(u32::try_from(seat.size)?)
            .seats(subscribers as u32)
            // A subscriber looks at one while the publisher writes the next; four in all, as the bare ring has, or as
            // few as the seats allow.
            .held(1)
            .history(1)
            .slots(4.max(subscribers as u32 + 2))
            .time_stamps(false)
            .wait(strategy(how));
        let publisher = options.namespace(namespace(seat)?).open(&seat.name(name))?;
        // SAFETY: the channel lies in this run's own directory, and nobody else writes there.
        let publisher = unsafe { publisher.in_place() };
        Ok(Publishing {
            publisher,
            subscribers,
        })
    }

    fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<InPlaceSubscriber> {
        let options = SubscriberOptions::new().wait(strategy(how));
        let subscriber = options
            .namespace(namespace(seat)?)
            .attach(&seat.name(name))?;
        // SAFETY: as above.
        Ok(unsafe { subscriber.in_place() })
    }
}
