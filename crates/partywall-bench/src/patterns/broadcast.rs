//! A sender that waits for nobody.

use super::{namespace, strategy};
use crate::Outcome;
use crate::contest::{Faults, Meeting, Party, Seat};
use crate::latest::{Numbered, Verdict};
use crate::transport::{How, Receiving, Sending, Transport};
use partywall::RecvError;
use partywall::broadcast::{Receiver, ReceiverOptions, Sender, SenderOptions};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Broadcast;

#[derive(Debug)]
pub(super) struct Listening {
    receiver: Receiver,
    buffer: Vec<u8>,
}

impl Sending for Sender {
    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        Sender::send(self, payload)?;
        Ok(())
    }
}

impl Receiving for Listening {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        self.receiver.recv_into(&mut self.buffer, None)?;
        look(&self.buffer)
    }
}

fn sender(seat: &Seat, name: &str) -> Outcome<Sender> {
    let options = SenderOptions::new()
        .value_size(u32::try_from(seat.size)?)
        .seats(seat.followers.max(1) as u32)
        .time_stamps(false);
    Ok(options.namespace(namespace(seat)?).open(&seat.name(name))?)
}

fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<Listening> {
    let options = ReceiverOptions::new().wait(strategy(how));
    let receiver = options
        .namespace(namespace(seat)?)
        .attach(&seat.name(name))?;
    Ok(Listening {
        receiver,
        buffer: Vec::with_capacity(seat.size),
    })
}

impl Transport for Broadcast {
    type Sender = Sender;
    type Receiver = Listening;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<Sender> {
        sender(seat, name)
    }

    fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<Listening> {
        receiver(seat, name, how)
    }
}

/// The leader casts, however many listen.
#[derive(Debug)]
pub(super) struct Cast {
    end: End,
    payloads: Numbered,
}

#[derive(Debug)]
enum End {
    Casts(Box<Sender>),
    Listens(Box<Listening>, Verdict),
}

const NAME: &str = "cast";

impl Cast {
    pub(super) fn open(seat: &Seat) -> Outcome<Cast> {
        let end = if seat.leads() {
            End::Casts(Box::new(sender(seat, NAME)?))
        } else {
            let listening = Box::new(receiver(seat, NAME, How::Awake)?);
            End::Listens(listening, Verdict::default())
        };
        Ok(Cast {
            end,
            payloads: Numbered::new(seat.size),
        })
    }
}

impl Party for Cast {
    fn until_told(&self) -> bool {
        true
    }

    fn turn(&mut self, amount: u64, meeting: &Meeting) -> Outcome<u64> {
        match &mut self.end {
            End::Casts(sender) => {
                for _ in 0..amount {
                    sender.send(self.payloads.next())?;
                }
                Ok(amount)
            }
            End::Listens(listening, verdict) => {
                let Listening { receiver, buffer } = &mut **listening;
                let mut got = 0;
                while !meeting.is_over() {
                    match receiver.try_recv_into(buffer) {
                        Ok(Some(_)) => {
                            verdict.judge(&self.payloads, buffer);
                            got += 1;
                        }
                        // Whoever shares the core is to have it.
                        Ok(None) => std::thread::yield_now(),
                        // It is told how many, which is what the pattern promises.
                        Err(RecvError::Overrun { .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                // The next turn begins where the sender stands.
                while receiver.recv_timeout(Duration::ZERO).is_ok() {}
                Ok(got)
            }
        }
    }

    fn faults(&self) -> Faults {
        match &self.end {
            End::Casts(_) => Faults::default(),
            End::Listens(_, verdict) => verdict.faults,
        }
    }
}
