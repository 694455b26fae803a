//! `bindings/python`, written from `PROTOCOL.md` alone: the schema of a typed ring, and its records by it.
#![cfg(unix)] // the reader maps files of a POSIX system

mod common;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use common::system;
use partywall::Namespace;
use partywall::record::{Record, Schema};
use partywall::ring::{ProducerOptions, TypedProducer};

const BINDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bindings/python");

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
struct Book {
    #[record(unit = "ns")]
    time: u64,
    bids: [Level; 2],
    change: [[i16; 2]; 3],
    rate: f32,
}

fn book(time: u64) -> Book {
    let level = |price, size| Level {
        price,
        size,
        _padding: [0xff; 4],
    };
    Book {
        time,
        bids: [level(1.25, 3), level(1e300, u32::MAX)],
        change: [[1, -1], [2, -2], [i16::MAX, i16::MIN]],
        rate: if time == 7 { -0.5 } else { f32::NAN },
    }
}

/// Whether there is a Python to test with. Where the tests must be complete, there has to be.
fn python_is_there() -> bool {
    let version = system::process("python3").arg("--version").output();
    if version.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "python3 is needed here");
    println!("skipped: there is no python3");
    false
}

struct Place {
    namespace: Namespace,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        Place {
            namespace: Namespace::open(directory.path()).unwrap(),
            directory,
        }
    }

    fn producer(&self) -> TypedProducer<Book> {
        let options = ProducerOptions::new().namespace(self.namespace.clone());
        options.capacity(4096).open_typed("c").unwrap()
    }

    fn python(&self, arguments: &[&str]) -> Command {
        let mut python = system::process("python3");
        python
            .arg("-B")
            .arg(format!("{BINDINGS}/read_ring.py"))
            .arg(arguments[0])
            .arg(self.directory.path().join("c"))
            .args(&arguments[1..])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        python
    }
}

fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn python_reads_the_schema_of_a_typed_ring_and_its_records_by_it() {
    if !python_is_there() || !cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
        return;
    }
    let place = Place::new();
    let mut producer = place.producer();
    let shown = place.python(&["schema"]).output().unwrap();
    assert!(shown.status.success(), "{shown:?}");
    assert_eq!(text(&shown), Schema::of::<Book>().to_text());

    let reader = place.python(&["recv", "--json"]).spawn().unwrap();
    producer.wait_for_consumer(None).unwrap();
    for time in [7, u64::MAX] {
        producer.send(&book(time)).unwrap();
    }
    drop(producer);
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let line = |time: u64, rate: &str| {
        format!(
            "{{\"time\": {time}, \"bids\": [{{\"price\": 1.25, \"size\": 3}}, \
             {{\"price\": 1e+300, \"size\": 4294967295}}], \
             \"change\": [[1, -1], [2, -2], [32767, -32768]], \"rate\": {rate}}}\n"
        )
    };
    assert_eq!(text(&output), line(7, "-0.5") + &line(u64::MAX, "null"));
}

#[test]
fn python_is_told_of_what_is_no_record_and_of_channels_of_bytes() {
    if !python_is_there() || !cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
        return;
    }
    let place = Place::new();
    let mut producer = place.producer().into_inner();
    let reader = place.python(&["recv", "--json"]).spawn().unwrap();
    producer.wait_for_consumer(None).unwrap();
    producer.send(b"short").unwrap();
    let output = reader.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("5 bytes, and Book has 56"), "{told}");
    producer.close().unwrap();

    let options = ProducerOptions::new().namespace(place.namespace.clone());
    let _bytes = options.capacity(4096).open("c").unwrap();
    let refused = place.python(&["schema"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}

/// The two parsers take and refuse the same texts.
#[test]
fn python_and_rust_agree_what_is_a_schema() {
    if !python_is_there() {
        return;
    }
    let good = Schema::of::<Book>().to_text();
    let mut texts: Vec<Vec<u8>> = vec![good.clone().into_bytes(), Vec::new(), vec![b'x'; 65537]];
    // Each byte of it exchanged, in some ways that matter.
    for at in 0..good.len() {
        for byte in *b"\n 0A_[\xff\x00\x1f" {
            let mut text = good.clone().into_bytes();
            text[at] = byte;
            texts.push(text);
        }
        texts.push([&good.as_bytes()[..at], &good.as_bytes()[at + 1..]].concat());
        texts.push([&good.as_bytes()[..at], b"\xc2\xa0", &good.as_bytes()[at..]].concat());
    }
    let script = "
import sys, schema
for line in sys.stdin:
    try:
        record = schema.parse(bytes.fromhex(line))
        print(record.name, record.size, schema.fnv_1a(bytes.fromhex(line)))
    except schema.SchemaError:
        print('no')
";
    let mut python = system::process("python3")
        .args(["-B", "-c", script])
        .env("PYTHONPATH", BINDINGS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let hex: String = texts
        .iter()
        .map(|text| {
            text.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
                + "\n"
        })
        .collect();
    let mut stdin = python.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || stdin.write_all(hex.as_bytes()));
    let output = python.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success());
    let mut accepted = 0;
    assert_eq!(text(&output).lines().count(), texts.len());
    for (line, bytes) in text(&output).lines().zip(&texts) {
        let expected = match Schema::parse(bytes) {
            Ok(schema) => {
                accepted += 1;
                format!("{} {} {}", schema.name(), schema.size(), schema.hash())
            }
            Err(_) => "no".to_owned(),
        };
        assert_eq!(line, expected, "{:?}", String::from_utf8_lossy(bytes));
    }
    assert!(accepted > 20, "{accepted}");
}
