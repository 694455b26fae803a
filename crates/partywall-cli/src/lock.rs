//! `partywall lock`: a command that runs while the lock of a guarded record is held, or a new value for it.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use clap::Args;
use partywall::guarded::{Guard, Lock, Record, RecordOptions};
use partywall::{LockError, inspect};

use crate::ended::{self, Ended, complain};
use crate::exit::Failure;
use crate::options::{Place, Protection, protected, seconds, size};
use crate::os;
use crate::signals::Signals;

/// What a new record is made for, if nothing was said.
const USUAL: usize = 4096;
/// Set for the command if the holder before died.
const OWNER_DIED: &str = "PARTYWALL_OWNER_DIED";

// As shells say it.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Options of `partywall lock`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    partywall lock config -- ./deploy.sh                  (one at a time, whoever runs it)
    partywall lock config --value '{\"exposure\": 12}'
    partywall lock config --edit -- jq '.exposure = 14'   (the old value in, the new one out)
    partywall lock config --try -- true || echo busy
    partywall lock config --repair --value '{}'           (after a holder died, and the next gave up)

If the holder before was killed, a line on standard error says so, and the command has PARTYWALL_OWNER_DIED=1 in
its environment; the value is the last one that was committed. If the command then succeeds, the record is called
consistent. If it fails, the next holder is told the same.

The lock is this process's. If it is killed, the lock is free at once, though its command runs on. SIGTERM is passed
on to the command; Ctrl-C reaches it from the terminal.

Exit codes: the command's own; 128 + N if signal N ended it; 126 or 127 if it cannot be run; before it runs those
of `partywall --help`: 3 after --timeout, 4 with --try if it is locked, 7 if it wants --repair.")]
pub(crate) struct LockArguments {
    /// The record; created if it does not exist yet
    #[arg(value_name = "NAME")]
    channel: String,

    /// Wait so long for the lock
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "attempt")]
    timeout: Option<Duration>,

    /// Do not wait for the lock
    #[arg(long = "try")]
    attempt: bool,

    /// Set the value, and run nothing
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["edit", "command"])]
    value: Option<String>,

    /// Give the command the value as its input; what it writes becomes the value, if it succeeds
    #[arg(long, requires = "command")]
    edit: bool,

    /// Lock the record even if it was given up; alone it calls the value consistent as it is
    #[arg(long)]
    repair: bool,

    /// Bytes of the largest value [default: 4K, or this one]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size: Option<u64>,

    #[command(flatten)]
    protection: Protection,

    /// What to run
    #[arg(last = true, value_name = "COMMAND", required_unless_present_any = ["value", "repair"])]
    command: Vec<String>,
}

/// How the command ended, or why it did not run.
enum Ran {
    Ended(ExitStatus),
    Not(Failure, u8),
}

/// Runs the command.
pub(crate) fn run(arguments: &LockArguments, place: &Place) -> Result<ExitCode, Failure> {
    let signals = Signals::install()?;
    match hold(arguments, place, &signals) {
        Ok(code) => Ok(code),
        Err(ended) => ended::exit(Err(ended), &signals).map(ExitCode::from),
    }
}

fn hold(arguments: &LockArguments, place: &Place, signals: &Signals) -> Result<ExitCode, Ended> {
    let mut record = open(arguments, place, signals)?;
    let channel = record.channel().to_owned();
    let most = record.max_value();
    let mut guard = lock(arguments, &mut record)?;
    let news = !guard.is_consistent();
    if news {
        complain(&format!(
            "channel {channel}: the holder before died; its value is the last that was committed"
        ));
    }
    if let Some(value) = &arguments.value {
        if let Err(ended) = set(&mut guard, value.as_bytes()) {
            guard.leave_news();
            return Err(ended);
        }
        guard.mark_consistent();
        return Ok(ExitCode::SUCCESS);
    }
    let Some((program, rest)) = arguments.command.split_first() else {
        guard.mark_consistent();
        return Ok(ExitCode::SUCCESS);
    };
    let mut command = Command::new(program);
    command.args(rest).env_remove(OWNER_DIED);
    if news {
        command.env(OWNER_DIED, "1");
    }
    let ran = if arguments.edit {
        edit(command, &mut guard, most, signals)
    } else {
        supervise(command, signals, |_| Ok(())).map(|(ran, _)| ran)
    };
    match ran {
        Ok(Ran::Ended(status)) if status.success() => {
            guard.mark_consistent();
            Ok(ExitCode::SUCCESS)
        }
        // Whether the value will do is for somebody else to say.
        Ok(Ran::Ended(status)) => {
            guard.leave_news();
            Ok(ExitCode::from(os::exit_code(status)))
        }
        Ok(Ran::Not(failure, code)) => {
            guard.leave_news();
            complain(&failure.message);
            Ok(ExitCode::from(code))
        }
        Err(ended) => {
            guard.leave_news();
            Err(ended)
        }
    }
}

