//! The kill sweep: a real process is killed before each of its shared stores and system calls, one after the
//! other, in every operation; then a successor, a joiner and the surviving side must go on with nothing
//! committed lost, nothing torn, nothing twice, and nothing left behind.
//!
//! The victim is this program again, in a role. The library kills it at the point that an environment
//! variable names (feature `fault-points`).
//!
//! At a few random points the victim is led on by a random number of instructions first, and killed there; and of every
//! pattern both sides are killed, each at a random point of its own. Where, follows from a seed that is printed.
//!
//! At a few random points, and at the first and the last, the victim stands still (SIGSTOP) while the others act, and
//! then goes on to its end.
//!
//! `PARTYWALL_SWEEP=full` stops the victim at each point, and kills at random moments for longer. `PARTYWALL_SWEEP=5` visits
//! only five points of each operation, spread over it, and leads nobody on from there (where processes are slow to
//! start, or cannot be traced). `cargo test --test kill_sweep NAME` runs the operations whose name contains NAME.

mod account;
#[cfg(target_os = "linux")] // SIGSTOP, and /proc to see it
mod asleep;
mod both;
mod consumers;
mod everyone;
mod frames;
mod frames_growth;
mod growth;
mod guarded;
mod mpsc;
mod mpsc_growth;
mod mpsc_random;
mod producers;
mod protection;
mod random;
mod slots;
#[cfg(target_os = "linux")] // ptrace
mod stepped;
mod stopped;
#[path = "../common/system.rs"]
mod system;
mod victim;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use random::Random;
use victim::{Fault, Report};

/// One operation that a process is killed in, on a stage of one pattern.
pub(crate) struct Swept<W> {
    name: &'static str,
    /// The sweep fails if the operation has fewer points than this: then it no longer sweeps what it did.
    least_points: u64,
    /// Sets the stage, in the sweeping process.
    prepare: fn() -> W,
    /// What the victim does. It arms the fault points itself, once it stands where the operation begins.
    act: fn(&victim::Stage),
    /// What must hold afterwards, wherever the victim died.
    check: fn(W, &Report),
}

/// Kills at random moments; longer if it is told so.
type Torture = fn(bool);

/// How much is swept.
#[derive(Clone, Copy)]
struct Depth {
    full: bool,
    /// Points of one operation, at the most.
    most: u64,
}

impl Depth {
    fn from_environment() -> Self {
        let asked = std::env::var("PARTYWALL_SWEEP").ok();
        let number = asked.as_ref().and_then(|asked| asked.parse().ok());
        Depth {
            full: asked.is_some_and(|asked| asked == "full"),
            most: number.unwrap_or(u64::MAX),
        }
    }

    #[cfg(target_os = "linux")]
    /// Single steps are for whoever has the time to visit every point.
    fn steps(self) -> u64 {
        match self {
            Depth { full: true, .. } => 12,
            Depth { most: u64::MAX, .. } => 2,
            _ => 0,
        }
    }
}

/// A stage lies in a namespace.
pub(crate) trait Located {
    fn path(&self) -> &Path;

    /// What the others do while the victim stands still. It changes nothing that is checked afterwards.
    fn meanwhile(&mut self);
}

/// A stage that was set, and what must hold on it afterwards.
trait Prepared {
    fn path(&self) -> PathBuf;
    fn meanwhile(&mut self);
    fn check(self: Box<Self>, report: &Report);
}

struct Stage<W> {
    world: W,
    check: fn(W, &Report),
}

impl<W: Located> Prepared for Stage<W> {
    fn path(&self) -> PathBuf {
        self.world.path().to_owned()
    }

    fn meanwhile(&mut self) {
        self.world.meanwhile();
    }

    fn check(self: Box<Self>, report: &Report) {
        (self.check)(self.world, report);
    }
}

