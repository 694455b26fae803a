//! What was done and found.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

use super::conductor::Round;
use super::oracle::{Kind, Run};
use super::plan::{Part, Plan};
use crate::demo::cast::Pattern;
use crate::demo::report::grouped;
use crate::demo::word;

/// Findings of one round that are shown; all of them are in the record that is kept.
const SHOWN: usize = 5;

/// Which program a process of a round ran: this one, or the one that `--other` names.
#[derive(Serialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Build {
    This,
    Other,
}

/// What processes of one build did in one part.
#[derive(Serialize, Debug, Default, Clone, Copy)]
struct Share {
    processes: u64,
    kills: u64,
    operations: u64,
}

/// Who of which build did what.
#[derive(Serialize, Debug, Default, Clone)]
pub(super) struct Builds(BTreeMap<Build, BTreeMap<Part, Share>>);

impl Builds {
    pub(super) fn add(&mut self, is_other: bool, part: Part, run: &Run) {
        let build = if is_other { Build::Other } else { Build::This };
        let share = Share {
            processes: 1,
            kills: run.killed.is_some().into(),
            operations: run.entries.len() as u64,
        };
        self.add_share(build, part, share);
    }

    fn add_share(&mut self, build: Build, part: Part, more: Share) {
        let share = self.0.entry(build).or_default().entry(part).or_default();
        share.processes += more.processes;
        share.kills += more.kills;
        share.operations += more.operations;
    }

