//! The receiver's side: see which lanes have something, read them in turn, and tell who came and who went.

mod growth;

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{Lane, Shape, is_later};
use crate::layout::mpsc::{self, LaneState};
use crate::layout::record::{Control, HEADER, LaneHeader};
use crate::layout::seat::{self, SeatState};
use crate::layout::{owner, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::buffer::{self, Buffer, Found};
use crate::protocol::cursor::{self, Cursor};
use crate::protocol::{Lie, SeatLocks};
use growth::Older;

/// A lane gives at most so many records before the next one's turn.
const RUN: u32 = 32;

/// What the receiver hands out. What is said of a holder comes at its place between the records of its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A record; its bytes stay until the next call.
    Record { seat: u32, epoch: u64, found: Found },
    /// A sender has come.
    Opened { seat: u32, epoch: u64 },
    /// It has left in an orderly way, and everything of it was handed out.
    Closed { seat: u32, epoch: u64 },
    /// It has died, and everything that it committed was handed out.
    Died { seat: u32, epoch: u64 },
    /// Its lane is damaged: what follows is not read.
    Lied { seat: u32, epoch: u64, lie: Lie },
}

/// What was handed out last; settled when the caller comes again, for only then has it made use of it.
#[derive(Clone, Copy, Debug)]
enum Told {
    Record {
        seat: u32,
        end: u64,
    },
    State {
        seat: u32,
        state: LaneState,
        /// The control record that said so is over.
        pass: bool,
        /// What is counted with it.
        counter: Option<u64>,
    },
}

/// What the receiver knows of one lane.
#[derive(Debug)]
struct Progress {
    lane: Lane,
    /// The cursor as stored last.
    cursor: Cursor,
    /// The next header to look at.
    next: u64,
    /// Records handed out before it.
    records: u64,
    /// The state word as stored last.
    state: LaneState,
    /// The notice as it was when last compared, and where we stood then.
    compared: (u32, u64),
    /// Records go on and on there, and nobody sends them.
    endless: bool,
    /// Where a dead receiver's cursor stood: a control record there may have been settled but for the cursor.
    adopted: Option<u64>,
    /// It lies in the generation before, which the receiver has not left here.
    older: bool,
    /// Perhaps nobody has ever held the seat in this generation, and so the lane has no memory.
    unclaimed: bool,
}

/// The receiver of a channel: of its current generation, and of what is still to be read in the one before.
#[derive(Debug)]
pub(crate) struct Receiver<O, P> {
    owner: O,
    peers: P,
    shape: Shape,
    older: Option<Older<O, P>>,
    lanes: Vec<Progress>,
    /// Notices as they were seen last.
    notices: Vec<u32>,
    /// Lanes that may have something, one bit each: their notice has changed, or they are to be swept.
    noticed: u64,
    /// Lanes that have memory behind all of them, one bit each; the others were not read yet.
    readable: u64,
    /// Those of them whose turn is still to come in this round.
    round: u64,
    /// Records handed out in this turn.
    run: u32,
    told: Option<Told>,
    /// A cursor was stored that senders were not told of.
    published: bool,
}

impl Progress {
    /// Where a dead receiver was in a lane.
    fn adopt(owner: &impl SharedMut, shape: Shape, seat: u32) -> Result<Self, Lie> {
        let state = LaneState(owner.load(state_at(seat), Acquire));
        if !state.is_known() {
            return Err(Lie {
                word: "state of a lane",
                place: u64::from(seat),
                expected: "OPEN, CUT or neither, and reserved bits zero",
                found: state.0,
            });
        }
        let read = cursor::read(owner, cursor_at(seat));
        // Nobody writes meanwhile, so there is a count; if somebody does who must not, counting starts anew.
        let records = read.records.unwrap_or(0);
        Ok(Progress {
            lane: shape.lane_of(seat),
            cursor: Cursor::begin(owner, cursor_at(seat), read.position, records),
            next: read.position,
            records,
            state,
            compared: (0, read.position),
            endless: false,
            adopted: Some(read.position),
            older: false,
            // Who was told to have ended may have done so in the generation before.
            unclaimed: state != LaneState::default() && !state.is_open(),
        })
    }
}

