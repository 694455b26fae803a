//! Images in a pool: a camera writes each frame where its subscribers look at it, and nobody copies.
//!
//! A frame's bytes are the image and nothing else; what the demo must know of it besides stands in its descriptor. The
//! 16 bytes of the application's own are the checksum of an image from a file (`u64`, little-endian), the process that
//! sent it (`u32`) and 4 bytes of zero; its `kind` has bit 0 in the last frame and bit 1 in those from a file.

use super::account::Ledger;
use super::cast::{Cast, Look, News, Pattern, Problem, Promise, Size, Watcher, Watches, Writes};
use super::event::now_ns;
use super::frame::{self, Film};
use super::in_place::{hold_in_place, publish_in_place};
use super::part::{OPENING, Role, Words, nothing};
use super::record::Header;
use super::source::Image;
use partywall::Namespace;
use partywall::frames::{
    About, Frame, InPlacePublisher, InPlaceSubscriber, Overflow, PublisherOptions,
    SubscriberOptions, content, format,
};
use std::time::Duration;

const LAST: u16 = 1;
const FROM_FILE: u16 = 2;

pub(super) static CAST: Cast = Cast {
    pattern: Pattern::Frames,
    channel: "camera",
    opening: "Frames lie in a pool: the publisher writes an image where its subscribers look at it, and nobody copies.\n\
              Here a camera publishes, and an inspector and an encoder each check every byte of every image. Both are\n\
              reliable subscribers: the camera waits for who cannot keep up.",
    verdict: "Every frame that was published reached both subscribers, whole and in order.",
    one: "frame",
    many: "frames",
    watchers: &[
        Watcher {
            name: "inspector",
            nap: None,
        },
        Watcher {
            name: "encoder",
            nap: None,
        },
    ],
    writers: &["camera"],
    victim: 0,
    promise: Promise::Every,
    size: Size::OfFrames,
    news: News::Nothing,
    rate: None,
    enter,
    attach,
};

struct Camera {
    publisher: InPlacePublisher,
    film: Film,
    image: Option<Image>,
    words: Words,
}

fn enter(role: &Role) -> Result<Box<dyn Writes>, Problem> {
    let publisher = PublisherOptions::new()
        .namespace(Namespace::open_default()?)
        .frame_size(role.source.frame_size() as u32)
        // As few slots as do: what counts is that the pool stays in the cache. One seat is for who looks on.
        .seats(3)
        .held(1)
        .history(1)
        .loans(1)
        .overflow(Overflow::Block)
        // The conductor reads the channel's own count of frames after the close.
        .keep_when_closed(true)
        .open(&role.channel)?;
    Ok(Box::new(Camera {
        publisher: publish_in_place(publisher),
        film: Film::open(&role.source)?,
        image: role.source.image(),
        words: role.words(),
    }))
}

impl Writes for Camera {
    fn adopted(&self) -> bool {
        self.publisher.adopted()
    }

    fn records(&self) -> u64 {
        self.publisher.sequence()
    }

    fn send(&mut self, last: bool) -> Result<(), Problem> {
        let sequence = self.publisher.sequence();
        let mut loan = self.publisher.loan(self.film.frame_size())?;
        let flaw = self.words.corrupts(last);
        let checksum = self.film.develop_in_place(sequence, flaw, &mut loan)?;
        let mut loan = loan.into_inner();
        loan.set_kind(kind(last, checksum));
        if let Some(image) = self.image {
            loan.set_content(content::IMAGE);
            loan.set_about(about(image));
        }
        loan.set_user(user(self.words.run, checksum));
        loan.publish()?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64, Problem> {
        let frames = self.records();
        self.publisher.into_inner().close()?;
        Ok(frames)
    }
}

/// What a frame's descriptor says of an image, but for the bytes of the application's own.
fn about(image: Image) -> About {
    About {
        width: image.width,
        height: image.height,
        // Not more than the bytes of a frame.
        stride: image.width * image.pixel,
        format: match image.pixel {
            1 => format::GREY,
            2 => format::GREY_16,
            3 => format::RGB,
            4 => format::RGBA,
            _ => 0,
        },
        ..About::default()
    }
}

fn kind(last: bool, checksum: Option<u64>) -> u16 {
    let from_file = if checksum.is_some() { FROM_FILE } else { 0 };
    from_file | if last { LAST } else { 0 }
}

fn user(run: u32, checksum: Option<u64>) -> [u8; 16] {
    let mut user = [0; 16];
    user[..8].copy_from_slice(&checksum.unwrap_or(0).to_le_bytes());
    user[8..12].copy_from_slice(&run.to_le_bytes());
    user
}

/// What stands in front of other patterns' records. `None` if this is no frame of ours.
fn header(frame: &Frame, now: u64) -> Option<Header> {
    let user = &frame.about().user;
    let checksum = u64::from_le_bytes(*user.first_chunk()?);
    let checksum = (frame.kind() & FROM_FILE != 0).then_some(checksum);
    // The channel counts from 1, and stamps by another clock.
    let age = frame.age()?.as_nanos() as u64;
    let header = Header {
        sequence: frame.sequence().checked_sub(1)?,
        stamp_ns: now.saturating_sub(age),
        length: frame.len() as u64,
        checksum,
        run: u32::from_le_bytes(*user[8..].first_chunk()?),
        writer: 0,
        last: frame.kind() & LAST != 0,
    };
    let ours =
        frame.kind() == kind(header.last, checksum) && *user == self::user(header.run, checksum);
    ours.then_some(header)
}

struct Viewer {
    subscriber: InPlaceSubscriber,
    frame_size: usize,
    content: u16,
    about: About,
}

fn attach(role: &Role) -> Result<Box<dyn Watches>, Problem> {
    let subscriber = SubscriberOptions::new()
        .namespace(Namespace::open_default()?)
        .attach_timeout(OPENING)
        .await_successor(true)
        .attach(&role.channel)?;
    let image = role.source.image();
    Ok(Box::new(Viewer {
        subscriber: hold_in_place(subscriber),
        frame_size: role.source.frame_size(),
        content: image.map_or(content::BYTES, |_| content::IMAGE),
        about: image.map_or_else(About::default, about),
    }))
}

impl Watches for Viewer {
    fn look(&mut self, ledger: &mut Ledger, wait: Duration) -> Result<Look, Problem> {
        let lent = match self.subscriber.recv_timeout(wait) {
            Ok(lent) => lent,
            Err(error) => return nothing(error),
        };
        let (frame, now) = (lent.frame(), now_ns());
        let expected = About {
            user: frame.about().user,
            ..self.about
        };
        ledger.enter_parts(header(frame, now), now, |header| {
            let described = frame.len() == self.frame_size
                && frame.content() == self.content
                && *frame.about() == expected;
            described && frame::matches(header, &lent)
        });
        Ok(Look::More)
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::FrameSize;
    use super::*;

    #[test]
    fn an_image_is_described_as_it_lies() {
        let image = FrameSize::FULL_HD.image.expect("it is one");
        let about = about(image);
        assert_eq!((about.width, about.height), (1920, 1080));
        assert_eq!((about.stride, about.format), (5760, format::RGB));
    }
}
