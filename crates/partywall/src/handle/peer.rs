//! A peer's part of a handle: it waits for the owner to commit something, and tells the end of the stream, a
//! death, a removal and damage from each other.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use crate::channel::attach::{Attached, PeerRole};
use crate::channel::directory::ChannelDirectory;
use crate::channel::generation;
use crate::channel::heartbeat::Heartbeat;
use crate::channel::joining::Request;
use crate::channel::liveness::{self, Witness};
use crate::channel::moving::{Move, Moved};
use crate::channel::namespace::Namespace;
use crate::channel::segment::Header;
use crate::channel::visit::{self, Visited};
use crate::channel::{removal, root, schema, watch};
use crate::error::{OpenError, RecvError};
use crate::handle::PeerSettings;
use crate::layout::header::{self, Pattern, State};
use crate::layout::last_error::LastError;
use crate::layout::seat::{self, SeatState};
use crate::layout::verdict::EvictionReason;
use crate::layout::{owner, peers};
use crate::memory::{ReadOnly, Region, Shared, SharedMut, Writable};
use crate::os::{self, LockFile, Process};
use crate::protocol::Lie;
use crate::protocol::growth::{self, Behind};
use crate::protocol::{park, seats};
use crate::record::{Difference, Schema};
use crate::wait::{SLICE, Step, WaitStrategy, Waiter};

/// How long a reader sleeps at a time that found no seat to be woken in.
const SEATLESS_SLICE: Duration = Duration::from_millis(1);

/// How often a reader looks for the generation that is current, where another one follows and is closed each time.
const LOOKS_FOR_THE_NEXT: u32 = 8;

/// A seat that this handle sits in.
#[derive(Debug)]
pub(crate) struct Seated {
    heartbeat: Option<Heartbeat>,
    pub(crate) peers: Region<Writable>,
    pub(crate) seat: u32,
    /// What we stored in its state word.
    pub(crate) state: SeatState,
}

impl Seated {
    /// The words for people of a seat that was just taken.
    fn settle(peers: Region<Writable>, seat: u32, state: SeatState, heartbeat: bool) -> Self {
        peers.count(peers::seat_at(seat) + seat::ATTACHED, 1);
        Self::sign(peers, seat, state, heartbeat)
    }

    /// The same for who only came over from an older generation, where it was counted.
    fn settle_again(
        old: &Region<Writable>,
        peers: Region<Writable>,
        seat: u32,
        state: SeatState,
        heartbeat: bool,
    ) -> Self {
        let at = peers::seat_at(seat);
        // What was left unread there its owner keeps.
        let words = (seat::RECEIVED..=seat::MISSED).step_by(8);
        for word in words.filter(|&word| word != seat::UNREAD) {
            peers.store(at + word, old.load(at + word, Relaxed), Relaxed);
        }
        Self::sign(peers, seat, state, heartbeat)
    }

    fn sign(peers: Region<Writable>, seat: u32, state: SeatState, heartbeat: bool) -> Self {
        let at = peers::seat_at(seat);
        peers.store(at + seat::PID, os::process_id().into(), Relaxed);
        peers.store(at + seat::SINCE_NS, os::boottime_ns(), Relaxed);
        // A dead holder may have slept.
        peers.store32(peers::parked(seat), 0, Relaxed);
        Seated {
            heartbeat: heartbeat.then(|| Heartbeat::start(peers.clone(), at + seat::HEARTBEAT_NS)),
            peers,
            seat,
            state,
        }
    }
}

/// Why a handle can give nothing more.
#[derive(Clone, Debug)]
enum Ended {
    Damaged(Lie),
    Evicted(EvictionReason),
    Closed,
    Deleted,
    Superseded,
    SchemaMismatch(Box<Difference>),
}

