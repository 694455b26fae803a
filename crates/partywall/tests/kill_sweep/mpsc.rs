//! Operations of mpsc channels: a sender, or the receiver, is the victim.

use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use partywall::mpsc::{Receiver, ReceiverOptions, Sender, SenderId, SenderOptions};
use partywall::{Namespace, RecvError, SendError, StopToken, WaitStrategy, inspect, manage};

use crate::account::{Account, End, Sent, encode, told};
use crate::stopped::{gets_in_or_is_told, nobody_is_robbed};
use crate::system::{self, At};
use crate::victim::{Report, say};
use crate::world::{CHANNEL, Payload};
use crate::{Located, Swept};

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(20);
/// Bytes of a lane: small, so that laps are short.
const LANE: u64 = 4096;

pub(crate) fn receiver_options(namespace: &Namespace) -> ReceiverOptions {
    ReceiverOptions::new()
        .namespace(namespace.clone())
        .lane_capacity(LANE)
        .seats(2)
        .heartbeat(false)
}

pub(crate) fn sender_options(namespace: &Namespace) -> SenderOptions {
    SenderOptions::new()
        .namespace(namespace.clone())
        .heartbeat(false)
        .attach_timeout(Some(LONG))
        .block_timeout(Some(LONG))
}

/// Sends its next record; numbers count from 0 for each sender.
pub(crate) fn send(sender: &mut Sender, len: usize) {
    let number = sender.records();
    sender.send(&Payload::bytes(number, len)).unwrap();
}

/// What happens to a record whose number is so: lengths change from one to the next.
fn some_len(number: u64) -> usize {
    8 + (number * 53 % 190) as usize
}

/// A receiver that sleeps in another thread until it is stopped; what it was told.
struct Listener {
    stop: StopToken,
    thread: JoinHandle<(Receiver, Account)>,
}

impl Listener {
    fn start(mut receiver: Receiver, mut account: Account, stop: StopToken) -> Self {
        let thread = thread::spawn(move || {
            while let Ok(event) = receiver.recv() {
                account.take(&told(event));
            }
            (receiver, account)
        });
        Listener { stop, thread }
    }

    fn end(self) -> (Receiver, Account) {
        self.stop.stop();
        self.thread.join().unwrap()
    }
}

/// An mpsc channel with those who live on.
pub(crate) struct LaneWorld {
    directory: tempfile::TempDir,
    namespace: Namespace,
    listener: Option<Listener>,
    /// Who sends on, in seat 0 unless told otherwise.
    pub(crate) other: Option<Sender>,
    /// What was sent before the victim began, and is to be received.
    pub(crate) expected: Vec<(SenderId, Sent)>,
}

impl Located for LaneWorld {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn meanwhile(&mut self) {
        let namespace = &self.namespace;
        nobody_is_robbed(namespace, || receiver_options(namespace).open(CHANNEL));
        if self.listener.is_none() {
            // The victim counts who comes.
            return;
        }
        let now = sender_options(namespace).attach_timeout(Some(Duration::ZERO));
        if let Some(mut newcomer) = gets_in_or_is_told(now.attach(CHANNEL)) {
            send(&mut newcomer, 24);
            self.expect(newcomer.id(), 1, End::Closed);
        }
    }
}

