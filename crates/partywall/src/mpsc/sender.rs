//! A sender's handle.

use std::time::{Duration, Instant};

use super::options::SenderOptions;
use super::role::MappedSender;
use super::{Batch, Overflow, Reservation, SenderId, Sent};
use crate::channel::attach::Attached;
use crate::error::{OpenError, RecvError, SendError};
use crate::handle::accessors::peer_accessors;
use crate::handle::records::{Patience, RecordWriter, Refusal, Room, record_writer};
use crate::handle::{PeerHandle, PeerSettings};
use crate::layout::header::State;
use crate::layout::last_error::LastError;
use crate::layout::verdict::EvictionReason;
use crate::layout::{mpsc, peers};
use crate::memory::SharedMut;
use crate::protocol::Lie;
use crate::protocol::buffer::{Claimed, Pending};
use crate::protocol::mpsc::sender::Look;

/// One of many that send to a [`Receiver`](super::Receiver), in a lane of its own. Dropping it leaves in an orderly way,
/// after everything that it sent, unless the thread is panicking: then it looks dead to the receiver, as it should.
///
/// A receiver that died stops nobody: sends succeed until the lane is full, then [`Overflow`] decides, and
/// [`Overflow::Block`] waits for a successor to make room, for ever if there is no
/// [`block_timeout`](SenderOptions::block_timeout).
#[derive(Debug)]
pub struct Sender {
    handle: PeerHandle,
    role: MappedSender,
    overflow: Overflow,
    block_timeout: Option<Duration>,
    max_record: usize,
}

/// What a look at the receiver's words ended with.
enum Looked<T> {
    Found(T),
    CutOff,
}

peer_accessors!(Sender, self => self.handle);

record_writer!(Sender);

impl Sender {
    /// Takes a seat of a channel of the default namespace with default options.
    ///
    /// # Errors
    /// As [`SenderOptions::attach`].
    pub fn attach(channel: &str) -> Result<Sender, OpenError> {
        SenderOptions::new().attach(channel)
    }

    pub(super) fn new(attached: Attached<MappedSender>, options: &SenderOptions) -> Self {
        let lane = attached.header.payload_size;
        let settings = PeerSettings {
            // What is sent without a receiver is received by the next.
            await_successor: true,
            ..options.settings.clone()
        };
        let (handle, role) = PeerHandle::seated(attached, settings);
        let mut sender = Sender {
            handle,
            role,
            overflow: options.overflow,
            block_timeout: options.block_timeout,
            max_record: max_record(lane),
        };
        // Says HELLO if there is room. What else it may find is told by the first send.
        let _ = sender.role.look();
        sender.handle.wake_owner();
        sender
    }

    /// Sends a record: copies `payload` into the lane and commits it. When the receiver has not made room, the
    /// chosen [`Overflow`] decides.
    ///
    /// # Errors
    /// [`SendError::TooLarge`]; [`SendError::Full`] with [`Overflow::Fail`]; [`SendError::TimedOut`] with a
    /// [`block_timeout`](SenderOptions::block_timeout); [`SendError::Stopped`]; [`SendError::Closed`] once the receiver
    /// has closed the channel; [`SendError::Evicted`] if somebody wrote over the lane; [`SendError::Deleted`],
    /// [`SendError::Damaged`], [`SendError::Forked`].
    #[inline(always)]
    pub fn send(&mut self, payload: &[u8]) -> Result<Sent, SendError> {
        self.send_with(0, payload, Patience::Policy)
    }

    /// Waits until the receiver has taken everything that was sent here, and was done with it: see
    /// [`Receiver::acknowledge`](super::Receiver::acknowledge).
    ///
    /// # Errors
    /// [`SendError::Closed`] if the receiver closed the channel before; [`SendError::TimedOut`] after `timeout` (`None`:
    /// no limit; it also waits for the successor of a dead receiver); and as [`Self::send`].
    pub fn flush(&mut self, timeout: Option<Duration>) -> Result<(), SendError> {
        self.check()?;
        let waited = self.wait_until(timeout, "the receiver to take everything", |role| {
            role.is_drained().then_some(())
        });
        self.handle.wake_owner();
        waited
    }

    /// Leaves in an orderly way: the receiver is told so after the last record. Dropping the sender does the same.
    ///
    /// # Errors
    /// [`SendError::Forked`].
    pub fn close(self) -> Result<(), SendError> {
        if self.handle.is_ours() {
            Ok(())
        } else {
            Err(self.forked())
        }
    }

