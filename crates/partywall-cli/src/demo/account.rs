//! What a watcher got: the account that `lost` and `torn` are read from.

use super::cast::Promise;
use super::event::Event;
use super::record::{HEADER, Header};
use super::{FAULTY, LONGEST_NS};
use hdrhistogram::{CreationError, Histogram};
use serde::{Deserialize, Serialize};

/// A watcher's account of all it was handed.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) received: u64,
    /// Sequence numbers that were skipped, and nobody said so.
    pub(super) missing: u64,
    /// Records whose sequence number had gone by already.
    pub(super) repeated: u64,
    /// Records whose content is not what was sent, or that are older than one before.
    pub(super) torn: u64,
    /// Records that the channel said were overwritten before they were read.
    pub(super) overruns: u64,
    /// Values that were replaced before they were looked at, as may be where only the latest counts.
    pub(super) missed: u64,
    /// The sequence number that would have come next from each writer.
    pub(super) next: Vec<u64>,
    pub(super) first_stamp_ns: u64,
    pub(super) last_ns: u64,
    /// Latencies as (nanoseconds, how often).
    pub(super) latency: Vec<(u64, u64)>,
}

/// Keeps the account while the show goes on.
#[derive(Debug)]
pub(super) struct Ledger {
    promise: Promise,
    account: Account,
    latency: Histogram<u64>,
    /// The process of each writer that its last record came from; 0 before the first.
    runs: Vec<u32>,
    /// First records of processes that nobody was told of yet.
    firsts: Vec<Event>,
    /// Told to lose a record, and has not yet.
    overlook: bool,
}

impl Ledger {
    pub(super) fn new(
        promise: Promise,
        writers: usize,
        overlook: bool,
    ) -> Result<Ledger, CreationError> {
        Ok(Ledger {
            promise,
            account: Account {
                next: vec![0; writers],
                ..Account::default()
            },
            latency: Histogram::new_with_bounds(1, LONGEST_NS, 2)?,
            runs: vec![0; writers],
            firsts: Vec::new(),
            overlook,
        })
    }

    /// Enters a record that arrived at `now`. `matches` reads its content, and says whether it is what was sent.
    pub(super) fn enter(
        &mut self,
        record: &[u8],
        now: u64,
        matches: impl FnOnce(&Header, &[u8]) -> bool,
    ) {
        let header = Header::decode(record).filter(|header| self.knows(header));
        if let Some(header) = &header
            && self.overlooks(header)
        {
            return;
        }
        self.account.received += 1;
        self.account.last_ns = now;
        let Some(header) = header else {
            self.account.torn += 1;
            // Its number cannot be believed; where there is one writer, it stands where the next one was due.
            if let [next] = &mut self.account.next[..] {
                *next += 1;
            }
            return;
        };
        self.count(&header);
        let account = &mut self.account;
        if account.first_stamp_ns == 0 {
            account.first_stamp_ns = header.stamp_ns;
        }
        let run = &mut self.runs[header.writer as usize];
        if *run != header.run {
            *run = header.run;
            self.firsts.push(Event::FirstOf {
                writer: header.writer as usize,
                run: header.run,
                at_ns: now,
            });
        }
        self.latency
            .saturating_record(now.saturating_sub(header.stamp_ns).max(1));
        if !matches(&header, &record[HEADER..]) {
            account.torn += 1;
        }
    }

    /// Enters the channel's word that so many records were overwritten before they could be read.
    pub(super) fn overrun(&mut self, lost: u64) {
        self.account.overruns += lost;
        // Who overran us: a broadcast has one sender.
        if let [next] = &mut self.account.next[..] {
            *next += lost;
        }
    }

    fn knows(&self, header: &Header) -> bool {
        (header.writer as usize) < self.runs.len()
    }

    /// As though the channel had never handed this record out: one of many, or the one that counts.
    fn overlooks(&mut self, header: &Header) -> bool {
        match self.promise {
            Promise::Every if self.overlook && header.sequence >= FAULTY => {
                self.overlook = false;
                true
            }
            Promise::Every => false,
            Promise::Latest => self.overlook && header.last,
        }
    }

    fn count(&mut self, header: &Header) {
        let account = &mut self.account;
        let next = &mut account.next[header.writer as usize];
        let Some(skipped) = header.sequence.checked_sub(*next) else {
            match self.promise {
                Promise::Every => account.repeated += 1,
                // Back in time.
                Promise::Latest => account.torn += 1,
            }
            return;
        };
        match self.promise {
            Promise::Every => account.missing += skipped,
            Promise::Latest => account.missed += skipped,
        }
        *next = header.sequence + 1;
    }

