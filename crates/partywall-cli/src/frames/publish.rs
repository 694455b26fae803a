//! `partywall frames publish`: files, or standard input in pieces of one size.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use partywall::SendError;
use partywall::frames::{InPlacePublisher, Loan, PublisherOptions};

use super::image::Image;
use crate::ended::{self, Ended, complain};
use crate::exit::{Exit, Failure};
use crate::in_place;
use crate::input::Input;
use crate::options::{Place, Protection, Wait, WhenAlone, WhenFull, protected, seconds, size};
use crate::signals::Signals;

/// Options of `partywall frames publish`.
#[derive(Args, Debug)]
#[command(after_help = "\
Formats of --image:
    grey, grey16, rgb, bgr, rgba, bgra, yuyv, uyvy, nv12, i420, bggr, rggb; of files also jpeg, h264, hevc

Examples:
    ffmpeg -i clip.mp4 -f rawvideo -pix_fmt rgb24 - | partywall frames publish cam --image 1920x1080:rgb
    partywall frames publish stills --image 4000x3000:jpeg --keep *.jpg
    partywall frames publish blocks --size 64k < samples.bin")]
pub(crate) struct PublishArguments {
    /// The channel; created, or taken over from a dead publisher
    #[arg(value_name = "NAME")]
    channel: String,

    /// Files, each a frame; without them standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// A frame is so many bytes of standard input, and the last may be shorter; of files: the largest that there may
    /// be
    #[arg(long, value_name = "BYTES", value_parser = size, required_unless_present_any = ["image", "files"])]
    size: Option<u64>,

    /// Each frame is such an image, such as 1920x1080:rgb, and its subscribers are told so
    #[arg(long, value_name = "WIDTHxHEIGHT:FORMAT", conflicts_with = "size")]
    image: Option<Image>,

    /// A number of your own that subscribers get with each frame
    #[arg(long, value_name = "N", default_value_t = 0)]
    kind: u16,

    /// How many subscribers there can be, 1 to 64
    #[arg(long, value_name = "N", default_value_t = 4)]
    seats: u32,

    /// Frames that each subscriber may hold at once
    #[arg(long, value_name = "N", default_value_t = 2)]
    held: u32,

    /// The newest frames, so many, are never written over
    #[arg(long, value_name = "N", default_value_t = 2)]
    history: u32,

    /// Frames that there is memory for [default: as many as are needed: seats * held + history + 1]
    #[arg(long, value_name = "N")]
    slots: Option<u32>,

    /// What to do when reliable subscribers are behind
    #[arg(long, value_enum, default_value_t)]
    overflow: WhenFull,

    /// What to do while there is no subscriber
    #[arg(long, value_enum, default_value_t)]
    no_subscriber: WhenAlone,

    /// Do not end the stream with the input: its newest frames stay for `frames recv --history`, and subscribers wait
    /// for the next publisher
    #[arg(long)]
    keep: bool,

    /// How to wait for a free slot
    #[arg(long, value_enum, default_value_t)]
    wait: Wait,

    /// Give up when there is no free slot, or no subscriber, for so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    #[command(flatten)]
    protection: Protection,
}

/// Runs the command. At its end the channel is closed, unless it is to be kept.
pub(crate) fn run(arguments: &PublishArguments, place: &Place) -> Result<Exit, Failure> {
    let signals = Signals::install()?;
    let mut dropped = 0;
    let outcome = publish_all(arguments, place, &signals, &mut dropped);
    if dropped > 0 {
        complain(&format!(
            "{dropped} frames dropped: a subscriber was behind"
        ));
    }
    ended::exit(outcome, &signals)
}

fn publish_all(
    arguments: &PublishArguments,
    place: &Place,
    signals: &Signals,
    dropped: &mut u64,
) -> Result<(), Ended> {
    // All that is wrong with the files is told before anything is published.
    let lens = arguments
        .files
        .iter()
        .map(|path| length(path, arguments.image))
        .collect::<Result<Vec<u64>, Failure>>()?;
    let largest = lens.iter().copied().max();
    let image = arguments.image.and_then(|image| image.bytes());
    let Some(bytes) = arguments.size.or(image).max(largest) else {
        let message = "images of this format vary in size: give them as files";
        return Err(Failure::new(Exit::Failed, message).into());
    };
    if let (Some(size), Some(largest)) = (arguments.size, largest)
        && largest > size
    {
        let message = format!("a file has {largest} bytes, more than --size {size}");
        return Err(Failure::new(Exit::Failed, message).into());
    }
    let mut options = PublisherOptions::new()
        .namespace(place.open()?)
        .frame_size(u32::try_from(bytes.max(1)).unwrap_or(u32::MAX))
        .seats(arguments.seats)
        .held(arguments.held)
        .history(arguments.history)
        .overflow(arguments.overflow.into())
        .block_timeout(arguments.timeout)
        .keep_when_closed(arguments.keep)
        .wait(arguments.wait.into())
        .stop_token(signals.stop.clone());
    if let Some(slots) = arguments.slots {
        options = options.slots(slots);
    }
    let mut frames = Frames {
        publisher: in_place::publish_in_place(
            protected!(options, arguments.protection).open(&arguments.channel)?,
        ),
        arguments,
        aside: Vec::new(),
        dropped,
    };
    // Also before an input without a frame: who comes is told that it has ended.
    let outcome = frames
        .wait_for_subscriber()
        .and_then(|()| match &arguments.files[..] {
            [] => frames.of_input(bytes as usize, &Input { signals }),
            files => frames.of_files(files.iter().zip(lens), signals),
        });
    if arguments.keep {
        frames.publisher.into_inner().abandon();
    }
    outcome
}