impl<O: SharedMut, P: Shared> Receiver<O, P> {
    /// The receiver of a fresh generation, not yet published.
    pub(crate) fn create(owner: O, peers: P, shape: Shape) -> Self {
        let lanes = (0..shape.seats)
            .map(|seat| Progress {
                lane: shape.lane_of(seat),
                cursor: Cursor::begin(&owner, cursor_at(seat), 0, 0),
                next: 0,
                records: 0,
                state: LaneState::default(),
                compared: (0, 0),
                endless: false,
                adopted: None,
                older: false,
                unclaimed: false,
            })
            .collect();
        Self::with_lanes(owner, peers, shape, lanes)
    }

    /// Takes over what a dead receiver left, and looks at every lane: of what that one had noticed nobody knows.
    pub(crate) fn adopt(owner: O, peers: P, shape: Shape) -> Result<Self, Lie> {
        let mut lanes = Vec::with_capacity(shape.seats as usize);
        for seat in 0..shape.seats {
            lanes.push(Progress::adopt(&owner, shape, seat)?);
        }
        let mut receiver = Self::with_lanes(owner, peers, shape, lanes);
        // As they are, for a notice may have any value; before the sweep, which sees whoever has brought one so far.
        for (seat, known) in (0..shape.seats).zip(&mut receiver.notices) {
            *known = receiver
                .peers
                .load32(mpsc::notice(shape.seats, seat), Acquire);
        }
        receiver.sweep();
        Ok(receiver)
    }

    fn with_lanes(owner: O, peers: P, shape: Shape, lanes: Vec<Progress>) -> Self {
        Receiver {
            owner,
            peers,
            shape,
            older: None,
            notices: vec![0; lanes.len()],
            lanes,
            noticed: 0,
            readable: 0,
            round: 0,
            run: 0,
            told: None,
            published: false,
        }
    }

    pub(crate) fn owner(&self) -> &O {
        &self.owner
    }

