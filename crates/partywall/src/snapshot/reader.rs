//! A reader's handle.

use std::time::{Duration, Instant};

use super::{Meta, ReaderOptions, Value};
use crate::channel::visit::{self, Visited};
use crate::error::{OpenError, RecvError};
use crate::handle::PeerHandle;
use crate::handle::accessors::peer_accessors;
use crate::handle::slots::shape;
use crate::layout::header::{Pattern, State};
use crate::memory::{ReadOnly, Region};
use crate::protocol::Lie;
use crate::protocol::slots::{LatestReader, Meta as SlotMeta, Unread};

/// A reader of a snapshot. There can be any number of them; they map the writer's memory read-only. One that
/// waits takes a seat, so that it can be woken; if all seats are taken it looks every millisecond instead.
#[derive(Debug)]
pub struct Reader {
    options: ReaderOptions,
    handle: PeerHandle,
    latest: LatestReader<Region<ReadOnly>>,
}

/// What a look for a new value comes to.
enum News {
    Value(SlotMeta),
    Contended,
}

peer_accessors!(Reader, self => self.handle);

impl Reader {
    /// What is read in the same way.
    pub(super) const PATTERNS: [Pattern; 2] = [Pattern::Snapshot, Pattern::Guarded];

    /// Opens a snapshot of the default namespace with default options.
    ///
    /// # Errors
    /// As [`ReaderOptions::attach`].
    pub fn attach(channel: &str) -> Result<Reader, OpenError> {
        ReaderOptions::new().attach(channel)
    }

    pub(super) fn new(visited: Visited, options: &ReaderOptions) -> Self {
        let latest = LatestReader::new(visited.owner.clone(), shape(&visited.header));
        let mut settings = options.settings.clone();
        // A record that nobody has locked is at rest, and not dead.
        settings.await_successor |= visited.header.pattern == Pattern::Guarded;
        Reader {
            handle: PeerHandle::visiting(visited, settings),
            options: options.clone(),
            latest,
        }
    }

    /// The latest value; `None` before the first. Whether its writer still lives makes no difference.
    ///
    /// # Errors
    /// [`RecvError::Contended`] if the writer was faster than several tries; [`RecvError::Closed`] once the
    /// writer closed and the last value was seen (with [`follow`](ReaderOptions::follow) the reader goes on with
    /// the next writer's values instead, and keeps the last one it got until there are such), or once a channel that is not
    /// kept was closed and went while this reader, which has no seat in it, had not looked since its writer went on
    /// elsewhere: the last value went with it; [`RecvError::Deleted`],
    /// [`RecvError::Damaged`], [`RecvError::Forked`]. Where the writer [goes on](super::Writer::grow) in larger slots, so does the reader: [`RecvError::SchemaMismatch`] if the
    /// values there are others than it was attached for, [`RecvError::NotMoved`] if that could not be opened yet.
    pub fn get(&mut self) -> Result<Option<Value>, RecvError> {
        let mut payload = Vec::new();
        let meta = self.get_into(&mut payload)?;
        Ok(meta.map(|meta| Value::new(meta, payload)))
    }

    /// [`Self::get`] into a buffer, which gets the value's length; once it is large enough nothing is
    /// allocated. After an error its content means nothing.
    ///
    /// # Errors
    /// As [`Self::get`].
    #[inline]
    pub fn get_into(&mut self, payload: &mut Vec<u8>) -> Result<Option<Meta>, RecvError> {
        self.handle.check()?;
        let state = self.handle.state()?;
        if state != State::READY {
            self.leave_generation(state)?;
        }
        let read = self.latest.read(payload);
        self.handle.check_pages()?;
        match read {
            Ok(meta) => Ok(meta.map(|meta| Meta::of(meta, payload.len()))),
            Err(Unread::Contended) => Err(self.contended()),
            Err(Unread::Lie(lie)) => Err(self.handle.damaged(lie)),
        }
    }

    /// Waits for a value that this reader has not got yet: at once if there is one, however many were missed.
    ///
    /// # Errors
    /// [`RecvError::OwnerDied`] if the writer is dead (unless
    /// [`await_successor`](ReaderOptions::await_successor) was chosen); [`RecvError::Stopped`]; and as
    /// [`Self::get`].
    pub fn changed(&mut self) -> Result<Value, RecvError> {
        let mut payload = Vec::new();
        let meta = self.changed_into(&mut payload, None)?;
        Ok(Value::new(meta, payload))
    }

    /// [`Self::changed`], at most so long.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and as [`Self::changed`].
    pub fn changed_timeout(&mut self, timeout: Duration) -> Result<Value, RecvError> {
        let mut payload = Vec::new();
        let meta = self.changed_into(&mut payload, Some(timeout))?;
        Ok(Value::new(meta, payload))
    }

