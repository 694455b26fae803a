//! A receiver's handle.

use std::time::{Duration, Instant};

use super::{Meta, ReceiverOptions, Start, Value};
use crate::channel::visit::Visited;
use crate::error::{OpenError, RecvError};
use crate::handle::PeerHandle;
use crate::handle::accessors::peer_accessors;
use crate::handle::slots::shape;
use crate::layout::header::Pattern;
use crate::memory::{ReadOnly, Region};
use crate::protocol::slots::{CursorReader, Next};

/// A reader of a broadcast. There can be any number of them; they map the sender's memory read-only. One that
/// waits takes a seat, so that it can be woken; if all seats are taken it looks every millisecond instead.
#[derive(Debug)]
pub struct Receiver {
    handle: PeerHandle,
    reader: CursorReader<Region<ReadOnly>>,
    lost: u64,
}

peer_accessors!(Receiver, self => self.handle);

impl Receiver {
    /// Opens a broadcast of the default namespace with default options.
    ///
    /// # Errors
    /// As [`ReceiverOptions::attach`].
    pub fn attach(channel: &str) -> Result<Receiver, OpenError> {
        ReceiverOptions::new().attach(channel)
    }

    pub(super) fn new(visited: Visited, options: &ReceiverOptions) -> Result<Self, OpenError> {
        let owner = visited.owner.clone();
        let reader = CursorReader::new(owner, shape(&visited.header), options.start)
            .map_err(|lie| visited.damaged(lie))?;
        Ok(Receiver {
            handle: PeerHandle::visiting(visited, options.settings.clone()),
            reader,
            lost: 0,
        })
    }

    /// The next record; waits for it.
    ///
    /// # Errors
    /// [`RecvError::Overrun`] with the number of records that were lost, after which the receiver goes on;
    /// [`RecvError::Closed`] at the clean end; [`RecvError::OwnerDied`] once everything that a dead sender
    /// committed was read (unless [`await_successor`](ReceiverOptions::await_successor) was chosen);
    /// [`RecvError::Stopped`], [`RecvError::Deleted`], [`RecvError::Damaged`], [`RecvError::Forked`]. Where the sender
    /// [goes on](super::Sender::grow) in larger slots, so does the receiver: [`RecvError::SchemaMismatch`] if the records
    /// there are others than it was attached for, [`RecvError::NotMoved`] if that could not be opened yet.
    pub fn recv(&mut self) -> Result<Value, RecvError> {
        let mut payload = Vec::new();
        let meta = self.recv_into(&mut payload, None)?;
        Ok(Value::new(meta, payload))
    }

