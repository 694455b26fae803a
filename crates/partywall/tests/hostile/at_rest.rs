//! Lies at rest: a channel that nobody has open says something else in one place, and then everything is tried with it.

use std::path::Path;

use partywall::Namespace;

use crate::common::{Place, system};
use crate::lies::{self, Contents, FILES, Lie, Stage};
use crate::patterns::{CHANNEL, Pattern};
use crate::process::{Process, said};

/// Lies told of the six patterns, at the least.
const TOLD: usize = 24_000;
const TOLD_IN_FULL: usize = 100_000;
/// After so many the rest is not worth the time.
const ENOUGH: usize = 8;

fn depth() -> Option<String> {
    std::env::var("PARTYWALL_LIES").ok()
}

pub(crate) fn full() -> bool {
    depth().is_some_and(|depth| depth == "full")
}

/// By how much less is told than by default.
pub(crate) fn share() -> usize {
    depth().and_then(|depth| depth.parse().ok()).unwrap_or(1)
}

/// What is told about a pattern.
fn told_of(pattern: Pattern, stage: &Stage) -> Vec<Lie> {
    let all = lies::all(pattern.name(), stage, if full() { 1 } else { 9 });
    all.into_iter().step_by(share()).collect()
}

/// Makes what lies about a pattern are made of, and keeps it where another process finds it.
pub(crate) fn prepare(pattern: Pattern, aside: &Path) -> Stage {
    let leave = |pattern: Pattern, values| {
        let place = Place::new();
        pattern.leave(&place.namespace, values);
        Contents::read(&place.path().join(CHANNEL))
    };
    let another = Pattern::ALL.into_iter().find(|&other| other != pattern);
    let all = [
        leave(pattern, 5),
        leave(pattern, 2),
        leave(pattern, 4),
        leave(another.unwrap(), 3),
    ];
    // The first two are to be the same channel at two times: the identity of the earlier one is made the later one's.
    let mut all = all;
    let honest = all[0].clone();
    for (earlier, honest) in all[1].0.iter_mut().zip(&honest.0) {
        if honest.len() >= 256 && earlier.len() >= 256 {
            earlier[..256].copy_from_slice(&honest[..256]);
        }
    }
    for (index, contents) in all.iter().enumerate() {
        contents.restore(&aside.join(index.to_string()));
    }
    load(aside)
}

fn load(aside: &Path) -> Stage {
    let read = |index: usize| Contents::read(&aside.join(index.to_string()));
    Stage {
        honest: read(0),
        others: (1..4).map(read).collect(),
        capacity: 4096,
    }
}

/// The process that tries everything, lie after lie; it says each before.
pub(crate) fn child(path: &Path, pattern: &str, aside: &Path, from: usize) {
    let pattern = Pattern::of(pattern);
    let namespace = Namespace::open(path).unwrap();
    let stage = load(aside);
    let directory = path.join(CHANNEL);
    for (index, lie) in told_of(pattern, &stage).iter().enumerate().skip(from) {
        stage.honest.restore(&directory);
        println!("{index}");
        lie.tell(&stage, &directory);
        pattern.use_all(&namespace);
    }
}

/// How the lies are told of one pattern; the number, and those that did harm.
fn tell(pattern: Pattern, harm: &mut Vec<String>) -> usize {
    let (place, aside) = (Place::new(), system::directory());
    let stage = prepare(pattern, aside.path());
    let all = told_of(pattern, &stage);
    let describe = |lie: &Lie| match *lie {
        Lie::Word { file, at, value } => {
            format!("{}, offset {at}: the word became {value:#x}", FILES[file])
        }
        ref other => format!("{other:?} of {FILES:?}"),
    };
    let mut from = 0;
    while from < all.len() && harm.len() < ENOUGH {
        let more = format!("{} {} {from}", pattern.name(), aside.path().display());
        let mut process = Process::start(&said("at_rest", place.path(), &more));
        let mut last = from;
        let problem = loop {
            match process.line() {
                Ok(Some(line)) => last = line.parse().expect("the number of a lie"),
                Ok(None) => match process.end() {
                    Some(status) if status.success() => return all.len(),
                    status => break format!("{status:?}"),
                },
                Err(problem) => break problem.to_owned(),
            }
        };
        harm.push(format!(
            "{}: {}: {problem}",
            pattern.name(),
            describe(&all[last])
        ));
        from = last + 1;
    }
    all.len()
}

pub(crate) fn every_word_of_every_file_may_lie_at_rest() {
    let mut told = 0;
    let mut harm = Vec::new();
    for pattern in Pattern::ALL {
        let lies = tell(pattern, &mut harm);
        println!("{:10} {lies:6} lies at rest", pattern.name());
        told += lies;
    }
    assert!(harm.is_empty(), "{harm:#?}");
    let least = if full() { TOLD_IN_FULL } else { TOLD / share() };
    println!("{told} lies at rest, at least {least}");
    assert!(told >= least, "{told} lies were told, there were {least}");
}