    /// [`Self::changed`] into a buffer, at most so long; `None`: no limit.
    ///
    /// # Errors
    /// As [`Self::changed_timeout`].
    pub fn changed_into(
        &mut self,
        payload: &mut Vec<u8>,
        timeout: Option<Duration>,
    ) -> Result<Meta, RecvError> {
        self.handle.check()?;
        let started = Instant::now();
        let mut left = timeout;
        loop {
            // First, as in `get_into`: what is news where the writer was may be long outdated where it is now. Where the
            // values are others there, the last one here is still to be had.
            if self.handle.state()? == State::RETIRED {
                match self.go_over() {
                    Ok(()) | Err(RecvError::SchemaMismatch { .. }) => {}
                    Err(RecvError::Closed { .. }) if self.options.follow => {
                        self.handle.go_on();
                        self.follow(left)?;
                        left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
                    }
                    Err(error) => return Err(error),
                }
            }
            let latest = &mut self.latest;
            let waited = self.handle.wait(left, &mut || news(latest, payload));
            self.handle.check_pages()?;
            left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
            match waited {
                Ok(News::Value(meta)) => return Ok(Meta::of(meta, payload.len())),
                Ok(News::Contended) => return Err(self.contended()),
                Err(RecvError::Superseded { .. }) => match self.go_over() {
                    Err(RecvError::SchemaMismatch { difference, .. }) => {
                        return Err(self.handle.end_for_other_records(difference));
                    }
                    Err(RecvError::Closed { .. }) if self.options.follow => {
                        self.handle.go_on();
                        self.follow(left)?;
                    }
                    other => other?,
                },
                Err(RecvError::Closed { .. }) if self.options.follow => {
                    // Until there is a next generation, this one has not ended for us.
                    self.handle.go_on();
                    self.follow(left)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The sequence of the value that was read last; 0 before the first.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.latest.seen()
    }

    /// Whether a writer has the channel now, dead ones not counted. One system call.
    #[must_use]
    pub fn has_writer(&self) -> bool {
        self.handle.is_ours() && self.handle.owner_lives()
    }

    /// Bytes of the largest value.
    #[must_use]
    pub fn max_value(&self) -> usize {
        self.latest.shape().value as usize
    }

    /// The generation is over. Where its writer goes on, so do we. Else its last value is given once, then its end; or
    /// the next generation is looked at, if that was chosen and there is one.
    #[cold]
    fn leave_generation(&mut self, state: State) -> Result<(), RecvError> {
        if state == State::RETIRED {
            return match self.go_over() {
                // The last one of the kind that was asked for.
                Err(RecvError::SchemaMismatch { .. }) if self.latest.has_news() => Ok(()),
                Err(RecvError::SchemaMismatch { difference, .. }) => {
                    Err(self.handle.end_for_other_records(difference))
                }
                Err(RecvError::Closed { .. }) if self.options.follow => {
                    self.handle.go_on();
                    self.follow_if_there()
                }
                other => other,
            };
        }
        if self.latest.has_news() {
            return Ok(());
        }
        if self.options.follow && state == State::CLOSED {
            return self.follow_if_there();
        }
        Err(self.handle.over(state))
    }

    /// Goes over to the next writer's stream, or stays with the last value as long as there is none.
    fn follow_if_there(&mut self) -> Result<(), RecvError> {
        match self.follow(Some(Duration::ZERO)) {
            Err(RecvError::TimedOut { .. }) => Ok(()),
            other => other,
        }
    }

    /// The writer goes on in another generation, and so do we. What was seen is no news there.
    fn go_over(&mut self) -> Result<(), RecvError> {
        let visited = self.handle.visit_next(&Self::PATTERNS)?;
        let (owner, shape) = (visited.owner.clone(), shape(&visited.header));
        self.latest = LatestReader::going_on(owner, shape, self.latest.seen());
        self.handle.goes_on_in(visited);
        Ok(())
    }

    /// Goes over to the stream of the next writer, when there is one.
    fn follow(&mut self, timeout: Option<Duration>) -> Result<(), RecvError> {
        let mut settings = self.options.settings.clone();
        settings.attach_timeout = timeout;
        let namespace = self.handle.namespace().clone();
        let name = self.channel().to_owned();
        let request = settings.request(&namespace, &name, None);
        match visit::visit(&request, &Self::PATTERNS) {
            Ok(visited) => {
                *self = Reader::new(visited, &self.options);
                Ok(())
            }
            Err(error) => Err(unopened(name, error)),
        }
    }

    fn contended(&self) -> RecvError {
        RecvError::Contended {
            channel: self.channel().to_owned(),
        }
    }
}

/// One look for a value that was not read yet.
fn news(
    latest: &mut LatestReader<Region<ReadOnly>>,
    payload: &mut Vec<u8>,
) -> Result<Option<News>, Lie> {
    if !latest.has_news() {
        return Ok(None);
    }
    match latest.read(payload) {
        Ok(meta) => Ok(meta.map(News::Value)),
        Err(Unread::Contended) => Ok(Some(News::Contended)),
        Err(Unread::Lie(lie)) => Err(lie),
    }
}

/// Why there is nothing to go over to.
fn unopened(channel: String, error: OpenError) -> RecvError {
    match error {
        OpenError::TimedOut { waited, .. } => RecvError::TimedOut { channel, waited },
        OpenError::Missing { .. } => RecvError::TimedOut {
            channel,
            waited: Duration::ZERO,
        },
        OpenError::Stopped { .. } => RecvError::Stopped { channel },
        OpenError::Damaged { lie, .. } => RecvError::Damaged { channel, lie },
        OpenError::SchemaMismatch { difference, .. } => RecvError::SchemaMismatch {
            channel,
            difference,
        },
        _ => RecvError::Superseded { channel },
    }
}
