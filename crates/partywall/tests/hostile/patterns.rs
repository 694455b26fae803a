//! What there is to do with a channel of each pattern: to leave one behind, to try everything with it, and to go on with
//! it until somebody says stop. Errors are always fine here; that nothing else comes is what the tests are about.

use std::time::Duration;

use partywall::record::Schema;
use partywall::ring::Alone;
use partywall::{
    Namespace, RecvError, SendError, broadcast, frames, guarded, inspect, manage, mpsc, ring,
    snapshot,
};

pub(crate) const CHANNEL: &str = "c";

/// How long is waited for what may come: at rest, nothing will.
fn moment(live: bool) -> Duration {
    Duration::from_millis(if live { 2 } else { 0 })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Ring,
    Snapshot,
    Broadcast,
    Frames,
    Mpsc,
    Guarded,
}

#[derive(partywall::record::Record)]
#[repr(C)]
struct Sample {
    #[record(unit = "ns")]
    time: u64,
    levels: [[f32; 2]; 3],
}

/// What goes on in a live channel; says after each step whether to go on.
pub(crate) type Going<'a> = &'a mut dyn FnMut() -> bool;

impl Pattern {
    pub(crate) const ALL: [Pattern; 6] = [
        Pattern::Ring,
        Pattern::Snapshot,
        Pattern::Broadcast,
        Pattern::Frames,
        Pattern::Mpsc,
        Pattern::Guarded,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Pattern::Ring => "ring",
            Pattern::Snapshot => "snapshot",
            Pattern::Broadcast => "broadcast",
            Pattern::Frames => "frames",
            Pattern::Mpsc => "mpsc",
            Pattern::Guarded => "guarded",
        }
    }

    pub(crate) fn of(name: &str) -> Pattern {
        let found = Self::ALL.into_iter().find(|pattern| pattern.name() == name);
        found.expect("a pattern's name")
    }

    /// Leaves a channel behind with nobody in it: values, holders that died or left, records around the end.
    pub(crate) fn leave(self, namespace: &Namespace, values: u8) {
        let value = |number: u8| vec![number; 20 + usize::from(number)];
        match self {
            Pattern::Ring => {
                let mut producer = producer(namespace, false).open(CHANNEL).unwrap();
                let durable = consumer(namespace, false)
                    .durable("d")
                    .attach(CHANNEL)
                    .unwrap();
                let mut other = consumer(namespace, false).attach(CHANNEL).unwrap();
                for number in 0..values {
                    producer.send(&value(number)).unwrap();
                    other.recv().unwrap();
                }
                durable.detach();
                producer.abandon();
            }
            Pattern::Snapshot => {
                let mut writer = writer(namespace, false).open(CHANNEL).unwrap();
                for number in 0..values {
                    writer.put(&value(number)).unwrap();
                }
                writer.abandon();
            }
            Pattern::Broadcast => {
                let mut sender = sender(namespace, false).open(CHANNEL).unwrap();
                for number in 0..values {
                    sender.send(&value(number)).unwrap();
                }
                sender.abandon();
            }
            Pattern::Frames => {
                let publisher = publisher(namespace, false).open(CHANNEL).unwrap();
                let mut leaving = subscriber(namespace, false).attach(CHANNEL).unwrap();
                let mut held = Vec::new();
                for number in 0..values {
                    publisher.publish_copy(&value(number)).unwrap();
                    held.truncate(1);
                    held.push(leaving.recv().unwrap());
                }
                publisher.abandon();
                drop(leaving);
            }
            Pattern::Mpsc => {
                let mut receiver = receiver(namespace, false).open(CHANNEL).unwrap();
                let mut left = lane_sender(namespace, false).attach(CHANNEL).unwrap();
                let mut around = lane_sender(namespace, false).attach(CHANNEL).unwrap();
                left.send(&[3; 50]).unwrap();
                left.close().unwrap();
                for number in 0..values {
                    around.send(&[number; 700]).unwrap();
                    while receiver.try_recv().unwrap().is_some() {}
                }
                around.send(&[3; 50]).unwrap();
                receiver.abandon();
            }
            Pattern::Guarded => {
                let mut record = record(namespace, false).open(CHANNEL).unwrap();
                for number in 0..values {
                    let mut guard = record.lock().unwrap().consistent();
                    *guard.value_mut() = value(number);
                    guard.commit().unwrap();
                }
            }
        }
    }

    /// Looks at it with every tool.
    pub(crate) fn inspect(self, namespace: &Namespace) {
        let _ = inspect::inspect(namespace, CHANNEL);
        let _ = inspect::schema(namespace, CHANNEL);
        let _ = inspect::list(namespace);
    }

    /// Everything that can be done with a channel at rest, once.
    pub(crate) fn use_all(self, namespace: &Namespace) {
        self.inspect(namespace);
        let mut once = || false;
        self.take(namespace, false, &mut once);
        let mut steps = 0;
        // Round all slots, and more than once.
        self.give(namespace, false, &mut || {
            steps += 1;
            steps < 6
        });
        let mut steps = 0;
        self.take(namespace, false, &mut || {
            steps += 1;
            steps < 3
        });
        let _ = manage::forget(namespace, CHANNEL, "d");
        let _ = manage::clean(namespace);
        self.inspect(namespace);
        let _ = manage::remove(namespace, CHANNEL, true);
    }

    /// The owner's side, until an error or until it is told to stop; leaves it as a death would.
    pub(crate) fn give(self, namespace: &Namespace, live: bool, going: Going<'_>) {
        match self {
            Pattern::Ring => {
                let Ok(mut producer) = producer(namespace, live)
                    .alone(Alone::Discard)
                    .open(CHANNEL)
                else {
                    return;
                };
                loop {
                    let told = producer.send_timeout(&[7; 100], moment(live)).map(drop);
                    let mut batch = producer.batch();
                    let pushed = batch.push(&[8; 30]).map(drop);
                    batch.commit();
                    let _ = (producer.consumers(), producer.flush(Some(Duration::ZERO)));
                    if !going() || ends(&told) || ends(&pushed) {
                        return producer.abandon();
                    }
                }
            }
            Pattern::Snapshot => {
                let Ok(mut writer) = writer(namespace, live).open(CHANNEL) else {
                    return;
                };
                loop {
                    let told = writer.put(&[7; 32]).map(drop);
                    if !going() || ends(&told) {
                        return writer.abandon();
                    }
                }
            }
            Pattern::Broadcast => {
                let Ok(mut sender) = sender(namespace, live).open(CHANNEL) else {
                    return;
                };
                loop {
                    let told = sender.send(&[7; 32]).map(drop);
                    if !going() || ends(&told) {
                        return sender.abandon();
                    }
                }
            }
            Pattern::Frames => {
                let Ok(publisher) = publisher(namespace, live).open(CHANNEL) else {
                    return;
                };
                loop {
                    let told = publisher
                        .loan_timeout(100, moment(live))
                        .and_then(|mut loan| {
                            loan.write_at(0, &[7; 100]);
                            loan.publish().map(drop)
                        });
                    let _ = publisher.try_loan(100).map(drop);
                    let _ = publisher.subscribers();
                    if !going() || ends(&told) {
                        return publisher.abandon();
                    }
                }
            }
            Pattern::Mpsc => {
                let Ok(mut receiver) = receiver(namespace, live).open(CHANNEL) else {
                    return;
                };
                loop {
                    let told = receiver.recv_timeout(moment(live)).map(drop);
                    for _ in 0..40 {
                        if !matches!(receiver.try_recv(), Ok(Some(_))) {
                            break;
                        }
                    }
                    let _ = receiver.lane(0);
                    let over = matches!(
                        told,
                        Err(RecvError::Damaged { .. } | RecvError::Deleted { .. })
                    );
                    if !going() || over {
                        return receiver.abandon();
                    }
                }
            }
            Pattern::Guarded => {
                let Ok(mut record) = record(namespace, live).open(CHANNEL) else {
                    return;
                };
                loop {
                    let refused = match record.lock_timeout(moment(live)) {
                        Ok(lock) => {
                            let mut guard = lock.consistent();
                            *guard.value_mut() = vec![9; 32];
                            guard.commit().is_err()
                        }
                        Err(_) => true,
                    };
                    // Whatever became of it, a repair may be tried.
                    if refused && let Ok(mut guard) = record.repair(Some(moment(live))) {
                        *guard.value_mut() = vec![8; 32];
                        let _ = guard.commit();
                        guard.mark_consistent();
                    }
                    if !going() || refused {
                        return;
                    }
                }
            }
        }
    }

    /// A peer's side, until an error or until it is told to stop.
    pub(crate) fn take(self, namespace: &Namespace, live: bool, going: Going<'_>) {
        match self {
            Pattern::Ring => {
                let durable = consumer(namespace, live).durable("d").attach(CHANNEL);
                let other = consumer(namespace, live).attach(CHANNEL);
                let Some(mut consumer) = durable.or(other).ok() else {
                    return;
                };
                loop {
                    let told = consumer.recv_timeout(moment(live)).map(drop);
                    let _ = (consumer.try_recv(), consumer.losses());
                    if !going() || gone(&told) {
                        return;
                    }
                }
            }
            Pattern::Snapshot => {
                let Ok(mut reader) = reader(namespace, live).attach(CHANNEL) else {
                    return;
                };
                loop {
                    let told = reader.get().map(drop);
                    whole(reader.changed_timeout(moment(live)).ok());
                    let _ = reader.schema();
                    if !going() || gone(&told) {
                        return;
                    }
                }
            }
            Pattern::Broadcast => {
                let Ok(mut receiver) = listener(namespace, live).attach(CHANNEL) else {
                    return;
                };
                loop {
                    let told = receiver
                        .recv_timeout(moment(live))
                        .map(|value| whole(Some(value)));
                    whole(receiver.try_recv().ok().flatten());
                    if !going() || gone(&told) {
                        return;
                    }
                }
            }
            Pattern::Frames => {
                for lossy in [false, true] {
                    let Ok(mut subscriber) = subscriber(namespace, live)
                        .history(2)
                        .lossy(lossy)
                        .attach(CHANNEL)
                    else {
                        continue;
                    };
                    let mut held = Vec::new();
                    loop {
                        let told = subscriber.recv_timeout(moment(live));
                        let over = matches!(&told, Err(error) if is_end(error));
                        held.extend(told.ok());
                        held.extend(subscriber.try_recv().ok().flatten());
                        for frame in &held {
                            assert!(frame.to_vec().len() <= subscriber.max_frame());
                        }
                        let _ = subscriber.skip_to_newest();
                        if held.len() > 1 {
                            held.remove(0);
                        }
                        if !going() || over {
                            break;
                        }
                    }
                    // The frames may go first, or last.
                    if lossy {
                        drop(held);
                    }
                }
            }
            Pattern::Mpsc => {
                let Ok(mut sender) = lane_sender(namespace, live).attach(CHANNEL) else {
                    return;
                };
                loop {
                    let told = sender.send_timeout(&[7; 700], moment(live)).map(drop);
                    let _ = sender.try_send(&[6; 10]);
                    let _ = sender.flush(Some(Duration::ZERO));
                    if !going() || ends(&told) {
                        return;
                    }
                }
            }
            Pattern::Guarded => {
                let Ok(mut record) = record(namespace, live).open(CHANNEL) else {
                    return;
                };
                loop {
                    let told = record.get().map(whole);
                    let _ = record.is_locked();
                    let _ = record.try_lock().map(|lock| lock.into_guard().leave_news());
                    if !going() || gone(&told) {
                        return;
                    }
                }
            }
        }
    }
}

