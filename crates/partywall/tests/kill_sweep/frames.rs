//! Operations of frames, in which the publisher or a subscriber is the victim.

use std::io::Read;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::thread;
use std::time::Duration;

use partywall::frames::{Frame, Publisher, PublisherOptions, Subscriber, SubscriberOptions};
use partywall::{Namespace, RecvError, SendError, WaitStrategy, inspect, manage};

use crate::stopped::{gets_in_or_is_told, has_dead_seat, nobody_is_robbed};
use crate::victim::{Fault, Report, Stage, run, say};
use crate::world::{CHANNEL, Payload, committed};
use crate::{Located, Swept, system};

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(20);
/// Bytes of the largest frame.
const FRAME: u32 = 300;
/// One for the survivor and one for the victim.
const SEATS: u32 = 2;
/// Frames that each may hold.
pub(crate) const HELD: usize = 3;
/// `SEATS * HELD`, three that are kept, two in hand.
const SLOTS: u64 = 11;

pub(crate) fn publisher_options(namespace: &Namespace) -> PublisherOptions {
    PublisherOptions::new()
        .namespace(namespace.clone())
        .frame_size(FRAME)
        .seats(SEATS)
        .held(HELD as u32)
        .history(3)
        .loans(2)
        .heartbeat(false)
        .block_timeout(Some(LONG))
}

pub(crate) fn subscriber_options(namespace: &Namespace) -> SubscriberOptions {
    SubscriberOptions::new()
        .namespace(namespace.clone())
        .heartbeat(false)
        .attach_timeout(Some(LONG))
}

/// The frame with this sequence; lengths change from one to the next.
fn content(sequence: u64) -> Vec<u8> {
    Payload::bytes(sequence, 8 + (sequence * 53 % 290) as usize)
}

pub(crate) fn check(frame: &Frame) {
    assert_eq!(frame.to_vec(), content(frame.sequence()), "a torn frame");
    assert_eq!(u64::from(frame.about().width), frame.sequence());
}

/// Publishes the next frame in two pieces, with something said about it.
pub(crate) fn publish(publisher: &Publisher) -> u64 {
    let sequence = publisher.sequence() + 1;
    let bytes = content(sequence);
    let mut loan = publisher.loan(bytes.len()).unwrap();
    let (head, tail) = bytes.split_at(bytes.len() / 3);
    loan.write_at(0, head);
    loan.set_image(sequence as u32, 1, 0, 0);
    loan.write_at(head.len(), tail);
    assert_eq!(loan.publish().unwrap(), sequence);
    sequence
}

pub(crate) fn receive(subscriber: &mut Subscriber) -> Frame {
    let expected = subscriber.next_sequence();
    let frame = subscriber.recv_timeout(LONG).unwrap();
    assert_eq!(frame.sequence(), expected, "in order, each once");
    check(&frame);
    frame
}

/// Frames with those who live on.
pub(crate) struct FrameWorld {
    directory: tempfile::TempDir,
    namespace: Namespace,
    publisher: Option<Publisher>,
    survivor: Option<Subscriber>,
    /// What the survivor holds all the time.
    held: Vec<Frame>,
    /// Frames before the victim begins.
    before: u64,
}

impl Located for FrameWorld {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn meanwhile(&mut self) {
        let namespace = &self.namespace;
        nobody_is_robbed(namespace, || publisher_options(namespace).open(CHANNEL));
        self.held.iter().for_each(check);
        if has_dead_seat(namespace) {
            return;
        }
        // Not one that is waited for: the publisher is to go on as it would have.
        let options = subscriber_options(namespace).lossy(true).history(3);
        let newcomer = options.attach_timeout(Some(Duration::ZERO)).attach(CHANNEL);
        if let Some(mut newcomer) = gets_in_or_is_told(newcomer) {
            while let Ok(Some(frame)) = newcomer.try_recv() {
                check(&frame);
            }
        }
    }
}

impl FrameWorld {
    fn empty() -> Self {
        let directory = system::directory();
        FrameWorld {
            namespace: Namespace::open(directory.path()).unwrap(),
            directory,
            publisher: None,
            survivor: None,
            held: Vec::new(),
            before: 0,
        }
    }

