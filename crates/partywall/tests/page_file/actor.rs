//! A process that has one handle, and does with it what its standard input says: a verb a line, answered by a line.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use partywall::ring::Alone;
use partywall::{Backing, Namespace, broadcast, frames, guarded, mpsc, ring, snapshot};

use crate::system;

/// The one channel.
pub(crate) const CHANNEL: &str = "c";
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Which handle, of six patterns: `owner` writes and `peer` reads, but for the pattern mpsc, and a record has only
/// holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Ring,
    Snapshot,
    Broadcast,
    Frames,
    Mpsc,
    Guarded,
}

impl Pattern {
    pub(crate) const ALL: [Pattern; 6] = [
        Pattern::Ring,
        Pattern::Snapshot,
        Pattern::Broadcast,
        Pattern::Frames,
        Pattern::Mpsc,
        Pattern::Guarded,
    ];

    fn named(name: &str) -> Self {
        let found = Self::ALL.into_iter().find(|pattern| pattern.name() == name);
        found.unwrap_or_else(|| panic!("no pattern {name}"))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Pattern::Ring => "ring",
            Pattern::Snapshot => "snapshot",
            Pattern::Broadcast => "broadcast",
            Pattern::Frames => "frames",
            Pattern::Mpsc => "mpsc",
            Pattern::Guarded => "guarded",
        }
    }
}

/// Another process, as the test has it. It is killed when it is dropped.
pub(crate) struct Actor {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Actor {
    pub(crate) fn new(place: &Path) -> Self {
        Self::with_fault(place, None)
    }

