//! The producer process: a camera that knows no mercy, or the frames of a file over and over.

use super::event::{Event, now_ns, tell};
use super::frame::{HEADER, Header, make};
use super::{DemoArgs, Fault, Source};
use partywall::Namespace;
use partywall::ring::{Overflow, Producer, ProducerOptions};
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::Xxh3;

/// Content is made in pieces that stay in the first-level cache until they are copied out.
const PIECE: usize = 16 * 1024;

/// How long the last frames may take to be read.
const LAST_READ: Duration = Duration::from_secs(30);

pub(super) fn run(
    args: &DemoArgs,
    source: &Source,
    stop: &AtomicBool,
) -> Result<(), Box<dyn Error>> {
    let mut producer = ProducerOptions::new()
        .namespace(Namespace::open_default()?)
        .capacity(super::capacity_for(source.frame_size()))
        .seats(4)
        .overflow(Overflow::Block)
        // The conductor reads the channel's own count of records after the close.
        .keep_when_closed(true)
        .open(&args.channel)?;
    tell(&Event::Opened {
        records: producer.records(),
        adopted: producer.adopted(),
    });
    let file = match source {
        Source::Made { .. } => None,
        Source::File { path, .. } => Some(File::open(path)?),
    };
    // Who attaches late would rightly not get the first frames; the demo wants to count them all.
    while producer.consumers() < super::WATCHERS.len() {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut pace = Pace::new(args.fps);
    let mut piece = vec![0; PIECE];
    while !stop.load(Ordering::Relaxed) {
        pace.wait(stop);
        send_frame(&mut producer, args, source, file.as_ref(), &mut piece)?;
    }
    let records = producer.records();
    producer.flush(Some(LAST_READ))?;
    producer.close()?;
    tell(&Event::Sent { records });
    Ok(())
}

fn send_frame(
    producer: &mut Producer,
    args: &DemoArgs,
    source: &Source,
    file: Option<&File>,
    piece: &mut [u8],
) -> Result<(), Box<dyn Error>> {
    let sequence = producer.records();
    let length = source.frame_size();
    let mut frame = producer.reserve(HEADER + length)?;
    let mut hash = Xxh3::new();
    for offset in (0..length).step_by(PIECE) {
        let part = &mut piece[..PIECE.min(length - offset)];
        if let (Some(file), Source::File { frames, .. }) = (file, source) {
            file.read_exact_at(part, (sequence % frames) * length as u64 + offset as u64)?;
            hash.update(part);
        } else {
            make(sequence, offset, part);
        }
        if args.fault == Some(Fault::Corrupt) && sequence == super::FAULTY && offset == 0 {
            part[0] ^= 1;
        }
        frame.write_at(HEADER + offset, part);
    }
    let header = Header {
        sequence,
        stamp_ns: now_ns(),
        length: length as u64,
        checksum: file.map(|_| hash.digest()),
        run: args.run,
    };
    frame.write_at(0, &header.encode());
    frame.commit();
    Ok(())
}

/// Keeps to a rate of frames, if one was asked for.
struct Pace {
    interval: Option<Duration>,
    next: Instant,
}

impl Pace {
    fn new(fps: Option<f64>) -> Pace {
        Pace {
            interval: fps.map(|fps| Duration::from_secs_f64(1.0 / fps)),
            next: Instant::now(),
        }
    }

    fn wait(&mut self, stop: &AtomicBool) {
        let Some(interval) = self.interval else {
            return;
        };
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let Some(left) = self
                .next
                .checked_duration_since(now)
                .filter(|left| !left.is_zero())
            else {
                // A camera that fell behind does not make up for it by a burst.
                self.next = now.max(self.next) + interval;
                return;
            };
            // In slices, so that a slow camera stops when it is told to.
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}
