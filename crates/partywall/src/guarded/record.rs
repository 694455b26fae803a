//! A handle of a guarded record.

use std::time::Duration;

use super::guard::{Guard, Lock};
use super::{RecordOptions, Value};
use crate::channel::liveness::OWNER;
use crate::channel::visit::Visited;
use crate::error::{LockError, OpenError, RecvError};
use crate::handle::accessors::channel_accessors;
use crate::handle::slots::{Meta, shape};
use crate::handle::{PeerHandle, PeerSettings};
use crate::layout::header::{self, State};
use crate::layout::owner;
use crate::memory::{ReadOnly, Region, Shared, SharedMut, Writable};
use crate::os;
use crate::protocol::Lie;
use crate::protocol::guarded::{self, Found, Held, Refused};
use crate::protocol::slots::{LatestReader, Shape, Unread};
use crate::wait::{Step, Waiter};

/// How long to sleep at a time while it cannot be told who will ring.
const NOBODY_RINGS: Duration = Duration::from_millis(1);

/// A record that several processes lock and write in turn. Each process opens its own; it does not close or remove
/// the record when it is dropped.
#[derive(Debug)]
pub struct Record {
    pub(super) handle: PeerHandle,
    /// Written only while this handle has the lock.
    pub(super) owner: Region<Writable>,
    pub(super) shape: Shape,
    pub(super) time_stamps: bool,
    latest: LatestReader<Region<ReadOnly>>,
}

/// Whether a record that was given up may be locked too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Edit,
    Repair,
}

channel_accessors!(Record, self => self.handle);

impl Record {
    /// Opens or makes a record of the default namespace with default options.
    ///
    /// # Errors
    /// As [`RecordOptions::open`].
    pub fn open(channel: &str) -> Result<Record, OpenError> {
        RecordOptions::new().open(channel)
    }

    pub(super) fn new(
        visited: Visited,
        settings: PeerSettings,
        time_stamps: bool,
    ) -> Result<Self, OpenError> {
        let owner = visited.open_writable()?;
        let shape = shape(&visited.header);
        let latest = LatestReader::new(visited.owner.clone(), shape);
        let mut handle = PeerHandle::visiting(visited, settings);
        // Who lets go of the lock rings its own bell.
        handle.sit_down();
        if handle.seat().is_none() {
            return Err(OpenError::NoFreeSeat {
                channel: handle.channel().to_owned(),
                seats: handle.header().seat_count,
            });
        }
        Ok(Record {
            handle,
            owner,
            shape,
            time_stamps,
            latest,
        })
    }