    /// Who this is to the receiver.
    #[must_use]
    pub fn id(&self) -> SenderId {
        SenderId {
            seat: self.role.seat(),
            epoch: self.role.state().epoch(),
        }
    }

    /// Records that this sender has committed.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.role.records()
    }

    /// Where the next record begins: bytes since the channel did, in this lane.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.role.position()
    }

    /// Bytes of the lane.
    #[must_use]
    pub fn lane_capacity(&self) -> u64 {
        self.handle.header().payload_size
    }

    /// The largest record, in bytes.
    #[must_use]
    pub fn max_record(&self) -> usize {
        self.max_record
    }

    /// Whether the handle is ours and the channel open: two loads.
    #[inline(always)]
    fn check(&mut self) -> Result<(), SendError> {
        match self.handle.check().and_then(|()| self.handle.state()) {
            Ok(State::READY) => self.check_pages(),
            Ok(State::RETIRED) => self.go_over(),
            other => Err(self.not_ready(other)),
        }
    }

    /// The receiver went on in a new generation: so does this sender, in the same seat, behind everything that it sent.
    #[cold]
    #[inline(never)]
    fn go_over(&mut self) -> Result<(), SendError> {
        match self.role.look() {
            Ok(Look::Fine) => {}
            Ok(Look::CutOff) => return Err(self.cut_off()),
            Err(lie) => return Err(self.damaged(lie)),
        }
        self.handle
            .move_over(&mut self.role)
            .map_err(|error| send_error(error, "room"))?;
        self.max_record = max_record(self.lane_capacity());
        // HELLO, if the old lane had no room for it. What else this may find is told by the next send.
        let _ = self.role.look();
        self.handle.wake_owner();
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn not_ready(&mut self, found: Result<State, RecvError>) -> SendError {
        let error = match found {
            Ok(state) => self.handle.over(state),
            Err(error) => error,
        };
        send_error(error, "room")
    }

    /// Looks how far the receiver is; counts, and waits or does not, as the policy says.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, len: usize, patience: Patience) -> Result<Room, SendError> {
        match look(&mut self.role, |role| role.room(len as u64)) {
            Ok(None) => self.check_pages()?,
            Ok(Some(Looked::Found(claimed))) => return Ok(Room::Claimed(claimed)),
            Ok(Some(Looked::CutOff)) => return Err(self.cut_off()),
            Err(lie) => return Err(self.damaged(lie)),
        }
        // HELLO may be all that there was room for.
        self.handle.wake_owner();
        let timeout = match patience.limit(self.overflow, self.block_timeout) {
            Ok(timeout) => timeout,
            Err(Refusal::Full) => return Err(self.full()),
            Err(Refusal::Drop) => {
                self.role.count_dropped();
                return Ok(Room::Drop);
            }
        };
        let at = peers::seat_at(self.role.seat());
        self.role.peers().count(at + mpsc::BLOCKED, 1);
        let started = Instant::now();
        let outcome = self.wait_until(timeout, "room", |role| role.room(len as u64));
        let blocked = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.role.peers().count(at + mpsc::BLOCKED_NS, blocked);
        outcome.map(Room::Claimed)
    }

    /// Waits until `done` finds something after a look.
    fn wait_until<T>(
        &mut self,
        timeout: Option<Duration>,
        awaited: &'static str,
        mut done: impl FnMut(&mut MappedSender) -> Option<T>,
    ) -> Result<T, SendError> {
        let started = Instant::now();
        loop {
            let role = &mut self.role;
            let mut peek = || look(role, &mut done);
            let found = match peek() {
                Ok(Some(found)) => Ok(found),
                Ok(None) => {
                    let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
                    self.handle.wait(left, &mut peek)
                }
                Err(lie) => Err(self.handle.damaged(lie)),
            };
            match found {
                Ok(Looked::Found(found)) => {
                    self.check_pages()?;
                    return Ok(found);
                }
                Ok(Looked::CutOff) => return Err(self.cut_off()),
                // The generation is over, and the next one is there.
                Err(RecvError::Superseded { .. }) => self.go_over()?,
                Err(error) => {
                    self.check_pages()?;
                    return Err(send_error(error, awaited));
                }
            }
        }
    }

    fn damaged(&mut self, lie: Lie) -> SendError {
        if let Err(lost) = self.check_pages() {
            return lost;
        }
        send_error(self.handle.damaged(lie), "room")
    }

    fn cut_off(&mut self) -> SendError {
        if let Err(lost) = self.check_pages() {
            return lost;
        }
        self.handle.note(LastError::Evicted);
        SendError::Evicted {
            channel: self.channel().to_owned(),
            reason: EvictionReason::Lied,
        }
    }
}

