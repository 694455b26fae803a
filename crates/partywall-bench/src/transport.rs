//! What carries records from one process to another, and the contests that need no more than that: latency, stream,
//! batches, waking, frames.

use crate::Outcome;
use crate::contest::{Meeting, Party, Seat};
use crate::payload::{self, Payloads};
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// Records in a batch.
pub const TOGETHER: u64 = 32;

/// The end that sends.
pub trait Sending {
    /// Waits for the other end, where it has not come yet.
    ///
    /// # Errors
    /// In words.
    fn meet(&mut self) -> Outcome<()> {
        Ok(())
    }

    /// Sends a record; comes back when it is sent, and not before.
    ///
    /// # Errors
    /// In words.
    fn send(&mut self, payload: &[u8]) -> Outcome<()>;

    /// Sends several, together if it can.
    ///
    /// # Errors
    /// In words.
    fn send_all<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        for payload in payloads {
            self.send(payload)?;
        }
        Ok(())
    }

    /// Sends a record of so many bytes that is written by `fill`, where it will lie if that is possible; `buffer` is for
    /// those who must copy.
    ///
    /// # Errors
    /// In words.
    fn send_filled(
        &mut self,
        len: usize,
        buffer: &mut Vec<u8>,
        fill: impl FnOnce(&mut [u8]),
    ) -> Outcome<()> {
        buffer.resize(len, 0);
        fill(buffer);
        self.send(buffer)
    }
}

/// The end that receives.
pub trait Receiving {
    /// Waits for a record, lets it be looked at, and gives it back.
    ///
    /// # Errors
    /// In words, and what `look` found wrong.
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()>;
}

/// What carries records one way.
pub trait Transport: 'static {
    /// The end that sends.
    type Sender: Sending;
    /// The end that receives.
    type Receiver: Receiving;
    /// Whether the sender's end must be there before the receiver's.
    const SENDER_FIRST: bool = true;

    /// Opens the end that sends. `name` is that of the way.
    ///
    /// # Errors
    /// In words.
    fn sender(seat: &Seat, name: &str, how: How) -> Outcome<Self::Sender>;

    /// Opens the end that receives.
    ///
    /// # Errors
    /// In words.
    fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<Self::Receiver>;
}

/// What an end is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Both processes stay awake.
    Awake,
    /// Who waits sleeps in the kernel.
    Asleep,
}

/// The contests of a transport, by the name of what is done; `None` for one that it knows nothing of.
///
/// # Errors
/// In words.
pub fn party<T: Transport>(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    let boxed = |party: Outcome<Exchange<T>>| party.map(|party| Box::new(party) as Box<dyn Party>);
    let stream =
        |together| Stream::<T>::open(seat, together).map(|party| Box::new(party) as Box<dyn Party>);
    match seat.what.as_str() {
        "latency" => Some(boxed(Exchange::open(seat, How::Awake))),
        "wake" => Some(boxed(Exchange::open(seat, How::Asleep))),
        "stream" => Some(stream(false)),
        "batch" => Some(stream(true)),
        "frames" => Some(Frames::<T>::open(seat).map(|party| Box::new(party) as Box<dyn Party>)),
        _ => None,
    }
}

const THERE: &str = "there";
const BACK: &str = "back";

/// One record there, one back.
#[derive(Debug)]
struct Exchange<T: Transport> {
    seat: Seat,
    how: How,
    out: Option<T::Sender>,
    back: Option<T::Receiver>,
    payloads: Payloads,
    /// Where sleepers are woken: the time of the exchanges without that in which the other side falls asleep.
    awake: Option<Duration>,
}

/// So long nothing is sent to somebody who is to be asleep. Without it two processes can answer each other before either
/// has gone to sleep, and go on like that.
pub(crate) fn let_fall_asleep() {
    const FALLING_ASLEEP: Duration = Duration::from_micros(20);
    let started = Instant::now();
    while started.elapsed() < FALLING_ASLEEP {
        std::hint::spin_loop();
    }
}

impl<T: Transport> Exchange<T> {
    fn open(seat: &Seat, how: How) -> Outcome<Self> {
        let mut exchange = Exchange {
            seat: seat.clone(),
            how,
            out: None,
            back: None,
            payloads: Payloads::new(seat.size),
            awake: None,
        };
        // The end that must be there first; the follower can open both, for the leader has opened its own.
        if T::SENDER_FIRST {
            exchange.open_out()?;
            if !seat.leads() {
                exchange.open_back()?;
            }
        } else {
            exchange.open_back()?;
            if !seat.leads() {
                exchange.open_out()?;
            }
        }
        Ok(exchange)
    }

    fn open_out(&mut self) -> Outcome<()> {
        let name = if self.seat.leads() { THERE } else { BACK };
        self.out = Some(T::sender(&self.seat, name, self.how)?);
        Ok(())
    }

    fn open_back(&mut self) -> Outcome<()> {
        let name = if self.seat.leads() { BACK } else { THERE };
        self.back = Some(T::receiver(&self.seat, name, self.how)?);
        Ok(())
    }

