//! `partywall bench`: the harness is a crate of its own; here are the directory it works in, and its end.

use crate::demo::scratch::Scratch;
use crate::os;
use partywall_bench::{Arguments, contest::Seat};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let scratch = Scratch::create("bench")?;
    end_on_signals(scratch.path().to_owned()).map_err(|error| error.to_string())?;
    partywall_bench::conduct(arguments, scratch.path())
}

/// One of the processes that it starts.
pub(crate) fn serve(seat: &Seat) -> Result<ExitCode, String> {
    os::die_with_parent().map_err(|error| error.to_string())?;
    if os::has_gone(&std::io::stdin()) {
        return Ok(ExitCode::SUCCESS);
    }
    partywall_bench::serve(seat).map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// The harness asks nobody whether it may go on: a thread ends the process on Ctrl-C and the like, and its children end
/// with it.
fn end_on_signals(place: PathBuf) -> std::io::Result<()> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in os::ENDING {
        signal_hook::flag::register_usize(number, Arc::clone(&signal), number as usize)?;
    }
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(50));
            let number = signal.load(Ordering::Relaxed);
            if number != 0 {
                Scratch::remove_at(&place);
                std::process::exit(128 + number as i32);
            }
        }
    });
    Ok(())
}