/// Values have checksums here: whatever the words say, one that is given is one that was written.
fn whole(value: Option<partywall::snapshot::Value>) {
    if let Some(value) = value {
        assert!(
            value.iter().all(|byte| *byte == value[0]),
            "torn: {value:?}"
        );
    }
}

fn ends(told: &Result<(), SendError>) -> bool {
    !matches!(
        told,
        Ok(())
            | Err(SendError::TimedOut { .. }
                | SendError::Full { .. }
                | SendError::TooManyLoans { .. })
    )
}

fn is_end(error: &RecvError) -> bool {
    let passing = matches!(
        error,
        RecvError::TimedOut { .. }
            | RecvError::Overrun { .. }
            | RecvError::Contended { .. }
            | RecvError::TooManyHeld { .. }
    );
    !passing
}

fn gone(told: &Result<(), RecvError>) -> bool {
    matches!(told, Err(error) if is_end(error))
}

pub(crate) fn producer(namespace: &Namespace, live: bool) -> ring::ProducerOptions {
    ring::ProducerOptions::new()
        .namespace(namespace.clone())
        .capacity(4096)
        .seats(2)
        // A batch waits by this one; and a durable consumer whom lies keep out would be waited for as long as it takes.
        .block_timeout(live.then(|| moment(live)))
        .heartbeat(live)
}

