//! What is kept from everybody: dumps, swap, and freed memory.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use partywall::ring::{Alone, ConsumerOptions, ProducerOptions};
use partywall::snapshot::{ReaderOptions, WriterOptions};
use partywall::{Namespace, manage, mpsc};

use crate::acts::{say, told};
use crate::common::system;
use crate::stage::{Actor, OWNER, Stage, Test, act, is_root, skip_unless};

pub(crate) const TESTS: &[Test] = &[
    ("secrets_are_in_no_core_dump", secrets_are_in_no_core_dump),
    (
        "what_is_confidential_is_overwritten_before_it_goes",
        what_is_confidential_is_overwritten_before_it_goes,
    ),
    (
        "a_live_writers_secrets_go_with_a_removal_by_force",
        a_live_writers_secrets_go_with_a_removal_by_force,
    ),
    (
        "memory_that_cannot_be_locked_is_an_error_with_the_numbers",
        memory_that_cannot_be_locked_is_an_error_with_the_numbers,
    ),
];

/// Bytes that are nowhere else.
fn secret() -> Vec<u8> {
    let mut bytes = vec![0; 256];
    File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    bytes
}

/// Whether a part of the secret that no accident makes stands in some bytes.
fn holds(bytes: &[u8], secret: &[u8]) -> bool {
    let part = &secret[64..128];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == part[0]) {
        rest = &rest[at..];
        if rest.starts_with(part) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// Opens a channel in one role and dies with a core, without having touched the secret itself.
pub(crate) fn dump(place: &str, role: &str, channel: &str) {
    let namespace = Namespace::open(place).unwrap();
    let handle: Box<dyn std::any::Any> = match role {
        "reader" => Box::new(
            ReaderOptions::new()
                .namespace(namespace)
                .attach(channel)
                .unwrap(),
        ),
        "writer" => {
            let options = WriterOptions::new().namespace(namespace).value_size(256);
            Box::new(options.open(channel).unwrap())
        }
        "consumer" => {
            let options = ConsumerOptions::new()
                .namespace(namespace)
                .durable("archive");
            Box::new(options.attach(channel).unwrap())
        }
        "producer" => {
            let options = ProducerOptions::new().namespace(namespace).capacity(4096);
            Box::new(options.open(channel).unwrap())
        }
        "sender" => Box::new(
            mpsc::SenderOptions::new()
                .namespace(namespace)
                .attach(channel)
                .unwrap(),
        ),
        "receiver" => {
            let options = mpsc::ReceiverOptions::new().namespace(namespace);
            Box::new(options.lane_capacity(4096).seats(1).open(channel).unwrap())
        }
        _ => panic!("no such role: {role}"),
    };
    let none = rustix::process::Rlimit {
        current: None,
        maximum: None,
    };
    rustix::process::setrlimit(rustix::process::Resource::Core, none).unwrap();
    // Everything, mappings of files too, which usually are left out: what is kept out then is kept out always. (A shared
    // mapping through a descriptor that may only read counts as a private one here.)
    fs::write("/proc/self/coredump_filter", "0x6f").unwrap();
    say("ready");
    told().for_each(drop);
    std::mem::forget(handle);
    std::process::abort();
}

/// How this machine can be made to write a core where we find it.
enum Dumper {
    /// The kernel writes `core` into the working directory of who dies. What stood in `core_pattern` comes back
    /// at the end.
    Kernel(Option<String>),
    /// A debugger does it, of a process that lives. It keeps to the same flags.
    Debugger,
}

const PATTERN: &str = "/proc/sys/kernel/core_pattern";

impl Dumper {
    fn find() -> Option<Self> {
        let pattern = fs::read_to_string(PATTERN).unwrap();
        if !pattern.contains(['/', '|', '@', '%']) && !pattern.trim().is_empty() {
            return Some(Dumper::Kernel(None));
        }
        if fs::write(PATTERN, "core\n").is_ok() {
            return Some(Dumper::Kernel(Some(pattern)));
        }
        let debugger = system::process("gcore")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        debugger
            .is_ok_and(|status| status.success())
            .then_some(Dumper::Debugger)
    }

    /// The dump of who acts in that role.
    fn dump(&self, place: &Path, role: &str, channel: &str) -> Vec<u8> {
        let cores = tempfile::tempdir().unwrap();
        let mut command = act("dump", &[place.to_str().unwrap(), role, channel]);
        command.current_dir(cores.path()).stderr(Stdio::null());
        let mut actor = Actor::start(command);
        assert_eq!(actor.hear(), "ready");
        if let Dumper::Debugger = self {
            let file = cores.path().join("core");
            let debugger = system::process("gcore")
                .arg("-o")
                .arg(&file)
                .arg(actor.pid().to_string())
                .output()
                .unwrap();
            assert!(debugger.status.success(), "{debugger:?}");
        }
        let status = actor.die();
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}");
        let files: Vec<PathBuf> = fs::read_dir(cores.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 1, "one core: {files:?}");
        let core = fs::read(&files[0]).unwrap();
        assert!(core.starts_with(b"\x7fELF"), "{role}: {} bytes", core.len());
        core
    }
}

