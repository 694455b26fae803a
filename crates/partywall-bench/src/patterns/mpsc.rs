//! Many senders, one receiver.

use super::{capacity, namespace, strategy};
use crate::Outcome;
use crate::contest::{Meeting, Party, Seat};
use crate::payload::{self, Payloads};
use crate::transport::{How, Receiving, Sending, Transport};
use partywall::mpsc::{Event, Receiver, ReceiverOptions, Sender, SenderOptions};
use std::collections::HashMap;

#[derive(Debug)]
pub(super) struct Mpsc;

#[derive(Debug)]
pub(super) struct Collecting {
    receiver: Receiver,
    buffer: Vec<u8>,
}

impl Sending for Sender {
    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        Sender::send(self, payload)?;
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

impl Receiving for Collecting {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        // News of a sender comes once, before its first record.
        while !matches!(self.receiver.recv_into(&mut self.buffer)?, Event::Record(_)) {}
        look(&self.buffer)
    }
}

fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<Collecting> {
    let options = ReceiverOptions::new()
        .lane_capacity(capacity(seat))
        .seats(seat.followers.max(1) as u32)
        .wait(strategy(how));
    let receiver = options.namespace(namespace(seat)?).open(&seat.name(name))?;
    Ok(Collecting {
        receiver,
        buffer: Vec::with_capacity(seat.size),
    })
}

fn sender(seat: &Seat, name: &str, how: How) -> Outcome<Sender> {
    let options = SenderOptions::new().wait(strategy(how));
    Ok(options
        .namespace(namespace(seat)?)
        .attach(&seat.name(name))?)
}

impl Transport for Mpsc {
    type Sender = Sender;
    type Receiver = Collecting;
    const SENDER_FIRST: bool = false;

    fn sender(seat: &Seat, name: &str, how: How) -> Outcome<Sender> {
        sender(seat, name, how)
    }

    fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<Collecting> {
        receiver(seat, name, how)
    }
}

/// Records of many senders, collected by the leader.
#[derive(Debug)]
pub(super) struct Gather {
    end: End,
    payloads: Payloads,
    followers: u64,
}

#[derive(Debug)]
enum End {
    /// And what each sender sends next.
    Collects(Collecting, HashMap<u32, u64>),
    Sends(Sender),
}

const NAME: &str = "all";

impl Gather {
    pub(super) fn open(seat: &Seat) -> Outcome<Gather> {
        let end = if seat.leads() {
            End::Collects(receiver(seat, NAME, How::Awake)?, HashMap::new())
        } else {
            // More of them than cores: one that waits for room must let others go on.
            let how = if seat.followers > 1 {
                How::Asleep
            } else {
                How::Awake
            };
            End::Sends(sender(seat, NAME, how)?)
        };
        Ok(Gather {
            end,
            payloads: Payloads::new(seat.size),
            followers: seat.followers as u64,
        })
    }
}

impl Party for Gather {
    fn turn(&mut self, amount: u64, _: &Meeting) -> Outcome<u64> {
        let each = amount.div_ceil(self.followers);
        match &mut self.end {
            End::Sends(sender) => {
                for payload in self.payloads.turn(each) {
                    sender.send(payload)?;
                }
                Ok(each)
            }
            End::Collects(collecting, next) => {
                let Collecting { receiver, buffer } = collecting;
                let all = each * self.followers;
                let mut got = 0;
                while got < all {
                    let Event::Record(meta) = receiver.recv_into(buffer)? else {
                        continue;
                    };
                    let number = next.entry(meta.sender.seat).or_default();
                    payload::check(self.payloads.numbered(*number), buffer)?;
                    *number += 1;
                    got += 1;
                }
                Ok(all)
            }
        }
    }
}
