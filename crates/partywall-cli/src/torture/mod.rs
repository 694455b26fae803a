//! `partywall torture`: rounds of random traffic, kills and stops, and an oracle for every pattern that judges them.
//!
//! The conductor (this process) makes a plan from the seed ([`plan`]), starts the processes that it names, each the same
//! binary again ([`worker`]), kills, stops and disturbs them when the plan says, and at the end of each round holds what
//! they wrote down ([`journal`]) against what the pattern promises ([`oracle`]).

mod conductor;
mod content;
mod journal;
mod oracle;
mod plan;
mod players;
mod report;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::demo::cast::Pattern;

/// Options of `partywall torture`.
#[derive(Args, Debug, Clone)]
pub(crate) struct TortureArguments {
    /// How long, in seconds; the round that is under way is played to its end
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seconds: u64,

    /// What the plans are made from; the same seed gives the same plans, though not the same timing. Default: a random one
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Only these patterns; may be given several times
    #[arg(long, value_enum, value_name = "P")]
    pattern: Vec<Pattern>,

    /// Only this round of the seed, again and again
    #[arg(long, value_name = "N")]
    round: Option<u64>,

    /// Every other process runs this program instead: the command of another target (32 bits beside 64), or an older one
    #[arg(long, value_name = "PROGRAM")]
    other: Option<PathBuf>,

    /// Print the result as one JSON object, the last line of standard output
    #[arg(long)]
    json: bool,

    /// What a process of a round is told to be.
    #[arg(long, hide = true)]
    worker: Option<String>,

    /// Has a writer break the rules, to show that it is found.
    #[arg(long, hide = true)]
    fault: Option<Fault>,
}

#[derive(ValueEnum, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Fault {
    /// One byte of some records is wrong.
    Corrupt,
    /// Some records are said to be committed and are not.
    Skip,
    /// Some records are committed twice.
    Twice,
}

/// Tortures, or is a process of a round. `dir` is the namespace that the user asked for; without it there is one that is
/// removed afterwards.
pub(crate) fn run(arguments: &TortureArguments, dir: Option<&Path>) -> Result<ExitCode, String> {
    match &arguments.worker {
        Some(assignment) => worker::run(assignment)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| error.to_string()),
        None => conductor::run(arguments, dir),
    }
}
