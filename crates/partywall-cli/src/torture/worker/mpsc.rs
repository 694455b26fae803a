//! The receiver of an mpsc channel and its senders.

use std::time::Duration;

use partywall::RecvError;
use partywall::mpsc::{
    Event, Overflow, Receiver, ReceiverOptions, Sender, SenderId, SenderOptions, Sent,
};

use super::super::journal::{Entry, Tally, What};
use super::super::plan;
use super::{BATCH, GLANCE, GROWS_TO, Order, Problem, Worker, attach, open_owner};

/// After this time without news every lane was looked at several times, and every dead sender was found.
const QUIET: Duration = Duration::from_millis(350);

pub(super) fn receive(worker: &mut Worker) -> Result<(), Problem> {
    let mut payload = Vec::new();
    loop {
        let mut receiver = open_owner(worker, |worker| {
            let options = ReceiverOptions::new()
                .namespace(worker.namespace.clone())
                .lane_capacity(worker.options().capacity)
                .seats(worker.options().seats)
                .wait(worker.wait());
            match worker.schema() {
                Some(schema) => options.schema(schema),
                None => options,
            }
            .open(worker.channel())
        })?;
        let source = worker.next_source();
        let opened = worker.opening(receiver.adopted(), receiver.generation());
        worker.note(opened.of(source, 0))?;
        loop {
            let order = worker.order();
            let gone = match order {
                Order::Grow => grow(worker, &mut receiver)?,
                Order::Reschema => worker.reschema(0, |schema| {
                    receiver.reschema(schema)?;
                    Ok(receiver.generation())
                })?,
                _ => false,
            };
            if gone {
                break;
            }
            if matches!(order, Order::Again | Order::Abandon) {
                if order == Order::Again {
                    worker.note(Entry::new(What::Closing))?;
                    receiver.close()?;
                } else {
                    worker.note(Entry::new(What::Abandoning))?;
                    receiver.abandon();
                }
                break;
            }
            let finish = order == Order::Finish;
            let wait = if finish { QUIET } else { GLANCE };
            match receiver.recv_into_timeout(&mut payload, Some(wait)) {
                Ok(event) => told(worker, &mut receiver, &event, &payload)?,
                // All senders have left: what they sent is received.
                Err(RecvError::TimedOut { .. }) if finish => {
                    count(worker, &receiver)?;
                    worker.note(Entry::new(What::Closing).flag(1))?;
                    receiver.close()?;
                    return Ok(());
                }
                Err(error) => {
                    if worker.nothing(error)? {
                        break;
                    }
                }
            }
        }
    }
}

/// Larger lanes; `true` if the channel was taken away.
fn grow(worker: &mut Worker, receiver: &mut Receiver) -> Result<bool, Problem> {
    let lane = 2 * receiver.lane_capacity();
    if lane > GROWS_TO * worker.options().capacity {
        return Ok(false);
    }
    worker.grow(0, || {
        receiver.grow(lane)?;
        Ok(receiver.generation())
    })
}

/// Notes what the channel says of each lane.
fn count(worker: &mut Worker, receiver: &Receiver) -> Result<(), Problem> {
    for seat in 0..receiver.seats() {
        let lane = receiver.lane(seat).unwrap_or_default();
        let of_seat = |tally, number| Entry::counted(tally, seat, receiver.generation(), number);
        worker.note(of_seat(Tally::Received, lane.received))?;
        worker.note(of_seat(Tally::Dropped, lane.dropped))?;
    }
    Ok(())
}

fn told(
    worker: &mut Worker,
    receiver: &mut Receiver,
    event: &Event<partywall::mpsc::Meta>,
    payload: &[u8],
) -> Result<(), Problem> {
    let about = |what, sender: &SenderId| Entry::new(what).count(sender.seat).of(0, sender.epoch);
    match event {
        Event::Record(meta) => {
            worker.got(payload, None, meta.sender.seat)?;
            if worker.random.once_in(16) {
                receiver.acknowledge();
                worker.note(Entry::new(What::Acknowledged))?;
            }
            Ok(())
        }
        Event::Opened(sender) => worker.note(about(What::SenderCame, sender)),
        Event::Closed(sender) => worker.note(about(What::SenderClosed, sender)),
        Event::Died(sender) => worker.note(about(What::SenderDied, sender)),
        Event::Lied(sender, lie) => Err(format!("sender {sender} is said to lie: {lie}").into()),
    }
}

pub(super) fn send(worker: &mut Worker) -> Result<(), Problem> {
    while let Some(mut sender) = attach(worker, |worker| {
        let options = SenderOptions::new()
            .namespace(worker.namespace.clone())
            .attach_timeout(Some(GLANCE))
            .overflow(match worker.options().overflow {
                plan::Overflow::Block => Overflow::Block,
                plan::Overflow::Fail => Overflow::Fail,
                plan::Overflow::Drop => Overflow::DropNewest,
            })
            .block_timeout(Some(GLANCE))
            .wait(worker.wait());
        match worker.schema() {
            Some(schema) => options.schema(schema),
            None => options,
        }
        .attach(worker.channel())
    })? {
        let source = worker.next_source();
        let SenderId { seat, epoch } = sender.id();
        worker.note(Entry::new(What::Attached).count(seat).of(source, epoch))?;
        let mut latest = 0;
        loop {
            if worker.order() != Order::GoOn {
                worker.note(Entry::new(What::Closing).of(source, latest))?;
                sender.close()?;
                break;
            }
            if operate(worker, &mut sender, &mut latest)? {
                drop(sender);
                break;
            }
        }
        worker.note(Entry::new(What::Left))?;
        if worker.finishing() {
            return Ok(());
        }
    }
    Ok(())
}

/// One operation; `true` if the channel is no more.
fn operate(worker: &mut Worker, sender: &mut Sender, latest: &mut u64) -> Result<bool, Problem> {
    if worker.random.once_in(8) {
        return send_batch(worker, sender, latest);
    }
    for _ in 0..worker.compose(*latest + 1, 0) {
        match sender.send(&worker.record) {
            Ok(Sent::Committed) => {}
            Ok(Sent::Dropped) => {
                worker.note(Entry::new(What::Dropped))?;
                return Ok(false);
            }
            Err(error) => return worker.refused(error),
        }
    }
    acked(worker, latest, 1)?;
    Ok(false)
}

fn send_batch(worker: &mut Worker, sender: &mut Sender, latest: &mut u64) -> Result<bool, Problem> {
    let wanted = worker.random.between(1, BATCH);
    let mut batch = sender.batch();
    let (mut failed, mut dropped, mut pushed) = (None, false, 0);
    while pushed < wanted && failed.is_none() && !dropped {
        let times = worker.compose(*latest + pushed + 1, 0);
        let pushes = (0..times).map(|_| batch.push(&worker.record));
        match pushes.last().unwrap_or(Ok(Sent::Committed)) {
            Ok(Sent::Committed) => pushed += 1,
            Ok(Sent::Dropped) => dropped = true,
            Err(error) => failed = Some(error),
        }
    }
    batch.commit();
    if pushed > 0 {
        acked(worker, latest, pushed)?;
    }
    if dropped {
        worker.note(Entry::new(What::Dropped))?;
    }
    failed.map_or(Ok(false), |error| worker.refused(error))
}

fn acked(worker: &mut Worker, latest: &mut u64, count: u64) -> Result<(), Problem> {
    *latest += count;
    let acked = Entry::new(What::Acked).count(count as u32);
    worker.note(acked.of(worker.source(), *latest))
}