    /// [`Self::recv`], at most so long.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and as [`Self::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Value, RecvError> {
        let mut payload = Vec::new();
        let meta = self.recv_into(&mut payload, Some(timeout))?;
        Ok(Value::new(meta, payload))
    }

    /// The next record if there is one.
    ///
    /// # Errors
    /// As [`Self::recv`], but for waiting.
    pub fn try_recv(&mut self) -> Result<Option<Value>, RecvError> {
        let mut payload = Vec::new();
        let meta = self.try_recv_into(&mut payload)?;
        Ok(meta.map(|meta| Value::new(meta, payload)))
    }

    /// [`Self::recv`] into a buffer, which gets the record's length, at most so long; `None`: no limit. Once
    /// the buffer is large enough nothing is allocated. After an error its content means nothing.
    ///
    /// # Errors
    /// As [`Self::recv_timeout`].
    #[inline]
    pub fn recv_into(
        &mut self,
        payload: &mut Vec<u8>,
        timeout: Option<Duration>,
    ) -> Result<Meta, RecvError> {
        self.handle.check()?;
        let reader = &mut self.reader;
        let found = match reader.read(payload) {
            Ok(Some(found)) => found,
            Ok(None) => self.wait(timeout, payload)?,
            Err(lie) => return Err(self.handle.damaged(lie)),
        };
        self.taken(found, payload.len())
    }

    #[cold]
    #[inline(never)]
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        payload: &mut Vec<u8>,
    ) -> Result<Next, RecvError> {
        let started = Instant::now();
        let mut left = timeout;
        loop {
            let reader = &mut self.reader;
            match self.handle.wait(left, &mut || reader.read(payload)) {
                Err(RecvError::Superseded { .. }) => self.go_over()?,
                Err(error) => return Err(self.nothing(error)),
                found => return found,
            }
            left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        }
    }

    /// The generation is over, and everything that was left of it was read: on in the one that is current now. What
    /// passed between the two is an overrun.
    #[cold]
    fn go_over(&mut self) -> Result<(), RecvError> {
        let visited = match self.handle.visit_next(&[Pattern::Broadcast]) {
            Err(RecvError::SchemaMismatch { difference, .. }) => {
                return Err(self.handle.end_for_other_records(difference));
            }
            Err(RecvError::Closed { channel }) => return Err(self.ended_behind_us(channel)),
            visited => visited?,
        };
        let (owner, shape) = (visited.owner.clone(), shape(&visited.header));
        match CursorReader::new(owner, shape, Start::At(self.reader.next())) {
            Ok(reader) => self.reader = reader,
            Err(lie) => return Err(self.handle.damaged(lie)),
        }
        self.handle.goes_on_in(visited);
        Ok(())
    }

    /// The stream has ended while we stood in an earlier generation: what it had yet is lost to us, and is said before
    /// its end.
    fn ended_behind_us(&mut self, channel: String) -> RecvError {
        let end = self.handle.closed_at().wrapping_add(1);
        let lost = end.wrapping_sub(self.reader.next());
        if lost as i64 <= 0 {
            return RecvError::Closed { channel };
        }
        self.lost = self.lost.wrapping_add(lost);
        RecvError::Overrun { channel, lost }
    }

    /// [`Self::try_recv`] into a buffer.
    ///
    /// # Errors
    /// As [`Self::try_recv`].
    #[inline]
    pub fn try_recv_into(&mut self, payload: &mut Vec<u8>) -> Result<Option<Meta>, RecvError> {
        self.handle.check()?;
        loop {
            let reader = &mut self.reader;
            let found = match reader.read(payload) {
                Ok(Some(found)) => found,
                Ok(None) => match self.handle.look_for_the_end(&mut || reader.read(payload)) {
                    Ok(Some(found)) => found,
                    Ok(None) => return Ok(None),
                    Err(RecvError::Superseded { .. }) => {
                        self.go_over()?;
                        continue;
                    }
                    Err(error) => return Err(error),
                },
                Err(lie) => return Err(self.handle.damaged(lie)),
            };
            return self.taken(found, payload.len()).map(Some);
        }
    }

    /// Why nothing came; or that the sender's words went back, which who waits for the next one does not see.
    #[cold]
    fn nothing(&mut self, error: RecvError) -> RecvError {
        match (&error, self.reader.check()) {
            (RecvError::TimedOut { .. } | RecvError::OwnerDied { .. }, Err(lie)) => {
                self.handle.damaged(lie)
            }
            _ => error,
        }
    }

    #[inline(always)]
    fn taken(&mut self, found: Next, len: usize) -> Result<Meta, RecvError> {
        self.handle.check_pages()?;
        match found {
            Next::Value(meta) => Ok(Meta::of(meta, len)),
            Next::Overrun(lost) => {
                self.lost = self.lost.wrapping_add(lost);
                Err(RecvError::Overrun {
                    channel: self.channel().to_owned(),
                    lost,
                })
            }
        }
    }

    /// The sequence of the next record to be read.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.reader.next()
    }

    /// Records that this receiver lost to overruns so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Bytes of the largest record.
    #[must_use]
    pub fn max_value(&self) -> usize {
        self.reader.shape().value as usize
    }
}
