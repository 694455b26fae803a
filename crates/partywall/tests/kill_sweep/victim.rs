//! The process that is killed, and what it said before.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use partywall::ring::{Consumer, ConsumerOptions, Producer, ProducerOptions};
use partywall::{Namespace, fault};

use crate::system;
use crate::world::{CHANNEL, Payload};

const ROLE: &str = "PARTYWALL_SWEEP_ROLE";
const PLACE: &str = "PARTYWALL_SWEEP_PLACE";
const FAULT: &str = "PARTYWALL_FAULT";

/// The operation that this process is to act out; `None` for the sweeping process.
pub(crate) fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// What happens to the victim.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    None,
    Kill(u64),
    /// Stopped, and continued when the others have acted.
    Stop(u64),
}

/// What the victim said before it died or ended.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Numbers of the records whose send returned.
    pub(crate) sent: Vec<u64>,
    /// Numbers of the records that a receive returned.
    pub(crate) got: Vec<u64>,
    /// Points visited, if it came to its end.
    pub(crate) points: Option<u64>,
    /// Ended by force.
    pub(crate) killed: bool,
}

impl Report {
    /// Takes a line that the victim said.
    pub(crate) fn hear(&mut self, line: &str) {
        let (what, number) = line.split_once(' ').unwrap();
        let number = number.parse().unwrap();
        match what {
            "sent" => self.sent.push(number),
            "got" => self.got.push(number),
            "points" => self.points = Some(number),
            other => panic!("the victim said {other}"),
        }
    }
}

/// A process that acts a role at a place.
pub(crate) fn stage_of<'a>(command: &'a mut Command, role: &str, place: &Path) -> &'a mut Command {
    command
        .env(ROLE, role)
        .env(PLACE, place)
        .env_remove(FAULT)
        .stdin(Stdio::null())
}

/// A victim that has not begun yet.
pub(crate) fn command(role: &str, place: &Path, fault: Fault) -> Command {
    let mut command = system::this_program();
    stage_of(&mut command, role, place).stdout(Stdio::piped());
    match fault {
        Fault::None => {}
        Fault::Kill(point) => {
            command.env(FAULT, format!("kill:{point}"));
        }
        Fault::Stop(point) => {
            command.env(FAULT, format!("stop:{point}"));
        }
    }
    command
}

/// Runs a victim to its end.
pub(crate) fn run(role: &str, place: &Path, fault: Fault) -> Report {
    let mut child = command(role, place, fault).spawn().unwrap();
    let output = child.stdout.take().unwrap();
    let mut report = Report::default();
    for line in BufReader::new(output).lines() {
        report.hear(&line.unwrap());
    }
    let status = child.wait().unwrap();
    report.killed = system::was_killed(status);
    assert!(
        status.success() || report.killed,
        "{role}: the victim ended with {status}"
    );
    report
}

/// What a victim works with.
pub(crate) struct Stage {
    pub(crate) namespace: Namespace,
}

impl Stage {
    pub(crate) fn enter() -> Self {
        Stage {
            namespace: Namespace::open(env::var_os(PLACE).unwrap()).unwrap(),
        }
    }

    /// Points count from here on.
    pub(crate) fn armed(&self) {
        fault::arm();
    }

    /// Points count no longer.
    pub(crate) fn disarmed(&self) {
        say("points", fault::disarm());
    }

    pub(crate) fn producer_options(&self) -> ProducerOptions {
        crate::world::producer_options(&self.namespace)
    }

    pub(crate) fn consumer_options(&self) -> ConsumerOptions {
        crate::world::consumer_options(&self.namespace)
    }

    pub(crate) fn producer(&self) -> Producer {
        self.producer_options().open(CHANNEL).unwrap()
    }

    pub(crate) fn consumer(&self) -> Consumer {
        self.consumer_options().attach(CHANNEL).unwrap()
    }

    /// Sends the record with the next number, and says so once it is committed.
    pub(crate) fn send(&self, producer: &mut Producer, len: usize) {
        let number = producer.records();
        producer.send(&Payload::bytes(number, len)).unwrap();
        say("sent", number);
    }

    /// Receives a record and says which.
    pub(crate) fn receive(&self, consumer: &mut Consumer) {
        say("got", Payload::number(&consumer.recv().unwrap()));
    }
}

/// One unbuffered write, so that what was said before the kill is known.
pub(crate) fn say(what: &str, number: u64) {
    let line = format!("{what} {number}\n");
    io::stdout().write_all(line.as_bytes()).unwrap();
    io::stdout().flush().unwrap();
}