/// An opened channel, as a peer has it.
#[derive(Debug)]
pub(crate) struct PeerHandle {
    process: Process,
    channel: ChannelDirectory,
    /// Holds the seat's byte, if there is a seat.
    lock: Arc<Witness>,
    root: Region<ReadOnly>,
    header: Header,
    owner: Region<ReadOnly>,
    /// Of a reader without a seat: kept for a successor, where memory goes with the last process that has it.
    _peers: Option<Region<ReadOnly>>,
    seated: Option<Seated>,
    settings: PeerSettings,
    /// What ended this handle for good.
    ended: Option<Ended>,
    /// When a look that found nothing looked around last.
    looked_ms: u64,
    /// Where the stream ended that was closed in a later generation than this handle's.
    closed_at: u64,
}

impl PeerHandle {
    /// The holder of a seat, and the pattern's own words.
    pub(crate) fn seated<P: PeerRole>(attached: Attached<P>, settings: PeerSettings) -> (Self, P) {
        let role = attached.role;
        let seated = Seated::settle(
            role.peers().clone(),
            role.seat(),
            role.state(),
            settings.heartbeat,
        );
        let handle = PeerHandle {
            process: Process::current(),
            channel: attached.channel,
            lock: Arc::new(Witness::Lock(attached.lock)),
            root: attached.root,
            header: attached.header,
            owner: role.owner().clone(),
            _peers: None,
            seated: Some(seated),
            settings,
            ended: None,
            looked_ms: os::coarse_ms(),
            closed_at: 0,
        };
        (handle, role)
    }

    /// A reader that needs no seat, until it sleeps.
    pub(crate) fn visiting(visited: Visited, settings: PeerSettings) -> Self {
        PeerHandle {
            process: Process::current(),
            channel: visited.channel,
            lock: Arc::new(visited.lock),
            root: visited.root,
            header: visited.header,
            owner: visited.owner,
            _peers: visited.peers,
            seated: None,
            settings,
            ended: None,
            looked_ms: os::coarse_ms(),
            closed_at: 0,
        }
    }

    pub(crate) fn channel(&self) -> &str {
        self.channel.name()
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        self.channel.namespace()
    }

    /// The seat that this handle sits in.
    pub(crate) fn seat(&self) -> Option<&Seated> {
        self.seated.as_ref()
    }

    /// Whether the names still mean the files that we hold.
    pub(crate) fn still_named(&self) -> bool {
        self.channel.still_names(self.lock.identity())
    }

    /// The lock file. Only for patterns whose handles all have a seat: who sits has opened it.
    pub(crate) fn lock_file(&self) -> &LockFile {
        self.lock.lock().expect("who has a seat may lock")
    }

