//! What a receiver of many senders was told, held against what may be told.

use std::collections::BTreeMap;

use partywall::mpsc::{Event, Record, SenderId};

use crate::world::Payload;

/// An event without the bytes: a record is its number.
pub(crate) type Told = Event<(SenderId, u64)>;

/// Checks every byte of a record.
pub(crate) fn told(event: Event<Record>) -> Told {
    match event {
        Event::Record(record) => Event::Record((record.sender, Payload::number(&record))),
        Event::Opened(sender) => Event::Opened(sender),
        Event::Closed(sender) => Event::Closed(sender),
        Event::Died(sender) => Event::Died(sender),
        Event::Lied(sender, lie) => Event::Lied(sender, lie),
    }
}

/// An event as one number, for a victim to say.
pub(crate) fn encode(event: &Told) -> u64 {
    let (what, sender, number) = match event {
        Event::Record((sender, number)) => (0, sender, *number),
        Event::Opened(sender) => (1, sender, 0),
        Event::Closed(sender) => (2, sender, 0),
        Event::Died(sender) => (3, sender, 0),
        Event::Lied(sender, _) => (4, sender, 0),
    };
    u64::from(sender.seat) << 56 | sender.epoch << 40 | what << 36 | number
}

/// How a sender ended, as the receiver was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    Closed,
    Died,
    Lied,
}

/// What was received of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Records: those with numbers from 0 to before this.
    pub(crate) records: u64,
    pub(crate) end: End,
}

#[derive(Debug)]
struct Lane {
    sender: SenderId,
    /// The next number to come.
    next: u64,
    /// A new receiver may begin before it.
    again: bool,
}

/// Everything received, by all receivers one after the other.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) senders: BTreeMap<SenderId, Sent>,
    lanes: BTreeMap<u32, Lane>,
}

impl Account {
    /// Takes an event; panics if it must not come now.
    pub(crate) fn take(&mut self, event: &Told) {
        self.take_encoded(encode(event));
    }

    /// The same as a victim said it.
    pub(crate) fn take_encoded(&mut self, event: u64) {
        let sender = SenderId {
            seat: (event >> 56) as u32,
            epoch: event >> 40 & 0xffff,
        };
        let number = event & 0xf_ffff_ffff;
        match event >> 36 & 0xf {
            0 => self.record(sender, number),
            1 => self.opened(sender),
            2 => self.ended(sender, End::Closed),
            3 => self.ended(sender, End::Died),
            _ => self.ended(sender, End::Lied),
        }
    }

    /// Another receiver goes on: what the one before was not done with comes again.
    pub(crate) fn successor(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.again = true;
        }
    }

    fn opened(&mut self, sender: SenderId) {
        let new = self.lanes.get(&sender.seat).is_none_or(|lane| {
            assert!(
                sender.epoch > lane.sender.epoch || lane.again && sender == lane.sender,
                "{sender} after {lane:?}"
            );
            let before = self.senders[&lane.sender];
            assert!(
                before.end != End::Open || sender == lane.sender,
                "{sender} while {lane:?} is open"
            );
            sender != lane.sender
        });
        if new {
            let lane = Lane {
                sender,
                next: 0,
                again: false,
            };
            self.lanes.insert(sender.seat, lane);
            let sent = Sent {
                records: 0,
                end: End::Open,
            };
            self.senders.insert(sender, sent);
        }
    }

    fn record(&mut self, sender: SenderId, number: u64) {
        let lane = self.lanes.get_mut(&sender.seat).expect("it was opened");
        assert_eq!(lane.sender, sender);
        let sent = self.senders.get_mut(&sender).unwrap();
        if std::mem::take(&mut lane.again) && number < lane.next {
            lane.next = number;
        }
        assert_eq!(number, lane.next, "of {sender}, in order");
        lane.next += 1;
        if lane.next > sent.records {
            assert_eq!(sent.end, End::Open, "a record of {sender} after its end");
            sent.records = lane.next;
        }
    }

    fn ended(&mut self, sender: SenderId, end: End) {
        let lane = self.lanes.get_mut(&sender.seat).expect("it was opened");
        let again = std::mem::take(&mut lane.again);
        assert_eq!(lane.sender, sender);
        let sent = self.senders.get_mut(&sender).unwrap();
        assert!(
            sent.end == End::Open || sent.end == end && (again || lane.next <= sent.records),
            "{sender} ended twice: {sent:?}"
        );
        assert_eq!(
            lane.next, sent.records,
            "{sender} ended before its last record"
        );
        sent.end = end;
    }
}