/// The largest record of a lane of so many bytes.
fn max_record(lane: u64) -> usize {
    usize::try_from(mpsc::max_payload(lane)).unwrap_or(usize::MAX)
}

/// Looks at the receiver's words, and then for what `done` looks for.
fn look<T>(
    role: &mut MappedSender,
    mut done: impl FnMut(&mut MappedSender) -> Option<T>,
) -> Result<Option<Looked<T>>, Lie> {
    Ok(match role.look()? {
        Look::Fine => done(role).map(Looked::Found),
        Look::CutOff => Some(Looked::CutOff),
    })
}

/// What ended a wait for the receiver, as a sender says it.
fn send_error(error: RecvError, awaited: &'static str) -> SendError {
    match error {
        RecvError::TimedOut { channel, waited } => SendError::TimedOut {
            channel,
            waited,
            awaited,
        },
        RecvError::Stopped { channel } => SendError::Stopped { channel },
        RecvError::Evicted { channel, reason } => SendError::Evicted { channel, reason },
        RecvError::Damaged { channel, lie } => SendError::Damaged { channel, lie },
        RecvError::Deleted { channel } => SendError::Deleted { channel },
        RecvError::SchemaMismatch {
            channel,
            difference,
        } => SendError::SchemaMismatch {
            channel,
            difference,
        },
        RecvError::NotMoved { channel, source } => SendError::NotMoved { channel, source },
        RecvError::Forked { channel } => SendError::Forked { channel },
        // The others are not told of a sender, which waits for the successor of a dead receiver.
        RecvError::Closed { channel }
        | RecvError::Superseded { channel }
        | RecvError::OwnerDied { channel }
        | RecvError::Overrun { channel, .. }
        | RecvError::TooManyHeld { channel, .. }
        | RecvError::WrongLength { channel, .. }
        | RecvError::Contended { channel } => SendError::Closed { channel },
    }
}

impl RecordWriter for Sender {
    #[inline(always)]
    fn is_ours(&self) -> bool {
        self.handle.is_ours()
    }

    // The lane is a mapping of its own.
    #[inline(always)]
    fn check_pages(&self) -> Result<(), SendError> {
        self.handle
            .check_pages()
            .and_then(|()| match self.role.lane().lost_page() {
                None => Ok(()),
                Some(at) => Err(self.handle.lost_page(at)),
            })
            .map_err(|error| send_error(error, "room"))
    }

    #[inline(always)]
    fn longest(&self) -> usize {
        self.max_record
    }

    #[inline(always)]
    fn claim(&mut self, len: usize, patience: Patience) -> Result<Room, SendError> {
        self.check()?;
        if len > self.max_record {
            return Err(self.too_large(len));
        }
        match self.role.room(len as u64) {
            Some(claimed) => Ok(Room::Claimed(claimed)),
            None => self.make_room(len, patience),
        }
    }

    fn name(&self) -> &str {
        self.handle.channel()
    }

    fn note(&self, error: LastError) {
        self.handle.note(error);
    }

    #[inline(always)]
    fn write_all(&mut self, claimed: Claimed, payload: &[u8]) {
        let at = self.role.payload_at(claimed);
        self.role.lane().copy_in_backwards(at, payload);
    }

    fn write_at(&mut self, claimed: Claimed, offset: usize, bytes: &[u8]) {
        let at = self.role.payload_at(claimed) + offset as u64;
        self.role.lane().copy_in(at, bytes);
    }

    #[inline(always)]
    fn commit(&mut self, claimed: Claimed, len: usize, kind: u16) {
        self.role.commit(claimed, len as u64, kind);
        self.handle.wake_owner();
    }

    #[inline(always)]
    fn push(&mut self, pending: &mut Pending, kind: u16, payload: &[u8]) -> bool {
        self.role.push(pending, kind, payload)
    }

    #[inline(always)]
    fn commit_pending(&mut self, pending: &mut Pending) {
        if self.role.commit_pending(pending) > 0 {
            self.handle.wake_owner();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.handle.is_ours() {
            return;
        }
        if std::thread::panicking() {
            self.handle.forsake();
            return;
        }
        let role = &mut self.role;
        self.handle.leave(false, |_| role.say_bye());
    }
}
