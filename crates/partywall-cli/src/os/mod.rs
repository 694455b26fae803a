//! What the commands need from the operating system, one folder a system; nothing outside asks which it runs on.
//!
//! Each gives, by these names: `signals::Signals` (Ctrl-C and the like, and waits that they end) and `output::Output`
//! (standard output that they end); `this_program` and `set_apart` (children of the same program, which Ctrl-C does not reach),
//! `kill`, `stop` and `go_on` (what is done to them),
//! `die_with_parent` and `has_gone` (children that do not outlive who started them), `exit_code`; `scratch_parent`,
//! `create_private`, `is_ours` and `DirectoryLock` (directories that are tidied up after whoever was killed); `monotonic_ns`
//! (a clock of all processes); `read_exact_at` and `rename_new`; `cores` and `bind`; and `ENDING`, the signals that end a command.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::*;
