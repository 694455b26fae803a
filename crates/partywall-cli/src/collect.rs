//! `partywall collect`: what many send, to standard output.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use partywall::RecvError;
use partywall::mpsc::{Event, Meta, Receiver, ReceiverOptions, SenderId};

use crate::ended::{self, Ended, complain};
use crate::exit::{Exit, Failure};
use crate::kinds;
use crate::options::{Place, Protection, Wait, protected, seconds, size};
use crate::output::Output;
use crate::signals::Signals;

/// A line in pieces may take so much memory before this end gives up on it.
const LONGEST_LINE: usize = 1 << 30;

/// Options of `partywall collect`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    partywall collect log --tag >> all.log
    worker | partywall send log --to-collector      (as many of them as there are seats)")]
pub(crate) struct CollectArguments {
    /// The channel; created, or taken over from a dead collector
    #[arg(value_name = "NAME")]
    channel: String,

    /// Write before each line whose it is: the seat, and the how manieth of its senders
    #[arg(long)]
    tag: bool,

    /// How many senders there can be at once, 1 to 64
    #[arg(long, value_name = "N", default_value_t = 64)]
    seats: u32,

    /// Size of each sender's lane, rounded up to a power of two
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "1M")]
    lane: u64,

    /// End when everybody who came has left
    #[arg(long)]
    once: bool,

    /// How to wait for records
    #[arg(long, value_enum, default_value_t)]
    wait: Wait,

    /// Give up when nothing arrives for so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    #[command(flatten)]
    protection: Protection,
}

/// Runs the command. At its end the channel is closed.
pub(crate) fn run(arguments: &CollectArguments, place: &Place) -> Result<Exit, Failure> {
    let signals = Signals::install()?;
    let options = ReceiverOptions::new()
        .namespace(place.open()?)
        .seats(arguments.seats)
        .lane_capacity(arguments.lane)
        .wait(arguments.wait.into())
        .stop_token(signals.stop.clone());
    let receiver = protected!(options, arguments.protection).open(&arguments.channel)?;
    let collector = Collector {
        receiver,
        arguments,
        lines: Lines {
            output: Output::standard(),
            signals: &signals,
            tag: arguments.tag,
            unfinished: BTreeMap::new(),
            unended: None,
            line: Vec::new(),
        },
        present: 0,
    };
    ended::exit(collector.run(), &signals)
}

struct Collector<'a> {
    receiver: Receiver,
    arguments: &'a CollectArguments,
    lines: Lines<'a>,
    /// Senders that are here.
    present: u32,
}

impl Collector<'_> {
    fn run(mut self) -> Result<(), Ended> {
        let mut payload = Vec::new();
        loop {
            // Asking for the next says that the one before is written: who takes over after a kill gets the
            // rest, and some again.
            let told = self
                .receiver
                .recv_into_timeout(&mut payload, self.arguments.timeout);
            match told {
                Ok(event) => self.take(event, &payload)?,
                Err(RecvError::Stopped { .. }) => return Err(Ended::Signal),
                Err(error) => return Err(error.into()),
            }
            // While records keep coming nothing waits, and only waits look for a stop.
            if self.lines.signals.exit().is_some() {
                return Err(Ended::Signal);
            }
            if self.arguments.once && self.present == 0 {
                return Ok(());
            }
        }
    }

    fn take(&mut self, event: Event<Meta>, payload: &[u8]) -> Result<(), Ended> {
        match event {
            Event::Record(meta) => return self.lines.put(meta.sender, meta.kind, payload),
            // One that an earlier collector was told of is counted when its end comes.
            Event::Opened(_) => self.present += 1,
            Event::Closed(sender) => self.gone(sender, None),
            Event::Died(sender) => self.gone(sender, Some("died".to_owned())),
            Event::Lied(sender, lie) => {
                self.gone(sender, Some(format!("is not read any more: {lie}")));
            }
        }
        Ok(())
    }

    fn gone(&mut self, sender: SenderId, how: Option<String>) {
        self.present = self.present.saturating_sub(1);
        let torn = self.lines.unfinished.remove(&sender).is_some();
        if let Some(how) = how {
            let torn = if torn {
                "; the line that it was sending is not written"
            } else {
                ""
            };
            complain(&format!("sender {sender} {how}{torn}"));
        }
    }
}

/// What records become: lines, each whole, whoever else sends meanwhile.
struct Lines<'a> {
    output: Output,
    signals: &'a Signals,
    tag: bool,
    /// What has arrived of lines in pieces.
    unfinished: BTreeMap<SenderId, Vec<u8>>,
    /// Whose last line, without a newline, stands at the end of the output.
    unended: Option<SenderId>,
    line: Vec<u8>,
}

impl Lines<'_> {
    fn put(&mut self, sender: SenderId, kind: u16, bytes: &[u8]) -> Result<(), Ended> {
        match kind {
            kinds::START => {
                self.unfinished.remove(&sender);
                Ok(())
            }
            kinds::FIRST => {
                self.unfinished.insert(sender, bytes.to_vec());
                Ok(())
            }
            kinds::MORE | kinds::END | kinds::END_BARE => {
                // Whoever takes over in the middle of a line gets nothing of it: a rest of a line is a torn line.
                let Some(line) = self.unfinished.get_mut(&sender) else {
                    return Ok(());
                };
                if line.len() + bytes.len() > LONGEST_LINE {
                    return Err(Ended::Failed(Failure::new(
                        Exit::Failed,
                        format!("sender {sender}: a line of more than 1 GiB"),
                    )));
                }
                line.extend_from_slice(bytes);
                if kind == kinds::MORE {
                    return Ok(());
                }
                let whole = self.unfinished.remove(&sender).unwrap_or_default();
                self.write(sender, &whole, kind == kinds::END)
            }
            _ => self.write(sender, bytes, kind == kinds::LINE),
        }
    }

    fn write(&mut self, sender: SenderId, bytes: &[u8], newline: bool) -> Result<(), Ended> {
        self.line.clear();
        // A last line without a newline stays so, unless another's would be glued to it.
        if self.unended.take().is_some_and(|before| before != sender) {
            self.line.push(b'\n');
        }
        if self.tag {
            let _ = write!(self.line, "{sender}: ");
        }
        self.line.extend_from_slice(bytes);
        if newline {
            self.line.push(b'\n');
        } else {
            self.unended = Some(sender);
        }
        self.output.write_all(&self.line, self.signals)?;
        Ok(())
    }
}