    fn ends(&mut self) -> Outcome<(&mut T::Sender, &mut T::Receiver, &mut Payloads)> {
        match (&mut self.out, &mut self.back) {
            (Some(out), Some(back)) => Ok((out, back, &mut self.payloads)),
            _ => Err(NOT_MET.into()),
        }
    }
}

const NOT_MET: &str = "the processes have not met";

impl<T: Transport> Party for Exchange<T> {
    fn meet(&mut self) -> Outcome<()> {
        if self.out.is_none() {
            self.open_out()?;
        }
        if self.back.is_none() {
            self.open_back()?;
        }
        match &mut self.out {
            Some(out) => out.meet(),
            None => Err(NOT_MET.into()),
        }
    }

    fn turn(&mut self, amount: u64, _: &Meeting) -> Outcome<u64> {
        let (leads, how) = (self.seat.leads(), self.how);
        let (out, back, payloads) = self.ends()?;
        if leads && how == How::Asleep {
            let mut awake = Duration::ZERO;
            for payload in payloads.turn(amount) {
                let_fall_asleep();
                let started = Instant::now();
                out.send(payload)?;
                back.receive(|found| payload::check(payload, found))?;
                awake += started.elapsed();
            }
            self.awake = Some(awake);
        } else if leads {
            send_and_await(out, back, payloads, amount)?;
        } else {
            answer(out, back, payloads, amount)?;
        }
        Ok(2 * amount)
    }

    fn sample(
        &mut self,
        amount: u64,
        meeting: &Meeting,
        latencies: &mut Histogram<u64>,
    ) -> Outcome<u64> {
        if !self.seat.leads() {
            return self.turn(amount, meeting);
        }
        let how = self.how;
        let (out, back, payloads) = self.ends()?;
        for payload in payloads.turn(amount) {
            if how == How::Asleep {
                let_fall_asleep();
            }
            let started = Instant::now();
            out.send(payload)?;
            back.receive(|found| payload::check(payload, found))?;
            latencies.saturating_record(started.elapsed().as_nanos() as u64 / 2);
        }
        Ok(2 * amount)
    }

    fn own_time(&mut self) -> Option<Duration> {
        self.awake.take()
    }
}

// The loops that are measured, each a function of its own: inlined into one, they would fight for registers, and what is
// spilled to the stack stands in line with a ring's own stores.

#[inline(never)]
fn send_and_await<S: Sending, R: Receiving>(
    out: &mut S,
    back: &mut R,
    payloads: &mut Payloads,
    amount: u64,
) -> Outcome<()> {
    for payload in payloads.turn(amount) {
        out.send(payload)?;
        back.receive(|found| payload::check(payload, found))?;
    }
    Ok(())
}

#[inline(never)]
fn answer<S: Sending, R: Receiving>(
    out: &mut S,
    back: &mut R,
    payloads: &mut Payloads,
    amount: u64,
) -> Outcome<()> {
    for payload in payloads.turn(amount) {
        back.receive(|found| payload::check(payload, found))?;
        out.send(payload)?;
    }
    Ok(())
}

#[inline(never)]
fn send_one_by_one<S: Sending>(out: &mut S, payloads: &mut Payloads, amount: u64) -> Outcome<()> {
    for payload in payloads.turn(amount) {
        out.send(payload)?;
    }
    Ok(())
}

#[inline(never)]
fn send_in_batches<S: Sending>(out: &mut S, payloads: &mut Payloads, amount: u64) -> Outcome<()> {
    let mut left = amount;
    while left > 0 {
        let together = left.min(TOGETHER);
        out.send_all(payloads.turn(together))?;
        left -= together;
    }
    Ok(())
}

#[inline(never)]
fn receive<R: Receiving>(back: &mut R, payloads: &mut Payloads, amount: u64) -> Outcome<()> {
    for payload in payloads.turn(amount) {
        back.receive(|found| payload::check(payload, found))?;
    }
    Ok(())
}

/// Records that follow one another, lossless.
#[derive(Debug)]
struct Stream<T: Transport> {
    seat: Seat,
    out: Option<T::Sender>,
    back: Option<T::Receiver>,
    payloads: Payloads,
    together: bool,
}

impl<T: Transport> Stream<T> {
    fn open(seat: &Seat, together: bool) -> Outcome<Self> {
        let mut stream = Stream {
            seat: seat.clone(),
            out: None,
            back: None,
            payloads: Payloads::new(seat.size),
            together,
        };
        if !seat.leads() {
            stream.back = Some(T::receiver(seat, THERE, How::Awake)?);
        } else if T::SENDER_FIRST {
            stream.out = Some(T::sender(seat, THERE, How::Awake)?);
        }
        Ok(stream)
    }
}

impl<T: Transport> Party for Stream<T> {
    fn meet(&mut self) -> Outcome<()> {
        if !self.seat.leads() {
            return Ok(());
        }
        let out = match &mut self.out {
            Some(out) => out,
            None => self.out.insert(T::sender(&self.seat, THERE, How::Awake)?),
        };
        out.meet()
    }