    /// The same for what outlives this handle: frames of an older generation keep their seat there locked.
    pub(crate) fn shared_lock_file(&self) -> Arc<Witness> {
        Arc::clone(&self.lock)
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// What the generation's records are made of; `None`: bytes.
    pub(crate) fn schema(&self) -> Result<Option<Schema>, OpenError> {
        if !self.process.is_this() {
            // The mapping is the parent's.
            return Ok(None);
        }
        schema::read(&self.channel, &self.header, &self.owner)
    }

    pub(crate) fn settings(&self) -> &PeerSettings {
        &self.settings
    }

    pub(crate) fn strategy(&self) -> WaitStrategy {
        self.settings.wait
    }

    /// Whether this is the process that opened the handle, and not a fork of it.
    #[inline(always)]
    pub(crate) fn is_ours(&self) -> bool {
        self.process.is_this()
    }

    /// Whether it can give anything more, and belongs to this process.
    #[inline(always)]
    pub(crate) fn check(&self) -> Result<(), RecvError> {
        if !self.process.is_this() {
            return Err(self.forked());
        }
        if self.ended.is_some() {
            return Err(self.ended());
        }
        self.check_pages()
    }

    /// Whether everything was there that was accessed so far. Asked again behind what gives something to the caller, or
    /// tells it that something was done.
    #[inline(always)]
    pub(crate) fn check_pages(&self) -> Result<(), RecvError> {
        if os::pages_lost() {
            self.look_for_lost_pages()
        } else {
            Ok(())
        }
    }

    #[cold]
    #[inline(never)]
    fn look_for_lost_pages(&self) -> Result<(), RecvError> {
        let seated = self.seated.as_ref();
        let lost = self
            .owner
            .lost_page()
            .or_else(|| self.root.lost_page())
            .or_else(|| seated.and_then(|seated| seated.peers.lost_page()));
        match lost {
            None => Ok(()),
            Some(at) => Err(self.lost_page(at)),
        }
    }

    /// The error of a page that is gone. It is found again at each call, so nothing is remembered.
    #[cold]
    pub(crate) fn lost_page(&self, at: u64) -> RecvError {
        self.note(LastError::Damaged);
        RecvError::Damaged {
            channel: self.channel().to_owned(),
            lie: Lie::lost_page(at),
        }
    }

    /// Whether the handle has come to its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The generation is over, and `role` found nothing more in it: takes the same seat in the next one. What `role` was
    /// comes back; whatever had to be said to its owner was said before. An error that ends the handle has given the
    /// seat up; a durable peer's waits for it.
    ///
    /// # Errors
    /// [`RecvError::SchemaMismatch`], [`RecvError::Superseded`] if peers of this pattern are not carried over,
    /// [`RecvError::Deleted`], [`RecvError::Damaged`], and [`RecvError::NotMoved`], which another call may mend.
    pub(crate) fn move_over<P: PeerRole>(&mut self, role: &mut P) -> Result<P, RecvError> {
        if let Some(reason) = self.eviction() {
            return Err(self.end(Ended::Evicted(reason)));
        }
        self.go_on();
        let moving = Move {
            channel: &self.channel,
            lock: self.lock_file(),
            root: &self.root,
            from: &self.header,
            schema: self.settings.schema.as_ref(),
        };
        let (header, moved) = match moving.go(role) {
            Ok(Moved::Here(moved)) => *moved,
            Ok(Moved::Nowhere | Moved::Taken) if root::state(&self.root) == State::DELETED => {
                return Err(self.end(Ended::Deleted));
            }
            Ok(Moved::Nowhere | Moved::Taken) => {
                return Err(self.end_moving(role, Ended::Superseded));
            }
            Err(OpenError::SchemaMismatch { difference, .. }) => {
                let ended = Ended::SchemaMismatch(Box::new(difference));
                return Err(self.end_moving(role, ended));
            }
            Err(OpenError::Damaged { lie, .. }) => return Err(self.damaged(lie)),
            Err(error) => {
                return Err(RecvError::NotMoved {
                    channel: self.channel().to_owned(),
                    source: Box::new(error),
                });
            }
        };
        // The old seat's stamping stops first.
        let old = self.seated.take().map(|seated| seated.peers);
        let old = old.as_ref().unwrap_or(role.peers());
        self.seated = Some(Seated::settle_again(
            old,
            moved.peers().clone(),
            moved.seat(),
            moved.state(),
            self.settings.heartbeat,
        ));
        self.header = header;
        self.owner = moved.owner().clone();
        self.looked_ms = os::coarse_ms();
        Ok(std::mem::replace(role, moved))
    }

    /// Nobody waits for who cannot go over; but what it holds stays its own.
    fn end_moving<P: PeerRole>(&mut self, role: &mut P, ended: Ended) -> RecvError {
        role.last_words();
        if role.leave_with_what_it_holds() {
            return self.end(ended);
        }
        self.end_and_leave(ended)
    }

    fn end_and_leave(&mut self, ended: Ended) -> RecvError {
        let error = self.end(ended);
        let come_back = self
            .seated
            .as_ref()
            .is_some_and(|seat| seat.state.durable());
        self.leave(come_back, |_| {});
        error
    }

    /// The same for a reader that needs no seat: the generation that is current now, which it then
    /// [goes on in](Self::goes_on_in).
    ///
    /// # Errors
    /// As [`Self::move_over`]; [`RecvError::Closed`] if the stream ended in a generation that lies between the two, or is
    /// gone: then [`Self::closed_at`] says where; [`RecvError::SchemaMismatch`] does not end the handle yet, for there may
    /// be something left to be read.
    pub(crate) fn visit_next(&mut self, patterns: &[Pattern]) -> Result<Visited, RecvError> {
        self.go_on();
        let name = self.channel().to_owned();
        let namespace = self.namespace().clone();
        let settings = PeerSettings {
            // It is there, unless the channel is being removed.
            attach_timeout: Some(SLICE),
            ..self.settings.clone()
        };
        let request = Request {
            or_closed: true,
            ..settings.request(&namespace, &name, None)
        };
        let here = self.header.instance;
        let mut looks = 0;
        let (visited, next, closed) = loop {
            looks += 1;
            let visited = visit::visit(&request, patterns);
            let next = match &visited {
                Ok(visited) if visited.header.instance == here => Some(visited.header.generation),
                _ if root::state(&self.root) == State::DELETED => None,
                // Removed without a mark, and made anew.
                Ok(_) => None,
                // What is current can be read, or could be; of a root that lies nothing is believed.
                Err(_) => Some(root::generations(&self.root).map_or(0, |now| now.current)),
            };
            let before = next.unwrap_or(u64::MAX);
            let closed = growth::closed_since(&self.root, self.header.generation, before);
            // Others have followed meanwhile; the last of them has something to read yet, even if it is closed.
            let outdated = closed.is_some_and(|close| !close.certain);
            if !outdated || looks == LOOKS_FOR_THE_NEXT {
                break (visited, next, closed);
            }
        };
        if let Some(close) = closed {
            self.closed_at = close.position;
            return Err(self.end(Ended::Closed));
        }
        match visited {
            _ if next.is_none() => Err(self.end(Ended::Deleted)),
            Ok(visited) => Ok(visited),
            Err(OpenError::SchemaMismatch { difference, .. }) => Err(RecvError::SchemaMismatch {
                channel: name,
                difference,
            }),
            Err(OpenError::Damaged { lie, .. }) => Err(self.damaged(lie)),
            Err(OpenError::Stopped { .. }) => Err(RecvError::Stopped { channel: name }),
            Err(source) => Err(RecvError::NotMoved {
                channel: name,
                source: Box::new(source),
            }),
        }
    }

    /// The generation that is current has other records than this handle is for, and nothing of its own is left.
    pub(crate) fn end_for_other_records(&mut self, difference: Difference) -> RecvError {
        self.end_and_leave(Ended::SchemaMismatch(Box::new(difference)))
    }

    /// What a reader that needs no seat has visited is its generation from now on.
    pub(crate) fn goes_on_in(&mut self, visited: Visited) {
        self.go_on();
        self.leave(false, |_| {});
        self.channel = visited.channel;
        self.lock = Arc::new(visited.lock);
        self.root = visited.root;
        self.header = visited.header;
        self.owner = visited.owner;
        self._peers = visited.peers;
        self.looked_ms = os::coarse_ms();
    }

    /// Where the stream ended, if that was in a later generation than this handle's. What its owner says, unchecked.
    pub(crate) fn closed_at(&self) -> u64 {
        self.closed_at
    }

    /// Whether the stream ends with this handle's generation.
    pub(crate) fn is_closed(&self) -> bool {
        State(self.owner.load32(header::STATE, Acquire)) == State::CLOSED
    }

    /// The newest records that were committed, in whichever generation; `None` if that cannot be seen.
    pub(crate) fn with_current<T>(&self, look: impl FnOnce(&Region<ReadOnly>) -> T) -> Option<T> {
        let current = root::generations(&self.root).ok()?.current;
        if current == self.header.generation {
            return Some(look(&self.owner));
        }
        let instance = self.header.instance;
        let opened = generation::open_owner_side(&self.channel, current, instance);
        opened.ok().map(|(_, owner)| look(&owner))
    }

    /// Takes back that the generation's end was this handle's: it will look for the next.
    pub(crate) fn go_on(&mut self) {
        if matches!(self.ended, Some(Ended::Closed | Ended::Superseded)) {
            self.ended = None;
        }
    }

    pub(crate) fn was_evicted(&self) -> bool {
        matches!(self.ended, Some(Ended::Evicted(_)))
    }

    /// Counts the owners of this generation from 1; 0 in a forked child.
    pub(crate) fn owner_epoch(&self) -> u64 {
        if self.process.is_this() {
            self.owner.load(header::OWNER_EPOCH, Acquire)
        } else {
            0
        }
    }

    /// Tells the owner, if it sleeps, that something of ours has changed.
    pub(crate) fn wake_owner(&self) {
        if let Some(seated) = &self.seated {
            park::wake_owner(&self.owner, &seated.peers, seated.seat);
        }
    }

    /// Nothing was there: can there be more? Once a slice it looks around. A page that was found gone is told before
    /// anything else.
    pub(crate) fn look_for_the_end<F>(
        &mut self,
        peek: &mut impl FnMut() -> Result<Option<F>, Lie>,
    ) -> Result<Option<F>, RecvError> {
        let found = self.look_behind(peek);
        if !matches!(found, Ok(Some(_))) {
            self.check_pages()?;
        }
        found
    }

    fn look_behind<F>(
        &mut self,
        peek: &mut impl FnMut() -> Result<Option<F>, Lie>,
    ) -> Result<Option<F>, RecvError> {
        let now = os::coarse_ms();
        if now.wrapping_sub(self.looked_ms) >= SLICE.as_millis() as u64 {
            self.looked_ms = now;
            if let Some(found) = self.look_around(peek)? {
                return Ok(Some(found));
            }
        }
        self.look_at_state(peek)
    }

    /// Waits until `peek` finds something. A page that was found gone meanwhile is told before anything else that ends the
    /// wait.
    pub(crate) fn wait<F>(
        &mut self,
        timeout: Option<Duration>,
        peek: &mut impl FnMut() -> Result<Option<F>, Lie>,
    ) -> Result<F, RecvError> {
        let waited = self.wait_for(timeout, peek);
        if waited.is_err() {
            self.check_pages()?;
        }
        waited
    }

    fn wait_for<F>(
        &mut self,
        timeout: Option<Duration>,
        peek: &mut impl FnMut() -> Result<Option<F>, Lie>,
    ) -> Result<F, RecvError> {
        // Of many short waits none may be as long as a slice.
        if let Some(found) = self.look_for_the_end(peek)? {
            return Ok(found);
        }
        // It may be another generation than the one that was looked at before, and no time be left.
        if let Some(found) = self.peek(peek)? {
            return Ok(found);
        }
        let stop = self.settings.stop.clone();
        let mut waiter = Waiter::new(self.settings.wait, timeout, stop.as_ref());
        loop {
            match waiter.step() {
                Step::Spin => {}
                Step::LookAround => {
                    self.looked_ms = os::coarse_ms();
                    if let Some(found) = self.look_around(peek)? {
                        return Ok(found);
                    }
                }
                Step::Park(longest) => {
                    if let Some(found) = self.park(longest, peek)? {
                        return Ok(found);
                    }
                    if let Some(found) = self.look_at_state(peek)? {
                        return Ok(found);
                    }
                }
                Step::TimedOut => {
                    self.note(LastError::TimedOut);
                    return Err(RecvError::TimedOut {
                        channel: self.channel().to_owned(),
                        waited: waiter.waited(),
                    });
                }
                Step::Stopped => {
                    return Err(RecvError::Stopped {
                        channel: self.channel().to_owned(),
                    });
                }
            }
            if let Some(found) = self.peek(peek)? {
                return Ok(found);
            }
        }
    }

    #[inline(always)]
    fn peek<F>(
        &mut self,
        peek: &mut impl FnMut() -> Result<Option<F>, Lie>,
    ) -> Result<Option<F>, RecvError> {
        peek().map_err(|lie| self.damaged(lie))
    }

    fn park<F>(
        &mut self,
        longest: Duration,
        peek: &mut impl FnMut() -> Result<Option<F>, Lie>,
    ) -> Result<Option<F>, RecvError> {
        self.sit_down();
        let owner = self.owner.clone();
        let sleep = |bell, longest| owner.sleep(owner::OWNER_BELL, bell, longest);
        let Some(seated) = &self.seated else {
            // All seats are taken, so nobody will ring for us: short looks, in the kernel.
            let bell = owner.load32(owner::OWNER_BELL, Acquire);
            if let Some(found) = self.peek(peek)? {
                return Ok(Some(found));
            }
            sleep(bell, longest.min(SEATLESS_SLICE));
            return Ok(None);
        };
        let mut seen = Ok(None);
        park::park_peer(
            &owner,
            &seated.peers,
            seated.seat,
            || {
                seen = peek();
                let state = State(owner.load32(header::STATE, Acquire));
                !matches!(seen, Ok(None)) || state != State::READY
            },
            |bell| sleep(bell, longest),
        );
        seen.map_err(|lie| self.damaged(lie))
    }

    /// A reader without a seat takes one before it sleeps, so that it can be woken.
    pub(crate) fn sit_down(&mut self) {
        if self.seated.is_some() {
            return;
        }
        // Who reads another user's channel has no seat in it, and looks by himself.
        if let Some(lock) = self.lock.lock()
            && let Some((peers, seat, state)) = watch::sit_down(&self.channel, lock, &self.header)
        {
            let heartbeat = self.settings.heartbeat;
            self.seated = Some(Seated::settle(peers, seat, state, heartbeat));
        }
    }

    /// Nothing is there: is the stream at its end? One load while it is not.
    fn look_at_state<F>(
        &mut self,
        peek: &mut impl FnMut() -> Result<Option<F>, Lie>,
    ) -> Result<Option<F>, RecvError> {
        match growth::look_behind(&self.owner, &mut *peek) {
            Ok(Behind::Ready) => Ok(None),
            Ok(Behind::Found(found)) => Ok(Some(found)),
            Ok(Behind::Over(state)) => Err(self.over(state)),
            Err(lie) => Err(self.damaged(lie)),
        }
    }

    /// The error of a generation that is no longer READY.
    pub(crate) fn over(&mut self, state: State) -> RecvError {
        self.end(match state {
            State::CLOSED => Ended::Closed,
            State::RETIRED => Ended::Superseded,
            _ => Ended::Damaged(Lie {
                word: "state",
                place: header::STATE,
                expected: "READY, RETIRED or CLOSED",
                found: state.0.into(),
            }),
        })
    }

    /// The state of the generation; an error if the channel was removed while it was READY.
    #[inline(always)]
    pub(crate) fn state(&mut self) -> Result<State, RecvError> {
        let state = State(self.owner.load32(header::STATE, Acquire));
        if state == State::READY && root::state(&self.root) == State::DELETED {
            return Err(self.end(Ended::Deleted));
        }
        Ok(state)
    }

    /// Once a slice: is the channel there, the seat ours, the owner alive?
    fn look_around<F>(
        &mut self,
        peek: &mut impl FnMut() -> Result<Option<F>, Lie>,
    ) -> Result<Option<F>, RecvError> {
        self.check_pages()?;
        if root::state(&self.root) == State::DELETED {
            // A closed channel goes when nobody sits in it: that is its end and no removal. And what was committed
            // before is still delivered.
            if let Some(found) = self.look_at_state(peek)? {
                return Ok(Some(found));
            }
            return match self.peek(peek)? {
                Some(found) => Ok(Some(found)),
                None => Err(self.end(Ended::Deleted)),
            };
        }
        if let Some(seated) = &self.seated {
            if let Err(lie) = seats::is_ours(&seated.peers, seated.seat, seated.state) {
                return Err(self.end(Ended::Damaged(lie)));
            }
            if let Some(reason) = self.eviction() {
                return Err(self.end(Ended::Evicted(reason)));
            }
        }
        if self.settings.await_successor || self.owner_lives() {
            return Ok(None);
        }
        // Dead. State and content once more, both behind the look at the lock: it may have closed properly,
        // or committed, just before.
        if let Some(found) = self.look_at_state(peek)? {
            return Ok(Some(found));
        }
        match self.peek(peek)? {
            Some(found) => Ok(Some(found)),
            None => {
                self.note(LastError::OwnerDied);
                Err(RecvError::OwnerDied {
                    channel: self.channel().to_owned(),
                })
            }
        }
    }

    /// Why the owner evicted this peer, if it did.
    fn eviction(&self) -> Option<EvictionReason> {
        let seated = self.seated.as_ref()?;
        seats::eviction(&self.owner, seated.seat, seated.state)
    }

    /// Whether somebody owns the channel now.
    pub(crate) fn owner_lives(&self) -> bool {
        // An error is no proof of death.
        self.lock.is_locked(liveness::OWNER).unwrap_or(true)
    }

    /// Notes what went wrong, for whoever looks from outside.
    pub(crate) fn note(&self, error: LastError) {
        if let Some(seated) = &self.seated {
            let at = peers::seat_at(seated.seat) + seat::LAST_ERROR;
            seated.peers.store(at, error as u64, Relaxed);
        }
    }

    #[cold]
    #[inline(never)]
    fn forked(&self) -> RecvError {
        RecvError::Forked {
            channel: self.channel().to_owned(),
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn damaged(&mut self, lie: Lie) -> RecvError {
        // What lies in a channel that was removed may have been overwritten by whoever removed it.
        if root::state(&self.root) == State::DELETED {
            return self.end(Ended::Deleted);
        }
        // What an evicted peer finds is another's.
        if let Some(reason) = self.eviction() {
            return self.end(Ended::Evicted(reason));
        }
        self.end(Ended::Damaged(lie))
    }

    fn end(&mut self, ended: Ended) -> RecvError {
        // What zeros in the place of a page led to is not the end.
        if let Err(lost) = self.check_pages() {
            return lost;
        }
        match ended {
            Ended::Damaged(_) => self.note(LastError::Damaged),
            Ended::Evicted(_) => self.note(LastError::Evicted),
            Ended::Deleted => self.note(LastError::Deleted),
            Ended::Superseded => self.note(LastError::Superseded),
            Ended::SchemaMismatch(_) => self.note(LastError::Superseded),
            // As it should be.
            Ended::Closed => {}
        }
        self.ended = Some(ended);
        self.ended()
    }

    #[cold]
    #[inline(never)]
    fn ended(&self) -> RecvError {
        let channel = self.channel().to_owned();
        match self.ended.clone() {
            Some(Ended::Damaged(lie)) => RecvError::Damaged { channel, lie },
            Some(Ended::Evicted(reason)) => RecvError::Evicted { channel, reason },
            Some(Ended::Deleted) => RecvError::Deleted { channel },
            Some(Ended::Superseded) => RecvError::Superseded { channel },
            Some(Ended::SchemaMismatch(difference)) => RecvError::SchemaMismatch {
                channel,
                difference: *difference,
            },
            Some(Ended::Closed) | None => RecvError::Closed { channel },
        }
    }

    /// Lets go of the seat as a death would: nothing is stored.
    pub(crate) fn forsake(&mut self) {
        self.seated = None;
    }

    /// Gives the seat up, if there is one; a durable peer's waits for it to come back. `last_words` are stored
    /// before, if the seat is still ours to write.
    pub(crate) fn leave(&mut self, come_back: bool, last_words: impl FnOnce(&Seated)) {
        if !self.process.is_this() {
            return;
        }
        let evicted = self.was_evicted();
        let Some(mut seated) = self.seated.take() else {
            return;
        };
        // The stamping stops before the seat is another's.
        seated.heartbeat = None;
        let Seated {
            peers, seat, state, ..
        } = &seated;
        if evicted {
            // Not ours to write any more, but for saying that it is free.
            seats::leave(peers, *seat, *state, false);
            return;
        }
        last_words(&seated);
        peers.count(peers::seat_at(*seat) + seat::DETACHED, 1);
        seats::leave(peers, *seat, *state, come_back);
        park::wake_owner(&self.owner, peers, *seat);
        let byte = liveness::seat_byte(self.header.generation, *seat);
        let Some(lock) = self.lock.lock() else { return };
        let _ = lock.unlock(byte);
        let state = State(self.owner.load32(header::STATE, Acquire));
        if state != State::READY {
            // Or the one after it is.
            removal::remove_if_closed_and_unused(&self.channel, lock);
        }
    }
}

/// A reader that took a seat to sleep in gives it up; what a pattern has to say at its end it says before.
impl Drop for PeerHandle {
    fn drop(&mut self) {
        self.leave(false, |_| {});
    }
}