    /// Locks the record; waits for it as long as somebody else has it, dead holders not counted.
    ///
    /// # Errors
    /// [`LockError::NotRecoverable`] until somebody repairs it; [`LockError::Stopped`];
    /// [`LockError::Deleted`], [`LockError::Damaged`], [`LockError::Forked`].
    pub fn lock(&mut self) -> Result<Lock<Guard<'_>>, LockError> {
        let held = self.wait_for(Purpose::Edit, None)?;
        Guard::begin(self, held, false)
    }

    /// [`Self::lock`], at most so long.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and as [`Self::lock`].
    pub fn lock_timeout(&mut self, timeout: Duration) -> Result<Lock<Guard<'_>>, LockError> {
        let held = self.wait_for(Purpose::Edit, Some(timeout))?;
        Guard::begin(self, held, false)
    }

    /// Locks the record if nobody has it.
    ///
    /// # Errors
    /// [`LockError::Busy`], and as [`Self::lock`], but for waiting.
    pub fn try_lock(&mut self) -> Result<Lock<Guard<'_>>, LockError> {
        match self.try_hold(Purpose::Edit)? {
            Some(held) => Guard::begin(self, held, false),
            None => Err(LockError::Busy {
                channel: self.channel().to_owned(),
            }),
        }
    }

    /// Locks the record whatever befell it, to repair it: look at the value, commit a better one if need be, and
    /// [`mark it consistent`](Guard::mark_consistent). A value that cannot be believed (its checksum is wrong, or its
    /// length) is given as an empty one, and the record is not [consistent](Guard::is_consistent). Waits at most
    /// `timeout` (`None`: no limit).
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and as [`Self::lock`].
    pub fn repair(&mut self, timeout: Option<Duration>) -> Result<Guard<'_>, LockError> {
        let held = self.wait_for(Purpose::Repair, timeout)?;
        Guard::begin(self, held, true).map(Lock::into_guard)
    }

    /// The value, without locking; `None` before the first commit.
    ///
    /// # Errors
    /// [`RecvError::Contended`] if holders were faster than several tries; [`RecvError::Deleted`],
    /// [`RecvError::Damaged`], [`RecvError::Forked`].
    pub fn get(&mut self) -> Result<Option<Value>, RecvError> {
        self.handle.check()?;
        let state = self.handle.state()?;
        if state != State::READY {
            return Err(self.handle.over(state));
        }
        let mut payload = Vec::new();
        let read = self.latest.read(&mut payload);
        self.handle.check_pages()?;
        match read {
            Ok(None) => Ok(None),
            Ok(Some(meta)) => {
                let meta = Meta::of(meta, payload.len());
                Ok(Some(Value::new(meta, payload)))
            }
            Err(Unread::Contended) => Err(RecvError::Contended {
                channel: self.channel().to_owned(),
            }),
            Err(Unread::Lie(lie)) => Err(self.handle.damaged(lie)),
        }
    }

    /// Whether somebody else has the lock now. One system call.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.handle.is_ours() && self.handle.owner_lives()
    }

    /// Bytes of the largest value.
    #[must_use]
    pub fn max_value(&self) -> usize {
        self.shape.value as usize
    }

    fn wait_for(
        &mut self,
        purpose: Purpose,
        timeout: Option<Duration>,
    ) -> Result<Held<Region<Writable>>, LockError> {
        if let Some(held) = self.try_hold(purpose)? {
            return Ok(held);
        }
        let settings = self.handle.settings().clone();
        let mut waiter = Waiter::new(settings.wait, timeout, settings.stop.as_ref());
        loop {
            match waiter.step() {
                Step::Spin => {}
                Step::LookAround => self.look_around()?,
                Step::Park(longest) => {
                    if let Some(held) = self.park(purpose, longest)? {
                        return Ok(held);
                    }
                    self.look_around()?;
                }
                Step::TimedOut => {
                    // Of many short waits none may be as long as a slice.
                    self.look_around()?;
                    return Err(LockError::TimedOut {
                        channel: self.channel().to_owned(),
                        waited: waiter.waited(),
                    });
                }
                Step::Stopped => {
                    self.check_pages()?;
                    return Err(LockError::Stopped {
                        channel: self.channel().to_owned(),
                    });
                }
            }
            if let Some(held) = self.try_hold(purpose)? {
                return Ok(held);
            }
        }
    }

    /// Somebody has the lock: of a record that is still there?
    fn look_around(&mut self) -> Result<(), LockError> {
        let state = self.handle.state();
        self.check_pages()?;
        match state {
            Ok(State::READY) => Ok(()),
            other => Err(self.over(other.ok())),
        }
    }

    /// The error of a record whose generation is not READY any more, or whose names are another's.
    fn over(&self, state: Option<State>) -> LockError {
        let channel = self.channel().to_owned();
        match state {
            None | Some(State::READY | State::RETIRED | State::CLOSED) => {
                LockError::Deleted { channel }
            }
            // No holder says so, and no remover.
            Some(state) => LockError::Damaged {
                channel,
                lie: Lie {
                    word: "state",
                    place: header::STATE,
                    expected: "READY, RETIRED or CLOSED",
                    found: state.0.into(),
                },
            },
        }
    }

    /// Sleeps until the holder lets go, or for so long.
    fn park(
        &mut self,
        purpose: Purpose,
        longest: Duration,
    ) -> Result<Option<Held<Region<Writable>>>, LockError> {
        let seated = self.handle.seat().expect("every record has a seat");
        let (peers, seat) = (seated.peers.clone(), seated.seat);
        let (owner, seats) = (self.owner.clone(), self.handle.header().seat_count);
        let mut tried = Ok(None);
        guarded::park(
            &owner,
            &peers,
            seat,
            seats,
            || {
                tried = self.try_hold(purpose);
                !matches!(tried, Ok(None))
            },
            |bell| match bell {
                Some((at, bell)) => peers.sleep(at, bell, longest),
                // Locked, but not said by whom: for a moment, or by a tool.
                None => {
                    let at = owner::OWNER_BELL;
                    let bell = owner.load32(at, std::sync::atomic::Ordering::Acquire);
                    owner.sleep(at, bell, longest.min(NOBODY_RINGS));
                }
            },
        );
        tried
    }

    /// Takes the lock if nobody has it.
    fn try_hold(&mut self, purpose: Purpose) -> Result<Option<Held<Region<Writable>>>, LockError> {
        let channel = || self.handle.channel().to_owned();
        if !self.handle.is_ours() {
            return Err(LockError::Forked { channel: channel() });
        }
        self.check_pages()?;
        let locked = self.handle.lock_file().try_lock(OWNER);
        match locked {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(source) => {
                return Err(LockError::System {
                    channel: channel(),
                    source,
                });
            }
        }
        let held = self.take(purpose);
        if held.is_err() {
            self.unlock();
            self.check_pages()?;
        }
        held.map(Some)
    }

    /// The lock is ours: is the record still there, and what did the holder before leave?
    fn take(&mut self, purpose: Purpose) -> Result<Held<Region<Writable>>, LockError> {
        let channel = self.channel().to_owned();
        match self.handle.state() {
            // A damaged channel is removed without a mark.
            Ok(State::READY) if self.handle.still_named() => {}
            other => return Err(self.over(other.ok())),
        }
        let seated = self.handle.seat().expect("every record has a seat");
        let number = guarded::holder_number(seated.seat, seated.state);
        let repairing = purpose == Purpose::Repair;
        let held =
            Held::lock(self.owner.clone(), self.shape, number, repairing).map_err(|refused| {
                match refused {
                    Refused::NotRecoverable => LockError::NotRecoverable { channel },
                    Refused::Lie(lie) => LockError::Damaged { channel, lie },
                }
            })?;
        // For people who look from outside.
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        self.owner
            .store(header::OWNER_PID, os::process_id().into(), relaxed);
        self.owner
            .store(header::OWNER_SINCE_NS, os::boottime_ns(), relaxed);
        self.owner
            .store(header::HEARTBEAT_NS, os::boottime_ns(), relaxed);
        Ok(held)
    }

    /// Whether everything was there that was accessed so far.
    pub(super) fn check_pages(&self) -> Result<(), LockError> {
        let writable = self.owner.lost_page();
        let lost = match self.handle.check_pages() {
            Ok(()) => writable.map(Lie::lost_page),
            Err(RecvError::Damaged { lie, .. }) => Some(lie),
            Err(_) => None,
        };
        let channel = || self.channel().to_owned();
        lost.map_or(Ok(()), |lie| {
            Err(LockError::Damaged {
                channel: channel(),
                lie,
            })
        })
    }

    /// Gives the lock back, and wakes who waits for it.
    pub(super) fn unlock(&self) {
        // An error leaves it locked until the handle is dropped, which nobody can mend here.
        let unlock = || drop(self.handle.lock_file().unlock(OWNER));
        let seated = self.handle.seat().expect("every record has a seat");
        let seats = self.handle.header().seat_count;
        guarded::unlock(&seated.peers, seated.seat, seats, unlock);
    }
}

/// What a lock found, for a guard.
pub(super) fn owner_died(found: Found) -> bool {
    found != Found::Clean
}
