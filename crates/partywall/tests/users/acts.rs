//! What the actors do: this program again, as another user or in a container.

use std::fs;
use std::io::{BufRead, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use partywall::broadcast::{ReceiverOptions, SenderOptions, Start};
use partywall::frames::PublisherOptions;
use partywall::guarded::RecordOptions;
use partywall::ring::{ConsumerOptions, ProducerOptions};
use partywall::snapshot::{ReaderOptions, WriterOptions};
use partywall::{ManageError, Namespace, OpenError, RecvError, inspect, manage, mpsc};
use rustix::fs::Mode;

use crate::intruder;

/// Nothing here takes so long unless it hangs.
const LONG: Option<Duration> = Some(Duration::from_secs(30));

/// Does what its name says, with the arguments of this process.
pub(crate) fn perform(act: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match (act, &arguments[..]) {
        ("put", [place, mode]) => put(place, mode),
        ("send", [place, mode]) => send(place, mode),
        ("produce", [place]) => produce(place),
        ("watch", [place, user, channel]) => watch(place, number(user), channel),
        ("receive", [place, user, channel]) => receive(place, number(user), channel),
        ("consume", [place]) => consume(place),
        ("make_all_under", [umask, home]) => make_all_under(octal(umask), Path::new(home)),
        ("mend", [place]) => mend(place),
        ("open_namespace", [path, user]) => open_namespace(path, number(user)),
        ("plant", [home, target]) => plant(Path::new(home), target),
        ("try", [what, place, user, channel]) => attempt(what, place, number(user), channel),
        ("lock_memory", [place, limit, bytes]) => lock_memory(place, number(limit), number(bytes)),
        ("dump", [place, role, channel]) => crate::confidential::dump(place, role, channel),
        ("intrude", [place, home, owner, channel]) => {
            intruder::intrude(Path::new(place), Path::new(home), number(owner), channel);
        }
        ("run_out_of_bytes", []) => crate::scarce::run_out_of_bytes(),
        ("grow_without_room_for_lanes", []) => crate::scarce::grow_without_room_for_lanes(),
        ("run_out_of_files", []) => crate::scarce::run_out_of_files(),
        _ => panic!("no such act: {act} {arguments:?}"),
    }
}

fn number(text: &str) -> u32 {
    text.parse().unwrap()
}

fn octal(text: &str) -> u32 {
    u32::from_str_radix(text, 8).unwrap()
}

pub(crate) fn say(line: impl std::fmt::Display) {
    let mut output = std::io::stdout();
    writeln!(output, "{line}").unwrap();
    output.flush().unwrap();
}

/// What it is told, line by line, until there is no more.
pub(crate) fn told() -> impl Iterator<Item = String> {
    std::io::stdin().lock().lines().map(Result::unwrap)
}

/// Each line is a value of the snapshot `s`.
fn put(place: &str, mode: &str) {
    let namespace = Namespace::open_with_mode(place, 0o711).unwrap();
    let mut options = WriterOptions::new().namespace(namespace);
    if mode != "-" {
        options = options.mode(octal(mode));
    }
    let mut writer = options
        .value_size(64)
        .keep_when_closed(true)
        .open("s")
        .unwrap();
    say("open");
    for line in told() {
        match line.as_str() {
            "abandon" => return writer.abandon(),
            value => say(writer.put(value.as_bytes()).unwrap()),
        }
    }
    writer.close().unwrap();
}

/// Each line is a record of the broadcast `b`.
fn send(place: &str, mode: &str) {
    let namespace = Namespace::open_with_mode(place, 0o711).unwrap();
    let options = SenderOptions::new().namespace(namespace).mode(octal(mode));
    let mut sender = options.value_size(64).open("b").unwrap();
    say("open");
    for line in told() {
        say(sender.send(line.as_bytes()).unwrap());
    }
}

/// Each line is a record of the ring `r`.
fn produce(place: &str) {
    let namespace = Namespace::open(place).unwrap();
    let options = ProducerOptions::new().namespace(namespace);
    let mut producer = options.capacity(4096).open("r").unwrap();
    say("open");
    for line in told() {
        producer.send(line.as_bytes()).unwrap();
        say("sent");
    }
}

/// Tells each value that it sees, and why there are no more.
fn watch(place: &str, user: u32, channel: &str) {
    let namespace = Namespace::open_of(place, user).unwrap();
    let options = ReaderOptions::new().namespace(namespace.clone());
    let mut reader = match options.attach(channel) {
        Ok(reader) => reader,
        Err(error) => return say(error),
    };
    say(if reader.has_writer() { "live" } else { "alone" });
    let mut payload = Vec::new();
    loop {
        match reader.changed_into(&mut payload, LONG) {
            Ok(_) => say(String::from_utf8_lossy(&payload)),
            Err(error) => {
                let owner = inspect::inspect(&namespace, channel).map(|info| info.owner);
                say(name_of(&error));
                return say(owner.map_or_else(|_| "gone".to_owned(), |owner| owner.to_string()));
            }
        }
    }
}

/// The same of a broadcast, from its oldest record on.
fn receive(place: &str, user: u32, channel: &str) {
    let namespace = Namespace::open_of(place, user).unwrap();
    let options = ReceiverOptions::new().namespace(namespace);
    let mut receiver = options.start(Start::Oldest).attach(channel).unwrap();
    say("attached");
    let mut payload = Vec::new();
    loop {
        match receiver.recv_into(&mut payload, LONG) {
            Ok(_) => say(String::from_utf8_lossy(&payload)),
            Err(error) => return say(name_of(&error)),
        }
    }
}

/// The same of a ring.
fn consume(place: &str) {
    let namespace = Namespace::open(place).unwrap();
    let options = ConsumerOptions::new().namespace(namespace.clone());
    let mut consumer = options.attach("r").unwrap();
    let seen = inspect::inspect(&namespace, "r").unwrap();
    say(seen.owner);
    loop {
        match consumer.recv() {
            Ok(record) => say(String::from_utf8_lossy(&record)),
            Err(error) => return say(name_of(&error)),
        }
    }
}

fn name_of(error: &RecvError) -> &'static str {
    match error {
        RecvError::OwnerDied { .. } => "owner died",
        RecvError::Closed { .. } => "closed",
        RecvError::Deleted { .. } => "deleted",
        RecvError::TimedOut { .. } => "timed out",
        _ => "another error",
    }
}

