//! The stage on which a victim acts, and what must hold after it died.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use partywall::ring::{Consumer, ConsumerOptions, Producer, ProducerOptions};
use partywall::{Namespace, RecvError, inspect, manage};

use crate::stopped::{gets_in_or_is_told, has_dead_seat, nobody_is_robbed};
use crate::victim::Report;
use crate::{Located, system};

/// Every operation uses one channel.
pub(crate) const CHANNEL: &str = "c";
/// Small, so that laps are short.
pub(crate) const CAPACITY: u64 = 4096;
/// One for the survivor and one for the victim.
pub(crate) const SEATS: u32 = 2;
/// Nothing here takes so long unless it hangs.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn producer_options(namespace: &Namespace) -> ProducerOptions {
    ProducerOptions::new()
        .namespace(namespace.clone())
        .capacity(CAPACITY)
        .seats(SEATS)
        .heartbeat(false)
        .block_timeout(Some(LONG))
}

pub(crate) fn consumer_options(namespace: &Namespace) -> ConsumerOptions {
    ConsumerOptions::new()
        .namespace(namespace.clone())
        .heartbeat(false)
        .attach_timeout(Some(LONG))
}

/// A record's content follows from its number, every byte of it.
pub(crate) struct Payload;

impl Payload {
    /// At least the eight bytes of the number.
    pub(crate) fn bytes(number: u64, len: usize) -> Vec<u8> {
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.extend((8..len.max(8)).map(|at| (number as usize * 31 + at) as u8));
        bytes
    }

    /// Checks every byte.
    pub(crate) fn number(bytes: &[u8]) -> u64 {
        let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(bytes, Payload::bytes(number, bytes.len()), "a torn record");
        number
    }
}

/// Somebody who sleeps in another thread until the stream ends.
pub(crate) struct Sleeper {
    pub(crate) got: Arc<Mutex<Vec<u64>>>,
    pub(crate) thread: JoinHandle<()>,
}

/// A namespace of its own, and those who live on.
pub(crate) struct World {
    directory: tempfile::TempDir,
    pub(crate) namespace: Namespace,
    pub(crate) producer: Option<Producer>,
    pub(crate) survivor: Option<Consumer>,
    /// Who sleeps until the stream ends.
    pub(crate) sleeper: Option<Sleeper>,
    /// Records committed before the victim begins.
    pub(crate) before: u64,
}

impl World {
    /// An empty namespace.
    pub(crate) fn empty() -> Self {
        let directory = system::directory();
        let namespace = Namespace::open(directory.path()).unwrap();
        World {
            directory,
            namespace,
            producer: None,
            survivor: None,
            sleeper: None,
            before: 0,
        }
    }

    /// A channel that somebody abandoned after some records, and a consumer that has not read them yet.
    pub(crate) fn abandoned(records: u64) -> Self {
        let mut world = Self::producing();
        world.survivor = Some(world.consumer());
        for _ in 0..records {
            world.send();
        }
        world.abandon();
        world
    }

    /// A channel that somebody abandoned when its next record was to begin so many bytes before the end of
    /// the buffer; its consumer has read everything.
    pub(crate) fn abandoned_before_the_end(bytes: u64) -> Self {
        let mut world = Self::producing();
        let mut survivor = world.consumer();
        // 32 bytes each, header included.
        for number in 0..(CAPACITY - bytes) / 32 {
            world.send();
            assert_eq!(receive(&mut survivor), number);
        }
        assert!(survivor.try_recv().unwrap().is_none());
        world.survivor = Some(survivor);
        world.abandon();
        world
    }

    fn abandon(&mut self) {
        let producer = self.producer.take().unwrap();
        self.before = producer.records();
        producer.abandon();
    }

    /// A channel with a live producer.
    pub(crate) fn producing() -> Self {
        let mut world = Self::empty();
        world.producer = Some(producer_options(&world.namespace).open(CHANNEL).unwrap());
        world
    }

    pub(crate) fn consumer(&self) -> Consumer {
        consumer_options(&self.namespace).attach(CHANNEL).unwrap()
    }

    pub(crate) fn durable(&self) -> ConsumerOptions {
        consumer_options(&self.namespace).durable("d")
    }

    /// Sends the next record from the sweeping process.
    pub(crate) fn send(&mut self) {
        let producer = self.producer.as_mut().unwrap();
        let number = producer.records();
        producer.send(&Payload::bytes(number, 24)).unwrap();
    }

    /// Goes on in a larger generation.
    pub(crate) fn grow(&mut self, capacity: u64) {
        self.producer.as_mut().unwrap().grow(capacity).unwrap();
    }

