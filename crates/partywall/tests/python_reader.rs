//! `bindings/python/read_ring.py`, written from `PROTOCOL.md` alone, reads live rings.
#![cfg(unix)] // the reader maps files of a POSIX system, and is killed by a signal

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::system;
use partywall::ring::{Alone, ConsumerOptions, Producer, ProducerOptions};
use partywall::{Namespace, RecvError, WaitStrategy, inspect};
use rustix::process::{Pid, Signal, kill_process};

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../bindings/python/read_ring.py"
);

/// Exit status of `recv` when the owner died.
const OWNER_DIED: i32 = 3;

/// Exit status of `recv` when every seat is taken.
const NO_SEAT: i32 = 9;

/// Nothing here takes so long; a reader that hangs must not hang the tests.
const LONG: Duration = Duration::from_secs(60);

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

    fn producer(&self, seats: u32) -> ProducerOptions {
        ProducerOptions::new()
            .namespace(self.namespace.clone())
            .capacity(4096)
            .block_timeout(Some(LONG))
            .seats(seats)
    }

    fn consumer(&self) -> ConsumerOptions {
        ConsumerOptions::new().namespace(self.namespace.clone())
    }

    fn python(&self, command: &str) -> Command {
        let mut python = system::process("python3");
        python
            .arg(SCRIPT)
            .arg(command)
            .arg(self.directory.path().join("c"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        python
    }

    /// A Python consumer that has its seat.
    fn reader(&self, producer: &mut Producer) -> Reader {
        let reader = Reader(self.python("recv").spawn().unwrap());
        producer.wait_for_consumer(Some(LONG)).unwrap();
        reader
    }

    fn peek(&self) -> String {
        let output = self.python("peek").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A running Python; killed if the test ends before it does.
struct Reader(Child);

impl Reader {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Stops it where it stands; it lives, and does nothing.
    fn stop(&self) {
        self.signal(Signal::STOP);
        let end = Instant::now() + LONG;
        let stat = format!("/proc/{}/stat", self.0.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
            assert!(Instant::now() < end, "it does not stop");
            thread::yield_now();
        }
    }

    /// Killed as it stands: no code of its own runs any more.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// What it wrote, and how it ended.
    fn finish(mut self) -> Output {
        let stdout = collect(self.0.stdout.take().unwrap());
        let stderr = collect(self.0.stderr.take().unwrap());
        let status = self.wait();
        Output {
            status,
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    }

    fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + LONG;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the Python reader hangs");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads a pipe to its end, so that whoever writes to it never waits.
fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// The payload of a numbered record: empty ones, odd lengths, and the largest that there can be.
fn payload(number: usize) -> Vec<u8> {
    let len = match number % 97 {
        0 => 0,
        1 => 4096 / 2 - 8,
        _ => number * 37 % 500,
    };
    (0..len).map(|at| (number * 7 + at * 13) as u8).collect()
}

#[test]
fn python_gets_every_byte_through_many_laps_with_back_pressure() {
    if !python_is_there() {
        return;
    }
    for wait in [WaitStrategy::SpinThenPark, WaitStrategy::Park] {
        let place = Place::new();
        let mut producer = place.producer(1).wait(wait).open("c").unwrap();
        let reader = place.reader(&mut producer);
        let sender = thread::spawn(move || {
            let mut sent = Vec::new();
            for number in 0..6000 {
                let payload = payload(number);
                if number % 5 == 0 {
                    let mut batch = producer.batch();
                    batch.push(&payload).unwrap();
                    batch.push_kind(9, b"second").unwrap();
                    batch.commit();
                    sent.extend_from_slice(&payload);
                    sent.extend_from_slice(b"second");
                } else {
                    producer.send(&payload).unwrap();
                    sent.extend_from_slice(&payload);
                }
            }
            assert!(producer.position() / producer.capacity() > 100, "laps");
            producer.close().unwrap();
            sent
        });
        let output = reader.finish();
        let sent = sender.join().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output.stdout == sent,
            "{} bytes received, {} sent",
            output.stdout.len(),
            sent.len()
        );
    }
}

#[test]
fn python_tells_a_death_from_an_end_and_loses_nothing_before_it() {
    if !python_is_there() {
        return;
    }
    let place = Place::new();
    let mut producer = place.producer(1).open("c").unwrap();
    let reader = place.reader(&mut producer);
    producer.send(b"last words").unwrap();
    // Consumers see the same as after a death: the lock is free, and the stream was not closed.
    producer.abandon();
    let output = reader.finish();
    assert_eq!(output.status.code(), Some(OWNER_DIED));
    assert_eq!(output.stdout, b"last words");
}

#[test]
fn the_seat_of_a_killed_python_is_evicted_and_the_others_go_on() {
    if !python_is_there() {
        return;
    }
    let place = Place::new();
    let mut producer = place.producer(2).open("c").unwrap();
    let reader = place.reader(&mut producer);
    let mut other = place.consumer().attach("c").unwrap();
    producer.send(b"first").unwrap();
    assert_eq!(&other.recv().unwrap()[..], b"first");
    other.acknowledge();
    producer.flush(Some(LONG)).unwrap();

    reader.stop();
    let sender = thread::spawn(move || {
        for number in 0..500 {
            producer.send(&payload(number)).unwrap();
        }
        producer
    });
    // The stopped reader lives: the producer must wait for it.
    let mut number = 0;
    loop {
        match other.recv_timeout(Duration::from_millis(400)) {
            Ok(record) => {
                assert_eq!(record.payload, payload(number));
                number += 1;
            }
            Err(RecvError::TimedOut { .. }) => {
                let info = inspect::inspect(&place.namespace, "c").unwrap();
                if info.counters.blocked > 0 {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(number < 500, "the producer went on past a live consumer");
    reader.kill();
    for number in number..500 {
        let record = other.recv_timeout(LONG).unwrap();
        assert_eq!(record.payload, payload(number));
    }
    let _producer = sender.join().unwrap();
    let info = inspect::inspect(&place.namespace, "c").unwrap();
    assert_eq!(info.counters.evictions, 1);
    assert_eq!(info.counters.lies, 0);
    // Exactly what it had not read when it was evicted: all that was in the ring then.
    assert_eq!(info.seats[0].lost, number as u64);
    assert!(place.peek().contains("evicted"));
}

#[test]
fn the_seat_of_a_killed_python_is_taken_over_and_its_records_are_counted() {
    if !python_is_there() {
        return;
    }
    let place = Place::new();
    let mut producer = place.producer(1).open("c").unwrap();
    let first = place.reader(&mut producer);
    for _ in 0..10 {
        producer.send(b"read").unwrap();
    }
    producer.flush(Some(LONG)).unwrap();
    first.stop();
    for _ in 0..3 {
        producer.send(b"abandoned by the first").unwrap();
    }
    first.kill();

    // Another Python takes the seat, counts what the first left, and gets what comes then.
    let second = Reader(place.python("recv").spawn().unwrap());
    let end = Instant::now() + LONG;
    while !place.peek().contains("epoch 2, holder alive") {
        assert!(Instant::now() < end, "{}", place.peek());
    }
    producer.send(b"to the second").unwrap();
    producer.flush(Some(LONG)).unwrap();
    let peeked = place.peek();
    assert!(peeked.contains("records 14, behind 0"), "{peeked}");
    assert!(peeked.contains("abandoned 3"), "{peeked}");
    second.stop();
    producer.send(b"abandoned by the second").unwrap();
    second.kill();

    // And the library takes over from Python.
    let mut third = place.consumer().attach("c").unwrap();
    assert_eq!(third.losses().abandoned, 4);
    producer.send(b"to the third").unwrap();
    assert_eq!(&third.recv().unwrap()[..], b"to the third");
}

#[test]
fn python_takes_no_seat_of_a_live_consumer() {
    if !python_is_there() {
        return;
    }
    let place = Place::new();
    let _producer = place.producer(1).open("c").unwrap();
    let _consumer = place.consumer().attach("c").unwrap();
    let output = Reader(place.python("recv").spawn().unwrap()).finish();
    assert_eq!(output.status.code(), Some(NO_SEAT));
}

/// A passive reader takes no seat, so nobody waits for it: it may miss records, but must tear none.
#[test]
fn python_follows_without_a_seat_and_tears_nothing() {
    if !python_is_there() || !cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
        return;
    }
    const WORDS: usize = 63;
    let place = Place::new();
    let mut producer = place.producer(1).alone(Alone::Discard).open("c").unwrap();
    let mut reader = Reader(place.python("tail").spawn().unwrap());
    let mut messages = BufReader::new(reader.0.stderr.take().unwrap());
    let mut line = String::new();
    messages.read_line(&mut line).unwrap();
    assert!(line.contains("following"), "{line}");
    let sender = thread::spawn(move || {
        let end = Instant::now() + Duration::from_millis(1500);
        let mut number = 0_u64;
        while Instant::now() < end {
            // Bursts of many laps, then some time to catch up.
            for _ in 0..200 {
                number += 1;
                let payload = number.to_le_bytes().repeat(WORDS);
                producer.send(&payload).unwrap();
            }
            for _ in 0..4 {
                thread::sleep(Duration::from_micros(200));
                number += 1;
                producer.send(&number.to_le_bytes().repeat(WORDS)).unwrap();
            }
        }
        producer.close().unwrap();
    });
    let stdout = collect(reader.0.stdout.take().unwrap()).join().unwrap();
    sender.join().unwrap();
    line.clear();
    messages.read_line(&mut line).unwrap();
    assert!(reader.wait().success(), "{line}");
    assert!(stdout.len() > 100 * 8 * WORDS, "{} bytes", stdout.len());
    assert!(!line.contains("overrun 0 times"), "{line}");
    let mut before = 0;
    for record in stdout.chunks(8 * WORDS) {
        let number = u64::from_le_bytes(record[..8].try_into().unwrap());
        assert!(number > before, "{number} behind {before}");
        assert!(
            record == number.to_le_bytes().repeat(WORDS),
            "record {number} is torn"
        );
        before = number;
    }
}
