//! What a watcher got: the account that `lost` and `torn` are read from.

use super::cast::Promise;
use super::event::Event;
use super::record::{HEADER, Header};
use super::{FAULTY, LONGEST_NS};
use hdrhistogram::{CreationError, Histogram};
use serde::{Deserialize, Serialize};

/// How far a stream has come: what all writers add to, or what one process sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stream {
    writer: u32,
    run: u32,
    /// The sequence number that would come next: how many there were.
    pub(super) next: u64,
}

impl Stream {
    /// What all writers add to.
    pub(super) fn of_all(next: u64) -> Stream {
        Stream {
            writer: 0,
            run: 0,
            next,
        }
    }

    /// What one process sends.
    pub(super) fn of_process(writer: u32, run: u32, next: u64) -> Stream {
        Stream { writer, run, next }
    }

    pub(super) fn is(&self, other: &Stream) -> bool {
        (self.writer, self.run) == (other.writer, other.run)
    }
}

/// A watcher's account of all it was handed.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) received: u64,
    /// Of their content.
    pub(super) bytes: u64,
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
    /// How far each stream came.
    pub(super) streams: Vec<Stream>,
    /// Processes that died, and that left in good order, as the channel said.
    pub(super) deaths: u64,
    pub(super) closes: u64,
    /// News of a process, or records of one, that came before its beginning or after its end.
    pub(super) disorder: u64,
    /// Times that somebody was told of a death with the lock in hand.
    pub(super) owner_died: u64,
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
                streams: promise
                    .is_one_stream()
                    .then_some(Stream::of_all(0))
                    .into_iter()
                    .collect(),
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
        self.enter_parts(Header::decode(record), now, |header| {
            matches(header, &record[HEADER..])
        });
    }

    /// The same for a record whose content lies elsewhere. It is none without a header.
    pub(super) fn enter_parts(
        &mut self,
        header: Option<Header>,
        now: u64,
        matches: impl FnOnce(&Header) -> bool,
    ) {
        let header = header.filter(|header| self.knows(header));
        if let Some(header) = &header
            && self.overlooks(header)
        {
            return;
        }
        self.account.received += 1;
        self.account.last_ns = now;
        let Some(header) = header else {
            self.account.torn += 1;
            // Its number cannot be believed; in the one stream, it stands where the next one was due.
            self.skip(1);
            return;
        };
        self.count(&header);
        self.sees(header.writer, header.run, now);
        let account = &mut self.account;
        account.bytes += header.length;
        if account.first_stamp_ns == 0 {
            account.first_stamp_ns = header.stamp_ns;
        }
        self.latency
            .saturating_record(now.saturating_sub(header.stamp_ns).max(1));
        if !matches(&header) {
            account.torn += 1;
        }
    }

    /// There is something of this process of a writer.
    pub(super) fn sees(&mut self, writer: u32, run: u32, now: u64) {
        let writer = writer as usize;
        let Some(latest) = self.runs.get_mut(writer).filter(|latest| **latest < run) else {
            return;
        };
        *latest = run;
        self.firsts.push(Event::FirstOf {
            writer,
            run,
            at_ns: now,
        });
    }

    /// Enters the channel's word that a process died, or left in good order.
    pub(super) fn ended(&mut self, died: bool) {
        if died {
            self.account.deaths += 1;
        } else {
            self.account.closes += 1;
        }
    }

    /// Something of a process came before its beginning, or after its end.
    pub(super) fn out_of_order(&mut self) {
        self.account.disorder += 1;
    }

    /// How often somebody was told so far that another had died with the lock in hand.
    pub(super) fn owner_died(&mut self, times: u64) {
        self.account.owner_died = times;
    }

    /// Enters the channel's word that so many records were overwritten before they could be read.
    pub(super) fn overrun(&mut self, lost: u64) {
        self.account.overruns += lost;
        self.skip(lost);
    }

    /// So many were due, and will not come. Where each process has a stream of its own, it is not known in which.
    fn skip(&mut self, count: u64) {
        if self.promise.is_one_stream() {
            self.stream(0, 0).next += count;
        }
    }

    fn stream(&mut self, writer: u32, run: u32) -> &mut Stream {
        let wanted = Stream::of_process(writer, run, 0);
        let streams = &mut self.account.streams;
        // The latest processes stand last.
        let at = streams.iter().rposition(|stream| stream.is(&wanted));
        let at = at.unwrap_or_else(|| {
            streams.push(wanted);
            streams.len() - 1
        });
        &mut streams[at]
    }

    fn knows(&self, header: &Header) -> bool {
        (header.writer as usize) < self.runs.len()
    }

    /// As though the channel had never handed this record out: one of many, or the one that counts.
    fn overlooks(&mut self, header: &Header) -> bool {
        match self.promise {
            Promise::Every | Promise::EveryOfEach => {
                let overlooked = self.overlook && header.sequence >= FAULTY;
                self.overlook &= !overlooked;
                overlooked
            }
            Promise::Latest => self.overlook && header.last,
        }
    }

    fn count(&mut self, header: &Header) {
        let stream = if self.promise.is_one_stream() {
            self.stream(0, 0)
        } else {
            self.stream(header.writer, header.run)
        };
        let skipped = header.sequence.checked_sub(stream.next);
        stream.next = stream.next.max(header.sequence.saturating_add(1));
        let account = &mut self.account;
        let Some(skipped) = skipped else {
            match self.promise {
                Promise::Every | Promise::EveryOfEach => account.repeated += 1,
                // Back in time.
                Promise::Latest => account.torn += 1,
            }
            return;
        };
        match self.promise {
            Promise::Every | Promise::EveryOfEach => account.missing += skipped,
            Promise::Latest => account.missed += skipped,
        }
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
            assert_eq!(promise.lost(&account, &[Stream::of_all(6)]), missing);
        }
    }

    #[test]
    fn the_end_that_did_not_come_is_lost() {
        for (promise, lost) in [(Promise::Every, 4), (Promise::Latest, 1)] {
            let mut ledger = ledger(promise, false);
            enter_all(&mut ledger, &[0, 1]);
            assert_eq!(promise.lost(&ledger.close(), &[Stream::of_all(6)]), lost);
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
        assert_eq!(Promise::Every.lost(&account, &[Stream::of_all(8)]), 1);
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
            assert_eq!(promise.lost(&account, &[Stream::of_all(upto)]), 1);
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
        assert_eq!(Promise::Every.lost(&account, &[Stream::of_all(3)]), 0);
    }

    #[test]
    fn where_each_process_counts_anew_none_hides_what_another_lost() {
        let mut ledger = Ledger::new(Promise::EveryOfEach, 2, false).expect("a histogram");
        let mut enter = |writer, run, sequence| {
            let header = Header {
                run,
                ..Header::decode(&record(sequence, writer, false)).expect("a header")
            };
            ledger.enter_parts(Some(header), 10, |_| true);
        };
        // The second process of a writer is heard before the last of the first, as may be.
        for (writer, run, sequence) in [(0, 1, 0), (1, 1, 0), (0, 2, 0), (0, 1, 2), (0, 2, 1)] {
            enter(writer, run, sequence);
        }
        let firsts = ledger.firsts().count();
        let account = ledger.close();
        assert_eq!((firsts, account.missing, account.repeated), (3, 1, 0));
        let sent = |first, second, other| {
            [
                Stream::of_process(0, 1, first),
                Stream::of_process(0, 2, second),
                Stream::of_process(1, 1, other),
            ]
        };
        for (sent, lost) in [
            (sent(3, 2, 1), 1),
            // What a killed process had not said to be committed came all the same.
            (sent(0, 2, 1), 1),
            (sent(5, 2, 1), 3),
            (sent(3, 2, 4), 4),
        ] {
            assert_eq!(Promise::EveryOfEach.lost(&account, &sent), lost);
        }
        let unheard = [Stream::of_process(1, 2, 7)];
        assert_eq!(Promise::EveryOfEach.lost(&account, &unheard), 8);
    }
}
