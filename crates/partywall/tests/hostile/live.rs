//! Lies in a channel that is in use: its owner and two peers go on in processes of their own, and open it again and again,
//! while the test writes into its files through mappings, between their operations and in the middle of them.

use std::path::Path;
use std::time::Instant;

use partywall::{Namespace, manage};

use crate::at_rest;
use crate::common::system::At;
use crate::common::{Place, Random, system};
use crate::lies::{self, CHANGES, Contents, FILES, Lie, Stage};
use crate::mapped::Board;
use crate::patterns::{CHANNEL, Pattern};
use crate::process::{HANG, Process, said};

/// Told of each pattern.
const EACH: u64 = 1_500;
const EACH_IN_FULL: u64 = 10_000;
/// Steps of one handle, at the most.
const SESSION: u32 = 300;
/// Steps of theirs between two lies.
const STEPS: u64 = 3;
/// Processes of one channel: the owner, two peers.
const PROCESSES: usize = 3;

/// One of the processes, until it is told to stop.
pub(crate) fn child(path: &Path, pattern: &str, board: &Path, process: usize) {
    let pattern = Pattern::of(pattern);
    let namespace = Namespace::open(path).unwrap();
    let board = Board::open(board);
    while !board.stopped() {
        // Who has everything mapped does not notice that the names mean something else now; so it opens anew after a while.
        let mut steps = 0;
        let mut going = || {
            board.tick(process);
            steps += 1;
            steps < SESSION && !board.stopped()
        };
        going();
        if process > 0 {
            pattern.take(&namespace, true, &mut going);
            continue;
        }
        let before = board.ticks(0);
        pattern.give(&namespace, true, &mut going);
        pattern.inspect(&namespace);
        // It could not even be opened: then it is removed, as a person would do, by hand if need be.
        if board.ticks(0) == before && manage::remove(&namespace, CHANNEL, true).is_err() {
            let _ = std::fs::remove_dir_all(path.join(CHANNEL));
        }
    }
}

/// A lie about what is there now.
fn lie(random: &mut Random, pattern: Pattern, stage: &Stage, directory: &Path) -> Lie {
    let file = [0, 2, 2, 3, 3][random.below(5) as usize];
    match random.below(60) {
        0 => {
            let change = CHANGES[random.below(CHANGES.len() as u64) as usize];
            let file = random.below(4) as usize;
            return Lie::File { file, change };
        }
        1 => {
            let of = random.below(stage.others.len() as u64) as usize;
            return Lie::Replay { file, of };
        }
        2 => {
            let (from, value) = (
                256 + 256 * random.below(16),
                [0, u64::MAX, 1 << 63][random.below(3) as usize],
            );
            return Lie::Fill { file, from, value };
        }
        _ => {}
    }
    let begin = match (FILES[file], pattern) {
        ("1.owner", Pattern::Frames) => [0, 4096, 8192][random.below(3) as usize],
        ("1.owner", _) => [0, 0, 3072, 4096][random.below(4) as usize],
        ("1.peers", Pattern::Mpsc) => [0, 512, 1536, 65_536, 131_072][random.below(5) as usize],
        ("1.peers", _) => [0, 512][random.below(2) as usize],
        _ => 0,
    };
    let at = begin + 8 * random.below(130);
    let now = read_word(&directory.join(FILES[file]), at).unwrap_or(0);
    let earlier = read_word_of(&stage.honest.0[file], at);
    let values = lies::values(now, earlier, stage.capacity);
    let value = values[random.below(values.len() as u64) as usize];
    Lie::Word { file, at, value }
}

fn read_word(path: &Path, at: u64) -> Option<u64> {
    let regular = std::fs::symlink_metadata(path).ok()?.is_file();
    let mut word = [0; 8];
    let read = regular
        .then(|| std::fs::File::open(path))
        .and_then(Result::ok)?;
    read.read_exact_at(&mut word, at).ok()?;
    Some(u64::from_le_bytes(word))
}

fn read_word_of(bytes: &[u8], at: u64) -> u64 {
    let word = bytes.get(at as usize..at as usize + 8);
    word.map_or(0, |word| u64::from_le_bytes(word.try_into().unwrap()))
}

fn tell(random: &mut Random, pattern: Pattern, wanted: u64) -> u64 {
    let (place, aside) = (Place::new(), system::directory());
    let mut stage = at_rest::prepare(pattern, aside.path());
    let directory = place.path().join(CHANNEL);
    let path = aside.path().join("board");
    let board = Board::open(&path);
    let mut processes: Vec<Process> = (0..PROCESSES)
        .map(|process| {
            let more = format!("{} {} {process}", pattern.name(), path.display());
            Process::start(&said("live", place.path(), &more))
        })
        .collect();
    let mut recent = Vec::new();
    let mut told = 0;
    let mut seen = [(0, Instant::now()); PROCESSES];
    while told < wanted {
        let before: Vec<u64> = (0..PROCESSES).map(|process| board.ticks(process)).collect();
        let lie = lie(random, pattern, &stage, &directory);
        // Sometimes what is there now is kept, to be put back later.
        if random.below(100) == 0
            && FILES.iter().all(|name| directory.join(name).is_file())
            && let Some(now) = try_read(&directory)
        {
            stage.others[0] = now;
        }
        if lie.tell(&stage, &directory) {
            told += 1;
            recent.push(lie);
        }
        // They have done some steps since, somewhere in the middle of which the lie was told.
        let total = |ticks: &[u64]| ticks.iter().sum::<u64>();
        loop {
            let now: Vec<u64> = (0..PROCESSES).map(|process| board.ticks(process)).collect();
            for (process, seen) in seen.iter_mut().enumerate() {
                if now[process] != seen.0 {
                    *seen = (now[process], Instant::now());
                }
                let ended = processes[process].ended();
                let stuck = seen.1.elapsed() > HANG;
                assert!(
                    ended.is_none() && !stuck,
                    "{}: process {process}: {ended:?}, stuck: {stuck}; the last lies: {:?}",
                    pattern.name(),
                    &recent[recent.len().saturating_sub(30)..],
                );
            }
            if total(&now) >= total(&before) + STEPS {
                break;
            }
            std::thread::yield_now();
        }
    }
    board.stop();
    for process in &mut processes {
        let ended = process.end();
        assert!(
            ended.is_some_and(|status| status.success()),
            "{pattern:?}: {ended:?}"
        );
    }
    // Whatever is left can be removed, and then made anew.
    if manage::remove(&place.namespace, CHANNEL, true).is_err() {
        let _ = std::fs::remove_dir_all(&directory);
    }
    pattern.leave(&place.namespace, 3);
    told
}

fn try_read(directory: &Path) -> Option<Contents> {
    let mut all: [Vec<u8>; 4] = Default::default();
    for (bytes, name) in all.iter_mut().zip(FILES) {
        *bytes = std::fs::read(directory.join(name)).ok()?;
    }
    Some(Contents(all))
}

pub(crate) fn lies_in_live_channels_harm_nobody() {
    let mut random = Random::from_environment();
    let each = if at_rest::full() {
        EACH_IN_FULL
    } else {
        EACH / at_rest::share() as u64
    };
    for pattern in Pattern::ALL {
        let started = Instant::now();
        let told = tell(&mut random, pattern, each);
        println!(
            "{:10} {told:6} lies live, {:.1} s",
            pattern.name(),
            started.elapsed().as_secs_f64()
        );
    }
}
