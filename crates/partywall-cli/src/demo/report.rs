//! How a run went, in numbers, for programs; `text` has the words for people.

use super::account::{Account, Stream};
use super::cast::{Cast, News, Size};
use super::{LONGEST_NS, word};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::io::Write;
use std::process::ExitCode;

/// After a kill: how long until each watcher had a record of the successor.
#[derive(Debug, Clone)]
pub(super) struct Recovery {
    pub(super) ns: Vec<u64>,
}

/// All that was measured.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) cast: &'static Cast,
    /// Committed, as the channel itself counted them.
    pub(super) records: u64,
    /// What the watchers should have got.
    pub(super) sent: Vec<Stream>,
    /// Said to be committed, and not there for who came next.
    pub(super) forgotten: u64,
    pub(super) frame_size: usize,
    pub(super) recoveries: Vec<Recovery>,
    pub(super) watched: Vec<Account>,
}

#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pattern: String,
    pub(super) records: u64,
    /// Of content; the mean, where they differ.
    pub(super) record_size: usize,
    #[serde(flatten)]
    frames: Option<Frames>,
    /// Of content, as written.
    bytes: u64,
    pub(super) seconds: f64,
    pub(super) records_per_s: f64,
    pub(super) gb_per_s: f64,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) max_ns: u64,
    pub(super) lost: u64,
    pub(super) torn: u64,
    pub(super) repeated: u64,
    pub(super) overruns: u64,
    pub(super) missed: u64,
    pub(super) kills: usize,
    /// Of the slowest watcher after the slowest kill.
    pub(super) recovery_ms: f64,
    #[serde(flatten)]
    pub(super) told: Told,
    pub(super) consumers: Vec<Row>,
    pub(super) ok: bool,
    #[serde(skip)]
    pub(super) forgotten: u64,
    #[serde(skip)]
    pub(super) cast: &'static Cast,
}

/// What the channel told of the writers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Told {
    Nothing {},
    Ends {
        deaths: u64,
        closes: u64,
        /// News or records of a process before its beginning or after its end.
        disorder: u64,
    },
    OwnerDied {
        owner_died: u64,
    },
}

/// The same by the name that frames have.
#[derive(Debug, Serialize)]
struct Frames {
    frames: u64,
    frame_size: usize,
    frames_per_s: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) received: u64,
    pub(super) lost: u64,
    pub(super) torn: u64,
    pub(super) repeated: u64,
    pub(super) overruns: u64,
    pub(super) missed: u64,
    p50_ns: u64,
    p99_ns: u64,
    recovery_ms: Vec<f64>,
    /// Takes what comes at once; times of the others tell only how long they nap.
    #[serde(skip)]
    pub(super) prompt: bool,
}

impl Outcome {
    /// Prints the result and says how the process should end.
    pub(super) fn tell(&self, json: bool) -> ExitCode {
        let summary = self.summary();
        let text = if json {
            serde_json::to_string(&summary).unwrap_or_default() + "\n"
        } else {
            summary.text()
        };
        let printed = std::io::stdout().lock().write_all(text.as_bytes());
        ExitCode::from(u8::from(!summary.ok || printed.is_err()))
    }

    fn summary(&self) -> Summary {
        let accounts = self.watched.iter().enumerate();
        let rows: Vec<Row> = accounts
            .map(|(index, account)| self.row(index, account))
            .collect();
        let prompt = rows.iter().zip(&self.watched).filter(|(row, _)| row.prompt);
        let all = histogram(prompt.map(|(_, account)| account));
        let began = self.watched.iter().map(|account| account.first_stamp_ns);
        let ended = self.watched.iter().map(|account| account.last_ns);
        let (began, ended) = (began.min().unwrap_or(0), ended.max().unwrap_or(0));
        let seconds = ended.saturating_sub(began) as f64 / 1e9;
        let per_second = |what: f64| if seconds > 0.0 { what / seconds } else { 0.0 };
        let of_records = |size: usize| self.records * size as u64;
        let bytes = match self.cast.size {
            Size::OfFrames => of_records(self.frame_size),
            Size::Fixed(size) => of_records(size),
            Size::UpTo(_) => self.most(|account| account.bytes),
        };
        let record_size = (bytes / self.records.max(1)) as usize;
        let records_per_s = per_second(self.records as f64);
        let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
        let (lost, torn, repeated) = (
            sum(|row| row.lost) + self.forgotten,
            sum(|row| row.torn),
            sum(|row| row.repeated),
        );
        let recovery_ms = rows
            .iter()
            .filter(|row| row.prompt)
            .flat_map(|row| &row.recovery_ms)
            .copied()
            .fold(0.0, f64::max);
        let kills = self.recoveries.len();
        let nothing_amiss = lost == 0 && torn == 0 && repeated == 0;
        let told = self.told();
        Summary {
            pattern: word(self.cast.pattern),
            records: self.records,
            record_size,
            frames: self.cast.shows_frames().then_some(Frames {
                frames: self.records,
                frame_size: record_size,
                frames_per_s: records_per_s,
            }),
            bytes,
            seconds,
            records_per_s,
            gb_per_s: per_second(bytes as f64 / 1e9),
            p50_ns: quantile(&all, 0.5),
            p99_ns: quantile(&all, 0.99),
            max_ns: quantile(&all, 1.0),
            lost,
            torn,
            repeated,
            overruns: sum(|row| row.overruns),
            missed: sum(|row| row.missed),
            kills,
            recovery_ms,
            ok: nothing_amiss && self.records > 0 && kills > 0 && self.is_told_rightly(&told),
            told,
            forgotten: self.forgotten,
            consumers: rows,
            cast: self.cast,
        }
    }

