//! How a run went, in words for people.

use super::cast::{Cast, Promise, Size};
use super::report::{Row, Summary, Told, duration, grouped, throughput};

impl Summary {
    pub(super) fn text(&self) -> String {
        let Cast { one, many, .. } = self.cast;
        let victim = self.cast.writers[self.cast.victim];
        let times = if self.kills == 1 {
            "once".to_owned()
        } else {
            format!("{} times", self.kills)
        };
        let mut lines = vec![
            format!(
                "sent      {} {many} of {} bytes{} in {:.1} s: {:.0} {many}/s, {}",
                grouped(self.records),
                grouped(self.record_size as u64),
                self.on_average(),
                self.seconds,
                self.records_per_s,
                throughput(self.gb_per_s),
            ),
            format!("received  {}", self.each(|row| row.received)),
            format!(
                "latency   {} median, {} for 99 of 100 {many}, {} at worst{}",
                duration(self.p50_ns),
                duration(self.p99_ns),
                duration(self.max_ns),
                self.whose_times(),
            ),
            format!(
                "killed    the {victim} {times} by SIGKILL; its successor's first {one} came after {:.1} ms",
                self.recovery_ms
            ),
            self.count("lost", self.lost, |row| row.lost),
            self.count("torn", self.torn, |row| row.torn),
        ];
        if self.forgotten > 0 {
            lines.push(format!(
                "forgotten {}: said to be committed, and not there for who came next",
                self.forgotten
            ));
        }
        lines.extend(self.told.text());
        if self.repeated > 0 {
            lines.push(self.count("repeated", self.repeated, |row| row.repeated));
        }
        if self.overruns > 0 {
            let overruns = self.count("overrun", self.overruns, |row| row.overruns);
            lines.push(overruns + ": each was told how many");
        }
        if self.cast.promise == Promise::Latest {
            let missed = self.count("missed", self.missed, |row| row.missed);
            lines.push(missed + ": replaced by newer ones before anybody looked");
        }
        lines.push(if self.ok {
            self.cast.verdict.to_owned()
        } else if self.records == 0 {
            "FAILED: nothing was sent.".to_owned()
        } else {
            "FAILED: see above.".to_owned()
        });
        lines.join("\n") + "\n"
    }

    fn on_average(&self) -> &'static str {
        match self.cast.size {
            Size::OfFrames | Size::Fixed(_) => "",
            Size::UpTo(_) => " on average",
        }
    }

    fn count(&self, what: &str, sum: u64, of: fn(&Row) -> u64) -> String {
        format!("{what:<10}{} ({})", grouped(sum), self.each(of))
    }

    fn each(&self, of: fn(&Row) -> u64) -> String {
        let counts = self.consumers.iter();
        let counts = counts.map(|row| format!("{} {}", row.name, grouped(of(row))));
        counts.collect::<Vec<_>>().join(", ")
    }

    /// Whose latency it is, if not everybody's.
    fn whose_times(&self) -> String {
        let prompt: Vec<&str> = self
            .consumers
            .iter()
            .filter(|row| row.prompt)
            .map(|row| row.name)
            .collect();
        if prompt.len() == self.consumers.len() {
            String::new()
        } else {
            format!(" ({})", prompt.join(", "))
        }
    }
}

impl Told {
    fn text(&self) -> Option<String> {
        match self {
            Told::Nothing {} => None,
            Told::Ends {
                deaths,
                closes,
                disorder,
            } => Some(format!(
                "told      of {deaths} killed and {closes} that left, each after its last record; out of order {disorder}"
            )),
            Told::OwnerDied { owner_died } => Some(format!(
                "told      of owners of the lock who died with it in hand: {owner_died}"
            )),
        }
    }
}