    /// What the conductor should know at once.
    pub(super) fn firsts(&mut self) -> impl Iterator<Item = Event> {
        self.firsts.drain(..)
    }

    /// How it goes.
    pub(super) fn progress(&self) -> Event {
        Event::Progress {
            received: self.account.received,
            p50_ns: self.latency.value_at_quantile(0.5),
            p99_ns: self.latency.value_at_quantile(0.99),
        }
    }

    pub(super) fn close(mut self) -> Account {
        self.account.latency = self
            .latency
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
            .collect();
        self.account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(promise: Promise, overlook: bool) -> Ledger {
        Ledger::new(promise, 1, overlook).expect("a histogram")
    }

    fn record(sequence: u64, writer: u32, last: bool) -> [u8; HEADER] {
        let header = Header {
            sequence,
            stamp_ns: 1,
            length: 0,
            checksum: None,
            run: 1,
            writer,
            last,
        };
        header.encode()
    }

    fn enter_all(ledger: &mut Ledger, sequences: &[u64]) {
        for &sequence in sequences {
            let last = sequences.last() == Some(&sequence);
            ledger.enter(&record(sequence, 0, last), 10, |_, _| true);
        }
    }

    #[test]
    fn a_gap_in_a_stream_is_lost_and_in_a_snapshot_missed() {
        for (promise, missing, missed) in [(Promise::Every, 3, 0), (Promise::Latest, 0, 3)] {
            let mut ledger = ledger(promise, false);
            enter_all(&mut ledger, &[0, 2, 5]);
            let account = ledger.close();
            assert_eq!((account.missing, account.missed), (missing, missed));
            assert_eq!(promise.lost(&account, &[6]), missing);
        }
    }

    #[test]
    fn the_end_that_did_not_come_is_lost() {
        for (promise, lost) in [(Promise::Every, 4), (Promise::Latest, 1)] {
            let mut ledger = ledger(promise, false);
            enter_all(&mut ledger, &[0, 1]);
            assert_eq!(promise.lost(&ledger.close(), &[6]), lost);
        }
    }

    #[test]
    fn what_the_channel_says_was_overrun_is_not_lost_and_what_it_does_not_say_is() {
        let mut ledger = ledger(Promise::Every, false);
        enter_all(&mut ledger, &[0]);
        ledger.overrun(4);
        enter_all(&mut ledger, &[5, 7]);
        let account = ledger.close();
        assert_eq!((account.overruns, account.missing), (4, 1));
        assert_eq!(Promise::Every.lost(&account, &[8]), 1);
    }

    #[test]
    fn a_step_back_is_a_repetition_in_a_stream_and_torn_in_a_snapshot() {
        for (promise, repeated, torn) in [(Promise::Every, 1, 0), (Promise::Latest, 0, 1)] {
            let mut ledger = ledger(promise, false);
            enter_all(&mut ledger, &[0, 1, 0]);
            let account = ledger.close();
            assert_eq!((account.repeated, account.torn), (repeated, torn));
        }
    }

    #[test]
    fn the_first_record_of_each_process_is_news_once() {
        let mut ledger = ledger(Promise::Every, false);
        enter_all(&mut ledger, &[0, 1]);
        let firsts: Vec<Event> = ledger.firsts().collect();
        assert!(
            matches!(
                firsts[..],
                [Event::FirstOf {
                    writer: 0,
                    run: 1,
                    at_ns: 10
                }]
            ),
            "{firsts:?}"
        );
        enter_all(&mut ledger, &[2]);
        assert_eq!(ledger.firsts().count(), 0);
    }

    #[test]
    fn an_overlooked_record_is_one_of_many_or_the_last() {
        for (promise, upto) in [(Promise::Every, 10), (Promise::Latest, 3)] {
            let mut ledger = ledger(promise, true);
            let sequences: Vec<u64> = (0..upto).collect();
            enter_all(&mut ledger, &sequences);
            let account = ledger.close();
            assert_eq!(account.received, upto - 1);
            assert_eq!(promise.lost(&account, &[upto]), 1);
        }
    }

    #[test]
    fn what_does_not_verify_or_comes_from_nobody_is_torn() {
        let mut ledger = ledger(Promise::Every, false);
        ledger.enter(&record(0, 0, false), 10, |_, _| false);
        ledger.enter(&record(1, 1, false), 10, |_, _| true);
        ledger.enter(&[0; HEADER], 10, |_, _| true);
        let account = ledger.close();
        assert_eq!((account.received, account.torn), (3, 3));
        assert_eq!(Promise::Every.lost(&account, &[3]), 0);
    }
}