impl Drop for Dumper {
    fn drop(&mut self) {
        if let Dumper::Kernel(Some(pattern)) = self {
            let _ = fs::write(PATTERN, pattern);
        }
    }
}

/// Channels with a secret in each: a snapshot, a ring with a consumer who is away, an mpsc channel with a sender gone.
fn channels_with(secret: &[u8], namespace: &Namespace, confidential: bool) {
    let at = || namespace.clone();
    let options = WriterOptions::new().namespace(at()).value_size(256);
    let mut writer = options
        .confidential(confidential)
        .keep_when_closed(true)
        .open("s")
        .unwrap();
    writer.put(secret).unwrap();
    writer.abandon();

    let options = ProducerOptions::new()
        .namespace(at())
        .capacity(4096)
        .alone(Alone::Discard);
    let mut producer = options.confidential(confidential).open("r").unwrap();
    let consumer = ConsumerOptions::new().namespace(at()).durable("archive");
    drop(consumer.attach("r").unwrap());
    producer.send(secret).unwrap();
    producer.abandon();

    let options = mpsc::ReceiverOptions::new()
        .namespace(at())
        .lane_capacity(4096)
        .seats(1);
    let receiver = options
        .confidential(confidential)
        .keep_when_closed(true)
        .open("m")
        .unwrap();
    let mut sender = mpsc::SenderOptions::new()
        .namespace(at())
        .attach("m")
        .unwrap();
    sender.send(secret).unwrap();
    drop(sender);
    receiver.abandon();
}

fn secrets_are_in_no_core_dump() {
    if !is_root() {
        return;
    }
    let dumper = Dumper::find();
    let can = skip_unless(
        dumper.is_some(),
        "no core can be had: core_pattern is fixed, and there is no gcore",
    );
    let Some(dumper) = dumper.filter(|_| can) else {
        return;
    };
    for confidential in [false, true] {
        let stage = Stage::new();
        let place = stage.path().join("namespace");
        let namespace = Namespace::open(&place).unwrap();
        let secret = secret();
        channels_with(&secret, &namespace, confidential);
        for (role, channel) in [
            ("reader", "s"),
            ("writer", "s"),
            ("consumer", "r"),
            ("producer", "r"),
            ("receiver", "m"),
            ("sender", "m"),
        ] {
            let core = dumper.dump(&place, role, channel);
            assert_eq!(
                holds(&core, &secret),
                !confidential,
                "{role}, confidential: {confidential}, {} bytes",
                core.len()
            );
        }
    }
}

/// Open files of a channel, to look at what is left of them when their names have gone.
fn kept_open(place: &Path, channel: &str) -> Vec<(String, File)> {
    let entries = fs::read_dir(place.join(channel)).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .map(|path| (path.display().to_string(), File::open(&path).unwrap()))
        .collect()
}