    fn merge(&mut self, other: &Builds) {
        for (&build, parts) in &other.0 {
            for (&part, &share) in parts {
                self.add_share(build, part, share);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Sums over rounds.
#[derive(Serialize, Debug, Default, Clone)]
struct Sums {
    rounds: u64,
    kills: u64,
    stops: u64,
    growths: u64,
    reschemas: u64,
    rejoins: u64,
    operations: u64,
    records: u64,
    lost: u64,
    torn: u64,
    problems: u64,
    #[serde(skip_serializing_if = "Builds::is_empty")]
    builds: Builds,
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.rounds += other.rounds;
        self.kills += other.kills;
        self.stops += other.stops;
        self.growths += other.growths;
        self.reschemas += other.reschemas;
        self.rejoins += other.rejoins;
        self.operations += other.operations;
        self.records += other.records;
        self.lost += other.lost;
        self.torn += other.torn;
        self.problems += other.problems;
        self.builds.merge(&other.builds);
    }

    fn of(round: &Round) -> Sums {
        let count = |kind| {
            let found = round.findings.iter().filter(|finding| finding.kind == kind);
            found.map(|finding| finding.count).sum()
        };
        Sums {
            rounds: 1,
            kills: round.kills,
            stops: round.stops,
            growths: round.growths,
            reschemas: round.reschemas,
            rejoins: round.rejoins,
            operations: round.operations,
            records: round.records,
            lost: count(Kind::Lost),
            torn: count(Kind::Torn),
            problems: count(Kind::Problem),
            builds: round.builds.clone(),
        }
    }

    fn is_clean(&self) -> bool {
        self.lost == 0 && self.torn == 0 && self.problems == 0
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    seed: u64,
    seconds: f64,
    #[serde(flatten)]
    sums: Sums,
    patterns: Vec<Line>,
    kept: &'a [PathBuf],
}

#[derive(Serialize)]
struct Line {
    pattern: Pattern,
    #[serde(flatten)]
    sums: Sums,
}

pub(super) struct Report {
    seed: u64,
    json: bool,
    terminal: bool,
    began: Instant,
    drawn: Option<Instant>,
    sums: Vec<Sums>,
    kept: Vec<PathBuf>,
}

impl Report {
    pub(super) fn new(seed: u64, json: bool) -> Report {
        Report {
            seed,
            json,
            terminal: std::io::stderr().is_terminal(),
            began: Instant::now(),
            drawn: None,
            sums: vec![Sums::default(); Pattern::value_variants().len()],
            kept: Vec::new(),
        }
    }

    /// The seed comes first: it is there whatever happens then.
    pub(super) fn opening(&self) {
        self.say(&format!("seed {}", self.seed));
    }

    fn say(&self, line: &str) {
        // Nobody may be there to read it.
        let _ = if self.json {
            writeln!(std::io::stderr(), "{line}")
        } else {
            writeln!(std::io::stdout(), "{line}")
        };
    }

    fn all(&self) -> Sums {
        let mut all = Sums::default();
        self.sums.iter().for_each(|sums| all.add(sums));
        all
    }

    /// A line on a terminal that says how it goes.
    pub(super) fn progress(&mut self, plan: &Plan) {
        let lately = |drawn: Instant| drawn.elapsed() < Duration::from_millis(200);
        if !self.terminal || self.drawn.is_some_and(lately) {
            return;
        }
        self.drawn = Some(Instant::now());
        let all = self.all();
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[K{:.0} s  round {} ({})  {} kills  {} records  {} lost  {} torn  {} problems",
            self.began.elapsed().as_secs_f64(),
            plan.round,
            word(plan.pattern),
            grouped(all.kills),
            grouped(all.records),
            all.lost,
            all.torn,
            all.problems,
        );
    }

    fn clear(&self) {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    pub(super) fn add(&mut self, plan: &Plan, round: &Round, kept: Option<&Path>) {
        let at = Pattern::value_variants()
            .iter()
            .position(|&pattern| pattern == plan.pattern);
        if let Some(at) = at {
            self.sums[at].add(&Sums::of(round));
        }
        let Some(kept) = kept else {
            return;
        };
        self.clear();
        let (number, pattern) = (plan.round, word(plan.pattern));
        self.say(&format!(
            "round {number} ({pattern}): found {}; kept in {}",
            round.findings.len(),
            kept.display()
        ));
        for finding in round.findings.iter().take(SHOWN) {
            self.say(&format!("    {:?}: {}", finding.kind, finding.text));
        }
        self.kept.push(kept.to_owned());
    }

    /// `true` if nothing was found.
    pub(super) fn tell(&self) -> bool {
        self.clear();
        let all = self.all();
        let seconds = self.began.elapsed().as_secs_f64();
        let lines: Vec<Line> = Pattern::value_variants()
            .iter()
            .zip(&self.sums)
            .filter(|(_, sums)| sums.rounds > 0)
            .map(|(&pattern, sums)| Line {
                pattern,
                sums: sums.clone(),
            })
            .collect();
        let mut out = std::io::stdout().lock();
        if self.json {
            let whole = Whole {
                seed: self.seed,
                seconds,
                sums: all.clone(),
                patterns: lines,
                kept: &self.kept,
            };
            if let Ok(text) = serde_json::to_string(&whole) {
                let _ = writeln!(out, "{text}");
            }
            return all.is_clean();
        }
        let heads = [
            "rounds",
            "kills",
            "stops",
            "growths",
            "reschemas",
            "rejoins",
            "operations",
            "records",
            "lost",
            "torn",
            "problems",
        ];
        let heads: String = heads.iter().map(|head| format!(" {head:>11}")).collect();
        let _ = writeln!(out, "{:<10}{heads}", "");
        let mut row = |name: &str, sums: &Sums| {
            let cells = [
                sums.rounds,
                sums.kills,
                sums.stops,
                sums.growths,
                sums.reschemas,
                sums.rejoins,
                sums.operations,
                sums.records,
                sums.lost,
                sums.torn,
                sums.problems,
            ];
            let cells: String = cells
                .iter()
                .map(|&cell| format!(" {:>11}", grouped(cell)))
                .collect();
            let _ = writeln!(out, "{name:<10}{cells}");
        };
        for line in &lines {
            row(&word(line.pattern), &line.sums);
        }
        row("all", &all);
        let verdict = if all.is_clean() {
            "nothing lost, nothing torn, no promise broken"
        } else {
            "FOUND SOMETHING: see above"
        };
        let _ = writeln!(out, "{seconds:.0} s, seed {}: {verdict}", self.seed);
        all.is_clean()
    }
}

/// Keeps what is needed to understand a finding: the plan, what was found, and the journals.
pub(super) fn keep(plan: &Plan, round: &Round, notes: &Path) -> Result<PathBuf, String> {
    let problem = |error: std::io::Error| format!("cannot keep what was found: {error}");
    let name = format!("partywall-torture-{}-{}", plan.seed, plan.round);
    let kept = (0..)
        .map(|again: u32| match again {
            0 => name.clone(),
            again => format!("{name}-{again}"),
        })
        .map(|name| std::env::temp_dir().join(name))
        .find(|path| !path.exists())
        .unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&kept).map_err(problem)?;
    let write = |name: &str, text: serde_json::Result<Vec<u8>>| {
        let text = text.map_err(|error| format!("cannot keep what was found: {error}"))?;
        std::fs::write(kept.join(name), text).map_err(problem)
    };
    write("plan.json", serde_json::to_vec_pretty(plan))?;
    write("findings.json", serde_json::to_vec_pretty(&round.findings))?;
    for note in std::fs::read_dir(notes).map_err(problem)? {
        let note = note.map_err(problem)?;
        std::fs::copy(note.path(), kept.join(note.file_name())).map_err(problem)?;
    }
    Ok(kept)
}
