//! What all child processes of the demo share: they end when the conductor does.

use super::{DemoArgs, Fault, Part, Source, camera, watcher};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) fn run(args: &DemoArgs, role: Part, source: &Source) -> Result<ExitCode, String> {
    // A conductor that is killed takes its children along...
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    // ... and one that died before the line above has closed the pipe.
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    std::thread::spawn(move || {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        seen.store(true, Ordering::Relaxed);
    });
    let outcome = match role {
        Part::Camera if args.fault == Some(Fault::Fail) => Err("told to fail".into()),
        Part::Camera => camera::run(args, source, &stop),
        Part::Watcher => watcher::run(args, &stop),
    };
    outcome
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| error.to_string())
}