/// Makes a channel of each pattern in one namespace, and shared ones in another.
fn make_all_under(umask: u32, home: &Path) {
    rustix::process::umask(Mode::from_raw_mode(umask));
    let private = Namespace::open(home.join("private")).unwrap();
    let at = || private.clone();
    ProducerOptions::new()
        .namespace(at())
        .open("ring")
        .unwrap()
        .abandon();
    WriterOptions::new()
        .namespace(at())
        .open("snapshot")
        .unwrap()
        .abandon();
    SenderOptions::new()
        .namespace(at())
        .open("broadcast")
        .unwrap()
        .abandon();
    PublisherOptions::new()
        .namespace(at())
        .open("frames")
        .unwrap()
        .abandon();
    let receiver = mpsc::ReceiverOptions::new()
        .namespace(at())
        .lane_capacity(4096);
    receiver.open("mpsc").unwrap().abandon();
    drop(
        RecordOptions::new()
            .namespace(at())
            .open("guarded")
            .unwrap(),
    );
    let shared = Namespace::open_with_mode(home.join("shared"), 0o755).unwrap();
    let options = WriterOptions::new().namespace(shared.clone());
    options
        .clone()
        .mode(0o644)
        .open("everybody")
        .unwrap()
        .abandon();
    options.clone().mode(0o640).open("group").unwrap().abandon();
    options.open("nobody").unwrap().abandon();
}

/// Opens what lacks the rights of its owner, as if its maker had died before it gave them.
fn mend(place: &str) {
    let namespace = Namespace::open(place).unwrap();
    let half = Path::new(place).join("half");
    fs::create_dir(&half).unwrap();
    crate::stage::set_mode(&half, 0);
    let options = WriterOptions::new().namespace(namespace);
    options.open("half").unwrap().abandon();
    crate::stage::set_mode(&half.join("lock"), 0);
    options.open("half").unwrap().abandon();
    say("mended");
}

/// Opens a namespace of one's own, or of another's.
fn open_namespace(path: &str, user: u32) {
    let own = rustix::process::geteuid().as_raw() == user;
    let opened = match own {
        true => Namespace::open(path),
        false => Namespace::open_of(path, user),
    };
    say(opened.map_or_else(|error| error.to_string(), |_| "opened".to_owned()));
}