    /// Generations that have files.
    pub(crate) fn generations(&self) -> Vec<u64> {
        let files = std::fs::read_dir(self.path().join(CHANNEL)).unwrap();
        let mut found: Vec<u64> = files
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                name.strip_suffix(".owner")?.parse().ok()
            })
            .collect();
        found.sort_unstable();
        found
    }

    pub(crate) fn names(&self) -> Vec<String> {
        system::names(self.path())
    }

    /// A successor takes the channel over; everybody goes on; then it is closed, and nothing is left.
    ///
    /// The victim sent what it reported, and `in_flight` records more may have been committed. The survivor
    /// must get everything from `expected` on.
    pub(crate) fn successor_goes_on(mut self, report: &Report, expected: u64, in_flight: u64) {
        let least = committed(self.before, report);
        let mut successor = producer_options(&self.namespace).open(CHANNEL).unwrap();
        let committed = successor.records();
        assert!(
            (least..=least + in_flight).contains(&committed),
            "{committed} records are counted, {least} were committed and {in_flight} in flight"
        );
        // Where nobody was there, a newcomer gets what comes now.
        let (mut survivor, first) = match self.survivor.take() {
            Some(survivor) => (survivor, expected),
            None => (self.consumer(), committed),
        };
        successor.send(&Payload::bytes(committed, 40)).unwrap();
        for number in first..=committed {
            assert_eq!(receive(&mut survivor), number, "in order, each once");
        }
        assert!(survivor.try_recv().unwrap().is_none());
        self.every_seat_comes_back(&mut survivor, &mut successor);
        successor.close().unwrap();
        assert!(matches!(
            survivor.recv_timeout(LONG),
            Err(RecvError::Closed { .. })
        ));
        drop(survivor);
        self.nothing_is_left();
    }

    /// The producer lives: it fills several laps, so that nothing dead may hold it; everybody gets all of it;
    /// then it closes, and nothing is left.
    pub(crate) fn producer_goes_on(mut self, expected: u64) {
        let mut survivor = self.survivor.take().unwrap();
        let mut expected = expected;
        for _ in 0..400 {
            self.send();
            let last = self.producer.as_ref().unwrap().records();
            while expected < last {
                assert_eq!(receive(&mut survivor), expected);
                expected += 1;
            }
        }
        let mut producer = self.producer.take().unwrap();
        self.every_seat_comes_back(&mut survivor, &mut producer);
        producer.close().unwrap();
        assert!(matches!(
            survivor.recv_timeout(LONG),
            Err(RecvError::Closed { .. })
        ));
        drop(survivor);
        self.nothing_is_left();
    }

    /// As many consumers as there are seats can be attached at once, and get what is sent.
    pub(crate) fn every_seat_comes_back(&self, survivor: &mut Consumer, producer: &mut Producer) {
        let mut others: Vec<Consumer> = (1..SEATS).map(|_| self.consumer()).collect();
        let number = producer.records();
        producer.send(&Payload::bytes(number, 100)).unwrap();
        for consumer in others.iter_mut().chain([survivor]) {
            assert_eq!(receive(consumer), number);
        }
    }

    /// Everybody has left: so have the files.
    pub(crate) fn nothing_is_left(&self) {
        assert_eq!(self.names(), Vec::<String>::new());
    }

    /// What a kill left of a channel, `clean` removes.
    pub(crate) fn clean_removes_the_rest(&self) {
        for row in manage::clean(&self.namespace).unwrap() {
            assert!(row.removed, "{row:?}");
        }
        self.nothing_is_left();
        assert!(inspect::list(&self.namespace).unwrap().is_empty());
    }

    /// Records that consumers of one seat lost, by the channel's own account.
    pub(crate) fn lost_at(&self, seat: u32) -> u64 {
        let info = inspect::inspect(&self.namespace, CHANNEL).unwrap();
        let seat = info.seats.iter().find(|found| found.index == seat);
        let seat = seat.expect("the seat is claimed");
        seat.abandoned + seat.lost + seat.unread + seat.former
    }
}

impl Located for World {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn meanwhile(&mut self) {
        nobody_is_robbed(&self.namespace, || {
            producer_options(&self.namespace).open(CHANNEL)
        });
        if !has_dead_seat(&self.namespace) {
            let now = consumer_options(&self.namespace).attach_timeout(Some(Duration::ZERO));
            drop(gets_in_or_is_told(now.attach(CHANNEL)));
        }
    }
}

/// Receives, checks every byte, and gives the number.
pub(crate) fn receive(consumer: &mut Consumer) -> u64 {
    Payload::number(&consumer.recv_timeout(LONG).unwrap())
}

/// What the victim had said was sent when it died, counted from the channel's beginning.
/// What was surely committed when the victim died, counted from the channel's beginning.
pub(crate) fn committed(before: u64, report: &Report) -> u64 {
    let numbers: Vec<u64> = (before..).take(report.sent.len()).collect();
    assert_eq!(report.sent, numbers, "the victim numbers what it sends");
    before + report.sent.len() as u64
}