/// Bytes of a file that can be a frame.
fn length(path: &Path, image: Option<Image>) -> Result<u64, Failure> {
    let problem = |what: String| Failure::new(Exit::Failed, format!("{}: {what}", path.display()));
    let file = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?;
    if !file.is_file() {
        return Err(problem("not a regular file".to_owned()));
    }
    match image.and_then(|image| image.bytes()) {
        Some(bytes) if bytes != file.len() => Err(problem(format!(
            "{} bytes, but such an image has {bytes}; is --image right?",
            file.len()
        ))),
        _ => Ok(file.len()),
    }
}

/// Reads a file to its end, or as much as it had when its length was asked.
fn fill_from(path: &Path, room: &mut [u8]) -> Result<usize, Ended> {
    let failed = |error: &std::io::Error| {
        Ended::Failed(Failure::stream(&format!("read {}", path.display()), error))
    };
    let mut file = File::open(path).map_err(|error| failed(&error))?;
    let mut filled = 0;
    while filled < room.len() {
        match file.read(&mut room[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(filled)
}

struct Frames<'a> {
    publisher: InPlacePublisher,
    arguments: &'a PublishArguments,
    /// Where frames are read to that may be dropped.
    aside: Vec<u8>,
    dropped: &'a mut u64,
}

impl Frames<'_> {
    /// Frames of so many bytes each.
    fn of_input(&mut self, len: usize, input: &Input<'_>) -> Result<(), Ended> {
        let mut ended = false;
        while !ended {
            self.publish(len, |room| {
                let (filled, last) = input.fill(room, true)?;
                ended = last;
                Ok((filled > 0).then_some(filled))
            })?;
        }
        Ok(())
    }

    /// A frame of each file, which has so many bytes.
    fn of_files<'a>(
        &mut self,
        files: impl Iterator<Item = (&'a PathBuf, u64)>,
        signals: &Signals,
    ) -> Result<(), Ended> {
        for (path, len) in files {
            // Publishing does not look for a stop where it need not wait.
            if signals.exit().is_some() {
                return Err(Ended::Signal);
            }
            self.publish(len as usize, |room| fill_from(path, room).map(Some))?;
        }
        Ok(())
    }

    /// Publishes a frame of at most `len` bytes, which are filled in where subscribers will look at them; none if
    /// there is nothing to fill in.
    fn publish(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<Option<usize>, Ended>,
    ) -> Result<(), Ended> {
        if matches!(self.arguments.overflow, WhenFull::Drop) {
            return self.publish_or_drop(len, fill);
        }
        let mut loan = self.publisher.loan(len)?;
        if let Some(filled) = fill(&mut loan)? {
            self.wait_for_subscriber()?;
            self.describe(loan.into_inner(), filled)?;
        }
        Ok(())
    }

    /// What may be dropped has to be read all the same, so it needs a place of its own.
    fn publish_or_drop(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<Option<usize>, Ended>,
    ) -> Result<(), Ended> {
        self.aside.resize(len, 0);
        let Some(filled) = fill(&mut self.aside)? else {
            return Ok(());
        };
        self.wait_for_subscriber()?;
        match self.publisher.loan(filled) {
            Ok(mut loan) => {
                loan.copy_from_slice(&self.aside[..filled]);
                self.describe(loan.into_inner(), filled)
            }
            Err(SendError::Full { .. }) => {
                *self.dropped += 1;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// If there is none, and that was chosen. Only where there is a frame to publish: when all have left, the end of
    /// the input is the end.
    fn wait_for_subscriber(&self) -> Result<(), Ended> {
        if matches!(self.arguments.no_subscriber, WhenAlone::Wait)
            && self.publisher.subscribers() == 0
        {
            self.publisher.wait_for_subscriber(self.arguments.timeout)?;
        }
        Ok(())
    }

    /// Says what a frame is, and publishes it.
    fn describe(&self, mut loan: Loan<'_>, filled: usize) -> Result<(), Ended> {
        if let Some(image) = self.arguments.image {
            // The input ended, or a file was made shorter meanwhile.
            if let Some(bytes) = image.bytes()
                && bytes != filled as u64
            {
                let message = format!(
                    "the input ended in the middle of an image: {filled} bytes of {bytes}; is --image right?"
                );
                return Err(Failure::new(Exit::Failed, message).into());
            }
            loan.set_content(image.content());
            loan.set_about(image.about());
        }
        loan.set_kind(self.arguments.kind);
        loan.publish_len(filled)?;
        Ok(())
    }
}