pub(crate) fn consumer(namespace: &Namespace, live: bool) -> ring::ConsumerOptions {
    ring::ConsumerOptions::new()
        .namespace(namespace.clone())
        .attach_timeout(Some(Duration::ZERO))
        .heartbeat(live)
}

pub(crate) fn writer(namespace: &Namespace, live: bool) -> snapshot::WriterOptions {
    snapshot::WriterOptions::new()
        .namespace(namespace.clone())
        .seats(2)
        .schema(Schema::of::<Sample>())
        .checksums(true)
        .heartbeat(live)
}

pub(crate) fn reader(namespace: &Namespace, live: bool) -> snapshot::ReaderOptions {
    snapshot::ReaderOptions::new()
        .namespace(namespace.clone())
        .attach_timeout(Some(Duration::ZERO))
        .heartbeat(live)
}

pub(crate) fn sender(namespace: &Namespace, live: bool) -> broadcast::SenderOptions {
    broadcast::SenderOptions::new()
        .namespace(namespace.clone())
        .seats(2)
        .slots(4)
        .value_size(64)
        .checksums(true)
        .heartbeat(live)
}

pub(crate) fn listener(namespace: &Namespace, live: bool) -> broadcast::ReceiverOptions {
    broadcast::ReceiverOptions::new()
        .namespace(namespace.clone())
        .start(broadcast::Start::Oldest)
        .attach_timeout(Some(Duration::ZERO))
        .heartbeat(live)
}

