//! The recovery matrix in `DESIGN.md` says for each actor and each pattern what its death and its standstill mean, and
//! which test shows it. Here it is held against that promise, and the names against the tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ACTORS: [&str; 9] = [
    "Owner", "Peer", "Joiner", "Creator", "Grower", "Evictor", "Deleter", "Sleeper", "Waker",
];
const PATTERNS: [&str; 6] = ["ring", "snapshot", "broadcast", "frames", "mpsc", "guarded"];
const HEADS: [&str; 7] = [
    "pattern",
    "what happens, when",
    "what others see",
    "who repairs",
    "within",
    "lost, and where it is counted",
    "shown by",
];
/// How a cell says that a pattern has no such actor.
const NOT_HERE: &str = "does not apply: ";

/// One row of a table.
#[derive(Debug)]
struct Row {
    actor: String,
    cells: Vec<String>,
}

impl Row {
    fn pattern(&self) -> &str {
        &self.cells[0]
    }

    fn happens(&self) -> &str {
        &self.cells[1]
    }

    /// Names of tests: a file and a function, or an operation.
    fn shown_by(&self) -> Vec<&str> {
        let cell = self.cells.last().unwrap();
        cell.split('`').skip(1).step_by(2).collect()
    }
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of a text's matrix, and what is wrong with its form.
fn rows(design: &str) -> (Vec<Row>, Vec<String>) {
    let begin = design.find("\n## Recovery matrix\n").expect("there is one");
    let matrix = &design[begin + 1..];
    let end = matrix[1..]
        .find("\n## ")
        .map_or(matrix.len(), |end| end + 1);
    let (mut rows, mut wrong, mut actor) = (Vec::new(), Vec::new(), String::new());
    for line in matrix[..end].lines() {
        if let Some(title) = line.strip_prefix("### ") {
            actor = title.to_owned();
        }
        let Some(line) = line.strip_prefix('|') else {
            continue;
        };
        let cells: Vec<String> = line
            .trim_end()
            .trim_end_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect();
        if cells == HEADS || cells.iter().all(|cell| cell.starts_with("---")) {
            continue;
        }
        let actor = actor.clone();
        let row = Row { actor, cells };
        if row.cells.len() != HEADS.len() && !row.happens().starts_with(NOT_HERE) {
            wrong.push(format!(
                "{} cells, {} expected: {row:?}",
                row.cells.len(),
                HEADS.len()
            ));
        }
        rows.push(row);
    }
    (rows, wrong)
}

/// What is missing or cannot be believed in a text's matrix.
fn wrongs(design: &str) -> Vec<String> {
    let (rows, mut wrong) = rows(design);
    let mut tests = Tests::default();
    for row in &rows {
        if let Some(reason) = row.happens().strip_prefix(NOT_HERE) {
            if reason.split_whitespace().count() < 4 {
                wrong.push(format!("no reason: {row:?}"));
            }
            continue;
        }
        if let Some((_, head)) = row
            .cells
            .iter()
            .zip(HEADS)
            .find(|(cell, _)| cell.is_empty())
        {
            wrong.push(format!("nothing under {head:?}: {row:?}"));
        }
        if row.shown_by().is_empty() {
            wrong.push(format!("nothing shows {row:?}"));
        }
        for name in row.shown_by() {
            if !tests.has(name) {
                wrong.push(format!(
                    "no test is called {name}: {} {}",
                    row.actor,
                    row.pattern()
                ));
            }
        }
    }
    for actor in ACTORS {
        for pattern in PATTERNS {
            let of_cell = || {
                let rows = rows.iter();
                rows.filter(|row| row.actor == actor && row.pattern() == pattern)
            };
            let says = |what| of_cell().any(|row| row.happens().starts_with(what));
            let both = says("killed") && says("stopped");
            if !both && !says(NOT_HERE) {
                wrong.push(format!(
                    "{actor} of {pattern}: no row for a kill, or none for a stop"
                ));
            }
            if says(NOT_HERE) && of_cell().count() > 1 {
                wrong.push(format!(
                    "{actor} of {pattern}: does it apply, or does it not?"
                ));
            }
        }
    }
    wrong
}

/// Sources of tests, read once.
#[derive(Default)]
struct Tests(BTreeMap<String, Option<String>>);

impl Tests {
    /// Whether a file has a test of that name: `file::name`, the file below `tests`, or `models/…` below
    /// `src/protocol`.
    fn has(&mut self, path_and_name: &str) -> bool {
        let Some((path, name)) = path_and_name.split_once("::") else {
            return false;
        };
        let source = self.0.entry(path.to_owned()).or_insert_with(|| {
            let below = match path.starts_with("models/") {
                true => here().join("src/protocol"),
                false => here().join("tests"),
            };
            let file: PathBuf = below.join(path).with_extension("rs");
            std::fs::read_to_string(file).ok()
        });
        let Some(source) = source else {
            return false;
        };
        let own_harness = ["kill_sweep/", "hostile/", "users/", "race_storm", "fork"];
        if own_harness.iter().any(|target| path.starts_with(target)) {
            // Operations and tests of a harness of our own are named in its lists.
            return is_listed(path, source, name);
        }
        is_test(source, name)
    }
}

/// Whether a function is one that the test harness runs.
fn is_test(source: &str, name: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("fn {name}(")) else {
        return false;
    };
    // Other attributes and comments may stand between.
    let attributes = before.rsplit("\n\n").next().unwrap();
    attributes.contains("#[test]")
}

