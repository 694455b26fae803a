//! A ring's producer and its consumers.

use partywall::inspect;
use partywall::ring::{
    Alone, Consumer, ConsumerOptions, Delivery, Overflow, Producer, ProducerOptions, Sent,
};

use super::super::journal::{Entry, Tally, What};
use super::super::plan;
use super::{BATCH, GLANCE, GROWS_TO, Order, Problem, Worker, attach, open_owner};

pub(super) fn produce(worker: &mut Worker) -> Result<(), Problem> {
    loop {
        let mut producer = open_owner(worker, |worker| options(worker).open(worker.channel()))?;
        worker.next_source();
        let mut latest = producer.records();
        let opened = worker.opening(producer.adopted(), producer.generation());
        worker.note(opened.of(worker.source(), latest))?;
        worker.count_dropped(producer.generation())?;
        worker.has_room_for(producer.max_record());
        loop {
            match worker.order() {
                Order::GoOn => {}
                Order::Grow => {
                    if grow(worker, &mut producer, latest)? {
                        break;
                    }
                }
                Order::Reschema => {
                    let gone = worker.reschema(latest, |schema| {
                        producer.reschema(schema)?;
                        Ok(producer.generation())
                    })?;
                    if gone {
                        break;
                    }
                }
                Order::Finish | Order::Again => {
                    worker.count_dropped(producer.generation())?;
                    worker.note(Entry::new(What::Closing).of(0, latest))?;
                    producer.close()?;
                    break;
                }
                Order::Abandon => {
                    worker.note(Entry::new(What::Abandoning).of(0, latest))?;
                    producer.abandon();
                    break;
                }
            }
            if send(worker, &mut producer, &mut latest)? {
                break;
            }
        }
        if worker.finishing() {
            return Ok(());
        }
    }
}

fn options(worker: &Worker) -> ProducerOptions {
    let plan = worker.options();
    let mut options = ProducerOptions::new()
        .namespace(worker.namespace.clone())
        .capacity(plan.capacity)
        .seats(plan.seats)
        .overflow(match plan.overflow {
            plan::Overflow::Block => Overflow::Block,
            plan::Overflow::Fail => Overflow::Fail,
            plan::Overflow::Drop => Overflow::DropNewest,
        })
        .block_timeout(Some(GLANCE))
        .alone(if plan.discard {
            Alone::Discard
        } else {
            Alone::Wait
        })
        .wait(worker.wait());
    if let Some(schema) = worker.schema() {
        options = options.schema(schema);
    }
    options
}

/// `true` if the channel was taken away.
fn grow(worker: &mut Worker, producer: &mut Producer, latest: u64) -> Result<bool, Problem> {
    let capacity = 2 * producer.capacity();
    if capacity > GROWS_TO * worker.options().capacity {
        return Ok(false);
    }
    let gone = worker.grow(latest, || {
        producer.grow(capacity)?;
        Ok(producer.generation())
    })?;
    worker.has_room_for(producer.max_record());
    Ok(gone)
}

/// One operation; `true` if the channel was taken away.
fn send(worker: &mut Worker, producer: &mut Producer, latest: &mut u64) -> Result<bool, Problem> {
    let way = worker.random.below(8);
    if way == 0 {
        return send_batch(worker, producer, latest);
    }
    let times = worker.compose(*latest + 1, 0);
    for _ in 0..times {
        let sent = if way == 1 {
            reserve(worker, producer)
        } else {
            producer.send(&worker.record)
        };
        match sent {
            Ok(Sent::Committed) => {}
            Ok(Sent::Dropped) => {
                worker.note(Entry::new(What::Dropped))?;
                return Ok(false);
            }
            Err(error) => return worker.refused(error),
        }
    }
    *latest += 1;
    worker.note(Entry::new(What::Acked).count(1).of(0, *latest))?;
    Ok(false)
}

