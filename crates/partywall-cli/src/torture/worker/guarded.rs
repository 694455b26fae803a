//! Who locks a guarded record and edits it.

use partywall::guarded::{Guard, Lock, Record, RecordOptions};
use partywall::{LockError, OpenError, SendError};

use super::super::content::Content;
use super::super::journal::{Ending, Entry, What};
use super::slots::slot_options;
use super::{GLANCE, Order, PAUSE, Problem, Worker};

pub(super) fn edit(worker: &mut Worker) -> Result<(), Problem> {
    'open: loop {
        let mut record = match open(worker) {
            Ok(record) => record,
            Err(OpenError::NoFreeSeat { .. } | OpenError::AlreadyOwned { .. })
                if !worker.finishing() =>
            {
                std::thread::sleep(PAUSE);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        worker.next_source();
        worker.note(Entry::new(What::Attached).count(record.generation() as u32))?;
        loop {
            match worker.order() {
                Order::GoOn | Order::Grow | Order::Reschema => {}
                Order::Finish => {
                    // Whatever befell it, the last one leaves it in order.
                    lock(worker, &mut record, true)?;
                    drop(record);
                    worker.note(Entry::new(What::Left))?;
                    return Ok(());
                }
                Order::Again | Order::Abandon => break,
            }
            if lock(worker, &mut record, false)? {
                continue 'open;
            }
        }
        drop(record);
        worker.note(Entry::new(What::Left))?;
    }
}

fn open(worker: &Worker) -> Result<Record, OpenError> {
    slot_options!(worker, RecordOptions)
        .wait(worker.wait())
        .open(worker.channel())
}

/// Locks it, edits it, and gives it back; `true` if the record is no more.
fn lock(worker: &mut Worker, record: &mut Record, last: bool) -> Result<bool, Problem> {
    worker.note(Entry::new(What::Locking))?;
    let refused = match record.lock_timeout(GLANCE) {
        Ok(lock) => {
            hold(worker, lock, last)?;
            None
        }
        Err(error) => Some(error),
    };
    match refused {
        None => {}
        Some(LockError::TimedOut { .. }) => worker.note(Entry::new(What::Nothing))?,
        Some(LockError::NotRecoverable { .. }) => {
            worker.note(Entry::new(What::NotRecoverable))?;
            if last || worker.random.once_in(4) {
                worker.note(Entry::new(What::Locking))?;
                match record.repair(Some(GLANCE)) {
                    Ok(guard) => {
                        note_locked(worker, &guard, 2)?;
                        give_back(worker, guard, true)?;
                    }
                    Err(LockError::TimedOut { .. }) => {}
                    Err(error) => return ended(worker, error),
                }
            }
        }
        Some(error) => return ended(worker, error),
    }
    worker.note(Entry::new(What::Unlocked))?;
    Ok(false)
}

fn ended(worker: &mut Worker, error: LockError) -> Result<bool, Problem> {
    let LockError::Deleted { .. } = error else {
        return Err(error.into());
    };
    worker.note(Entry::new(What::Ended).flag(Ending::Deleted as u16))?;
    Ok(true)
}

/// What is found under the lock: flag 1 if the owner died, 2 in a repair.
fn note_locked(
    worker: &mut Worker,
    guard: &Guard<'_>,
    flag: u16,
) -> Result<Option<Content>, Problem> {
    let (value, sequence) = (guard.value().to_vec(), guard.sequence());
    let locked = Entry::new(What::Locked).flag(flag);
    if sequence == 0 && value.is_empty() {
        worker.note(locked)?;
        return Ok(Some(Content {
            source: 0,
            sequence: 0,
            birth: 0,
        }));
    }
    let content = Content::verify(worker.assignment.key, &value);
    worker.note(locked.of(content.map_or(0, |content| content.birth), sequence))?;
    match content {
        None => worker.note(Entry::new(What::Torn).of(0, sequence))?,
        Some(content) if content.sequence != sequence => {
            worker.note(Entry::new(What::Torn).flag(1).of(content.source, sequence))?;
        }
        Some(content) => {
            let Content {
                source, sequence, ..
            } = content;
            worker.note(Entry::new(What::Got).of(source, sequence))?;
        }
    }
    Ok(content)
}

fn hold(worker: &mut Worker, lock: Lock<Guard<'_>>, last: bool) -> Result<(), Problem> {
    let died = lock.owner_died();
    let mut guard = lock.into_guard();
    let found = note_locked(worker, &guard, died.into())?;
    // Some give up what they find after a death; some leave the news to the next.
    if died && !last {
        match worker.random.below(8) {
            0 => return give_back(worker, guard, false),
            1 => {
                worker.note(Entry::new(What::Unlocking))?;
                guard.leave_news();
                return Ok(());
            }
            _ => {}
        }
    }
    let mut birth = found.map_or(0, |content| content.birth);
    for _ in 0..worker.random.below(3) {
        let sequence = guard.sequence() + 1;
        if birth == 0 {
            birth = worker.source();
        }
        for _ in 0..worker.compose(sequence, birth) {
            guard.value_mut().clone_from(&worker.record);
            match guard.commit() {
                Ok(_) => {}
                Err(SendError::Deleted { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if guard.sequence() != sequence && worker.assignment.fault.is_none() {
            break;
        }
        worker.note(Entry::new(What::Acked).count(1).of(birth, sequence))?;
    }
    // An edit that is not committed is never seen.
    if worker.random.once_in(4) {
        guard.value_mut().fill(0xff);
    }
    give_back(worker, guard, true)
}

fn give_back(worker: &mut Worker, mut guard: Guard<'_>, consistent: bool) -> Result<(), Problem> {
    if consistent {
        guard.mark_consistent();
    }
    worker.note(Entry::new(What::Unlocking).flag((!consistent).into()))?;
    drop(guard);
    Ok(())
}