    /// One that kills itself before the n-th point of its first `owner` verb.
    pub(crate) fn with_fault(place: &Path, at: Option<u64>) -> Self {
        let mut command = system::this_program();
        command.arg("actor").arg(place);
        if let Some(at) = at {
            command.env("PARTYWALL_FAULT", format!("kill:{at}"));
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Actor {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Tells it what to do, and waits until it has.
    pub(crate) fn does(&mut self, what: &str) -> String {
        self.begins(what);
        self.has_done()
            .unwrap_or_else(|| panic!("it died at {what:?}"))
    }

    pub(crate) fn begins(&mut self, what: &str) {
        // One that died already is found out by its silence.
        let _ = writeln!(self.input, "{what}");
    }

    /// `None` if it died instead.
    pub(crate) fn has_done(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// By force (`SIGKILL`, `TerminateProcess`); everything that it had is closed when this returns.
    pub(crate) fn dies_by_force(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Handle {
    None,
    Producer(ring::Producer),
    Consumer(ring::Consumer),
    Writer(snapshot::Writer),
    Reader(snapshot::Reader),
    Sender(broadcast::Sender),
    Receiver(broadcast::Receiver),
    Publisher(frames::Publisher),
    Subscriber(frames::Subscriber),
    Collector(mpsc::Receiver),
    Collected(mpsc::Sender),
    Record(guarded::Record),
}

/// What the process does.
pub(crate) fn run(place: &Path) {
    let namespace = Namespace::open(place).unwrap();
    let mut handle = Handle::None;
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["owner", pattern] => owner(&namespace, Pattern::named(pattern), &mut handle, false),
            ["global", pattern] => owner(&namespace, Pattern::named(pattern), &mut handle, true),
            ["peer", pattern] => peer(&namespace, Pattern::named(pattern), LONG, &mut handle),
            ["peer-now", pattern] => {
                let little = Duration::from_millis(200);
                peer(&namespace, Pattern::named(pattern), little, &mut handle)
            }
            ["durable"] => {
                let attached = consumer(&namespace, LONG).durable("one").attach(CHANNEL);
                attached.map_or_else(|error| error.to_string(), |_| "ok".to_owned())
            }
            ["say", what] => say(&mut handle, what.as_bytes()),
            ["hear"] => hear(&mut handle),
            ["hold"] => hold(&mut handle),
            ["grow"] => match &mut handle {
                Handle::Producer(producer) => producer.grow(1 << 16).map(|()| "ok".to_owned()),
                _ => panic!("it does not grow"),
            }
            .unwrap_or_else(|error| error.to_string()),
            _ => panic!("what is {line:?}?"),
        };
        // One line each.
        println!("{}", answer.replace('\n', " "));
    }
}

macro_rules! owned {
    ($options:expr, $namespace:expr, $global:expr, $handle:ident) => {
        $options
            .namespace($namespace.clone())
            .backing(Backing::PageFile)
            .global($global)
            .heartbeat(false)
            .open(CHANNEL)
            .map($handle)
    };
}

fn owner(namespace: &Namespace, pattern: Pattern, handle: &mut Handle, global: bool) -> String {
    use Handle::{Collector, Producer, Publisher, Record, Sender, Writer};
    partywall::fault::arm();
    let opened = match pattern {
        Pattern::Ring => {
            let options = ring::ProducerOptions::new().capacity(4096);
            owned!(options.alone(Alone::Discard), namespace, global, Producer)
        }
        Pattern::Snapshot => owned!(snapshot::WriterOptions::new(), namespace, global, Writer),
        Pattern::Broadcast => owned!(broadcast::SenderOptions::new(), namespace, global, Sender),
        Pattern::Frames => {
            let options = frames::PublisherOptions::new().frame_size(4096);
            owned!(options.seats(2).held(2), namespace, global, Publisher)
        }
        Pattern::Mpsc => {
            let options = mpsc::ReceiverOptions::new().lane_capacity(65536);
            owned!(options.seats(2), namespace, global, Collector)
        }
        Pattern::Guarded => owned!(guarded::RecordOptions::new(), namespace, global, Record),
    };
    let points = partywall::fault::disarm();
    match opened {
        Ok(opened) => *handle = opened,
        Err(error) => return error.to_string(),
    }
    let adopted = match handle {
        Handle::Producer(producer) => producer.adopted(),
        Handle::Writer(writer) => writer.adopted(),
        Handle::Sender(sender) => sender.adopted(),
        Handle::Publisher(publisher) => publisher.adopted(),
        Handle::Collector(receiver) => receiver.adopted(),
        _ => return format!("ok {points}"),
    };
    format!("{} {points}", if adopted { "adopted" } else { "made" })
}

fn consumer(namespace: &Namespace, timeout: Duration) -> ring::ConsumerOptions {
    ring::ConsumerOptions::new()
        .namespace(namespace.clone())
        .attach_timeout(Some(timeout))
        .await_successor(true)
}

macro_rules! attached {
    ($options:expr, $namespace:expr, $timeout:expr, $handle:ident) => {
        $options
            .namespace($namespace.clone())
            .attach_timeout(Some($timeout))
            .attach(CHANNEL)
            .map($handle)
    };
}

fn peer(namespace: &Namespace, pattern: Pattern, timeout: Duration, handle: &mut Handle) -> String {
    use Handle::{Collected, Consumer, Reader, Receiver, Subscriber};
    let opened = match pattern {
        Pattern::Ring => consumer(namespace, timeout).attach(CHANNEL).map(Consumer),
        Pattern::Snapshot => {
            let options = snapshot::ReaderOptions::new().await_successor(true);
            attached!(options, namespace, timeout, Reader)
        }
        Pattern::Broadcast => {
            let options = broadcast::ReceiverOptions::new().await_successor(true);
            attached!(options, namespace, timeout, Receiver)
        }
        Pattern::Frames => {
            let options = frames::SubscriberOptions::new().await_successor(true);
            attached!(options, namespace, timeout, Subscriber)
        }
        Pattern::Mpsc => attached!(mpsc::SenderOptions::new(), namespace, timeout, Collected),
        // All are alike.
        Pattern::Guarded => {
            let made = owner(namespace, pattern, handle, false);
            return if made.starts_with("ok") {
                "ok".to_owned()
            } else {
                made
            };
        }
    };
    match opened {
        Ok(opened) => {
            *handle = opened;
            "ok".to_owned()
        }
        Err(error) => error.to_string(),
    }
}

fn say(handle: &mut Handle, what: &[u8]) -> String {
    match handle {
        Handle::Producer(producer) => drop(producer.send(what).unwrap()),
        Handle::Writer(writer) => drop(writer.put(what).unwrap()),
        Handle::Sender(sender) => drop(sender.send(what).unwrap()),
        Handle::Publisher(publisher) => drop(publisher.publish_copy(what).unwrap()),
        Handle::Collected(sender) => drop(sender.send(what).unwrap()),
        Handle::Record(record) => {
            let mut guard = record.lock().unwrap().consistent();
            what.clone_into(guard.value_mut());
            guard.commit().unwrap();
        }
        _ => panic!("it says nothing"),
    }
    "ok".to_owned()
}

fn hear(handle: &mut Handle) -> String {
    let heard = match handle {
        Handle::Consumer(consumer) => consumer.recv_timeout(LONG).unwrap().payload,
        Handle::Reader(reader) => reader.changed_timeout(LONG).unwrap().payload,
        Handle::Receiver(receiver) => receiver.recv_timeout(LONG).unwrap().payload,
        Handle::Subscriber(subscriber) => subscriber.recv_timeout(LONG).unwrap().to_vec(),
        Handle::Collector(receiver) => loop {
            match receiver.recv_timeout(LONG).unwrap() {
                mpsc::Event::Record(record) => break record.payload,
                mpsc::Event::Lied(..) => panic!("nobody lied"),
                _ => {}
            }
        },
        Handle::Record(record) => {
            let locked = record.lock().unwrap();
            let mut heard = if locked.owner_died() {
                b"died:".to_vec()
            } else {
                Vec::new()
            };
            heard.extend_from_slice(locked.consistent().value());
            heard
        }
        _ => panic!("it hears nothing"),
    };
    String::from_utf8(heard).unwrap()
}

/// Locks a record and does not let go of it.
fn hold(handle: &mut Handle) -> String {
    let Handle::Record(record) = handle else {
        panic!("it has no record");
    };
    let guard = record.lock().unwrap().into_guard();
    std::mem::forget(guard);
    "ok".to_owned()
}