fn bytes_of(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn what_is_confidential_is_overwritten_before_it_goes() {
    for confidential in [false, true] {
        let stage = Stage::new();
        let place = stage.path().join("namespace");
        let namespace = Namespace::open(&place).unwrap();
        let secret = secret();
        channels_with(&secret, &namespace, confidential);
        for channel in ["s", "r", "m"] {
            let files = kept_open(&place, channel);
            let held = || {
                files
                    .iter()
                    .any(|(_, file)| holds(&bytes_of(file), &secret))
            };
            assert!(held(), "{channel}");
            match channel {
                // A larger one takes its place, and the old generation is removed.
                "s" => {
                    let options = WriterOptions::new().namespace(namespace.clone());
                    drop(options.value_size(100_000).open("s").unwrap());
                }
                "r" => drop(manage::remove(&namespace, channel, true).unwrap()),
                _ => drop(manage::remove(&namespace, channel, false).unwrap()),
            }
            assert_eq!(
                held(),
                !confidential,
                "{channel}, confidential: {confidential}"
            );
            for (name, file) in files.iter().filter(|_| confidential) {
                let bytes = bytes_of(file);
                assert!(bytes[256..].iter().all(|byte| *byte == 0), "{name}");
                assert!(bytes.starts_with(b"PRTYWALL"), "{name}: the header stays");
            }
        }
    }
}

fn a_live_writers_secrets_go_with_a_removal_by_force() {
    let stage = Stage::new();
    let place = stage.path().join("namespace");
    let namespace = Namespace::open(&place).unwrap();
    let secret = secret();
    let options = WriterOptions::new()
        .namespace(namespace.clone())
        .value_size(256);
    let mut writer = options.confidential(true).open("s").unwrap();
    let mut reader = ReaderOptions::new()
        .namespace(namespace.clone())
        .attach("s")
        .unwrap();
    writer.put(&secret).unwrap();
    assert!(reader.get().unwrap().is_some());
    let files = kept_open(&place, "s");
    let held = || {
        files
            .iter()
            .any(|(_, file)| holds(&bytes_of(file), &secret))
    };
    manage::remove(&namespace, "s", true).unwrap();
    assert!(!held());
    // The writer has not noticed; what it writes now goes when it does.
    let _ = writer.put(&secret);
    let told = loop {
        if let Err(error) = reader.changed_timeout(Duration::from_secs(20)) {
            break error;
        }
    };
    assert!(
        matches!(told, partywall::RecvError::Deleted { .. }),
        "{told}"
    );
    assert!(held(), "it was written behind the remover's back");
    drop(writer);
    assert!(!held());
}

fn memory_that_cannot_be_locked_is_an_error_with_the_numbers() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let place = stage.home_of(OWNER).join("namespace");
    let run = |limit: &str, bytes: &str| {
        let arguments = [place.to_str().unwrap(), limit, bytes];
        Actor::of(OWNER, "lock_memory", &arguments).finish()
    };
    let said = run("65536", "100000");
    let lines: Vec<&str> = said.lines().collect();
    let [refused, left] = lines[..] else {
        panic!("{said}")
    };
    let needed = 4096 + 2 * (100_032_u64.div_ceil(64) * 64);
    let needed = needed.div_ceil(4096) * 4096;
    assert_eq!(refused, format!("refused {needed} Some(65536)"));
    assert_eq!(left, "0", "nothing is left of it");
    let said = run("1048576", "100000");
    let lines: Vec<&str> = said.lines().collect();
    let ["locked", one, both, none] = lines[..] else {
        panic!("{said}")
    };
    let kilobytes = |text: &str| text.parse::<u64>().unwrap();
    assert!(kilobytes(one) * 1024 >= needed, "{said}");
    assert!(kilobytes(both) >= kilobytes(one) + needed / 1024, "{said}");
    assert_eq!(none, "0", "unmapped, unlocked");
}
