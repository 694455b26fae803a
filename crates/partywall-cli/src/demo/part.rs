//! What the child processes of the demo do: they wait for their cue, play their part, and end when the conductor
//! does.

use super::account::Ledger;
use super::cast::{Cast, Look, Problem};
use super::event::{Event, now_ns, tell};
use super::pace::Pace;
use super::record::{HEADER, Header};
use super::source::Source;
use super::{DemoArgs, Fault, Part};
use crate::os;
use partywall::RecvError;
use std::io::{Read, stdin};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// How often a writer says what it has committed.
const PLEDGE_EVERY: Duration = Duration::from_millis(5);

const REPORT_EVERY: Duration = Duration::from_millis(100);

/// How long a watcher that naps waits for what is there already.
const GLANCE: Duration = Duration::from_millis(1);

/// How long the channel may take to come up.
pub(super) const OPENING: Option<Duration> = Some(Duration::from_secs(30));

/// What a child process is in the show.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) cast: &'static Cast,
    pub(super) channel: String,
    /// Which watcher, or which writer.
    index: usize,
    /// Which process of that writer.
    run: u32,
    pub(super) source: Source,
    fault: Option<Fault>,
}

impl Role {
    /// What this writer puts in front of its records.
    pub(super) fn words(&self) -> Words {
        Words {
            writer: self.index as u32,
            run: self.run,
            flaw: self.fault == Some(Fault::Corrupt),
        }
    }
}

/// What a writer puts into its records besides their content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    pub(super) writer: u32,
    pub(super) run: u32,
    flaw: bool,
}

impl Words {
    /// Whether this record gets a wrong byte.
    pub(super) fn corrupts(&self, last: bool) -> bool {
        self.flaw && last
    }

    /// The header of a record that is complete now.
    pub(super) fn header(
        &self,
        sequence: u64,
        length: usize,
        checksum: Option<u64>,
        last: bool,
    ) -> [u8; HEADER] {
        Header {
            sequence,
            stamp_ns: now_ns(),
            length: length as u64,
            checksum,
            run: self.run,
            writer: self.writer,
            last,
        }
        .encode()
    }

    /// Makes a whole record of made content in `record`.
    pub(super) fn compose(
        &self,
        record: &mut [u8],
        sequence: u64,
        last: bool,
        make: impl FnOnce(u64, &mut [u8]),
    ) {
        let (header, content) = record.split_at_mut(HEADER);
        make(sequence, content);
        if self.corrupts(last) {
            content[0] ^= 1;
        }
        header.copy_from_slice(&self.header(sequence, content.len(), None, last));
    }
}

/// When to begin and when to end.
struct Cue {
    begin: Receiver<()>,
    end: Arc<AtomicBool>,
}

impl Cue {
    /// Standard input is the conductor's: a byte on it says begin, its end says end.
    ///
    /// Called once the channel is open. Opening registers the process for the kernel's memory barriers, which is done at
    /// once for one that has a single thread; for others it takes as long as the kernel needs to be sure of all
    /// processors, 10 ms on an idle machine and more on a busy one.
    fn listen() -> Cue {
        let (begins, begin) = sync_channel(1);
        let end = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&end);
        std::thread::spawn(move || {
            let mut input = stdin().lock();
            if input.read_exact(&mut [0]).is_ok() {
                let _ = begins.send(());
                let _ = input.read_to_end(&mut Vec::new());
            }
            ends.store(true, Ordering::Relaxed);
        });
        Cue { begin, end }
    }

    /// Waits for the beginning; `false` if the end came first.
    fn begins(&self) -> bool {
        self.begin.recv().is_ok()
    }

    fn ended(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }
}

pub(super) fn run(args: &DemoArgs, part: Part, source: Source) -> Result<ExitCode, String> {
    // A conductor that died before this has closed the pipe.
    if os::has_gone(&stdin()) {
        return Ok(ExitCode::SUCCESS);
    }
    let role = Role {
        cast: args.pattern.cast(),
        channel: args.channel.clone(),
        index: args.index,
        run: args.run,
        source,
        fault: args.fault,
    };
    let (watchers, writers) = (role.cast.watchers.len(), role.cast.writers.len());
    let outcome = match part {
        Part::Writer if role.index >= writers => Err("there is no such writer".into()),
        Part::Watcher if role.index >= watchers => Err("there is no such watcher".into()),
        Part::Writer => write(&role, args.fps),
        Part::Watcher => watch(&role),
    };
    outcome
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| error.to_string())
}

fn write(role: &Role, fps: Option<f64>) -> Result<(), Problem> {
    if role.fault == Some(Fault::Fail) {
        return Err("told to fail".into());
    }
    let mut writer = (role.cast.enter)(role)?;
    let cue = Cue::listen();
    tell(&Event::Opened {
        adopted: writer.adopted(),
        found: writer.records(),
    });
    if !cue.begins() {
        return Ok(());
    }
    let mut pace = Pace::new(fps.or(role.cast.rate));
    let mut pledged = Instant::now();
    while !cue.ended() {
        pace.wait(&cue.end);
        writer.send(false)?;
        if pledged.elapsed() >= PLEDGE_EVERY {
            pledged = Instant::now();
            tell(&Event::Committed {
                records: writer.records(),
            });
        }
    }
    writer.send(true)?;
    let records = writer.finish()?;
    tell(&Event::Sent { records });
    Ok(())
}

fn watch(role: &Role) -> Result<(), Problem> {
    let cast = role.cast;
    let nap = cast.watchers[role.index].nap;
    let mut watcher = (cast.attach)(role)?;
    let cue = Cue::listen();
    tell(&Event::Attached);
    let overlook = role.fault == Some(Fault::Lose);
    let mut ledger = Ledger::new(cast.promise, cast.writers.len(), overlook)?;
    let mut reported = Instant::now();
    let wait = nap.map_or(REPORT_EVERY, |_| GLANCE);
    // The pipe ends when the conductor has gone: nobody is left to count for.
    while !cue.ended() {
        let look = watcher.look(&mut ledger, wait)?;
        ledger.firsts().for_each(|first| tell(&first));
        match look {
            Look::More => {}
            Look::Current => std::thread::sleep(nap.unwrap_or_default()),
            Look::End => {
                tell(&Event::Watched(Box::new(ledger.close())));
                return Ok(());
            }
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            tell(&ledger.progress());
        }
    }
    Ok(())
}

/// What it means for a watcher that nothing was received.
pub(super) fn nothing(error: RecvError) -> Result<Look, Problem> {
    match error {
        RecvError::TimedOut { .. } => Ok(Look::Current),
        RecvError::Closed { .. } => Ok(Look::End),
        error => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conductor_that_has_gone_is_noticed() {
        let (ours, conductors) = std::io::pipe().expect("a pipe");
        assert!(!os::has_gone(&ours));
        drop(conductors);
        assert!(os::has_gone(&ours));
    }
}
