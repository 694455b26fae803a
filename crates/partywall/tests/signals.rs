//! Signals interrupt system calls everywhere, and nobody notices: every operation of every pattern, its waits included,
//! while each thread is interrupted as often as another can.
#![cfg(unix)] // there are no signals elsewhere
#![allow(unsafe_code)]

mod common;

use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::Place;
use partywall::{
    Namespace, RecvError, broadcast, frames, guarded, inspect, manage, mpsc, ring, snapshot,
};

static INTERRUPTIONS: AtomicU64 = AtomicU64::new(0);

extern "C" fn interrupted(_: i32) {
    INTERRUPTIONS.fetch_add(1, SeqCst);
}

/// System calls are not begun again by the kernel.
fn interruptible() {
    // SAFETY: zero bytes are a `sigaction`; the handler touches an atomic and nothing else.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = interrupted as extern "C" fn(i32) as usize;
        assert_eq!(
            libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()),
            0
        );
    }
}

/// Interrupts these threads, `pause` apart, until all have ended.
fn storm(threads: Vec<JoinHandle<()>>, pause: Duration) {
    while threads.iter().any(|thread| !thread.is_finished()) {
        for thread in &threads {
            if !thread.is_finished() {
                // SAFETY: it was not joined, so the handle is a thread's, even if that has ended by now.
                unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGUSR1) };
            }
        }
        thread::sleep(pause);
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

const SOON: Option<Duration> = Some(Duration::from_secs(60));
const RECORDS: u32 = 300;

/// One end of a channel, in a thread of its own.
fn end(namespace: &Namespace, act: impl FnOnce(Namespace) + Send + 'static) -> JoinHandle<()> {
    let namespace = namespace.clone();
    thread::spawn(move || act(namespace))
}

#[test]
fn no_operation_of_any_pattern_notices_signals() {
    interruptible();
    let place = Arc::new(Place::new());
    let namespace = &place.namespace;
    let threads = vec![
        end(namespace, |namespace| {
            let options = ring::ProducerOptions::new()
                .namespace(namespace)
                .capacity(4096);
            let mut producer = options.open("ring").unwrap();
            for number in 0..RECORDS {
                // A fifth of the ring each: it waits for room.
                let mut record = vec![0; 800];
                record[..4].copy_from_slice(&number.to_le_bytes());
                producer.send(&record).unwrap();
            }
            producer.grow(1 << 14).unwrap();
            producer.flush(SOON).unwrap();
            producer.close().unwrap();
        }),
        end(namespace, |namespace| {
            let options = ring::ConsumerOptions::new().namespace(namespace);
            let mut consumer = options
                .attach_timeout(SOON)
                .durable("d")
                .attach("ring")
                .unwrap();
            for number in 0..RECORDS {
                let record = consumer.recv().unwrap();
                assert_eq!(record[..4], number.to_le_bytes());
            }
            let end = consumer.recv().unwrap_err();
            assert!(matches!(end, RecvError::Closed { .. }), "{end}");
            consumer.detach();
        }),
        end(namespace, |namespace| {
            let options = snapshot::WriterOptions::new()
                .namespace(namespace)
                .value_size(64);
            let mut writer = options.open("snapshot").unwrap();
            for number in 0..RECORDS {
                writer.put(&number.to_le_bytes()).unwrap();
                thread::yield_now();
            }
            writer.grow(1 << 14, 4).unwrap();
            writer.put(b"last").unwrap();
            writer.close().unwrap();
        }),
        end(namespace, |namespace| {
            let options = snapshot::ReaderOptions::new().namespace(namespace);
            let Ok(mut reader) = options.attach_timeout(SOON).attach("snapshot") else {
                // The writer may have been here and gone before.
                return;
            };
            while reader.changed().is_ok_and(|value| &value[..] != b"last") {}
        }),
        end(namespace, |namespace| {
            let options = broadcast::SenderOptions::new()
                .namespace(namespace)
                .value_size(64);
            let mut sender = options.keep_when_closed(true).open("broadcast").unwrap();
            for number in 0..RECORDS {
                sender.send(&number.to_le_bytes()).unwrap();
                thread::yield_now();
            }
            sender.close().unwrap();
        }),
        end(namespace, |namespace| {
            let options = broadcast::ReceiverOptions::new().namespace(namespace);
            let attached = options
                .attach_timeout(Some(Duration::from_secs(1)))
                .attach("broadcast");
            let Ok(mut receiver) = attached else {
                return;
            };
            while !matches!(receiver.recv(), Err(RecvError::Closed { .. })) {}
        }),
        end(namespace, |namespace| {
            let options = frames::PublisherOptions::new()
                .namespace(namespace)
                .frame_size(64);
            let publisher = options.open("frames").unwrap();
            while publisher.subscribers() == 0 {
                thread::yield_now();
            }
            for number in 0..RECORDS {
                let mut loan = publisher.loan(4).unwrap();
                loan.write_at(0, &number.to_le_bytes());
                loan.publish().unwrap();
            }
        }),
        end(namespace, |namespace| {
            let options = frames::SubscriberOptions::new().namespace(namespace);
            let mut subscriber = options.attach_timeout(SOON).attach("frames").unwrap();
            for number in 0..RECORDS {
                assert_eq!(subscriber.recv().unwrap().to_vec(), number.to_le_bytes());
            }
        }),
        end(namespace, |namespace| {
            let options = mpsc::ReceiverOptions::new().namespace(namespace);
            let mut receiver = options.lane_capacity(4096).open("mpsc").unwrap();
            let mut number = 0;
            while number < RECORDS {
                if let Some(record) = receiver.recv().unwrap().record() {
                    assert_eq!(record[..4], number.to_le_bytes());
                    number += 1;
                }
            }
        }),
        end(namespace, |namespace| {
            let options = mpsc::SenderOptions::new().namespace(namespace);
            let mut sender = options.attach_timeout(SOON).attach("mpsc").unwrap();
            for number in 0..RECORDS {
                let mut record = vec![0; 800];
                record[..4].copy_from_slice(&number.to_le_bytes());
                sender.send(&record).unwrap();
            }
            sender.flush(SOON).unwrap();
            sender.close().unwrap();
        }),
        end(namespace, contend),
        end(namespace, contend),
        end(namespace, |namespace| {
            for _ in 0..50 {
                let options = ring::ProducerOptions::new().namespace(namespace.clone());
                let producer = options.capacity(4096).open("again").unwrap();
                inspect::list(&namespace).unwrap();
                producer.abandon();
                manage::remove(&namespace, "again", true).unwrap();
            }
        }),
    ];
    storm(threads, Duration::from_micros(100));
    assert!(INTERRUPTIONS.load(SeqCst) > 100);
}

/// Waits for the lock of a record that another wants too.
fn contend(namespace: Namespace) {
    let options = guarded::RecordOptions::new().namespace(namespace);
    let mut record = options.value_size(64).open("guarded").unwrap();
    for _ in 0..RECORDS {
        let mut guard = record.lock().unwrap().consistent();
        let value = guard.value_mut();
        value.resize(4, 0);
        value[0] = value[0].wrapping_add(1);
        guard.commit().unwrap();
    }
}