/// In pieces, and sometimes given up half-way.
fn reserve(worker: &mut Worker, producer: &mut Producer) -> Result<Sent, partywall::SendError> {
    use std::io::Write;
    if worker.random.once_in(4) {
        let mut given_up = producer.reserve(worker.record.len())?;
        let _ = given_up.write(&[0xff; 24]);
    }
    let mut room = producer.reserve(worker.record.len())?;
    for piece in worker.record.chunks(100) {
        // It has as much room as was asked for.
        let _ = room.write_all(piece);
    }
    room.commit();
    Ok(Sent::Committed)
}

/// Several that become visible together, as far as there is room.
fn send_batch(
    worker: &mut Worker,
    producer: &mut Producer,
    latest: &mut u64,
) -> Result<bool, Problem> {
    let wanted = worker.random.between(1, BATCH);
    let mut batch = producer.batch();
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
        *latest += pushed;
        let acked = Entry::new(What::Acked).count(pushed as u32);
        worker.note(acked.of(0, *latest))?;
    }
    if dropped {
        worker.note(Entry::new(What::Dropped))?;
    }
    failed.map_or(Ok(false), |error| worker.refused(error))
}

pub(super) fn consume(worker: &mut Worker) -> Result<(), Problem> {
    let mut payload = Vec::new();
    while let Some(mut consumer) = attach(worker, |worker| {
        consumer_options(worker).attach(worker.channel())
    })? {
        let attached = Entry::new(What::Attached)
            .flag(consumer.resumed().into())
            .count(consumer.generation() as u32);
        worker.note(attached)?;
        count_losses(worker, &consumer)?;
        let ended = read(worker, &mut consumer, &mut payload)?;
        count_losses(worker, &consumer)?;
        worker.note(Entry::new(What::Leaving))?;
        drop(consumer);
        worker.note(Entry::new(What::Left))?;
        // What a durable consumer has left in an older generation it gets yet.
        if ended && worker.finishing() && worker.slot().durable.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

fn count_losses(worker: &mut Worker, consumer: &Consumer) -> Result<(), Problem> {
    let (seat, generation) = (consumer.seat(), consumer.generation());
    // Asked before: what is final then is so in the look that follows.
    let info = inspect::inspect(&worker.namespace, worker.channel());
    let settled = info.is_ok_and(|info| info.oldest_generation == generation);
    let losses = consumer.losses();
    let all = losses.abandoned + losses.evicted + losses.detached;
    if settled {
        let former = Entry::counted(Tally::Former, seat, generation, losses.former);
        worker.note(former)?;
    }
    worker.note(Entry::counted(Tally::Losses, seat, generation, all))
}

/// Until the stream ends (`true`), or it is told to leave.
fn read(
    worker: &mut Worker,
    consumer: &mut Consumer,
    payload: &mut Vec<u8>,
) -> Result<bool, Problem> {
    let mut latest = 0;
    loop {
        if matches!(worker.order(), Order::Again | Order::Abandon) {
            return Ok(false);
        }
        match consumer.recv_into_timeout(payload, Some(GLANCE)) {
            Ok(_) => {
                if let Some(content) = worker.got(payload, None, 0)? {
                    latest = content.sequence;
                }
            }
            Err(error) => {
                if worker.nothing(error)? {
                    return Ok(true);
                }
            }
        }
        if latest > 0 && worker.random.once_in(16) {
            consumer.acknowledge();
            worker.note(Entry::new(What::Acknowledged).of(0, latest))?;
        }
    }
}

fn consumer_options(worker: &Worker) -> ConsumerOptions {
    let slot = worker.slot();
    let mut options = ConsumerOptions::new()
        .namespace(worker.namespace.clone())
        .attach_timeout(Some(GLANCE))
        .await_successor(slot.patient)
        .wait(worker.wait())
        .delivery(if slot.at_most_once {
            Delivery::AtMostOnce
        } else {
            Delivery::AtLeastOnce
        });
    if let Some(name) = &slot.durable {
        options = options.durable(name);
    }
    if let Some(schema) = worker.schema() {
        options = options.schema(schema);
    }
    options
}
