//! `partywall demo`: a camera that dies, and two consumers that do not notice much.
//!
//! The conductor (this process) starts an inspector, a viewer and a camera, each the same binary
//! again; kills the camera half-way with SIGKILL and starts another; and holds what the consumers
//! say they got against what the channel says was committed.

mod camera;
mod children;
mod conductor;
mod event;
mod frame;
mod in_place;
mod part;
mod report;
pub(crate) mod scratch;
mod watcher;

use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Rows x columns x bytes of a pixel.
const FULL_HD: usize = 1920 * 1080 * 3;

/// Larger frames would want a channel of several times their size, and a memory to hold it.
const LARGEST_FRAME: usize = 1 << 30;

/// The consumer processes.
const WATCHERS: [&str; 2] = ["inspector", "viewer"];

/// The frame that a fault of `--fault` falls upon.
const FAULTY: u64 = 5;

/// Latencies above this are counted as this.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Options of `partywall demo`.
#[derive(Args, Debug, Clone)]
pub(crate) struct DemoArgs {
    /// How long to send frames, in seconds
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Print the result as one JSON object, the last line of standard output
    #[arg(long)]
    pub(crate) json: bool,

    /// Send the frames of this raw video, over and over, instead of made ones
    #[arg(long, value_name = "FILE", requires = "frame_size")]
    pub(crate) input: Option<PathBuf>,

    /// Size of a frame: BYTES, or WIDTHxHEIGHTxBYTES such as 1920x1080x3
    #[arg(long, value_name = "SIZE", value_parser = frame_size)]
    pub(crate) frame_size: Option<usize>,

    /// Frames a second; without it, as many as the memory carries
    #[arg(long, value_name = "N", value_parser = frames_per_second)]
    pub(crate) fps: Option<f64>,

    /// How often the camera is killed and restarted, evenly over the time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) kills: u32,

    // What follows is how the conductor tells its children who they are, and how tests make sure
    // that a loss or a torn frame would be seen.
    #[arg(long, hide = true)]
    part: Option<Part>,
    #[arg(long, hide = true, default_value = "camera")]
    channel: String,
    #[arg(long, hide = true, default_value_t = 1)]
    run: u32,
    #[arg(long, hide = true)]
    fault: Option<Fault>,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Camera,
    Watcher,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The camera changes one byte of a frame after its checksum was decided.
    Corrupt,
    /// The viewer overlooks a frame.
    Lose,
    /// The camera ends in an error.
    Fail,
}

/// Where frames come from.
#[derive(Debug, Clone)]
enum Source {
    Made {
        frame_size: usize,
    },
    File {
        path: PathBuf,
        frame_size: usize,
        frames: u64,
    },
}

impl Source {
    fn of(args: &DemoArgs) -> Result<Source, String> {
        let Some(path) = &args.input else {
            return Ok(Source::Made {
                frame_size: args.frame_size.unwrap_or(FULL_HD),
            });
        };
        let frame_size = args.frame_size.ok_or("--input needs --frame-size")?;
        let problem = |what: String| format!("--input {}: {what}", path.display());
        let file = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?;
        if !file.is_file() {
            return Err(problem(
                "not a regular file; the demo reads its frames many times".into(),
            ));
        }
        let frames = file.len() / frame_size as u64;
        if frames == 0 {
            return Err(problem(format!(
                "{} bytes, less than one frame of {frame_size}; is --frame-size right?",
                file.len()
            )));
        }
        Ok(Source::File {
            path: path.clone(),
            frame_size,
            frames,
        })
    }

    fn frame_size(&self) -> usize {
        match self {
            Source::Made { frame_size } | Source::File { frame_size, .. } => *frame_size,
        }
    }
}

/// Room for two frames: one is written while the one before is read. More would not be faster, for
/// what counts is that the ring stays in the cache; and a frame would wait longer to be looked at.
fn capacity_for(frame_size: usize) -> u64 {
    (2 * (frame_size + frame::HEADER + 64) as u64)
        .next_power_of_two()
        .max(1 << 20)
}

fn frame_size(text: &str) -> Result<usize, String> {
    let mut size = 1_usize;
    for factor in text.split(['x', 'X']) {
        let factor: usize = factor
            .parse()
            .map_err(|_| "expected BYTES or WIDTHxHEIGHTxBYTES, such as 1920x1080x3".to_owned())?;
        size = size
            .checked_mul(factor)
            .filter(|&size| size <= LARGEST_FRAME)
            .ok_or_else(|| format!("a frame may have at most {LARGEST_FRAME} bytes (1 GiB)"))?;
    }
    if size == 0 {
        Err("a frame must have at least one byte".into())
    } else {
        Ok(size)
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    if (0.1..=86_400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("expected 0.1 to 86400 seconds".into())
    }
}

fn frames_per_second(text: &str) -> Result<f64, String> {
    let fps: f64 = text
        .parse()
        .map_err(|_| "expected a number of frames a second".to_owned())?;
    if (0.1..=1e6).contains(&fps) {
        Ok(fps)
    } else {
        Err("expected 0.1 to 1000000".into())
    }
}

/// Runs the demo, or the part of it that the conductor gave this process. `dir` is the namespace
/// that the user asked for; without it the demo makes one of its own and removes it.
pub(crate) fn run(args: &DemoArgs, dir: Option<&Path>) -> Result<ExitCode, String> {
    let source = Source::of(args)?;
    match args.part {
        Some(role) => part::run(args, role, &source),
        None => conductor::run(args, &source, dir),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_size_is_bytes_or_a_product() {
        assert_eq!(frame_size("1920x1080x3"), Ok(FULL_HD));
        assert_eq!(frame_size("17"), Ok(17));
        for bad in [
            "",
            "0",
            "0x5x5",
            "x",
            "1x",
            "-1",
            "1.5",
            "99999999999",
            "4294967296x4294967296x4294967296",
        ] {
            assert!(frame_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_channel_holds_two_frames_of_any_size() {
        for size in [1, 4096, FULL_HD, LARGEST_FRAME] {
            let largest_record = capacity_for(size) / 2;
            assert!(
                (size + frame::HEADER + 16) as u64 <= largest_record,
                "{size}"
            );
        }
    }
}