/// A [`Swept`] of any pattern.
struct Operation {
    name: &'static str,
    least_points: u64,
    prepare: Box<dyn Fn() -> Box<dyn Prepared>>,
    act: fn(&victim::Stage),
}

impl<W: Located + 'static> From<Swept<W>> for Operation {
    fn from(swept: Swept<W>) -> Self {
        let Swept { prepare, check, .. } = swept;
        Operation {
            name: swept.name,
            least_points: swept.least_points,
            prepare: Box::new(move || {
                let world = prepare();
                Box::new(Stage { world, check })
            }),
            act: swept.act,
        }
    }
}

fn main() -> ExitCode {
    let operations: Vec<Operation> = producers::operations()
        .into_iter()
        .chain(consumers::operations())
        .chain(growth::operations())
        .map(Operation::from)
        .chain(
            growth::removed_operations()
                .into_iter()
                .map(Operation::from),
        )
        .chain(slots::operations().map(Operation::from))
        .chain(mpsc::operations().map(Operation::from))
        .chain(mpsc_growth::operations().map(Operation::from))
        .chain(frames::operations().map(Operation::from))
        .chain(frames_growth::operations().into_iter().map(Operation::from))
        .chain(guarded::operations().map(Operation::from))
        .chain(protection::operations().map(Operation::from))
        .chain(everyone::operations().into_iter().map(Operation::from))
        .collect();
    if let Some(role) = victim::role() {
        match role.as_str() {
            "send_without_end" => random::send_without_end(&victim::Stage::enter()),
            "receive_to_the_end" => {
                growth::receive_to_the_end(&victim::Stage::enter());
                return ExitCode::SUCCESS;
            }
            "put_without_end" => slots::put_without_end(&victim::Stage::enter()),
            "watch_without_end" => slots::read_without_end(&victim::Stage::enter(), false),
            "receive_without_end" => slots::read_without_end(&victim::Stage::enter(), true),
            "send_to_one_without_end" => {
                mpsc_random::send_to_one_without_end(&victim::Stage::enter())
            }
            "collect_without_end" => mpsc_random::collect_without_end(&victim::Stage::enter()),
            "broadcast_without_end" => slots::broadcast_without_end(&victim::Stage::enter()),
            "publish_without_end" => frames::publish_without_end(&victim::Stage::enter()),
            "subscribe_without_end" => frames::subscribe_without_end(&victim::Stage::enter()),
            "count_without_end" => guarded::count_without_end(&victim::Stage::enter()),
            "hold_until_told" => guarded::hold_until_told(&victim::Stage::enter()),
            duel if both::act(duel) => return ExitCode::SUCCESS,
            #[cfg(target_os = "linux")]
            asleep if asleep::act(asleep, &victim::Stage::enter()) => return ExitCode::SUCCESS,
            _ => {}
        }
        let operation = operations.iter().find(|operation| operation.name == role);
        (operation.expect("the role is an operation's name").act)(&victim::Stage::enter());
        return ExitCode::SUCCESS;
    }
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(part));
    let depth = Depth::from_environment();
    let full = depth.full;
    let (mut passed, mut failed) = (0, 0);
    let started = Instant::now();
    let mut random = Random::new("instructions");
    let mut visited = 0;
    for operation in operations.iter().filter(|operation| wanted(operation.name)) {
        match catch_unwind(AssertUnwindSafe(|| sweep(operation, depth, &mut random))) {
            Ok(points) => {
                visited += points;
                println!("swept {:32} {points:5} points", operation.name);
                passed += 1;
            }
            Err(_) => failed += 1,
        }
    }
    let tortures: &[(&str, Torture)] = &[
        ("random_producers", random::kill_at_random_moments),
        (
            "stopped_through_three_generations",
            growth::stopped_through_three_generations,
        ),
        ("random_writers_and_readers", slots::kill_at_random_moments),
        ("mpsc_random_senders", mpsc_random::kill_and_stop_senders),
        ("mpsc_random_receivers", mpsc_random::kill_receivers),
        ("random_guarded_holders", guarded::kill_at_random_moments),
    ];
    #[cfg(target_os = "linux")]
    let tortures = &[tortures, asleep::TORTURES].concat();
    for &(name, torture) in tortures {
        if wanted(name) {
            match catch_unwind(|| torture(full)) {
                Ok(()) => passed += 1,
                Err(_) => failed += 1,
            }
        }
    }
    let (both_passed, both_failed) = both::kill_both_sides(full, &wanted);
    passed += both_passed;
    failed += both_failed;
    println!("{visited} points were visited");
    println!("in {:.1} s", started.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Kills at every point of one operation, or at as many as asked for; how many were visited.
fn sweep(operation: &Operation, depth: Depth, random: &mut Random) -> u64 {
    let stage = |place: String, run: &dyn Fn(&Path, &mut dyn FnMut()) -> Report| {
        let mut prepared = (operation.prepare)();
        let path = prepared.path();
        let ran = catch_unwind(AssertUnwindSafe(|| {
            run(&path, &mut || prepared.meanwhile())
        }));
        let report = ran.unwrap_or_else(|panic| {
            eprintln!("{}: {place}", operation.name);
            std::panic::resume_unwind(panic);
        });
        let checked = catch_unwind(AssertUnwindSafe(|| prepared.check(&report)));
        if let Err(panic) = checked {
            eprintln!("{}: {place}: {report:?}", operation.name);
            std::panic::resume_unwind(panic);
        }
        report
    };
    let run = |fault: Fault| {
        let place = match fault {
            Fault::None => "undisturbed".to_owned(),
            Fault::Kill(point) => format!("killed before point {point}"),
            Fault::Stop(point) => format!("stopped before point {point}"),
        };
        stage(place, &|path, meanwhile| match fault {
            Fault::Stop(point) => stopped::run(operation.name, path, point, meanwhile),
            _ => victim::run(operation.name, path, fault),
        })
    };
    let undisturbed = run(Fault::None);
    let points = undisturbed
        .points
        .expect("an undisturbed victim counts its points");
    assert!(
        points >= operation.least_points,
        "{}: {points} points, there were {}",
        operation.name,
        operation.least_points
    );
    let every = points.div_ceil(depth.most).max(1);
    let first = 1 + random.below(every);
    let mut visited = 0;
    for point in (first..=points).step_by(every as usize) {
        visited += 1;
        let report = run(Fault::Kill(point));
        // Only where the number of points depends on the clock may the victim outlive its last ones.
        assert!(
            report.killed || point > operation.least_points && report.points.is_some(),
            "{}: nobody died at point {point}: {report:?}",
            operation.name
        );
    }
    // One operation has no points: its victim vanishes.
    #[cfg(target_os = "linux")]
    for _ in 0..if points > 0 { depth.steps() } else { 0 } {
        let point = 1 + random.below(points);
        let instructions = random.below(stepped::INSTRUCTIONS);
        let place = format!("killed {instructions} instructions behind point {point}");
        stage(place, &|path, _| {
            stepped::run(operation.name, path, point, instructions)
        });
    }
    let stops: Vec<u64> = match points {
        0 => Vec::new(),
        // Nothing there says that a process stands still.
        _ if cfg!(not(target_os = "linux")) => Vec::new(),
        // The moments in which it holds a dead one's seat are few.
        _ if depth.full || operation.name.contains("evict") => (1..=points).collect(),
        // Whoever removes it is patient each time.
        _ if operation.name.contains("removed") => {
            (1 + random.below(5)..=points).step_by(5).collect()
        }
        _ => vec![
            1,
            1 + random.below(points),
            1 + random.below(points),
            points,
        ],
    };
    for point in stops {
        let report = run(Fault::Stop(point));
        assert!(report.points.is_some(), "stopped at {point}: {report:?}");
    }
    visited
}