/// Plants what somebody else may take for his own.
fn plant(home: &Path, target: &str) {
    fs::create_dir(home.join("directory")).unwrap();
    symlink(target, home.join("link")).unwrap();
    fs::write(home.join("file"), "").unwrap();
    say("planted");
}

/// Tries one thing that may not be permitted.
fn attempt(what: &str, place: &str, user: u32, channel: &str) {
    let own = rustix::process::geteuid().as_raw() == user;
    let namespace = match own {
        true => Namespace::open(place).unwrap(),
        false => Namespace::open_of(place, user).unwrap(),
    };
    let at = || namespace.clone();
    let none = Some(Duration::ZERO);
    let outcome: Result<(), OpenError> = match what {
        "read" => {
            let options = ReaderOptions::new().namespace(at()).attach_timeout(none);
            options.attach(channel).map(drop)
        }
        "write" => WriterOptions::new()
            .namespace(at())
            .open(channel)
            .map(|writer| writer.abandon()),
        "consume" => {
            let options = ConsumerOptions::new().namespace(at()).attach_timeout(none);
            options.attach(channel).map(drop)
        }
        "edit" => RecordOptions::new().namespace(at()).open(channel).map(drop),
        "forget" => opening(manage::forget(&namespace, channel, "somebody")),
        "remove" => opening(manage::remove(&namespace, channel, false).map(drop)),
        "remove_by_force" => opening(manage::remove(&namespace, channel, true).map(drop)),
        _ => panic!("no such attempt: {what}"),
    };
    match outcome {
        Ok(()) => say("done"),
        Err(OpenError::NotPermitted {
            denied,
            path,
            user,
            owner,
            mode,
            ..
        }) => {
            let mode = mode.map_or_else(|| "unknown".to_owned(), |mode| format!("{mode:o}"));
            let path = path.display();
            say(format_args!("{denied:?} {path} {user} {owner:?} {mode}"));
        }
        Err(_) => say("another error"),
    }
    if let Err(error) = outcome_text(what, &namespace, channel) {
        say(error);
    }
}

/// The same once more, for its message: a denied attempt changes nothing.
fn outcome_text(what: &str, namespace: &Namespace, channel: &str) -> Result<(), OpenError> {
    match what {
        "read" => ReaderOptions::new()
            .namespace(namespace.clone())
            .attach_timeout(Some(Duration::ZERO))
            .attach(channel)
            .map(drop),
        "consume" => ConsumerOptions::new()
            .namespace(namespace.clone())
            .attach_timeout(Some(Duration::ZERO))
            .attach(channel)
            .map(drop),
        "write" => WriterOptions::new()
            .namespace(namespace.clone())
            .open(channel)
            .map(|writer| writer.abandon()),
        "remove" => opening(manage::remove(namespace, channel, false).map(drop)),
        _ => Ok(()),
    }
}

fn opening(outcome: Result<(), ManageError>) -> Result<(), OpenError> {
    match outcome {
        Err(ManageError::Open(error)) => Err(error),
        Err(error) => panic!("{error}"),
        Ok(()) => Ok(()),
    }
}

/// Opens a channel that is to stay in memory, with a limit in bytes; tells how it went, and what is locked in kB.
fn lock_memory(place: &str, limit: u32, bytes: u32) {
    let limit = rustix::process::Rlimit {
        current: Some(limit.into()),
        maximum: Some(limit.into()),
    };
    rustix::process::setrlimit(rustix::process::Resource::Memlock, limit).unwrap();
    let namespace = Namespace::open(place).unwrap();
    let options = WriterOptions::new().namespace(namespace.clone());
    let options = options.value_size(bytes).slots(2).locked_in_memory(true);
    let opened = options.open("m");
    let locked = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmLck:"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    match opened {
        Ok(writer) => {
            say("locked");
            say(locked());
            let options = ReaderOptions::new()
                .namespace(namespace)
                .locked_in_memory(true);
            let reader = options.attach("m").unwrap();
            say(locked());
            drop((reader, writer));
            say(locked());
        }
        Err(OpenError::NotLockable { needed, limit, .. }) => {
            say(format_args!("refused {needed} {limit:?}"));
            say(fs::read_dir(place).unwrap().count());
        }
        Err(error) => say(error),
    }
}