fn open(arguments: &LockArguments, place: &Place, signals: &Signals) -> Result<Record, Ended> {
    let namespace = place.open()?;
    // One that is there is taken as it is, if the value fits.
    let there =
        inspect::inspect(&namespace, &arguments.channel).is_ok_and(|info| info.generation > 0);
    let usual = if there { 1 } else { USUAL };
    let bytes = arguments
        .size
        .map_or(usual, |size| usize::try_from(size).unwrap_or(usize::MAX))
        .max(arguments.value.as_ref().map_or(0, String::len));
    let options = RecordOptions::new()
        .namespace(namespace)
        .value_size(u32::try_from(bytes).unwrap_or(u32::MAX))
        .stop_token(signals.stop.clone());
    Ok(protected!(options, arguments.protection).open(&arguments.channel)?)
}

fn lock<'a>(arguments: &LockArguments, record: &'a mut Record) -> Result<Guard<'a>, Ended> {
    // As good as not to wait, and the library says what it waited for.
    let timeout = match arguments.attempt {
        true => Some(Duration::ZERO),
        false => arguments.timeout,
    };
    let busy = |error| match error {
        LockError::TimedOut { channel, .. } if arguments.attempt => LockError::Busy { channel },
        error => error,
    };
    let guard = if arguments.repair {
        record.repair(timeout).map_err(busy)?
    } else {
        match timeout {
            None => record.lock(),
            Some(timeout) => record.lock_timeout(timeout),
        }
        .map(Lock::into_guard)
        .map_err(busy)?
    };
    Ok(guard)
}

fn set(guard: &mut Guard<'_>, value: &[u8]) -> Result<(), Ended> {
    guard.value_mut().clear();
    guard.value_mut().extend_from_slice(value);
    guard.commit()?;
    Ok(())
}

/// The value goes through the command, and is committed if it succeeds.
fn edit(
    mut command: Command,
    guard: &mut Guard<'_>,
    most: usize,
    signals: &Signals,
) -> Result<Ran, Ended> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let value = guard.value().to_vec();
    let (ran, output) = supervise(command, signals, |child| {
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command need not read its input.
        thread::spawn(move || drop(stdin.write_all(&value)));
        let stdout = child.stdout.take().expect("a pipe");
        Ok(thread::spawn(move || {
            let mut output = Vec::new();
            // One byte more tells that it is too much, and the rest gets a closed pipe.
            let read = stdout.take(most as u64 + 1).read_to_end(&mut output);
            read.map(|_| output)
        }))
    })?;
    let Some(reading) = output else {
        return Ok(ran);
    };
    let Ran::Ended(status) = &ran else {
        return Ok(ran);
    };
    if status.success() {
        let output = reading.join().expect("it does not panic");
        let output =
            output.map_err(|error| Failure::stream("read what the command writes", &error))?;
        set(guard, &output)?;
    }
    Ok(ran)
}

/// Runs a command to its end; `begun` is called when it runs. Signals do not end us before it.
fn supervise<T>(
    mut command: Command,
    signals: &Signals,
    begun: impl FnOnce(&mut Child) -> Result<T, Ended>,
) -> Result<(Ran, Option<T>), Ended> {
    let failed = |error: io::Error| Failure::stream("wait for the command", &error);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let code = match error.kind() {
                io::ErrorKind::NotFound => NOT_FOUND,
                _ => CANNOT_RUN,
            };
            let program = command.get_program().to_string_lossy();
            let failure = Failure::stream(&format!("run {program}"), &error);
            return Ok((Ran::Not(failure, code), None));
        }
    };
    let begun = begun(&mut child)?;
    let status = signals.wait_for_child(&mut child).map_err(failed)?;
    Ok((Ran::Ended(status), Some(begun)))
}
