//! `partywall demo`: a writer that dies, and watchers that do not notice much.
//!
//! The conductor (this process) starts the cast of a pattern, each the same binary again; kills a writer in the
//! middle with SIGKILL and starts another; and holds what the watchers say they got against what the channel
//! says was committed. What is particular to a pattern stands in a file of its name.

mod account;
mod broadcast;
pub(crate) mod cast;
mod children;
mod conductor;
pub(crate) mod event;
mod frame;
mod frames;
mod guarded;
mod in_place;
mod mpsc;
mod pace;
pub(crate) mod part;
mod pledges;
mod progress;
pub(crate) mod record;
pub(crate) mod report;
mod ring;
pub(crate) mod scratch;
mod snapshot;
mod source;
mod text;

use cast::Pattern;
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use source::{FrameSize, Source};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Larger frames would want a channel of several times their size, and a memory to hold it.
const LARGEST_FRAME: usize = 1 << 30;

/// The record that a loss of `--fault` falls upon, or the next after it that arrives.
const FAULTY: u64 = 5;

/// Latencies above this are counted as this.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Options of `partywall demo`.
#[derive(Args, Debug, Clone)]
pub(crate) struct DemoArgs {
    /// What to show
    #[arg(long, value_enum, default_value_t = Pattern::Frames)]
    pattern: Pattern,

    /// How long it takes, in seconds
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Print the result as one JSON object, the last line of standard output
    #[arg(long)]
    pub(crate) json: bool,

    /// Send the frames of this raw video, over and over, instead of made ones (patterns of frames)
    #[arg(long, value_name = "FILE", requires = "frame_size")]
    pub(crate) input: Option<PathBuf>,

    /// Size of a frame: BYTES, or WIDTHxHEIGHTxBYTES such as 1920x1080x3 (patterns of frames)
    #[arg(long, value_name = "SIZE", value_parser = source::frame_size)]
    pub(crate) frame_size: Option<FrameSize>,

    /// Frames, values or records a second of each writer; without it, as many as the memory carries, or what the
    /// pattern's writers do in life
    #[arg(long, value_name = "N", value_parser = frames_per_second)]
    pub(crate) fps: Option<f64>,

    /// How often a writer is killed and restarted, evenly over the time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) kills: u32,

    // What follows is how the conductor tells its children who they are, and how tests make sure
    // that a loss or a torn record would be seen.
    #[arg(long, hide = true)]
    part: Option<Part>,
    #[arg(long, hide = true, default_value = "demo")]
    channel: String,
    #[arg(long, hide = true, default_value_t = 0)]
    index: usize,
    #[arg(long, hide = true, default_value_t = 1)]
    run: u32,
    #[arg(long, hide = true)]
    fault: Option<Fault>,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Writer,
    Watcher,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The writer that is killed has one wrong byte in its last record.
    Corrupt,
    /// The last of the watchers overlooks a record.
    Lose,
    /// The writer that is killed ends in an error.
    Fail,
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
    let cast = args.pattern.cast();
    let frame_option = [
        ("--input", args.input.is_some()),
        ("--frame-size", args.frame_size.is_some()),
    ];
    if let Some((option, _)) = frame_option.iter().find(|(_, given)| *given)
        && !cast.shows_frames()
    {
        let problem = format!(
            "{option} is for patterns that show frames; --pattern {} sends {} of its own",
            word(args.pattern),
            cast.many,
        );
        return Ok(wrong_usage(&problem));
    }
    let source = Source::of(args)?;
    match args.part {
        Some(part) => part::run(args, part, source),
        None => conductor::run(args, cast, &source, dir),
    }
}

/// Complains as the parser of the command line does.
fn wrong_usage(problem: &str) -> ExitCode {
    let mut command = DemoArgs::augment_args(clap::Command::new("partywall demo"));
    let error = command.error(ErrorKind::ArgumentConflict, problem);
    // With standard error closed there is nobody to tell.
    let _ = error.print();
    ExitCode::from(error.exit_code() as u8)
}

/// The word that stands for a value on the command line.
pub(crate) fn word(value: impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}
