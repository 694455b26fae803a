//! Market depth in a snapshot: an exchange that never waits, and readers who want the latest book and no other.

use super::account::Ledger;
use super::cast::{Cast, Look, News, Pattern, Problem, Promise, Size, Watcher, Watches, Writes};
use super::event::now_ns;
use super::part::{OPENING, Role, Words, nothing};
use super::record::{HEADER, mix};
use partywall::snapshot::{Reader, ReaderOptions, Writer, WriterOptions};
use partywall::{Namespace, RecvError};
use std::time::Duration;

/// An order book: so many price levels on each side, the best first.
const LEVELS: usize = 126;
/// Price and size, a `u64` each.
const LEVEL: usize = 16;
const BOOK: usize = 2 * LEVELS * LEVEL;

pub(super) static CAST: Cast = Cast {
    pattern: Pattern::Snapshot,
    channel: "depth",
    opening: "A snapshot holds the latest value of something, for any number of readers; its writer never waits for them.\n\
              Here an exchange puts its order book (126 levels of bids and of asks) again and again. A trader follows\n\
              every change it can, a screen looks 60 times a second: both get whole books, and never an older one.",
    verdict: "Every book that was read was whole and newer than the one before, and both readers saw the last one.",
    one: "book",
    many: "books",
    watchers: &[
        Watcher {
            name: "trader",
            nap: None,
        },
        Watcher {
            name: "screen",
            nap: Some(Duration::from_millis(16)),
        },
    ],
    writers: &["exchange"],
    victim: 0,
    promise: Promise::Latest,
    size: Size::Fixed(BOOK),
    news: News::Nothing,
    rate: None,
    enter,
    attach,
};

struct Exchange {
    writer: Writer,
    words: Words,
    value: Vec<u8>,
}

fn enter(role: &Role) -> Result<Box<dyn Writes>, Problem> {
    let writer = WriterOptions::new()
        .namespace(Namespace::open_default()?)
        .value_size((HEADER + BOOK) as u32)
        // The conductor reads the channel's own count of values after the close.
        .keep_when_closed(true)
        .open(&role.channel)?;
    Ok(Box::new(Exchange {
        writer,
        words: role.words(),
        value: vec![0; HEADER + BOOK],
    }))
}

impl Writes for Exchange {
    fn adopted(&self) -> bool {
        self.writer.adopted()
    }

    fn records(&self) -> u64 {
        self.writer.sequence()
    }

    fn send(&mut self, last: bool) -> Result<(), Problem> {
        let sequence = self.writer.sequence();
        self.words
            .compose(&mut self.value, sequence, last, make_book);
        self.writer.put(&self.value)?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64, Problem> {
        let values = self.writer.sequence();
        self.writer.close()?;
        Ok(values)
    }
}

/// The book after so many others: the price wanders up and down, and every size changes all the time.
fn make_book(sequence: u64, book: &mut [u8]) {
    let wander = (sequence / 32) % 2_000;
    let best_bid = 100_000 + wander.min(2_000 - wander);
    let (bids, asks) = book.split_at_mut(LEVELS * LEVEL);
    let mut sizes = mix(sequence);
    let mut put = |level: &mut [u8], price: u64| {
        sizes = sizes
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        level[..8].copy_from_slice(&price.to_le_bytes());
        level[8..].copy_from_slice(&(1 + (sizes >> 40)).to_le_bytes());
    };
    for (down, level) in (0..).zip(bids.chunks_exact_mut(LEVEL)) {
        put(level, best_bid - down);
    }
    for (up, level) in (1..).zip(asks.chunks_exact_mut(LEVEL)) {
        put(level, best_bid + up);
    }
}

struct Trader {
    reader: Reader,
    value: Vec<u8>,
    expected: Vec<u8>,
}

fn attach(role: &Role) -> Result<Box<dyn Watches>, Problem> {
    let reader = ReaderOptions::new()
        .namespace(Namespace::open_default()?)
        .attach_timeout(OPENING)
        .await_successor(true)
        .attach(&role.channel)?;
    Ok(Box::new(Trader {
        reader,
        value: Vec::new(),
        expected: vec![0; BOOK],
    }))
}

impl Watches for Trader {
    fn look(&mut self, ledger: &mut Ledger, wait: Duration) -> Result<Look, Problem> {
        let meta = match self.reader.changed_into(&mut self.value, Some(wait)) {
            Ok(meta) => meta,
            // The exchange was faster than we could copy. The next look finds a newer book.
            Err(RecvError::Contended { .. }) => return Ok(Look::More),
            Err(error) => return nothing(error),
        };
        ledger.enter(&self.value, now_ns(), |header, book| {
            make_book(header.sequence, &mut self.expected);
            // The channel counts from 1.
            meta.sequence == header.sequence + 1 && book == self.expected
        });
        Ok(Look::Current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(sequence: u64) -> Vec<(u64, u64)> {
        let mut bytes = vec![0; BOOK];
        make_book(sequence, &mut bytes);
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        bytes
            .chunks_exact(LEVEL)
            .map(|level| (word(&level[..8]), word(&level[8..])))
            .collect()
    }

    #[test]
    fn a_book_is_a_book() {
        for sequence in [0, 1, 31_999, 32_000, 64_000, u64::MAX] {
            let book = book(sequence);
            let (bids, asks) = book.split_at(LEVELS);
            assert!(bids.is_sorted_by(|one, next| one.0 > next.0));
            assert!(asks.is_sorted_by(|one, next| one.0 < next.0));
            assert!(bids[0].0 < asks[0].0);
            assert!(book.iter().all(|&(_, size)| size > 0));
        }
    }

    #[test]
    fn no_level_of_a_book_passes_for_one_of_the_next() {
        for sequence in 0..1_000 {
            let (one, next) = (book(sequence), book(sequence + 1));
            assert!(one.iter().zip(&next).all(|(one, next)| one != next));
        }
    }
}
