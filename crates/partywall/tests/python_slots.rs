//! `bindings/python/read_snapshot.py`, written from `PROTOCOL.md`, reads live snapshots, guarded records and broadcasts.
#![cfg(unix)] // the reader maps files of a POSIX system

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use common::{Place, system};
use partywall::broadcast::SenderOptions;
use partywall::guarded::RecordOptions;
use partywall::snapshot::WriterOptions;

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../bindings/python/read_snapshot.py"
);
const DAMAGED: i32 = 5;

/// Whether there is a Python to test with. Where the tests must be complete, there has to be.
fn python_is_there() -> bool {
    let version = system::process("python3").arg("--version").output();
    if version.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "python3 is needed to test the reader"
    );
    println!("skipped: there is no python3");
    false
}

fn python(place: &Place, command: &str, options: &[&str]) -> Command {
    let mut python = system::process("python3");
    python
        .arg(SCRIPT)
        .arg(command)
        .arg(place.path().join("c"))
        .args(options)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    python
}

/// A reader that has opened the channel; killed if the test ends before it does.
struct Reader(Child);

impl Reader {
    fn start(place: &Place, command: &str, options: &[&str]) -> Self {
        let mut reader = Reader(python(place, command, options).spawn().unwrap());
        let mut said = BufReader::new(reader.0.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "read_snapshot: following\n");
        reader
    }

    /// What it wrote until its end, and how it ended.
    fn finish(&mut self) -> (Vec<u8>, Option<i32>) {
        let mut written = Vec::new();
        let mut output = self.0.stdout.take().unwrap();
        output.read_to_end(&mut written).unwrap();
        (written, self.0.wait().unwrap().code())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes of a value.
const SIZE: usize = 4096;

/// The value with this number: tearing shows in any word.
fn value(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(SIZE / 8)
}

#[test]
fn python_sees_no_torn_value_of_a_writer_that_never_waits() {
    if !python_is_there() || !cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
        return;
    }
    let place = Place::new();
    let options = WriterOptions::new()
        .namespace(place.namespace.clone())
        .value_size(SIZE as u32)
        .slots(64)
        .checksums(true);
    let mut writer = options.open("c").unwrap();
    writer.put(&value(1)).unwrap();
    const COUNT: usize = 200;
    let mut reader = Reader::start(&place, "watch", &["--count", &COUNT.to_string()]);
    let done = AtomicBool::new(false);
    let (written, code) = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 2.. {
                if done.load(Relaxed) {
                    break;
                }
                writer.put(&value(number)).unwrap();
            }
        });
        let finished = reader.finish();
        done.store(true, Relaxed);
        finished
    });
    assert_eq!((code, written.len()), (Some(0), COUNT * SIZE));
    let mut before = 0;
    for found in written.chunks(SIZE) {
        let number = u64::from_le_bytes(found[..8].try_into().unwrap());
        assert!(number > before, "{number} after {before}");
        assert!(found == value(number), "value {number} is torn");
        before = number;
    }
}

#[test]
fn python_reads_a_record_at_rest_and_verifies_its_checksum() {
    if !python_is_there() {
        return;
    }
    let place = Place::new();
    let options = RecordOptions::new()
        .namespace(place.namespace.clone())
        .checksums(true);
    let mut record = options.open("c").unwrap();
    let get = || python(&place, "get", &[]).output().unwrap();
    assert_eq!(get().status.code(), Some(8), "there is no value yet");
    let mut guard = record.lock().unwrap().consistent();
    guard.value_mut().extend_from_slice(b"exposure = 12");
    guard.commit().unwrap();
    // While it is locked, and when it is not.
    assert_eq!(get().stdout, b"exposure = 12");
    drop(guard);
    assert_eq!(get().stdout, b"exposure = 12");
    let mut reader = Reader::start(&place, "watch", &["--count", "2"]);
    let mut guard = record.lock().unwrap().consistent();
    let mut first = [0; 13];
    let mut output = reader.0.stdout.take().unwrap();
    output.read_exact(&mut first).unwrap();
    guard.value_mut().truncate(8);
    guard.commit().unwrap();
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    assert_eq!((&first, &rest[..]), (b"exposure = 12", &b"exposure"[..]));
    // Somebody scribbles over the payload.
    let path = place.path().join("c/1.owner");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = (4096..bytes.len())
        .rfind(|&at| bytes[at..].starts_with(b"exposure"))
        .unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = get();
    assert_eq!(damaged.status.code(), Some(DAMAGED), "{damaged:?}");
}