/// Whether a test of a harness of our own is in its list, by its name or as a function that is called.
fn is_listed(path: &str, source: &str, name: &str) -> bool {
    let quoted = format!("\"{name}\"");
    if source.contains(&quoted) {
        return true;
    }
    let main = match path.split_once('/') {
        Some((target, _)) => here().join("tests").join(target).join("main.rs"),
        None => here().join("tests").join(path).with_extension("rs"),
    };
    let main = std::fs::read_to_string(main).unwrap();
    let defined = source.contains(&format!("fn {name}("));
    let function = format!("fn {name}(");
    let uses = main.replace(&function, "").contains(name);
    defined && uses
}

fn design() -> String {
    std::fs::read_to_string(here().join("../../DESIGN.md")).unwrap()
}

#[test]
fn every_actor_of_every_pattern_has_a_row_that_a_test_shows() {
    let design = design();
    let wrong = wrongs(&design);
    assert!(wrong.is_empty(), "DESIGN.md:\n{}", wrong.join("\n"));
    assert!(rows(&design).0.len() > 100);
}

#[test]
fn what_is_missing_in_the_matrix_is_noticed() {
    let design = design();
    let changed = |from: &str, to: &str| {
        assert!(design.contains(from), "{from}");
        wrongs(&design.replace(from, to))
    };
    // A table, a row, a field, a name, a test, a reason.
    assert!(!changed("### Waker\n", "### Somebody\n").is_empty());
    assert!(
        !changed(
            "| guarded | stopped, sitting down ",
            "| all | stopped, sitting down "
        )
        .is_empty()
    );
    assert!(!changed("| a person's time |", "| |").is_empty());
    assert!(
        !changed(
            "`kill_sweep/guarded::guarded_grow`",
            "`kill_sweep/guarded::guarded_shrink`"
        )
        .is_empty()
    );
    assert!(!changed("`kill_sweep/guarded::guarded_repair`", "").is_empty());
    assert!(
        !changed(
            "`models/join::what_the_dead_left",
            "`models/seats::what_the_dead_left"
        )
        .is_empty()
    );
    assert!(
        !changed(
            "does not apply: nobody waits for a reader, so",
            "does not apply: so |"
        )
        .is_empty()
    );
}

#[test]
fn a_function_that_is_no_test_is_none() {
    let source = "#[test]\nfn one() {}\n\nfn other() {}\n";
    assert!(is_test(source, "one") && !is_test(source, "other") && !is_test(source, "on"));
}