pub(crate) fn publisher(namespace: &Namespace, live: bool) -> frames::PublisherOptions {
    frames::PublisherOptions::new()
        .namespace(namespace.clone())
        .frame_size(500)
        .seats(2)
        .heartbeat(live)
}

pub(crate) fn subscriber(namespace: &Namespace, live: bool) -> frames::SubscriberOptions {
    frames::SubscriberOptions::new()
        .namespace(namespace.clone())
        .attach_timeout(Some(Duration::ZERO))
        .heartbeat(live)
}

pub(crate) fn receiver(namespace: &Namespace, live: bool) -> mpsc::ReceiverOptions {
    mpsc::ReceiverOptions::new()
        .namespace(namespace.clone())
        .lane_capacity(4096)
        .seats(2)
        .heartbeat(live)
}

pub(crate) fn lane_sender(namespace: &Namespace, live: bool) -> mpsc::SenderOptions {
    mpsc::SenderOptions::new()
        .namespace(namespace.clone())
        .attach_timeout(Some(Duration::ZERO))
        .heartbeat(live)
}

pub(crate) fn record(namespace: &Namespace, live: bool) -> guarded::RecordOptions {
    guarded::RecordOptions::new()
        .namespace(namespace.clone())
        .seats(3)
        .value_size(64)
        .checksums(true)
        .heartbeat(live)
}
