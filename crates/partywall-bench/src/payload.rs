//! What is sent, and how it is known again.

use crate::Outcome;

/// Payloads of one size, one after the other, the same in every process.
///
/// They are made beforehand: a payload built anew for each record would be in the processor's store buffer, in line with
/// a ring's own stores, and the time of building it would be measured. They come round after a prime number of records,
/// which no whole number of laps of a ring is, so a record that was lost, repeated or left from the lap before differs in
/// every word.
#[derive(Debug)]
pub struct Payloads {
    all: Vec<Vec<u8>>,
    next: usize,
}

/// So many are kept, where they are small.
pub const ROUND: usize = 251;

impl Payloads {
    /// Payloads of so many bytes.
    #[must_use]
    pub fn new(size: usize) -> Payloads {
        // Together they stay well within a second-level cache.
        let count = match size {
            0..=1024 => ROUND,
            1025..=8192 => 61,
            8193..=65536 => 7,
            _ => 3,
        };
        Payloads {
            all: (0..count as u64)
                .map(|number| payload(number, size))
                .collect(),
            next: 0,
        }
    }

    /// The next so many. Whoever sends and whoever receives ask for the same numbers of them.
    #[inline(always)]
    pub fn turn(&mut self, records: u64) -> impl Iterator<Item = &[u8]> {
        let from = self.next;
        self.next = ((from as u64 + records) % self.all.len() as u64) as usize;
        self.all
            .iter()
            .cycle()
            .skip(from)
            .take(records as usize)
            .map(Vec::as_slice)
    }

    /// The payload with a number.
    #[inline]
    #[must_use]
    pub fn numbered(&self, number: u64) -> &[u8] {
        &self.all[(number % self.all.len() as u64) as usize]
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.all.len() as u64
    }

    /// Which of them this is.
    #[inline]
    #[must_use]
    pub fn number_of(&self, found: &[u8]) -> Option<u64> {
        let number = word(found.get(..8)?).wrapping_sub(FIRST);
        let expected = self.all.get(usize::try_from(number).ok()?)?;
        same(expected, found).then_some(number)
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
/// No payload is zeros, as memory is that nobody wrote.
const FIRST: u64 = 1;

fn payload(number: u64, size: usize) -> Vec<u8> {
    let mut out = vec![0; size];
    fill(&mut out, number);
    out
}

/// Fills a buffer with what has this number.
#[inline(never)]
pub fn fill(out: &mut [u8], number: u64) {
    let mut next = number.wrapping_add(FIRST);
    let step = STEP.wrapping_add(number << 1);
    let mut words = out.chunks_exact_mut(8);
    for slot in &mut words {
        slot.copy_from_slice(&next.to_le_bytes());
        next = next.wrapping_add(step);
    }
    let rest = words.into_remainder();
    let len = rest.len();
    rest.copy_from_slice(&next.to_le_bytes()[..len]);
}

/// Whether a buffer holds what has this number: all of it is read.
///
/// # Errors
/// Where it differs.
#[inline(never)]
pub fn verify(found: &[u8], number: u64) -> Outcome<()> {
    let mut next = number.wrapping_add(FIRST);
    let step = STEP.wrapping_add(number << 1);
    let mut difference = 0;
    let words = found.chunks_exact(8);
    let rest = words.remainder();
    for slot in words {
        difference |= word(slot) ^ next;
        next = next.wrapping_add(step);
    }
    if difference == 0 && *rest == next.to_le_bytes()[..rest.len()] {
        Ok(())
    } else {
        Err(format!(
            "frame {number} ({} bytes) holds other bytes than were written, beginning with {:02x?}",
            found.len(),
            &found[..found.len().min(16)]
        )
        .into())
    }
}

#[inline(always)]
fn word(slot: &[u8]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| slot[i]))
}

/// Compares word by word: the library's `memcmp` uses the widest loads there are, which have to wait until the narrower
/// stores of a copy have left the store buffer, and that wait would be measured.
#[inline(always)]
fn same(expected: &[u8], found: &[u8]) -> bool {
    if expected.len() != found.len() {
        return false;
    }
    let (ours, theirs) = (expected.chunks_exact(8), found.chunks_exact(8));
    if ours.remainder() != theirs.remainder() {
        return false;
    }
    ours.zip(theirs)
        .fold(0, |all, (one, other)| all | (word(one) ^ word(other)))
        == 0
}

/// Whether the expected payload was found.
///
/// # Errors
/// What was found instead.
#[inline(always)]
pub fn check(expected: &[u8], found: &[u8]) -> Outcome<()> {
    if same(expected, found) {
        Ok(())
    } else {
        Err(wrong(expected, found))
    }
}

#[cold]
fn wrong(expected: &[u8], found: &[u8]) -> Box<dyn std::error::Error + Send + Sync> {
    let head = |bytes: &[u8]| format!("{:02x?}", &bytes[..bytes.len().min(16)]);
    format!(
        "a record of {} bytes begins with {}, expected {} bytes and {}",
        found.len(),
        head(found),
        expected.len(),
        head(expected)
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_stale_or_short_record_is_noticed() {
        for size in [8, 64, 72, 100] {
            let (one, other) = (payload(0, size), payload(1, size));
            assert!(check(&one, &one).is_ok());
            assert!(check(&one, &other).is_err());
            assert!(check(&one, &one[..size - 1]).is_err());
            for byte in 0..size {
                let mut forged = one.clone();
                forged[byte] ^= 1;
                assert!(check(&one, &forged).is_err(), "byte {byte} of {size}");
            }
        }
    }

    #[test]
    fn a_forged_frame_is_noticed() {
        let mut frame = vec![0; 1003];
        fill(&mut frame, 7);
        assert!(verify(&frame, 7).is_ok());
        assert!(verify(&frame, 8).is_err());
        for byte in 0..frame.len() {
            frame[byte] ^= 0x80;
            assert!(verify(&frame, 7).is_err(), "byte {byte}");
            frame[byte] ^= 0x80;
        }
    }

    #[test]
    fn every_word_of_two_payloads_differs() {
        let payloads = Payloads::new(64);
        for number in 1..payloads.count() {
            let (one, other) = (payloads.numbered(number - 1), payloads.numbered(number));
            for at in (0..64).step_by(8) {
                assert_ne!(
                    one[at..at + 8],
                    other[at..at + 8],
                    "payload {number}, byte {at}"
                );
            }
            assert_eq!(payloads.number_of(other), Some(number));
        }
        assert_eq!(payloads.number_of(&[0; 64]), None);
        assert_eq!(payloads.number_of(&[]), None);
    }

    #[test]
    fn turns_follow_one_another() {
        let (mut one, mut other) = (Payloads::new(8), Payloads::new(8));
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for records in [1, 300, 32] {
            parts.extend(one.turn(records).map(<[u8]>::to_vec));
        }
        let whole: Vec<Vec<u8>> = other.turn(333).map(<[u8]>::to_vec).collect();
        assert_eq!(parts, whole);
    }
}