    fn turn(&mut self, amount: u64, _: &Meeting) -> Outcome<u64> {
        match (&mut self.out, &mut self.back) {
            (Some(out), _) if self.together => send_in_batches(out, &mut self.payloads, amount)?,
            (Some(out), _) => send_one_by_one(out, &mut self.payloads, amount)?,
            (_, Some(back)) => receive(back, &mut self.payloads, amount)?,
            _ => return Err(NOT_MET.into()),
        }
        Ok(amount)
    }
}

/// Large records that are written and read in full.
#[derive(Debug)]
struct Frames<T: Transport> {
    seat: Seat,
    out: Option<T::Sender>,
    back: Option<T::Receiver>,
    buffer: Vec<u8>,
    number: u64,
}

impl<T: Transport> Frames<T> {
    fn open(seat: &Seat) -> Outcome<Self> {
        let mut frames = Frames {
            seat: seat.clone(),
            out: None,
            back: None,
            buffer: Vec::new(),
            number: 0,
        };
        if !seat.leads() {
            frames.back = Some(T::receiver(seat, THERE, How::Awake)?);
        } else if T::SENDER_FIRST {
            frames.out = Some(T::sender(seat, THERE, How::Awake)?);
        }
        Ok(frames)
    }
}

impl<T: Transport> Party for Frames<T> {
    fn meet(&mut self) -> Outcome<()> {
        if !self.seat.leads() {
            return Ok(());
        }
        let out = match &mut self.out {
            Some(out) => out,
            None => self.out.insert(T::sender(&self.seat, THERE, How::Awake)?),
        };
        out.meet()
    }

    fn turn(&mut self, amount: u64, _: &Meeting) -> Outcome<u64> {
        let size = self.seat.size;
        for _ in 0..amount {
            let number = self.number;
            self.number += 1;
            match (&mut self.out, &mut self.back) {
                (Some(out), _) => {
                    out.send_filled(size, &mut self.buffer, |frame| payload::fill(frame, number))?;
                }
                (_, Some(back)) => back.receive(|frame| {
                    if frame.len() != size {
                        return Err(
                            format!("a frame of {} bytes, expected {size}", frame.len()).into()
                        );
                    }
                    payload::verify(frame, number)
                })?,
                _ => return Err(NOT_MET.into()),
            }
        }
        Ok(amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Hands out what is expected, but for one bit of one record.
    #[derive(Debug)]
    struct Forging {
        payloads: Payloads,
        forged: u64,
        next: u64,
    }

    impl Receiving for Forging {
        fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
            let mut record = self.payloads.numbered(self.next).to_vec();
            if self.next == self.forged {
                let last = record.len() - 1;
                record[last] ^= 1;
            }
            self.next += 1;
            look(&record)
        }
    }

    impl Sending for Forging {
        fn send(&mut self, _: &[u8]) -> Outcome<()> {
            Ok(())
        }
    }

    #[derive(Debug)]
    struct Forged<const AT: u64>;

    impl<const AT: u64> Transport for Forged<AT> {
        type Sender = Forging;
        type Receiver = Forging;

        fn sender(seat: &Seat, _: &str, _: How) -> Outcome<Forging> {
            Ok(Forging {
                payloads: Payloads::new(seat.size),
                forged: AT,
                next: 0,
            })
        }

        fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<Forging> {
            Self::sender(seat, name, how)
        }
    }

    fn seat(place: &Path, what: &str, index: usize) -> Seat {
        Seat {
            who: "forger".to_owned(),
            what: what.to_owned(),
            contest: "test".to_owned(),
            place: place.to_owned(),
            size: 64,
            followers: 1,
            index,
            cores: Vec::new(),
        }
    }

    #[test]
    fn a_forged_record_fails_the_contest() {
        let place = tempfile::tempdir().expect("a directory");
        for (what, index) in [
            ("latency", 0),
            ("latency", 1),
            ("wake", 0),
            ("stream", 1),
            ("batch", 1),
        ] {
            let seat = seat(place.path(), what, index);
            let meeting = Meeting::open(&seat).expect("a file");
            let mut honest = party::<Forged<{ u64::MAX }>>(&seat)
                .expect("a party")
                .expect("opened");
            honest.meet().expect("nobody to wait for");
            assert!(honest.turn(100, &meeting).is_ok(), "{what}");
            let mut forger = party::<Forged<70>>(&seat)
                .expect("a party")
                .expect("opened");
            forger.meet().expect("nobody to wait for");
            assert!(forger.turn(70, &meeting).is_ok(), "{what}");
            assert!(forger.turn(1, &meeting).is_err(), "{what}");
        }
    }

    #[test]
    fn a_frame_with_other_bytes_fails_the_contest() {
        let place = tempfile::tempdir().expect("a directory");
        let seat = seat(place.path(), "frames", 1);
        let meeting = Meeting::open(&seat).expect("a file");
        // The payloads of records are not those of frames.
        let mut other = party::<Forged<0>>(&seat).expect("a party").expect("opened");
        assert!(other.turn(1, &meeting).is_err());
    }
}