    /// A channel with a live publisher.
    pub(crate) fn publishing() -> Self {
        let mut world = Self::empty();
        world.publisher = Some(publisher_options(&world.namespace).open(CHANNEL).unwrap());
        world
    }

    fn publish(&mut self, frames: u64) {
        for _ in 0..frames {
            self.before = publish(self.publisher.as_ref().unwrap());
        }
    }

    /// A survivor that holds the first two of the frames, and has the others to read.
    pub(crate) fn with_survivor(mut self, frames: u64) -> Self {
        let mut survivor = subscriber_options(&self.namespace).attach(CHANNEL).unwrap();
        self.publish(frames);
        self.held = vec![receive(&mut survivor), receive(&mut survivor)];
        self.survivor = Some(survivor);
        self
    }

    pub(crate) fn abandoned(mut self) -> Self {
        self.publisher.take().unwrap().abandon();
        self
    }

    pub(crate) fn grow(&mut self, grow: impl FnOnce(&mut Publisher)) {
        grow(self.publisher.as_mut().unwrap());
    }

    /// The survivor gives back what it holds all the time.
    pub(crate) fn drop_held(&mut self) {
        self.held.clear();
    }

    /// Reads everything that is there; the survivor's next sequence.
    pub(crate) fn read_all(&mut self) -> u64 {
        let survivor = self.survivor.as_mut().unwrap();
        loop {
            let expected = survivor.next_sequence();
            match survivor.try_recv() {
                Ok(Some(frame)) => {
                    assert_eq!(frame.sequence(), expected, "in order, each once");
                    check(&frame);
                }
                Ok(None) | Err(RecvError::OwnerDied { .. }) => return expected,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Everything that the victim said is there, one more at most, and nothing that is half-written; what is held
    /// stays; a successor goes on, round all slots; at the end nothing is left.
    pub(crate) fn successor_goes_on(mut self, report: &Report) {
        let least = self.before + report.sent.len() as u64;
        let all = self.survivor.is_some().then(|| self.read_all() - 1);
        let successor = publisher_options(&self.namespace).open(CHANNEL).unwrap();
        let last = successor.sequence();
        assert!((least..=least + 1).contains(&last), "{last}, {least}");
        assert!(all.is_none_or(|all| all == last), "{all:?}, {last}");
        self.publisher = Some(successor);
        self.goes_on();
    }

    /// The publisher goes round all slots several times, so that nothing dead may hold it; whoever comes finds a seat.
    fn goes_on(mut self) {
        if self.survivor.is_none() {
            self.survivor = Some(subscriber_options(&self.namespace).attach(CHANNEL).unwrap());
        } else {
            self.read_all();
        }
        let publisher = self.publisher.take().unwrap();
        let survivor = self.survivor.as_mut().unwrap();
        for _ in 0..5 * SLOTS {
            let sequence = publish(&publisher);
            assert_eq!(receive(survivor).sequence(), sequence);
            self.held.iter().for_each(check);
        }
        // As many as there are seats, each with as many frames as it may hold, and the publisher does not run dry.
        let mut others: Vec<Subscriber> = (1..SEATS)
            .map(|_| subscriber_options(&self.namespace).attach(CHANNEL).unwrap())
            .collect();
        let mut held = Vec::new();
        for round in 0..HELD {
            publish(&publisher);
            for subscriber in others.iter_mut().chain([&mut *survivor]) {
                let frame = receive(subscriber);
                if round + subscriber.held() <= HELD && subscriber.held() <= round + 1 {
                    held.push(frame);
                }
            }
        }
        drop(others);
        for _ in 0..3 * SLOTS {
            publish(&publisher);
            drop(receive(survivor));
            held.iter().chain(&self.held).for_each(check);
        }
        publisher.close().unwrap();
        let end = survivor.recv_timeout(LONG);
        assert!(matches!(end, Err(RecvError::Closed { .. })));
        self.survivor = None;
        held.iter().chain(&self.held).for_each(check);
        drop(held);
        self.held.clear();
        self.nothing_is_left();
    }

    fn nothing_is_left(&self) {
        // What a kill left of a channel that nobody came back to.
        for row in manage::clean(&self.namespace).unwrap() {
            assert!(row.removed, "{row:?}");
        }
        assert_eq!(system::names(self.path()).len(), 0);
    }

    /// Frames lost in one seat, by the channel's own account.
    fn lost_at(&self, seat: u32) -> u64 {
        let info = inspect::inspect(&self.namespace, CHANNEL).unwrap();
        let seat = info.seats.iter().find(|found| found.index == seat);
        let seat = seat.expect("the seat is claimed");
        seat.abandoned + seat.lost + seat.unread + seat.former
    }
}

pub(crate) fn publish_and_say(publisher: &Publisher, frames: u64) {
    for _ in 0..frames {
        say("sent", publish(publisher));
    }
}

/// A survivor at the newest frame, and a dead subscriber that holds three and has come to no more.
fn with_a_dead_holder() -> FrameWorld {
    let mut world = FrameWorld::publishing();
    world.publish(3);
    run("frames_hold_three_and_vanish", world.path(), Fault::None);
    world
}

/// Publishes until it is killed; now and then two loans at once, or one that is given up.
pub(crate) fn publish_without_end(stage: &Stage) -> ! {
    let publisher = publisher_options(&stage.namespace).seats(8);
    let publisher = publisher.open(CHANNEL).unwrap();
    loop {
        let sequence = publish(&publisher);
        if sequence.is_multiple_of(3) {
            let mut spoilt = publisher.loan(FRAME as usize).unwrap();
            spoilt.write_at(0, &[0xee; FRAME as usize]);
            if sequence.is_multiple_of(2) {
                publish(&publisher);
            }
        }
    }
}

/// Takes frames and holds three until its input ends; dies of whatever is torn, changes, or is unaccounted.
pub(crate) fn subscribe_without_end(stage: &Stage) -> ! {
    thread::spawn(|| {
        // Whoever started us says when to end.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let lossy = std::process::id().is_multiple_of(2);
    let options = subscriber_options(&stage.namespace).await_successor(true);
    let mut subscriber = options.lossy(lossy).attach(CHANNEL).unwrap();
    let mut held: Vec<Frame> = Vec::new();
    loop {
        let next = subscriber.next_sequence();
        match subscriber.recv() {
            Ok(frame) => {
                assert_eq!(frame.sequence(), next);
                check(&frame);
                held.push(frame);
            }
            Err(RecvError::Overrun { lost, .. }) => {
                assert!(lossy && subscriber.next_sequence() == next + lost);
            }
            Err(RecvError::TooManyHeld { .. }) => {
                held.iter().for_each(check);
                held.swap_remove(next as usize % HELD);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn operations() -> impl Iterator<Item = Swept<FrameWorld>> {
    publishers().into_iter().chain(subscribers())
}

fn publishers() -> Vec<Swept<FrameWorld>> {
    vec![
        Swept {
            name: "frames_create",
            least_points: 110,
            prepare: FrameWorld::empty,
            act: |stage| {
                stage.armed();
                let publisher = publisher_options(&stage.namespace).open(CHANNEL).unwrap();
                publish_and_say(&publisher, 1);
                publisher.abandon();
                stage.disarmed();
            },
            check: FrameWorld::successor_goes_on,
        },
        Swept {
            name: "frames_adopt",
            least_points: 30,
            prepare: || FrameWorld::publishing().with_survivor(7).abandoned(),
            act: |stage| {
                stage.armed();
                let publisher = publisher_options(&stage.namespace).open(CHANNEL).unwrap();
                publish_and_say(&publisher, 1);
                publisher.abandon();
                stage.disarmed();
            },
            check: FrameWorld::successor_goes_on,
        },
        Swept {
            name: "frames_loan_publish_and_abort",
            least_points: 70,
            prepare: || FrameWorld::publishing().with_survivor(4).abandoned(),
            act: |stage| {
                let publisher = publisher_options(&stage.namespace).open(CHANNEL).unwrap();
                stage.armed();
                publish_and_say(&publisher, 1);
                let mut spoilt = publisher.loan(FRAME as usize).unwrap();
                spoilt.write_at(0, &[0xee; FRAME as usize]);
                publish_and_say(&publisher, 2);
                drop(spoilt);
                publish_and_say(&publisher, 2);
                stage.disarmed();
                publisher.abandon();
            },
            check: FrameWorld::successor_goes_on,
        },
        Swept {
            name: "frames_write_over_what_was_read",
            least_points: 120,
            prepare: || {
                let mut world = FrameWorld::publishing().with_survivor(10);
                world.read_all();
                world.abandoned()
            },
            act: |stage| {
                let publisher = publisher_options(&stage.namespace).open(CHANNEL).unwrap();
                stage.armed();
                // The survivor reads none of them meanwhile.
                publish_and_say(&publisher, SLOTS - 2);
                stage.disarmed();
                publisher.abandon();
            },
            check: FrameWorld::successor_goes_on,
        },
        Swept {
            name: "frames_evict_a_dead_holder",
            least_points: 20,
            prepare: || {
                let mut world = with_a_dead_holder();
                // The dead one holds three, and keeps the others, for it is reliable.
                world.publish(SLOTS - 3);
                world.abandoned()
            },
            act: |stage| {
                let publisher = publisher_options(&stage.namespace).open(CHANNEL).unwrap();
                stage.armed();
                publish_and_say(&publisher, 1);
                publisher.abandon();
                stage.disarmed();
            },
            check: |mut world, report| {
                let least = committed(world.before + 1, report) - 1;
                world.publisher = Some(publisher_options(&world.namespace).open(CHANNEL).unwrap());
                let last = world.publisher.as_ref().unwrap().sequence();
                assert!((least..=least + 1).contains(&last), "{last}, {least}");
                publish(world.publisher.as_ref().unwrap());
                assert_eq!(world.lost_at(0), SLOTS - 3, "counted once, whoever evicts");
                world.goes_on();
            },
        },
        Swept {
            name: "frames_wait_for_a_slot",
            least_points: 5,
            prepare: || FrameWorld::publishing().with_survivor(SLOTS).abandoned(),
            act: |stage| {
                let options = publisher_options(&stage.namespace).wait(WaitStrategy::Park);
                let publisher = options.open(CHANNEL).unwrap();
                stage.armed();
                let waited = publisher.loan_timeout(1, Duration::from_millis(3)).err();
                assert!(matches!(waited, Some(SendError::TimedOut { .. })));
                stage.disarmed();
                publisher.abandon();
            },
            check: FrameWorld::successor_goes_on,
        },
        Swept {
            name: "frames_close",
            least_points: 10,
            prepare: || FrameWorld::publishing().with_survivor(4).abandoned(),
            act: |stage| {
                let publisher = publisher_options(&stage.namespace).open(CHANNEL).unwrap();
                stage.armed();
                publisher.close().unwrap();
                stage.disarmed();
            },
            check: |mut world, report| {
                let mut survivor = world.survivor.take().unwrap();
                for _ in 0..2 {
                    drop(receive(&mut survivor));
                }
                match survivor.recv_timeout(LONG) {
                    Err(RecvError::Closed { .. }) => {}
                    Err(RecvError::OwnerDied { .. }) => {
                        assert!(report.killed, "it closed, and is taken for dead");
                        let successor = publisher_options(&world.namespace).open(CHANNEL);
                        successor.unwrap().close().unwrap();
                    }
                    other => panic!("{other:?}"),
                }
                drop(survivor);
                world.held.iter().for_each(check);
                world.held.clear();
                assert_eq!(system::names(world.path()).len(), 0);
            },
        },
    ]
}

fn subscribers() -> Vec<Swept<FrameWorld>> {
    vec![
        // No operation by itself: what others need who must find a dead holder.
        Swept {
            name: "frames_hold_three_and_vanish",
            least_points: 0,
            prepare: || {
                let mut world = FrameWorld::publishing();
                world.publish(3);
                world
            },
            act: |stage| {
                let options = subscriber_options(&stage.namespace).history(3);
                let mut subscriber = options.attach(CHANNEL).unwrap();
                let held = [(); HELD].map(|()| receive(&mut subscriber));
                stage.armed();
                stage.disarmed();
                // No destructor runs: the kernel frees the lock, the seat and its pins stay as they are.
                let _ = ManuallyDrop::new((subscriber, held));
                std::process::exit(0);
            },
            check: |world, _| world.goes_on(),
        },
        Swept {
            name: "frames_join_take_give_back_and_leave",
            least_points: 34,
            prepare: || FrameWorld::publishing().with_survivor(5),
            act: |stage| {
                stage.armed();
                let options = subscriber_options(&stage.namespace).history(3);
                let mut subscriber = options.attach(CHANNEL).unwrap();
                let mut held: Vec<Frame> = Vec::new();
                for _ in 0..3 {
                    held.push(receive(&mut subscriber));
                }
                held.remove(1);
                assert!(subscriber.try_recv().unwrap().is_none());
                // With two in hand, which keep the seat.
                drop(subscriber);
                for frame in held {
                    check(&frame);
                }
                stage.disarmed();
            },
            check: |world, _| world.goes_on(),
        },
        Swept {
            name: "frames_take_and_miss_as_a_lossy_one",
            least_points: 30,
            prepare: || FrameWorld::publishing().with_survivor(5),
            act: |stage| {
                stage.armed();
                let options = subscriber_options(&stage.namespace).history(3).lossy(true);
                let mut subscriber = options.attach(CHANNEL).unwrap();
                let first = receive(&mut subscriber);
                subscriber.skip_to_newest().unwrap();
                let last = receive(&mut subscriber);
                drop((first, subscriber, last));
                stage.disarmed();
            },
            check: |world, _| world.goes_on(),
        },
        Swept {
            name: "frames_take_over_a_dead_holder",
            least_points: 22,
            prepare: || {
                let mut world = with_a_dead_holder();
                world = world.with_survivor(4);
                world
            },
            act: |stage| {
                stage.armed();
                // The survivor has a seat of its own: there is only the dead one's.
                drop(
                    subscriber_options(&stage.namespace)
                        .attach(CHANNEL)
                        .unwrap(),
                );
                stage.disarmed();
            },
            check: |mut world, _| {
                let newcomer = subscriber_options(&world.namespace)
                    .attach(CHANNEL)
                    .unwrap();
                assert_eq!(newcomer.seat(), 0);
                assert_eq!(
                    world.lost_at(0),
                    4,
                    "what the dead one left is counted once"
                );
                drop(newcomer);
                world.publish(1);
                world.goes_on();
            },
        },
        Swept {
            name: "frames_sleep_until_one_comes",
            least_points: 3,
            prepare: || FrameWorld::publishing().with_survivor(2),
            act: |stage| {
                let options = subscriber_options(&stage.namespace).wait(WaitStrategy::Park);
                let mut subscriber = options.attach(CHANNEL).unwrap();
                stage.armed();
                let waited = subscriber.recv_timeout(Duration::from_millis(3));
                assert!(matches!(waited, Err(RecvError::TimedOut { .. })));
                stage.disarmed();
            },
            check: |world, _| world.goes_on(),
        },
        Swept {
            name: "frames_last_one_of_a_closed_channel",
            least_points: 28,
            prepare: FrameWorld::empty,
            act: |stage| {
                let publisher = publisher_options(&stage.namespace).open(CHANNEL).unwrap();
                let options = subscriber_options(&stage.namespace);
                let mut subscriber = options.attach(CHANNEL).unwrap();
                publish(&publisher);
                let frame = receive(&mut subscriber);
                publisher.close().unwrap();
                stage.armed();
                drop(subscriber);
                drop(frame);
                stage.disarmed();
            },
            check: |world, report| {
                if report.points.is_some() {
                    assert_eq!(system::names(world.path()).len(), 0);
                }
                world.nothing_is_left();
            },
        },
    ]
}
