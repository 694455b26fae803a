//! What the harness is asked for.

pub use crate::cores::Placement;
pub use crate::works::Work;
use std::path::PathBuf;

/// Options of `partywall bench`.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Arguments {
    /// Less than a minute, instead of some; fewer sizes and numbers of processes
    #[arg(long)]
    pub quick: bool,

    /// One JSON object a line
    #[arg(long)]
    pub json: bool,

    /// What to measure, such as W1,W2; without it, everything
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WORKS")]
    pub work: Vec<Work>,

    /// How many rounds of each, instead of as many as the time allows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rounds: Option<u64>,

    /// Rivals to measure too: their names, `system` (what the operating system has; that is the default), `all` that were
    /// built, or `none`
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub against: Vec<String>,

    /// Where the programs of rivals are
    #[arg(
        long,
        value_name = "DIRECTORY",
        default_value = "rivals/target/programs"
    )]
    pub rivals: PathBuf,

    /// How the cores of the two processes lie to each other, instead of as near as two cores can be
    #[arg(long, value_enum)]
    pub placement: Option<Placement>,

    /// Write a report with plots
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,

    /// Compare the ratios with those that were recorded, and fail if one is beyond 1.5 times
    #[arg(long)]
    pub check: bool,

    /// The ratios that --check compares with: JSON lines of an earlier run
    #[arg(
        long,
        value_name = "FILE",
        default_value = "crates/partywall-bench/recorded.jsonl"
    )]
    pub recorded: PathBuf,

    /// Measure nothing: turn the JSON lines of an earlier run into a table in Markdown
    #[arg(long, value_name = "FILE", conflicts_with_all = ["check", "json", "quick"])]
    pub markdown: Option<PathBuf>,

    /// Put that table into a document, between its two comments about figures, instead of printing it
    #[arg(long, value_name = "FILE.md", requires = "markdown")]
    pub into: Option<PathBuf>,
}
