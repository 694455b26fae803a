//! A snapshot's writer and its readers, who read guarded records too; a broadcast's sender and its receivers.

use partywall::{broadcast, snapshot};

use super::super::journal::{Entry, What};
use super::{GLANCE, GROWS_TO, Order, Problem, Worker, attach, open_owner};

/// The options that both have, which are two types.
macro_rules! slot_options {
    ($worker:expr, $options:ty) => {{
        let plan = $worker.options();
        let mut options = <$options>::new()
            .namespace($worker.namespace.clone())
            .value_size(plan.record.max(64) as u32)
            .slots(plan.slots)
            .seats(plan.seats)
            .checksums(plan.checksums);
        if let Some(schema) = $worker.schema() {
            options = options.schema(schema);
        }
        options
    }};
}
pub(super) use slot_options;

/// Writes until it is told to stop; the two writers are two types with the same methods.
macro_rules! write {
    ($worker:expr, $options:ty, $put:ident) => {{
        let worker: &mut Worker = $worker;
        loop {
            let mut writer = open_owner(worker, |worker| {
                slot_options!(worker, $options).open(worker.channel())
            })?;
            let source = worker.next_source();
            let mut latest = writer.sequence();
            let opened = worker.opening(writer.adopted(), writer.generation());
            worker.note(opened.of(source, latest))?;
            worker.has_room_for(writer.max_value());
            'open: loop {
                match worker.order() {
                    Order::GoOn => {}
                    Order::Grow => {
                        let (size, slots) = larger(worker, writer.max_value(), writer.slots());
                        let gone = worker.grow(latest, || {
                            writer.grow(size, slots)?;
                            Ok(writer.generation())
                        })?;
                        worker.has_room_for(writer.max_value());
                        if gone {
                            break;
                        }
                    }
                    Order::Reschema => {
                        let gone = worker.reschema(latest, |schema| {
                            writer.reschema(schema)?;
                            Ok(writer.generation())
                        })?;
                        if gone {
                            break;
                        }
                    }
                    Order::Finish | Order::Again => {
                        worker.note(Entry::new(What::Closing).of(0, latest))?;
                        writer.close()?;
                        break;
                    }
                    Order::Abandon => {
                        worker.note(Entry::new(What::Abandoning).of(0, latest))?;
                        writer.abandon();
                        break;
                    }
                }
                for _ in 0..worker.compose(latest + 1, 0) {
                    if let Err(error) = writer.$put(&worker.record) {
                        if worker.refused(error)? {
                            break 'open;
                        }
                        continue 'open;
                    }
                }
                latest += 1;
                worker.note(Entry::new(What::Acked).count(1).of(0, latest))?;
            }
            if worker.finishing() {
                return Ok(());
            }
        }
    }};
}

/// To what to grow: for larger values, or in more slots, as long as that is not too large.
fn larger(worker: &mut Worker, size: usize, slots: u64) -> (u32, u64) {
    let options = worker.options();
    let (most, longest) = (GROWS_TO * options.slots, GROWS_TO * options.record);
    let (size, varies) = (size as u64, !options.schema);
    if varies && worker.random.once_in(2) {
        ((2 * size).min(longest) as u32, slots)
    } else {
        (0, (2 * slots).min(most))
    }
}

pub(super) fn put(worker: &mut Worker) -> Result<(), Problem> {
    write!(worker, snapshot::WriterOptions, put)
}

pub(super) fn send(worker: &mut Worker) -> Result<(), Problem> {
    write!(worker, broadcast::SenderOptions, send)
}

pub(super) fn get(worker: &mut Worker) -> Result<(), Problem> {
    let mut payload = Vec::new();
    while let Some(mut reader) = attach(worker, |worker| {
        let slot = worker.slot();
        let mut options = snapshot::ReaderOptions::new()
            .namespace(worker.namespace.clone())
            .attach_timeout(Some(GLANCE))
            .await_successor(slot.patient)
            .follow(slot.follow)
            .wait(worker.wait());
        if let Some(schema) = worker.schema() {
            options = options.schema(schema);
        }
        options.attach(worker.channel())
    })? {
        worker.note(Entry::new(What::Attached).count(reader.generation() as u32))?;
        let ended = loop {
            let order = worker.order();
            if matches!(order, Order::Again | Order::Abandon) {
                break false;
            }
            // What waits for the next value sees the end too; at the end nobody writes any more.
            let waits = order == Order::Finish || worker.random.once_in(2);
            let found = if waits {
                reader.changed_into(&mut payload, Some(GLANCE)).map(Some)
            } else {
                reader.get_into(&mut payload)
            };
            match found {
                Ok(Some(meta)) => {
                    worker.got(&payload, Some(meta.sequence), 0)?;
                }
                Ok(None) => worker.note(Entry::new(What::Empty))?,
                Err(error) => {
                    let quiet = matches!(error, partywall::RecvError::TimedOut { .. });
                    if worker.nothing(error)? || (quiet && order == Order::Finish) {
                        break true;
                    }
                }
            }
        };
        drop(reader);
        worker.note(Entry::new(What::Left))?;
        if ended && worker.finishing() {
            return Ok(());
        }
    }
    Ok(())
}

pub(super) fn receive(worker: &mut Worker) -> Result<(), Problem> {
    let mut payload = Vec::new();
    while let Some(mut receiver) = attach(worker, |worker| {
        let slot = worker.slot();
        let mut options = broadcast::ReceiverOptions::new()
            .namespace(worker.namespace.clone())
            .attach_timeout(Some(GLANCE))
            .await_successor(slot.patient)
            .start(if slot.follow {
                broadcast::Start::Oldest
            } else {
                broadcast::Start::Next
            })
            .wait(worker.wait());
        if let Some(schema) = worker.schema() {
            options = options.schema(schema);
        }
        options.attach(worker.channel())
    })? {
        let attached = Entry::new(What::Attached).count(receiver.generation() as u32);
        worker.note(attached.of(0, receiver.next_sequence()))?;
        let ended = loop {
            if matches!(worker.order(), Order::Again | Order::Abandon) {
                break false;
            }
            match receiver.recv_into(&mut payload, Some(GLANCE)) {
                Ok(meta) => {
                    worker.got(&payload, Some(meta.sequence), 0)?;
                }
                Err(error) => {
                    if worker.nothing(error)? {
                        break true;
                    }
                }
            }
        };
        drop(receiver);
        worker.note(Entry::new(What::Left))?;
        if ended && worker.finishing() {
            return Ok(());
        }
    }
    Ok(())
}
