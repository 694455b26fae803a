//! Lies and changed files as the command line meets them: whatever stands in a channel, a command says so and ends with one of
//! its exit codes, in time, and within bounded memory.
//!
//! The lies are those that the library's own test tells; here a few of each kind, for a command is a process.

mod common;
#[path = "../../partywall/tests/hostile/lies.rs"]
mod lies;
#[allow(dead_code, reason = "made for more than this test needs")]
#[path = "../../partywall/tests/hostile/mapped.rs"]
mod mapped;
#[allow(dead_code, reason = "made for more than this test needs")]
#[path = "../../partywall/tests/hostile/patterns.rs"]
mod patterns;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::Place;
use lies::{Contents, Lie, Stage};
use partywall::Namespace;
use patterns::{CHANNEL, Pattern};

/// Longer than any time-out that is given here, on the slowest machine.
const HANG: Duration = Duration::from_secs(30);
/// Lies told of the six patterns, at the least.
const TOLD: usize = 400;

/// What is done with a channel of each pattern.
fn commands(pattern: Pattern) -> Vec<&'static [&'static str]> {
    let mut commands: Vec<&[&str]> = vec![&["ls"], &["info", "c", "--json"], &["schema", "c"]];
    let own: &[&[&str]] = match pattern {
        Pattern::Ring => &[
            &["recv", "c", "--name", "d", "--timeout", "0.05"],
            &["send", "c", "--no-consumer", "discard"],
        ],
        Pattern::Snapshot => &[&["get", "c", "--timeout", "0.05"], &["put", "c", "--lines"]],
        Pattern::Broadcast => &[
            &["sub", "c", "--from", "oldest", "--timeout", "0.05"],
            &["pub", "c"],
        ],
        Pattern::Frames => &[&["info", "c"], &["clean"]],
        Pattern::Mpsc => &[&["collect", "c", "--once", "--timeout", "0.05"], &["clean"]],
        Pattern::Guarded => &[
            &["get", "c", "--timeout", "0.05"],
            &["lock", "c", "--timeout", "0.05", "--value", "x"],
            &["lock", "c", "--timeout", "0.05", "--repair"],
        ],
    };
    commands.extend(own);
    commands
}

/// Waits until it ends; `None` if it does not.
fn ended(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + HANG;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().unwrap_or(-1));
        }
        std::thread::yield_now();
    }
    let _ = child.kill();
    None
}

#[cfg(target_os = "linux")]
fn limit_memory(child: &Child) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    const MEMORY: u64 = 1 << 30;
    let limit = Rlimit {
        current: Some(MEMORY),
        maximum: Some(MEMORY),
    };
    // It may be at its end already.
    let _ = prlimit(Some(Pid::from_child(child)), Resource::As, limit);
}

fn contents(pattern: Pattern, values: u8) -> Contents {
    let place = Place::new();
    pattern.leave(&Namespace::open(place.path()).unwrap(), values);
    Contents::read(&place.path().join(CHANNEL))
}

/// `PARTYWALL_LIES=20` tells a twentieth: where processes are slow to start.
fn share() -> usize {
    let asked = std::env::var("PARTYWALL_LIES").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(1)
}

/// A few lies of every kind about every file.
fn some(pattern: Pattern, stage: &Stage, round: usize) -> Vec<Lie> {
    let (words, others): (Vec<Lie>, Vec<Lie>) = lies::all(pattern.name(), stage, 9)
        .into_iter()
        .partition(|lie| matches!(lie, Lie::Word { .. }));
    let step = words.len() * share() / 40;
    let words = words.into_iter().skip(round * 7).step_by(step);
    words
        .chain(others.into_iter().skip(round % 2).step_by(2 * share()))
        .collect()
}

#[test]
fn commands_answer_lies_and_changed_files_with_their_exit_codes() {
    let mut told = 0;
    for (round, pattern) in Pattern::ALL.into_iter().enumerate() {
        let stage = Stage {
            honest: contents(pattern, 5),
            others: vec![
                contents(pattern, 2),
                contents(Pattern::ALL[(round + 1) % 6], 3),
            ],
            capacity: 4096,
        };
        let place = Place::new();
        let directory = place.path().join(CHANNEL);
        for lie in some(pattern, &stage, round) {
            stage.honest.restore(&directory);
            lie.tell(&stage, &directory);
            for arguments in commands(pattern) {
                let mut child = place
                    .command(arguments)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                #[cfg(target_os = "linux")] // prlimit
                limit_memory(&child);
                let code = ended(&mut child);
                assert!(
                    matches!(code, Some(0 | 1 | 3..=7)),
                    "{pattern:?}, {lie:?}: {arguments:?} ended with {code:?}"
                );
            }
            told += 1;
        }
    }
    println!("{told} lies");
    let least = TOLD / share();
    assert!(told >= least, "{told} lies were told, there were {least}");
}
