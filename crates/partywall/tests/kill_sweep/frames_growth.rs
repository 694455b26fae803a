//! The pool of frames grows, and whoever does something about it is the victim: the publisher, or a subscriber on its way
//! with frames in hand. The survivor holds two frames of the first generation all the time, and has others to read there.

use partywall::frames::{Frame, Publisher, Subscriber};

use crate::Swept;
use crate::frames::{
    FrameWorld, check, publish_and_say, publisher_options, receive, subscriber_options,
};
use crate::victim::Stage;
use crate::world::CHANNEL;

/// Frames that the survivor finds.
const BEFORE: u64 = 5;

fn prepare() -> FrameWorld {
    FrameWorld::publishing().with_survivor(BEFORE).abandoned()
}

fn publisher(stage: &Stage) -> Publisher {
    publisher_options(&stage.namespace).open(CHANNEL).unwrap()
}

/// Larger frames at first, then more of them.
fn grow(publisher: &mut Publisher, time: u32) {
    publisher.grow(11 + 5 * time, 300 * time).unwrap();
}

/// A subscriber that has two frames in hand and one to read, when the pool grows twice and its publisher goes.
fn left_behind(stage: &Stage, lossy: bool) -> (Subscriber, Vec<Frame>) {
    let mut publisher = publisher(stage);
    let options = subscriber_options(&stage.namespace).history(3).lossy(lossy);
    let mut subscriber = options.attach(CHANNEL).unwrap();
    let held = vec![receive(&mut subscriber), receive(&mut subscriber)];
    for time in 1..=2 {
        grow(&mut publisher, 1 + time);
        publish_and_say(&publisher, 1);
    }
    publisher.abandon();
    (subscriber, held)
}

/// Comes over twice, each time with frames in hand, and gives them back in an order of its own.
fn come_over(stage: &Stage, lossy: bool) {
    let (mut subscriber, mut held) = left_behind(stage, lossy);
    stage.armed();
    for _ in 0..3 {
        held.push(receive(&mut subscriber));
    }
    assert_eq!(subscriber.generation(), 3);
    // One of the first generation, so that it stays, and the only one of the second.
    held.remove(1);
    let second = held.remove(2);
    check(&second);
    drop(second);
    drop(subscriber);
    for frame in held {
        check(&frame);
    }
    stage.disarmed();
}

pub(crate) fn operations() -> Vec<Swept<FrameWorld>> {
    vec![
        Swept {
            name: "frames_grow",
            least_points: 100,
            prepare,
            act: |stage| {
                let mut publisher = publisher(stage);
                stage.armed();
                publish_and_say(&publisher, 1);
                grow(&mut publisher, 2);
                publish_and_say(&publisher, 1);
                publisher.abandon();
                stage.disarmed();
            },
            check: FrameWorld::successor_goes_on,
        },
        Swept {
            name: "frames_grow_again",
            least_points: 85,
            prepare,
            act: |stage| {
                let mut publisher = publisher(stage);
                grow(&mut publisher, 2);
                publish_and_say(&publisher, 1);
                stage.armed();
                grow(&mut publisher, 3);
                publish_and_say(&publisher, 1);
                stage.disarmed();
                publisher.abandon();
            },
            check: FrameWorld::successor_goes_on,
        },
        Swept {
            name: "frames_adopt_after_growth",
            least_points: 34,
            prepare: || {
                let mut world = FrameWorld::publishing().with_survivor(BEFORE);
                world.grow(|publisher| grow(publisher, 2));
                world.abandoned()
            },
            act: |stage| {
                stage.armed();
                let publisher = publisher(stage);
                publish_and_say(&publisher, 1);
                publisher.abandon();
                stage.disarmed();
            },
            check: FrameWorld::successor_goes_on,
        },
        Swept {
            name: "frames_free_an_older_generation",
            least_points: 24,
            prepare: || {
                let mut world = FrameWorld::publishing().with_survivor(BEFORE);
                world.grow(|publisher| grow(publisher, 2));
                world.read_all();
                world.drop_held();
                world.abandoned()
            },
            act: |stage| {
                stage.armed();
                let publisher = publisher(stage);
                assert_eq!(publisher.generation(), 2);
                stage.disarmed();
                publisher.abandon();
            },
            check: FrameWorld::successor_goes_on,
        },
        Swept {
            name: "frames_come_over_with_frames_in_hand",
            least_points: 60,
            prepare,
            act: |stage| come_over(stage, false),
            check: FrameWorld::successor_goes_on,
        },
        Swept {
            name: "frames_come_over_as_a_lossy_one",
            least_points: 60,
            prepare,
            act: |stage| come_over(stage, true),
            check: FrameWorld::successor_goes_on,
        },
    ]
}