#[test]
fn python_reads_or_counts_every_record_of_a_broadcast() {
    if !python_is_there() || !cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
        return;
    }
    let place = Place::new();
    let options = SenderOptions::new()
        .namespace(place.namespace.clone())
        .value_size(64)
        .slots(64);
    let mut sender = options.open("c").unwrap();
    const RECORDS: u64 = 300_000;
    // More than there are slots, before the reader comes: it begins with an overrun.
    let payload = |number: u64| number.to_le_bytes().repeat(8);
    for number in 1..=200 {
        sender.send(&payload(number)).unwrap();
    }
    let mut reader = Reader::start(&place, "sub", &["--from", "1", "--json"]);
    let sending = thread::spawn(move || {
        for number in 201..=RECORDS {
            sender.send(&payload(number)).unwrap();
        }
        sender.close().unwrap();
    });
    let (written, code) = reader.finish();
    sending.join().unwrap();
    assert_eq!(code, Some(0), "a clean end");
    let (mut next, mut read, mut lost) = (1, 0_u64, 0);
    for line in String::from_utf8(written).unwrap().lines() {
        let number = |name: &str| -> Option<u64> {
            let (_, rest) = line.split_once(&format!("\"{name}\": "))?;
            let end = rest.find([',', '}']).unwrap();
            Some(rest[..end].parse().unwrap())
        };
        if let Some(gone) = number("lost") {
            lost += gone;
            next += gone;
            assert_eq!(number("next"), Some(next));
            continue;
        }
        assert_eq!(number("sequence"), Some(next), "neither read nor counted");
        let hex: String = payload(next)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(line.contains(&hex), "record {next} is torn: {line}");
        next += 1;
        read += 1;
    }
    assert_eq!((next, read + lost), (RECORDS + 1, RECORDS));
    assert!(lost > 0 && read > 0, "{lost} lost, {read} read");
}

#[test]
fn a_typed_snapshot_is_read_field_by_field_from_what_it_says_of_itself() {
    use partywall::record::Record;

    #[derive(Record, Clone, Copy)]
    #[repr(C)]
    struct Level {
        #[record(unit = "EUR")]
        price: f64,
        size: u32,
        _padding: [u8; 4],
    }

    #[derive(Record, Clone, Copy)]
    #[repr(C)]
    struct Depth {
        time: u64,
        bids: [Level; 2],
        flags: [i16; 4],
    }

    if !python_is_there() {
        return;
    }
    let place = Place::new();
    let options = WriterOptions::new().namespace(place.namespace.clone());
    let mut writer = options.open_typed::<Depth>("c").unwrap();
    let level = |price, size| Level {
        price,
        size,
        _padding: [0; 4],
    };
    writer
        .put(&Depth {
            time: 1 << 60,
            bids: [level(1.25, 3), level(-0.5, u32::MAX)],
            flags: [-1, 2, -3, 4],
        })
        .unwrap();
    let output = python(&place, "get", &["--json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    for part in [
        "\"sequence\": 1",
        "\"time\": 1152921504606846976",
        "\"price\": 1.25",
        "\"size\": 3",
        "\"price\": -0.5",
        "\"size\": 4294967295",
        "[-1, 2, -3, 4]",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("padding"), "{said}");
}