    fn most(&self, of: fn(&Account) -> u64) -> u64 {
        self.watched.iter().map(of).max().unwrap_or(0)
    }

    fn told(&self) -> Told {
        match self.cast.news {
            News::Nothing => Told::Nothing {},
            News::Ends => Told::Ends {
                deaths: self.most(|account| account.deaths),
                closes: self.most(|account| account.closes),
                disorder: self.most(|account| account.disorder),
            },
            News::OwnerDied => Told::OwnerDied {
                owner_died: self.most(|account| account.owner_died),
            },
        }
    }

    /// Whether the channel's news of the writers are what befell them.
    fn is_told_rightly(&self, told: &Told) -> bool {
        let kills = self.recoveries.len() as u64;
        match *told {
            Told::Nothing {} => true,
            Told::Ends {
                deaths,
                closes,
                disorder,
            } => {
                let writers = self.cast.writers.len() as u64;
                (deaths, closes, disorder) == (kills, writers, 0)
            }
            // Not everybody who was killed had the lock.
            Told::OwnerDied { owner_died } => owner_died <= kills,
        }
    }

    fn row(&self, index: usize, account: &Account) -> Row {
        let latency = histogram([account]);
        let watcher = &self.cast.watchers[index];
        Row {
            name: watcher.name,
            received: account.received,
            lost: self.cast.promise.lost(account, &self.sent),
            torn: account.torn,
            repeated: account.repeated,
            overruns: account.overruns,
            missed: account.missed,
            p50_ns: quantile(&latency, 0.5),
            p99_ns: quantile(&latency, 0.99),
            recovery_ms: self
                .recoveries
                .iter()
                .map(|recovery| recovery.ns[index] as f64 / 1e6)
                .collect(),
            prompt: watcher.nap.is_none(),
        }
    }
}

fn histogram<'a>(accounts: impl IntoIterator<Item = &'a Account>) -> Option<Histogram<u64>> {
    let mut all = Histogram::new_with_bounds(1, LONGEST_NS, 2).ok()?;
    for account in accounts {
        for &(value, count) in &account.latency {
            all.saturating_record_n(value, count);
        }
    }
    Some(all)
}

fn quantile(latency: &Option<Histogram<u64>>, quantile: f64) -> u64 {
    latency
        .as_ref()
        .map_or(0, |latency| latency.value_at_quantile(quantile))
}

pub(super) fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

/// In the unit that leaves something to see.
pub(super) fn throughput(gb_per_s: f64) -> String {
    if gb_per_s >= 0.1 {
        format!("{gb_per_s:.2} GB/s")
    } else if gb_per_s >= 1e-4 {
        format!("{:.2} MB/s", gb_per_s * 1e3)
    } else {
        format!("{:.2} kB/s", gb_per_s * 1e6)
    }
}

