//! A consumer process: takes every frame, checks the whole of it, and keeps the account that
//! `lost` and `torn` are read from.

use super::event::{Event, Watched, now_ns, tell};
use super::frame::{HEADER, Header};
use super::in_place::look_in_place;
use super::{DemoArgs, Fault};
use hdrhistogram::Histogram;
use partywall::ring::ConsumerOptions;
use partywall::{Namespace, RecvError};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const REPORT_EVERY: Duration = Duration::from_millis(100);

pub(super) fn run(args: &DemoArgs, stop: &AtomicBool) -> Result<(), Box<dyn Error>> {
    let consumer = ConsumerOptions::new()
        .namespace(Namespace::open_default()?)
        .attach_timeout(Some(Duration::from_secs(30)))
        .await_successor(true)
        .attach(&args.channel)?;
    let mut consumer = look_in_place(consumer);
    tell(&Event::Attached);
    let mut account = Account::new()?;
    let mut reported = Instant::now();
    let mut overlook = args.fault == Some(Fault::Lose);
    // The flag goes up when the conductor has gone: nobody is left to count for.
    while !stop.load(Ordering::Relaxed) {
        match consumer.recv_ref(Some(REPORT_EVERY)) {
            Ok(record) => {
                let now = now_ns();
                if overlook && account.watched.next == super::FAULTY {
                    // As though the channel had never handed this frame out.
                    overlook = false;
                    continue;
                }
                account.enter(&record, now);
            }
            Err(RecvError::TimedOut { .. }) => {}
            Err(RecvError::Closed { .. }) => {
                tell(&Event::Watched(Box::new(account.finish())));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            account.report();
        }
    }
    Ok(())
}

struct Account {
    watched: Watched,
    latency: Histogram<u64>,
    /// The producer process that the last frame came from; 0 before the first.
    run: u32,
}

impl Account {
    fn new() -> Result<Account, hdrhistogram::CreationError> {
        let latency = Histogram::new_with_bounds(1, super::LONGEST_NS, 2)?;
        Ok(Account {
            watched: Watched::default(),
            latency,
            run: 0,
        })
    }

    fn enter(&mut self, frame: &[u8], now: u64) {
        let watched = &mut self.watched;
        watched.received += 1;
        watched.last_ns = now;
        let Some(header) = Header::decode(frame) else {
            watched.torn += 1;
            // Its number cannot be believed; it stands where the next one was due.
            watched.next += 1;
            return;
        };
        if header.sequence < watched.next {
            watched.repeated += 1;
        } else {
            watched.missing += header.sequence - watched.next;
            watched.next = header.sequence + 1;
        }
        if watched.first_stamp_ns == 0 {
            watched.first_stamp_ns = header.stamp_ns;
        }
        if header.run != self.run {
            self.run = header.run;
            tell(&Event::FirstOf {
                run: header.run,
                at_ns: now,
            });
        }
        self.latency
            .saturating_record(now.saturating_sub(header.stamp_ns).max(1));
        if !header.verifies(&frame[HEADER..]) {
            watched.torn += 1;
        }
    }

    fn report(&self) {
        tell(&Event::Progress {
            received: self.watched.received,
            p50_ns: self.latency.value_at_quantile(0.5),
            p99_ns: self.latency.value_at_quantile(0.99),
        });
    }

    fn finish(mut self) -> Watched {
        self.watched.latency = self
            .latency
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
            .collect();
        self.watched
    }
}
