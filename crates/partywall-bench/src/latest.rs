//! The contests in which only the latest value counts.

use crate::Outcome;
use crate::contest::{Faults, Meeting, Party, Seat};
use crate::payload::Payloads;

/// The end that puts values.
pub trait Putting {
    /// Puts a value.
    ///
    /// # Errors
    /// In words.
    fn put(&mut self, value: &[u8]) -> Outcome<()>;
}

/// An end that gets them.
pub trait Getting {
    /// Gets the latest value and lets it be looked at; tries again until it has it whole.
    ///
    /// # Errors
    /// In words, and what `look` found wrong.
    fn get(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()>;
}

/// Where the latest value is.
pub trait Latest: 'static {
    /// The end that puts values.
    type Writer: Putting;
    /// The end that gets them.
    type Reader: Getting;

    /// Opens the end that puts values.
    ///
    /// # Errors
    /// In words.
    fn writer(seat: &Seat) -> Outcome<Self::Writer>;

    /// Opens an end that gets them.
    ///
    /// # Errors
    /// In words.
    fn reader(seat: &Seat) -> Outcome<Self::Reader>;
}

/// Values that bear their full number: the first word, and everything else by that.
#[derive(Debug)]
pub struct Numbered {
    payloads: Payloads,
    buffers: Vec<Vec<u8>>,
    next: u64,
}

impl Numbered {
    /// Values of so many bytes.
    #[must_use]
    pub fn new(size: usize) -> Numbered {
        let payloads = Payloads::new(size);
        let buffers = (0..payloads.count())
            .map(|number| payloads.numbered(number).to_vec())
            .collect();
        Numbered {
            payloads,
            buffers,
            next: 0,
        }
    }

    /// The next value.
    #[inline(always)]
    #[expect(clippy::should_implement_trait, reason = "it lends, and never ends")]
    pub fn next(&mut self) -> &[u8] {
        self.next += 1;
        let index = (self.next % self.payloads.count()) as usize;
        let buffer = &mut self.buffers[index];
        buffer[..8].copy_from_slice(&self.next.to_le_bytes());
        buffer
    }

    /// A value's number, if it is whole.
    #[inline(always)]
    fn number_of(&self, found: &[u8]) -> Option<u64> {
        let number = u64::from_le_bytes(found.get(..8)?.try_into().ok()?);
        let expected = &self.payloads.numbered(number)[8..];
        crate::payload::check(expected, &found[8..])
            .is_ok()
            .then_some(number)
    }
}

/// What a reader found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict {
    last: u64,
    /// What was wrong.
    pub faults: Faults,
}

impl Verdict {
    /// Looks at all of a value.
    #[inline(always)]
    pub fn judge(&mut self, numbered: &Numbered, found: &[u8]) {
        match numbered.number_of(found) {
            None => self.faults.torn += 1,
            Some(number) if number < self.last => self.faults.reordered += 1,
            Some(number) => self.last = number,
        }
    }
}

/// The contests of this kind, by the name of what is done.
///
/// * `read idle`: the leader reads, and nobody writes meanwhile;
/// * `read busy`: the first follower writes without pause;
/// * `write busy`: the leader writes, and all followers read without pause.
///
/// Further followers read.
pub fn party<T: Latest>(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    let (measured, busy) = match seat.what.as_str() {
        "read idle" => (Side::Reads, false),
        "read busy" => (Side::Reads, true),
        "write busy" => (Side::Writes, true),
        _ => return None,
    };
    Some(Watched::<T>::open(seat, measured, busy).map(|party| Box::new(party) as Box<dyn Party>))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Reads,
    Writes,
}

#[derive(Debug)]
struct Watched<T: Latest> {
    seat: Seat,
    side: Side,
    /// Whether the writer writes while others read.
    busy: bool,
    writer: Option<T::Writer>,
    reader: Option<T::Reader>,
    values: Numbered,
    verdict: Verdict,
}

impl<T: Latest> Watched<T> {
    fn open(seat: &Seat, measured: Side, busy: bool) -> Outcome<Self> {
        let side = match (measured, seat.index) {
            (side, 0) => side,
            (Side::Reads, 1) => Side::Writes,
            _ => Side::Reads,
        };
        let mut watched = Watched {
            seat: seat.clone(),
            side,
            busy,
            writer: None,
            reader: None,
            values: Numbered::new(seat.size),
            verdict: Verdict::default(),
        };
        // Who reads attaches later, when there is something to read.
        if side == Side::Writes {
            let writer = watched.writer.insert(T::writer(seat)?);
            writer.put(watched.values.next())?;
        }
        Ok(watched)
    }

    #[inline(never)]
    fn get(&mut self) -> Outcome<()> {
        let (values, verdict) = (&self.values, &mut self.verdict);
        match &mut self.reader {
            Some(reader) => reader.get(|found| {
                verdict.judge(values, found);
                Ok(())
            }),
            None => Err("the reader has not met its writer".into()),
        }
    }

    #[inline(never)]
    fn put(&mut self) -> Outcome<()> {
        match &mut self.writer {
            Some(writer) => writer.put(self.values.next()),
            None => Err("there is no writer".into()),
        }
    }
}

impl<T: Latest> Party for Watched<T> {
    fn meet(&mut self) -> Outcome<()> {
        if self.side == Side::Reads {
            self.reader = Some(T::reader(&self.seat)?);
        }
        Ok(())
    }

    fn until_told(&self) -> bool {
        true
    }

    fn turn(&mut self, amount: u64, meeting: &Meeting) -> Outcome<u64> {
        match (self.side, self.seat.leads()) {
            (Side::Reads, true) => {
                for _ in 0..amount {
                    self.get()?;
                }
            }
            (Side::Writes, true) => {
                for _ in 0..amount {
                    self.put()?;
                }
            }
            (Side::Writes, false) if !self.busy => {
                // One new value a turn: what the leader reads is not what it has in its cache already.
                self.put()?;
            }
            (side, false) => {
                while !meeting.is_over() {
                    match side {
                        Side::Reads => self.get()?,
                        Side::Writes => self.put()?,
                    }
                }
            }
        }
        Ok(amount)
    }

    fn faults(&self) -> Faults {
        self.verdict.faults
    }
}