/// Thousands apart, for people.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::cast::Pattern;
    use super::*;

    fn account(received: u64, missing: u64, next: u64) -> Account {
        Account {
            received,
            missing,
            streams: vec![Stream::of_all(next)],
            last_ns: 1_000_000_000,
            latency: vec![(1_000, received)],
            ..Account::default()
        }
    }

    fn outcome(pattern: Pattern, watched: [Account; 2]) -> Outcome {
        Outcome {
            cast: pattern.cast(),
            records: 10,
            sent: vec![Stream::of_all(10)],
            forgotten: 0,
            frame_size: 100,
            recoveries: vec![Recovery {
                ns: vec![1_000_000, 2_000_000],
            }],
            watched: watched.into(),
        }
    }

    #[test]
    fn all_received_is_nothing_lost() {
        let whole = || [account(10, 0, 10), account(10, 0, 10)];
        let summary = outcome(Pattern::Ring, whole()).summary();
        assert_eq!((summary.lost, summary.ok), (0, true));
        assert_eq!((summary.bytes, summary.recovery_ms), (1000, 2.0));
        let summary = outcome(Pattern::Broadcast, whole()).summary();
        assert!(summary.ok && summary.frames.is_none());
        assert_eq!(summary.recovery_ms, 1.0, "the plotter naps");
    }

    #[test]
    fn gaps_and_a_missing_tail_are_lost() {
        let watched = || [account(9, 1, 10), account(7, 0, 7)];
        let summary = outcome(Pattern::Ring, watched()).summary();
        assert_eq!((summary.lost, summary.ok), (4, false));
        assert_eq!(summary.consumers[0].lost, 1);
        assert_eq!(summary.consumers[1].lost, 3);
        let summary = outcome(Pattern::Snapshot, watched()).summary();
        assert_eq!((summary.lost, summary.ok), (1, false));
        assert!(summary.text().contains("FAILED"));
    }

    #[test]
    fn values_that_were_missed_and_samples_that_were_overrun_are_told_but_not_lost() {
        let mut snapshot = outcome(Pattern::Snapshot, [account(8, 0, 10), account(10, 0, 10)]);
        snapshot.watched[0].missed = 2;
        let summary = snapshot.summary();
        assert_eq!((summary.missed, summary.lost, summary.ok), (2, 0, true));
        assert!(summary.text().contains("missed    2 (trader 2, screen 0)"));
        let mut broadcast = outcome(Pattern::Broadcast, [account(10, 0, 10), account(7, 0, 10)]);
        broadcast.watched[1].overruns = 3;
        let summary = broadcast.summary();
        assert_eq!((summary.overruns, summary.lost, summary.ok), (3, 0, true));
        let text = summary.text();
        assert!(
            text.contains("overrun   3 (controller 0, plotter 3)"),
            "{text}"
        );
    }

    #[test]
    fn a_run_without_a_kill_or_without_records_is_no_success() {
        let whole = || [account(10, 0, 10), account(10, 0, 10)];
        let mut without = outcome(Pattern::Ring, whole());
        without.recoveries.clear();
        assert!(!without.summary().ok);
        let mut empty = outcome(Pattern::Ring, [account(0, 0, 0), account(0, 0, 0)]);
        (empty.records, empty.sent) = (0, vec![Stream::of_all(0)]);
        assert!(!empty.summary().ok);
    }

    #[test]
    fn what_was_forgotten_is_lost() {
        let whole = || [account(10, 0, 10), account(10, 0, 10)];
        let mut forgetful = outcome(Pattern::Guarded, whole());
        assert!(forgetful.summary().ok);
        forgetful.forgotten = 2;
        let summary = forgetful.summary();
        assert_eq!((summary.lost, summary.ok), (2, false));
        assert!(summary.text().contains("forgotten 2"));
    }

    #[test]
    fn news_of_writers_must_be_what_befell_them() {
        let told = |deaths, closes, disorder| {
            let mut outcome = outcome(Pattern::Mpsc, [account(10, 0, 10), account(10, 0, 10)]);
            outcome.watched.truncate(1);
            outcome.watched[0].deaths = deaths;
            outcome.watched[0].closes = closes;
            outcome.watched[0].disorder = disorder;
            outcome.summary().ok
        };
        assert!(told(1, 3, 0));
        for (deaths, closes, disorder) in [(0, 3, 0), (2, 3, 0), (1, 2, 0), (1, 4, 0), (1, 3, 1)] {
            assert!(!told(deaths, closes, disorder));
        }
        let owner_died = |times| {
            let mut outcome = outcome(Pattern::Guarded, [account(10, 0, 10), account(10, 0, 10)]);
            outcome.watched[1].owner_died = times;
            outcome.summary().ok
        };
        assert!(owner_died(0) && owner_died(1) && !owner_died(2));
    }

    #[test]
    fn what_goes_through_is_told_in_a_unit_that_fits() {
        assert_eq!(throughput(8.014), "8.01 GB/s");
        assert_eq!(throughput(0.0008), "0.80 MB/s");
        assert_eq!(throughput(0.000_05), "50.00 kB/s");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(6_220_800), "6,220,800");
    }
}
