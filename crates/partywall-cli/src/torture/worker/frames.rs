//! A publisher of frames and its subscribers, who hold some of them for a while.

use partywall::RecvError;
use partywall::frames::{
    Frame, Overflow, Publisher, PublisherOptions, Subscriber, SubscriberOptions,
};

use super::super::content::Content;
use super::super::journal::{Entry, What};
use super::super::plan;
use super::{GLANCE, Order, Problem, Worker, attach, open_owner};

/// Bytes; more than a pool begins with.
const LARGEST_POOL: u64 = 64 << 20;

/// No pool has more.
const MOST_SLOTS: u64 = 256;

pub(super) fn publish(worker: &mut Worker) -> Result<(), Problem> {
    loop {
        let mut publisher = open_owner(worker, |worker| options(worker).open(worker.channel()))?;
        let source = worker.next_source();
        let mut latest = publisher.sequence();
        let opened = worker.opening(publisher.adopted(), publisher.generation());
        worker.note(opened.of(source, latest))?;
        worker.has_room_for(publisher.max_frame());
        loop {
            match worker.order() {
                Order::GoOn => {}
                Order::Grow => {
                    if grow(worker, &mut publisher, latest)? {
                        break;
                    }
                }
                Order::Reschema => {
                    let gone = worker.reschema(latest, |schema| {
                        publisher.reschema(schema)?;
                        Ok(publisher.generation())
                    })?;
                    if gone {
                        break;
                    }
                }
                Order::Finish | Order::Again => {
                    worker.note(Entry::new(What::Closing).of(0, latest))?;
                    publisher.close()?;
                    break;
                }
                Order::Abandon => {
                    worker.note(Entry::new(What::Abandoning).of(0, latest))?;
                    publisher.abandon();
                    break;
                }
            }
            if send(worker, &publisher, &mut latest)? {
                break;
            }
        }
        if worker.finishing() {
            return Ok(());
        }
    }
}

fn options(worker: &Worker) -> PublisherOptions {
    let plan = worker.options();
    let options = PublisherOptions::new()
        .namespace(worker.namespace.clone())
        .frame_size(plan.record as u32)
        .seats(plan.seats)
        .history(plan.history)
        .held(plan.held)
        .loans(plan.loans)
        .overflow(match plan.overflow {
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
}

/// More frames, or larger ones; `true` if the channel was taken away.
fn grow(worker: &mut Worker, publisher: &mut Publisher, latest: u64) -> Result<bool, Problem> {
    let (slots, frame) = (publisher.slots() as u64, publisher.max_frame() as u64);
    let varies = !worker.options().schema;
    let (slots, frame) = if varies && worker.random.once_in(2) {
        (0, (2 * frame).min(4 * worker.options().record))
    } else {
        ((2 * slots).min(MOST_SLOTS), 0)
    };
    if slots.max(publisher.slots() as u64) * frame.max(publisher.max_frame() as u64) > LARGEST_POOL
    {
        return Ok(false);
    }
    let gone = worker.grow(latest, || {
        publisher.grow(slots as u32, frame as u32)?;
        Ok(publisher.generation())
    })?;
    worker.has_room_for(publisher.max_frame());
    Ok(gone)
}

/// One frame; `true` if the channel was taken away.
fn send(worker: &mut Worker, publisher: &Publisher, latest: &mut u64) -> Result<bool, Problem> {
    for _ in 0..worker.compose(*latest + 1, 0) {
        let given_up = worker.random.once_in(8);
        let mut loan = match publisher.loan(worker.record.len()) {
            Ok(loan) => loan,
            Err(error) => return worker.refused(error),
        };
        // In pieces, so that a kill comes between.
        for (piece, number) in worker.record.chunks(4096).zip(0..) {
            loan.write_at(number * 4096, piece);
        }
        if given_up {
            drop(loan);
            return Ok(false);
        }
        loan.publish()?;
    }
    *latest += 1;
    worker.note(Entry::new(What::Acked).count(1).of(0, *latest))?;
    Ok(false)
}

pub(super) fn subscribe(worker: &mut Worker) -> Result<(), Problem> {
    while let Some(mut subscriber) = attach(worker, |worker| {
        let slot = worker.slot();
        let options = SubscriberOptions::new()
            .namespace(worker.namespace.clone())
            .attach_timeout(Some(GLANCE))
            .await_successor(slot.patient)
            .lossy(slot.lossy)
            .history(if slot.follow { 2 } else { 0 })
            .wait(worker.wait());
        match worker.schema() {
            Some(schema) => options.schema(schema),
            None => options,
        }
        .attach(worker.channel())
    })? {
        let attached = Entry::new(What::Attached).count(subscriber.generation() as u32);
        worker.note(attached.of(0, subscriber.next_sequence()))?;
        let mut held = Vec::new();
        let ended = read(worker, &mut subscriber, &mut held)?;
        // Sometimes the frames outlive the subscriber they came from.
        if worker.random.once_in(2) {
            drop(subscriber);
        }
        while !held.is_empty() {
            let_go(worker, &mut held)?;
        }
        worker.note(Entry::new(What::Left))?;
        if ended && worker.finishing() {
            return Ok(());
        }
    }
    Ok(())
}

fn read(
    worker: &mut Worker,
    subscriber: &mut Subscriber,
    held: &mut Vec<(Frame, Option<Content>)>,
) -> Result<bool, Problem> {
    loop {
        if matches!(worker.order(), Order::Again | Order::Abandon) {
            return Ok(false);
        }
        match subscriber.recv_timeout(GLANCE) {
            Ok(frame) => {
                let bytes = frame.to_vec();
                let content = worker.got(&bytes, Some(frame.sequence()), 0)?;
                held.push((frame, content));
            }
            Err(RecvError::TooManyHeld { .. }) => let_go(worker, held)?,
            Err(error) => {
                if worker.nothing(error)? {
                    return Ok(true);
                }
            }
        }
        if !held.is_empty() && worker.random.once_in(2) {
            let_go(worker, held)?;
        }
    }
}

/// Gives any one of the held frames back, after a look whether it is what it was.
fn let_go(worker: &mut Worker, held: &mut Vec<(Frame, Option<Content>)>) -> Result<(), Problem> {
    let which = worker.random.below(held.len() as u64) as usize;
    let (frame, content) = held.swap_remove(which);
    if content.is_some() && Content::verify(worker.assignment.key, &frame.to_vec()) != content {
        worker.note(Entry::new(What::Torn).flag(2).of(0, frame.sequence()))?;
    }
    Ok(())
}