    pub(crate) fn peers(&self) -> &P {
        &self.peers
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Records of a lane that were handed out since the channel began, by all receivers.
    pub(crate) fn records(&self, seat: u32) -> u64 {
        self.lanes[seat as usize].records
    }

    /// The next thing to hand out; `None` if no lane has anything, as far as notices tell.
    ///
    /// Calling it says that the caller is done with what it got before. A lane's turn ends after [`RUN`] records or
    /// when it is empty; notices are looked at between rounds, so every lane that has something gets its turn.
    pub(crate) fn next(&mut self) -> Option<Event> {
        self.settle();
        let mut polled = false;
        loop {
            if self.round == 0 {
                // Once a call: a sender that changes its notice for nothing must not keep us here.
                if std::mem::replace(&mut polled, true) {
                    return None;
                }
                self.poll();
                self.round = self.noticed;
                if self.round == 0 {
                    return None;
                }
            }
            let seat = self.round.trailing_zeros();
            if self.run < RUN
                && let Some(event) = self.look(seat)
            {
                self.run += 1;
                return Some(event);
            }
            self.round &= !(1 << seat);
            self.run = 0;
        }
    }

    /// Looks at the notices. Whether any lane may have something.
    pub(crate) fn poll(&mut self) -> bool {
        for seat in 0..self.shape.seats {
            let (peers, shape) = self.side_of(seat);
            // SYNC notice
            let notice = peers.load32(mpsc::notice(shape.seats, seat), Acquire);
            let known = &mut self.notices[seat as usize];
            if notice != *known {
                // Before the lane is read: what comes after our last look at its header changes the notice again.
                *known = notice;
                self.noticed |= 1 << seat;
            }
        }
        self.noticed != 0
    }

    /// Every lane that was ever claimed will be looked at, whatever the notices say: a sender may have died between
    /// a header and its notice. Lanes that nobody claimed have no memory, and must not be touched.
    pub(crate) fn sweep(&mut self) {
        for seat in 0..self.shape.seats {
            let lane = &self.lanes[seat as usize];
            if lane.older
                || lane.state != LaneState::default()
                || self.seat_state(seat).epoch() != 0
            {
                self.noticed |= 1 << seat;
            }
        }
    }

    /// The peer side in which the receiver reads a lane now.
    #[inline(always)]
    fn side_of(&self, seat: u32) -> (&P, Shape) {
        match &self.older {
            Some(older) if self.lanes[seat as usize].older => (&older.peers, older.shape),
            _ => (&self.peers, self.shape),
        }
    }

    /// The peer side in which the payload of an event lies that was handed out just now.
    #[inline(always)]
    pub(crate) fn peers_of(&self, seat: u32) -> &P {
        self.side_of(seat).0
    }

    /// Whether the receiver still reads a lane in the generation before.
    pub(crate) fn is_older(&self, seat: u32) -> bool {
        self.lanes[seat as usize].older
    }

    /// The owner side with the receiver's words of a lane.
    #[inline(always)]
    fn owner_of(&self, seat: u32) -> &O {
        match &self.older {
            Some(older) if self.lanes[seat as usize].older => &older.owner,
            _ => &self.owner,
        }
    }

    fn seat_state(&self, seat: u32) -> SeatState {
        let at = peers::seat_at(seat) + seat::STATE;
        SeatState(self.peers_of(seat).load(at, Acquire))
    }

    /// The next header of a lane.
    #[inline(always)]
    fn peek(&mut self, seat: u32) -> Result<Option<LaneHeader>, Lie> {
        if !self.is_readable(seat)? {
            return Ok(None);
        }
        let lane = &mut self.lanes[seat as usize];
        let peers = match &self.older {
            Some(older) if lane.older => &older.peers,
            _ => &self.peers,
        };
        buffer::peek::<LaneHeader>(peers, lane.lane, &mut lane.next)
    }

    /// What stands next in a lane.
    #[inline]
    fn look(&mut self, seat: u32) -> Option<Event> {
        let state = self.lanes[seat as usize].state;
        // SYNC lane-anew: a later holder made the header at the cursor zero before it said so.
        if state.is_cut() && self.seat_state(seat).epoch() == state.epoch() {
            self.noticed &= !(1 << seat);
            return None;
        }
        if std::mem::take(&mut self.lanes[seat as usize].endless) {
            let lie = Lie {
                word: "notice of a lane",
                place: u64::from(seat),
                expected: "to change with every commit",
                found: self.lanes[seat as usize].compared.0.into(),
            };
            return Some(self.cut_off(seat, lie));
        }
        let mut found = self.peek(seat);
        if matches!(found, Ok(None)) && self.lanes[seat as usize].older {
            found = match self.leave_at_end(seat) {
                None => found,
                // In the next generation there may be something.
                Some(Ok(None)) => self.peek(seat),
                Some(other) => other,
            };
        }
        let lane = &self.lanes[seat as usize];
        match found {
            Ok(None) => {
                self.noticed &= !(1 << seat);
                // Idle: the sender may have all of it.
                self.publish(seat);
                None
            }
            Ok(Some(LaneHeader::Record(header))) if lane.state.is_open() => {
                let found = Found::new(lane.lane, lane.next, header);
                let epoch = lane.state.epoch();
                self.told = Some(Told::Record {
                    seat,
                    end: found.end(),
                });
                Some(Event::Record { seat, epoch, found })
            }
            Ok(Some(LaneHeader::Record(_))) => {
                let lie = Lie {
                    word: "record header",
                    place: lane.next,
                    expected: "HELLO before any record",
                    found: self.peers_of(seat).load(lane.lane.data(lane.next), Acquire),
                };
                Some(self.cut_off(seat, lie))
            }
            Ok(Some(LaneHeader::Control(control))) => Some(self.meet(seat, control)),
            Err(lie) => Some(self.cut_off(seat, lie)),
        }
    }

    /// A control record. The cursor is stored before it is told of: records before it must not come again once the
    /// lane's state has changed.
    #[cold]
    fn meet(&mut self, seat: u32, control: Control) -> Event {
        self.publish(seat);
        let lane = &self.lanes[seat as usize];
        let (state, again) = (lane.state, lane.adopted == Some(lane.next));
        let lie = |expected, found| Lie {
            word: "epoch of a control record",
            place: lane.next,
            expected,
            found,
        };
        match control {
            // Settled by a dead receiver, but for the cursor.
            Control::Hello(epoch) if again && state == LaneState::open(epoch) => {
                self.tell(seat, state, true, None);
                Event::Opened { seat, epoch }
            }
            Control::Bye(epoch) if again && state == LaneState::ended(epoch) => {
                self.tell(seat, state, true, None);
                Event::Closed { seat, epoch }
            }
            Control::Hello(epoch)
                if !is_later(epoch, state.epoch())
                    || is_later(epoch, self.seat_state(seat).epoch()) =>
            {
                let expected = "a later one than before, and no later one than the seat's";
                let lie = lie(expected, epoch);
                self.cut_off(seat, lie)
            }
            Control::Hello(_) if state.is_open() => self.died(seat),
            Control::Hello(epoch) => {
                self.tell(seat, LaneState::open(epoch), true, None);
                Event::Opened { seat, epoch }
            }
            Control::Bye(epoch) if state == LaneState::open(epoch) => {
                self.tell(seat, LaneState::ended(epoch), true, None);
                Event::Closed { seat, epoch }
            }
            Control::Bye(epoch) => {
                let lie = lie("that of the sender that is there", epoch);
                self.cut_off(seat, lie)
            }
        }
    }

    /// The holder that was told of has died, and everything of it was handed out.
    fn died(&mut self, seat: u32) -> Event {
        let epoch = self.lanes[seat as usize].state.epoch();
        self.tell(seat, LaneState::ended(epoch), false, Some(owner::EVICTIONS));
        Event::Died { seat, epoch }
    }

    /// What stands in the lane is impossible. Whoever takes the seat next makes a new beginning at the cursor.
    #[cold]
    fn cut_off(&mut self, seat: u32, lie: Lie) -> Event {
        self.publish(seat);
        let epoch = self.lanes[seat as usize].state.epoch();
        let state = LaneState::cut(self.seat_state(seat).epoch());
        self.tell(seat, state, false, Some(owner::LIES));
        Event::Lied { seat, epoch, lie }
    }

    fn tell(&mut self, seat: u32, state: LaneState, pass: bool, counter: Option<u64>) {
        self.told = Some(Told::State {
            seat,
            state,
            pass,
            counter,
        });
    }

    /// The caller is done with what it got: says so, lazily for a record, at once for everything else.
    pub(crate) fn settle(&mut self) {
        match self.told.take() {
            None => {}
            Some(Told::Record { seat, end }) => {
                let lane = &mut self.lanes[seat as usize];
                lane.next = end;
                lane.records = lane.records.wrapping_add(1);
                if end.wrapping_sub(lane.cursor.position()) >= lane.lane.capacity() / 8 {
                    self.publish(seat);
                }
            }
            Some(Told::State {
                seat,
                state,
                pass,
                counter,
            }) => {
                // SYNC lane-end: behind what was told, before the cursor that passes it.
                self.owner_of(seat).store(state_at(seat), state.0, Release);
                let lane = &mut self.lanes[seat as usize];
                lane.state = state;
                if pass {
                    lane.next = lane.next.wrapping_add(HEADER);
                    self.publish(seat);
                }
                if let Some(counter) = counter {
                    self.owner.count(counter, 1);
                }
            }
        }
    }

    /// Lets the sender have everything of its lane that was handed out.
    #[inline]
    fn publish(&mut self, seat: u32) {
        let lane = &mut self.lanes[seat as usize];
        if lane.next != lane.cursor.position() {
            let owner = match &self.older {
                Some(older) if lane.older => &older.owner,
                _ => &self.owner,
            };
            // SYNC lane-release: our loads of these bytes stay before the sender's stores to them.
            lane.cursor.publish(owner, lane.next, lane.records);
            self.published = true;
            // A notice is stored behind each commit, and before the header of the next one. Who can read two lanes full
            // under one notice reads what nobody sends, and would go on for ever.
            let (peers, shape) = match &self.older {
                Some(older) if lane.older => (&older.peers, older.shape),
                _ => (&self.peers, self.shape),
            };
            let notice = peers.load32(mpsc::notice(shape.seats, seat), Relaxed);
            if notice != lane.compared.0 {
                lane.compared = (notice, lane.next);
            } else if lane.next.wrapping_sub(lane.compared.1) > 2 * shape.lane {
                lane.compared.1 = lane.next;
                lane.endless = true;
            }
        }
    }

    /// Lets every sender have everything that was handed out: before the receiver leaves.
    pub(crate) fn publish_all(&mut self) {
        self.settle();
        for seat in 0..self.shape.seats {
            self.publish(seat);
        }
    }

    /// Whether a cursor was stored since the last call: then senders that sleep are to be woken.
    #[inline(always)]
    pub(crate) fn take_published(&mut self) -> bool {
        std::mem::take(&mut self.published)
    }

    /// Looks for a sender that has died behind its last record; asked once in a slice until there is none. Lanes of
    /// the generation before that nobody holds are left. `older` are the locks of that one's seats.
    pub(crate) fn find_dead<L: SeatLocks>(&mut self, locks: &L, older: &L) -> Option<Event> {
        self.settle();
        for seat in 0..self.shape.seats {
            let lane = &self.lanes[seat as usize];
            let locks = if lane.older { older } else { locks };
            if !lane.state.is_open() {
                if lane.older {
                    self.leave_unheld(seat, locks);
                }
                continue;
            }
            if self.is_empty(seat) && locks.try_lock(seat) {
                // SYNC lane-end: again under the lock, which carries everything that the dead one committed.
                let empty = self.is_empty(seat) && !self.has_ended(seat);
                locks.unlock(seat);
                if empty {
                    self.publish(seat);
                    return Some(self.died(seat));
                }
                self.noticed |= 1 << seat;
            }
        }
        None
    }

    /// Whether a lane has something that was not handed out, or a sender whose end was not told. Asked before anything
    /// is handed out.
    pub(crate) fn is_laden(&mut self) -> bool {
        if self.older.is_some() {
            return true;
        }
        self.sweep();
        let noticed = self.noticed;
        (0..self.shape.seats)
            .filter(|seat| noticed >> seat & 1 != 0)
            .any(|seat| {
                let state = self.lanes[seat as usize].state;
                let cut = state.is_cut() && self.seat_state(seat).epoch() == state.epoch();
                !cut && (state.is_open() || !self.is_empty(seat))
            })
    }

    /// Whether a lane has memory to be read; not, if nobody ever held the seat: then nothing can be there, and a look would
    /// take memory for nobody. A sender reserves it before it says that it is there; but words can be forged, and in a
    /// full file system the first look at a page without memory would be our death.
    #[inline]
    fn is_readable(&mut self, seat: u32) -> Result<bool, Lie> {
        let lane = &mut self.lanes[seat as usize];
        let (peers, readable) = match &mut self.older {
            Some(older) if lane.older => (&older.peers, &mut older.readable),
            _ => (&self.peers, &mut self.readable),
        };
        if *readable >> seat & 1 == 0 {
            // SYNC notice: whoever sees a holder's notice sees the state that it stored before.
            if lane.unclaimed && epoch_of(peers, seat) == 0 {
                return Ok(false);
            }
            lane.unclaimed = false;
            if !peers.populate(lane.lane.offset(), lane.lane.capacity()) {
                return Err(Lie {
                    word: "lane",
                    place: u64::from(seat),
                    expected: "memory behind all of it, which its sender reserves before it comes",
                    found: 0,
                });
            }
            *readable |= 1 << seat;
        }
        Ok(true)
    }

    /// Whether nothing stands at the next position of a lane.
    fn is_empty(&mut self, seat: u32) -> bool {
        // Where there is no memory nothing can be.
        !matches!(self.is_readable(seat), Ok(true)) || matches!(self.peek(seat), Ok(None))
    }
}

/// The how manieth holder of a seat there was last; 0: none.
fn epoch_of(peers: &impl Shared, seat: u32) -> u64 {
    SeatState(peers.load(peers::seat_at(seat) + seat::STATE, Acquire)).epoch()
}

/// Offset of the receiver's cursor on a lane.
const fn cursor_at(seat: u32) -> u64 {
    mpsc::lane_words(seat) + mpsc::LANE_READ_SEQ
}

/// Offset of a lane's state word.
const fn state_at(seat: u32) -> u64 {
    mpsc::lane_words(seat) + mpsc::LANE_STATE
}
