//! Telling people how it goes: a word before, and a line on the terminal meanwhile.

use super::DemoArgs;
use super::cast::{Cast, Size};
use super::report::{duration, grouped, throughput};
use super::source::Source;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// The line on a terminal that says how it goes. Silent anywhere else.
#[derive(Debug)]
pub(super) struct Progress {
    cast: &'static Cast,
    terminal: bool,
    quiet: bool,
    drawn: Instant,
    counted: (Instant, u64),
    received: Vec<u64>,
    /// If all have the same.
    record_size: Option<usize>,
    pub(super) kills: usize,
}

impl Progress {
    pub(super) fn new(cast: &'static Cast, json: bool) -> Progress {
        let now = Instant::now();
        Progress {
            cast,
            terminal: std::io::stderr().is_terminal(),
            quiet: json,
            drawn: now,
            counted: (now, 0),
            received: vec![0; cast.watchers.len()],
            record_size: None,
            kills: 0,
        }
    }

    pub(super) fn opening(&mut self, source: &Source, place: &Path, args: &DemoArgs) {
        let cast = self.cast;
        let (upto, size) = match cast.size {
            Size::OfFrames => ("", source.frame_size()),
            Size::Fixed(size) => ("", size),
            Size::UpTo(size) => ("up to ", size),
        };
        self.record_size = upto.is_empty().then_some(size);
        if self.quiet {
            return;
        }
        let what = match (cast.size, source) {
            (Size::OfFrames, Source::File { path, frames, .. }) => {
                format!("The {frames} frames of {}", path.display())
            }
            (Size::OfFrames, Source::Made { .. }) => "Made frames".to_owned(),
            (Size::Fixed(_) | Size::UpTo(_), _) => {
                let mut many = cast.many.to_owned();
                many[..1].make_ascii_uppercase();
                many
            }
        };
        println!(
            "{}\n\
             {what} of {upto}{} bytes, for {} s; meanwhile the {} is killed and restarted.\n\
             Look on from elsewhere: partywall ls --dir {}\n",
            cast.opening,
            grouped(size as u64),
            args.seconds,
            cast.writers[cast.victim],
            place.display(),
        );
    }

    pub(super) fn heard(&mut self, who: usize, received: u64, p50_ns: u64, p99_ns: u64) {
        self.received[who] = received;
        let since = self.drawn.elapsed();
        // Those that nap say little about how fast it goes.
        let prompt = self.cast.watchers[who].nap.is_none();
        if !self.terminal || !prompt || since < Duration::from_millis(250) {
            return;
        }
        self.drawn = Instant::now();
        let watchers = self.cast.watchers.iter().zip(&self.received);
        let prompt = watchers.filter(|(watcher, _)| watcher.nap.is_none());
        let slowest = prompt.map(|(_, &received)| received).min().unwrap_or(0);
        let (then, count) = std::mem::replace(&mut self.counted, (self.drawn, slowest));
        let rate = slowest.saturating_sub(count) as f64 / then.elapsed().as_secs_f64().max(1e-9);
        let amount = self.record_size.map_or_else(String::new, |size| {
            format!("  {}", throughput(rate * size as f64 / 1e9))
        });
        eprint!(
            "\r\x1b[2K{} {many}  {rate:.0} {many}/s{amount}  latency {} median, {} p99  kills {}",
            grouped(slowest),
            duration(p50_ns),
            duration(p99_ns),
            self.kills,
            many = self.cast.many,
        );
    }

    /// Leaves the line empty for what comes next.
    pub(super) fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
    }
}
