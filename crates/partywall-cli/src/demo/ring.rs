//! Frames through a ring: a camera that waits for its consumers, and none of them misses a frame.

use super::account::Ledger;
use super::cast::{Cast, Look, News, Pattern, Problem, Promise, Size, Watcher, Watches, Writes};
use super::event::now_ns;
use super::frame::{self, Film};
use super::in_place::look_in_place;
use super::part::{OPENING, Role, Words, nothing};
use super::record::HEADER;
use partywall::Namespace;
use partywall::ring::{ConsumerOptions, InPlaceConsumer, Overflow, Producer, ProducerOptions};
use std::time::Duration;

/// How long the last frames may take to be read.
const LAST_READ: Duration = Duration::from_secs(30);

pub(super) static CAST: Cast = Cast {
    pattern: Pattern::Ring,
    channel: "camera",
    opening: "A ring brings every record to every consumer, in order; when it is full, the producer waits.\n\
              Here a producer sends frames, and an inspector and a viewer each check every byte of them.",
    verdict: "Every frame that was committed reached both consumers, whole and in order.",
    one: "frame",
    many: "frames",
    watchers: &[
        Watcher {
            name: "inspector",
            nap: None,
        },
        Watcher {
            name: "viewer",
            nap: None,
        },
    ],
    writers: &["producer"],
    victim: 0,
    promise: Promise::Every,
    size: Size::OfFrames,
    news: News::Nothing,
    rate: None,
    enter,
    attach,
};

struct Camera {
    producer: Producer,
    film: Film,
    words: Words,
}

fn enter(role: &Role) -> Result<Box<dyn Writes>, Problem> {
    let producer = ProducerOptions::new()
        .namespace(Namespace::open_default()?)
        .capacity(capacity_for(role.source.frame_size()))
        .seats(4)
        .overflow(Overflow::Block)
        // The conductor reads the channel's own count of records after the close.
        .keep_when_closed(true)
        .open(&role.channel)?;
    Ok(Box::new(Camera {
        producer,
        film: Film::open(&role.source)?,
        words: role.words(),
    }))
}

impl Writes for Camera {
    fn adopted(&self) -> bool {
        self.producer.adopted()
    }

    fn records(&self) -> u64 {
        self.producer.records()
    }

    fn send(&mut self, last: bool) -> Result<(), Problem> {
        let sequence = self.producer.records();
        let length = self.film.frame_size();
        let mut frame = self.producer.reserve(HEADER + length)?;
        let flaw = self.words.corrupts(last);
        let checksum = self.film.develop(sequence, flaw, |at, piece| {
            frame.write_at(HEADER + at, piece);
        })?;
        frame.write_at(0, &self.words.header(sequence, length, checksum, last));
        frame.commit();
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<u64, Problem> {
        let records = self.producer.records();
        self.producer.flush(Some(LAST_READ))?;
        self.producer.close()?;
        Ok(records)
    }
}

/// Room for two frames: one is written while the one before is read. More would not be faster, for
/// what counts is that the ring stays in the cache; and a frame would wait longer to be looked at.
fn capacity_for(frame_size: usize) -> u64 {
    (2 * (frame_size + HEADER + 64) as u64)
        .next_power_of_two()
        .max(1 << 20)
}

struct Viewer {
    consumer: InPlaceConsumer,
}

fn attach(role: &Role) -> Result<Box<dyn Watches>, Problem> {
    let consumer = ConsumerOptions::new()
        .namespace(Namespace::open_default()?)
        .attach_timeout(OPENING)
        .await_successor(true)
        .attach(&role.channel)?;
    Ok(Box::new(Viewer {
        consumer: look_in_place(consumer),
    }))
}

impl Watches for Viewer {
    fn look(&mut self, ledger: &mut Ledger, wait: Duration) -> Result<Look, Problem> {
        match self.consumer.recv_ref(Some(wait)) {
            Ok(frame) => {
                ledger.enter(&frame, now_ns(), frame::matches);
                Ok(Look::More)
            }
            Err(error) => nothing(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LARGEST_FRAME;
    use super::super::source::FrameSize;
    use super::*;

    #[test]
    fn a_channel_holds_two_frames_of_any_size() {
        for size in [1, 4096, FrameSize::FULL_HD.bytes, LARGEST_FRAME] {
            let largest_record = capacity_for(size) / 2;
            assert!((size + HEADER + 16) as u64 <= largest_record, "{size}");
        }
    }
}