impl LaneWorld {
    pub(crate) fn empty() -> Self {
        let directory = system::directory();
        LaneWorld {
            namespace: Namespace::open(directory.path()).unwrap(),
            directory,
            listener: None,
            other: None,
            expected: Vec::new(),
        }
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A receiver asleep, and one sender besides the victim.
    fn listening() -> Self {
        let mut world = Self::empty();
        let stop = StopToken::new();
        let receiver = receiver_options(&world.namespace)
            .wait(WaitStrategy::Park)
            .stop_token(stop.clone())
            .open(CHANNEL)
            .unwrap();
        let mut other = world.sender();
        send(&mut other, 24);
        world.other = Some(other);
        world.listener = Some(Listener::start(receiver, Account::default(), stop));
        world
    }

    /// A channel that a receiver abandoned at once. In seat 0 somebody sent some records and lives; in seat 1
    /// somebody sent some and died, and in its place somebody sent some and left.
    pub(crate) fn abandoned(records: u64) -> Self {
        let mut world = Self::empty();
        receiver_options(&world.namespace)
            .open(CHANNEL)
            .unwrap()
            .abandon();
        let mut other = world.sender();
        for _ in 0..records {
            send(&mut other, 24);
        }
        world.expect(other.id(), records, End::Open);
        world.other = Some(other);
        world.dead_sender(records);
        let mut left = world.sender();
        for _ in 0..records {
            send(&mut left, 24);
        }
        world.expect(left.id(), records, End::Closed);
        world
    }

    pub(crate) fn sender(&self) -> Sender {
        sender_options(&self.namespace).attach(CHANNEL).unwrap()
    }

    pub(crate) fn expect(&mut self, sender: SenderId, records: u64, end: End) {
        self.expected.push((sender, Sent { records, end }));
    }

    /// Somebody sends some records and dies: a panic says as little as a kill.
    pub(crate) fn dead_sender(&mut self, records: u64) {
        let mut sender = self.sender();
        let dead = thread::spawn(move || {
            for _ in 0..records {
                send(&mut sender, 24);
            }
            let id = sender.id();
            let _dies_with = sender;
            std::panic::resume_unwind(Box::new(id));
        });
        let id = *dead.join().unwrap_err().downcast::<SenderId>().unwrap();
        self.expect(id, records, End::Died);
    }

    /// The victim was a sender. What it said it had sent arrives, `in_flight` records more at most; its end is told if it was
    /// there; the other one sends several laps; its seat can be taken again; at the end nothing is left.
    pub(crate) fn sender_died(mut self, report: &Report, in_flight: u64) {
        let (mut receiver, mut account) = match self.listener.take() {
            Some(listener) => listener.end(),
            None => (
                receiver_options(&self.namespace).open(CHANNEL).unwrap(),
                Account::default(),
            ),
        };
        receive_until(&mut receiver, &mut account, |account| {
            let open = account
                .senders
                .values()
                .filter(|sent| sent.end == End::Open);
            open.count() <= usize::from(self.other.is_some())
        });
        for (sender, sent) in &self.expected {
            assert_eq!(account.senders[sender], *sent, "{sender}");
        }
        // Who came last: the other one came first, and what is expected before.
        let known = |sender: &SenderId| {
            self.expected.iter().any(|(expected, _)| expected == sender)
                || self
                    .other
                    .as_ref()
                    .is_some_and(|other| other.id() == *sender)
        };
        let victims: Vec<_> = account
            .senders
            .iter()
            .filter(|(sender, _)| !known(sender))
            .map(|(_, sent)| *sent)
            .collect();
        assert!(victims.len() <= 1, "{account:?}");
        let least = report.sent.len() as u64;
        match victims.first() {
            Some(victim) => {
                assert!(
                    (least..=least + in_flight).contains(&victim.records),
                    "{victim:?}, {least} were committed and {in_flight} in flight"
                );
                assert!(report.killed || victim.end == End::Closed);
            }
            None => assert_eq!(least, 0),
        }
        self.all_go_on(receiver, account);
    }

    /// The other sender, and a new one, send several laps; then the receiver closes, and nothing is left.
    fn all_go_on(mut self, mut receiver: Receiver, mut account: Account) {
        let mut senders = vec![match self.other.take() {
            Some(other) => other,
            None => self.sender(),
        }];
        senders.push(self.sender());
        for sender in &mut senders {
            let before = sender.records();
            for number in before..before + 150 {
                send(sender, some_len(number));
                receive_until(&mut receiver, &mut account, |account| {
                    let sent = account.senders.get(&sender.id());
                    sent.is_some_and(|sent| sent.records == number + 1)
                });
            }
            receiver.acknowledge();
        }
        let received: u64 = account.senders.values().map(|sent| sent.records).sum();
        assert_eq!(receiver.received(), received, "the count is exact");
        let info = inspect::inspect(&self.namespace, CHANNEL).unwrap();
        assert_eq!(info.records, received);
        receiver.close().unwrap();
        for sender in &mut senders {
            assert!(matches!(
                sender.send(&[0; 8]),
                Err(SendError::Closed { .. })
            ));
        }
        drop(senders);
        self.nothing_is_left();
    }

    /// The victim was a receiver: a successor receives everything again that it was not done with, and all else.
    pub(crate) fn receiver_died(self, report: &Report) {
        let mut account = Account::default();
        for &event in &report.got {
            account.take_encoded(event);
        }
        account.successor();
        let mut receiver = receiver_options(&self.namespace).open(CHANNEL).unwrap();
        receive_until(&mut receiver, &mut account, |account| {
            self.expected
                .iter()
                .all(|(sender, sent)| account.senders.get(sender) == Some(sent))
        });
        self.all_go_on(receiver, account);
    }

    pub(crate) fn nothing_is_left(&self) {
        for row in manage::clean(&self.namespace).unwrap() {
            assert!(row.removed, "{row:?}");
        }
        assert_eq!(system::names(self.path()).len(), 0);
    }
}

/// Receives until the account is as it should be.
fn receive_until(receiver: &mut Receiver, account: &mut Account, done: impl Fn(&Account) -> bool) {
    let end = Instant::now() + LONG;
    loop {
        while let Some(event) = receiver.try_recv().unwrap() {
            account.take(&told(event));
        }
        if done(account) {
            return;
        }
        assert!(Instant::now() < end, "it does not come: {account:?}");
        thread::yield_now();
    }
}

/// Receives so many events as a victim, and says each.
pub(crate) fn receive(receiver: &mut Receiver, events: usize) {
    for _ in 0..events {
        say("got", encode(&told(receiver.recv().unwrap())));
    }
}

pub(crate) fn send_and_say(sender: &mut Sender, len: usize) {
    send(sender, len);
    say("sent", sender.records() - 1);
}

pub(crate) fn operations() -> impl Iterator<Item = Swept<LaneWorld>> {
    sender_operations().into_iter().chain(receiver_operations())
}

fn sender_operations() -> [Swept<LaneWorld>; 7] {
    [
        Swept {
            name: "mpsc_claim_send_and_leave",
            least_points: 32,
            prepare: LaneWorld::listening,
            act: |stage| {
                stage.armed();
                let mut sender = sender_options(&stage.namespace).attach(CHANNEL).unwrap();
                for len in [8, 100, 1000] {
                    send_and_say(&mut sender, len);
                }
                sender.close().unwrap();
                stage.disarmed();
            },
            check: |world, report| world.sender_died(report, 1),
        },
        Swept {
            name: "mpsc_take_over_a_dead_seat",
            least_points: 30,
            prepare: || {
                // One seat is alive, in the other one somebody died; nobody has received anything yet.
                let mut world = LaneWorld::empty();
                let receiver = receiver_options(&world.namespace).open(CHANNEL).unwrap();
                receiver.abandon();
                world.other = Some(world.sender());
                world.dead_sender(5);
                world
            },
            act: |stage| {
                stage.armed();
                let mut sender = sender_options(&stage.namespace).attach(CHANNEL).unwrap();
                for len in [8, 100] {
                    send_and_say(&mut sender, len);
                }
                drop(sender);
                stage.disarmed();
            },
            check: |world, report| world.sender_died(report, 1),
        },
        Swept {
            name: "mpsc_send_through_the_end",
            least_points: 38,
            prepare: LaneWorld::listening,
            act: |stage| {
                let mut sender = sender_options(&stage.namespace).attach(CHANNEL).unwrap();
                for _ in 0..8 {
                    send_and_say(&mut sender, 400);
                    sender.flush(Some(LONG)).unwrap();
                }
                stage.armed();
                // Some fit before the end; one does not, and padding goes before it.
                for len in [300, 300, 900, 24] {
                    send_and_say(&mut sender, len);
                }
                sender.reserve(60).unwrap().write_at(0, &[0xff; 60]);
                let number = sender.records();
                let mut room = sender.reserve(300).unwrap();
                room.write_at(0, &[0xff; 300]);
                room.write_at(0, &Payload::bytes(number, 20));
                room.commit_len(20);
                say("sent", number);
                sender.close().unwrap();
                stage.disarmed();
            },
            check: |world, report| world.sender_died(report, 1),
        },
        Swept {
            name: "mpsc_batch_through_the_end",
            least_points: 34,
            prepare: LaneWorld::listening,
            act: |stage| {
                let mut sender = sender_options(&stage.namespace).attach(CHANNEL).unwrap();
                for _ in 0..9 {
                    send_and_say(&mut sender, 400);
                    sender.flush(Some(LONG)).unwrap();
                }
                stage.armed();
                for _ in 0..2 {
                    let first = sender.records();
                    let mut batch = sender.batch();
                    for number in first..first + 5 {
                        batch.push(&Payload::bytes(number, 60)).unwrap();
                    }
                    batch.commit();
                    (first..first + 5).for_each(|number| say("sent", number));
                }
                sender.close().unwrap();
                stage.disarmed();
            },
            check: |world, report| world.sender_died(report, 5),
        },
        Swept {
            name: "mpsc_wait_for_room",
            least_points: 8,
            prepare: || {
                let mut world = LaneWorld::empty();
                let receiver = receiver_options(&world.namespace).open(CHANNEL).unwrap();
                receiver.abandon();
                world.other = Some(world.sender());
                world
            },
            act: |stage| {
                let options = sender_options(&stage.namespace).wait(WaitStrategy::Park);
                let mut sender = options.attach(CHANNEL).unwrap();
                while sender
                    .try_send(&Payload::bytes(sender.records(), 24))
                    .is_ok()
                {
                    say("sent", sender.records() - 1);
                }
                stage.armed();
                let waited = sender.send_timeout(&[0; 24], Duration::from_millis(5));
                assert!(matches!(waited, Err(SendError::TimedOut { .. })));
                // BYE has room in a full lane.
                sender.close().unwrap();
                stage.disarmed();
            },
            check: |world, report| world.sender_died(report, 0),
        },
        Swept {
            name: "mpsc_claim_a_lane_that_was_cut_off",
            least_points: 28,
            prepare: || {
                let mut world = LaneWorld::listening();
                world.scribbled_lane();
                world
            },
            act: |stage| {
                stage.armed();
                let mut sender = sender_options(&stage.namespace).attach(CHANNEL).unwrap();
                send_and_say(&mut sender, 24);
                drop(sender);
                stage.disarmed();
            },
            check: |world, report| world.sender_died(report, 1),
        },
        Swept {
            name: "mpsc_last_sender_of_a_closed_channel",
            least_points: 20,
            prepare: || {
                let world = LaneWorld::empty();
                let receiver = receiver_options(&world.namespace).open(CHANNEL).unwrap();
                receiver.abandon();
                world
            },
            act: |stage| {
                let mut sender = sender_options(&stage.namespace).attach(CHANNEL).unwrap();
                let receiver = receiver_options(&stage.namespace).open(CHANNEL).unwrap();
                receiver.close().unwrap();
                stage.armed();
                assert!(matches!(
                    sender.send(&[0; 8]),
                    Err(SendError::Closed { .. })
                ));
                drop(sender);
                stage.disarmed();
            },
            check: |world, report| {
                assert!(report.killed || system::names(world.path()).is_empty());
                world.nothing_is_left();
            },
        },
    ]
}

impl LaneWorld {
    /// Seat 1 had a sender whose lane somebody wrote over; the receiver has cut it off, and it has gone.
    fn scribbled_lane(&mut self) {
        let mut sender = self.sender();
        let at = 2 * 65536 + sender.position();
        send(&mut sender, 24);
        sender.flush(Some(LONG)).unwrap();
        let segment = std::fs::OpenOptions::new()
            .write(true)
            .open(self.path().join(CHANNEL).join("1.peers"))
            .unwrap();
        // Behind what was received, where the next record would come.
        segment.write_at(&[0xff; 8], at + 32).unwrap();
        let lies = || {
            let info = inspect::inspect(&self.namespace, CHANNEL).unwrap();
            info.counters.lies
        };
        while lies() == 0 {
            thread::yield_now();
        }
        self.expect(sender.id(), 1, End::Lied);
    }
}

fn receiver_operations() -> [Swept<LaneWorld>; 5] {
    [
        Swept {
            name: "mpsc_create",
            least_points: 80,
            prepare: LaneWorld::empty,
            act: |stage| {
                stage.armed();
                let mut receiver = receiver_options(&stage.namespace).open(CHANNEL).unwrap();
                assert!(receiver.try_recv().unwrap().is_none());
                receiver.abandon();
                stage.disarmed();
            },
            check: LaneWorld::receiver_died,
        },
        Swept {
            name: "mpsc_adopt_and_receive",
            least_points: 40,
            prepare: || LaneWorld::abandoned(20),
            act: |stage| {
                stage.armed();
                let mut receiver = receiver_options(&stage.namespace).open(CHANNEL).unwrap();
                // Three who came, two who went, and their records.
                receive(&mut receiver, 3 + 2 + 3 * 20);
                assert!(receiver.try_recv().unwrap().is_none());
                receiver.abandon();
                stage.disarmed();
            },
            check: LaneWorld::receiver_died,
        },
        Swept {
            name: "mpsc_wait_for_a_record",
            least_points: 4,
            prepare: || LaneWorld::abandoned(3),
            act: |stage| {
                let options = receiver_options(&stage.namespace).wait(WaitStrategy::Park);
                let mut receiver = options.open(CHANNEL).unwrap();
                // Three who came, two who went, and their records.
                receive(&mut receiver, 3 + 2 + 3 * 3);
                stage.armed();
                let waited = receiver.recv_timeout(Duration::from_millis(3));
                assert!(matches!(waited, Err(RecvError::TimedOut { .. })));
                receiver.abandon();
                stage.disarmed();
            },
            check: LaneWorld::receiver_died,
        },
        Swept {
            name: "mpsc_evict_a_dead_sender",
            least_points: 8,
            prepare: || {
                let mut world = LaneWorld::empty();
                let receiver = receiver_options(&world.namespace).open(CHANNEL).unwrap();
                receiver.abandon();
                world.dead_sender(3);
                world
            },
            act: |stage| {
                let mut receiver = receiver_options(&stage.namespace).open(CHANNEL).unwrap();
                receive(&mut receiver, 4);
                stage.armed();
                // Nobody tells; it is found out.
                receive(&mut receiver, 1);
                receiver.abandon();
                stage.disarmed();
            },
            check: LaneWorld::receiver_died,
        },
        Swept {
            name: "mpsc_close",
            least_points: 10,
            prepare: || LaneWorld::abandoned(3),
            act: |stage| {
                let receiver = receiver_options(&stage.namespace).open(CHANNEL).unwrap();
                stage.armed();
                receiver.close().unwrap();
                stage.disarmed();
            },
            check: |mut world, _| {
                // Dead, or closed; a sender that is there is told when it looks, or goes on under a successor.
                let mut other = world.other.take().unwrap();
                let mut heir = receiver_options(&world.namespace).open(CHANNEL).unwrap();
                match other.send(&Payload::bytes(3, 24)) {
                    Ok(_) => {
                        assert!(heir.adopted());
                        let mut account = Account::default();
                        receive_until(&mut heir, &mut account, |account| {
                            let sent = account.senders.get(&other.id());
                            sent.is_some_and(|sent| sent.records == 4)
                        });
                    }
                    Err(SendError::Closed { .. }) => assert!(!heir.adopted()),
                    Err(error) => panic!("{error}"),
                }
                drop(other);
                drop(heir);
                world.nothing_is_left();
            },
        },
    ]
}
