//! Kills between any two instructions: the victim stops before a point, and is led on from there one instruction at a
//! time (ptrace(2), `PTRACE_SINGLESTEP`) before it is killed. So it also dies in the middle of a copy, and between a
//! store and whatever comes behind it.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::ptr;

use crate::victim::{self, Report};

/// How far a victim is led on at most. Most points lie closer together than this.
pub(crate) const INSTRUCTIONS: u64 = 400;

/// What became of a process that is being traced.
enum Stood {
    Stopped(i32),
    Ended(i32),
}

/// A victim that this thread traces.
struct Traced(libc::pid_t);

impl Traced {
    fn wait(&self) -> Stood {
        let mut status = 0;
        loop {
            // SAFETY: `status` outlives the call.
            let found = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
            if found == self.0 {
                break;
            }
            let error = io::Error::last_os_error();
            assert_eq!(error.kind(), io::ErrorKind::Interrupted, "{error}");
        }
        if libc::WIFSTOPPED(status) {
            Stood::Stopped(libc::WSTOPSIG(status))
        } else {
            Stood::Ended(status)
        }
    }

    /// Lets it go on: to its next stop, or for one instruction.
    fn resume(&self, request: libc::c_uint, signal: i32) {
        let signal = ptr::without_provenance_mut::<c_void>(signal as usize);
        // SAFETY: a request for a process of ours that stands still; it touches no memory of this one.
        let resumed = unsafe { libc::ptrace(request, self.0, ptr::null_mut::<c_void>(), signal) };
        assert_eq!(resumed, 0, "{}", io::Error::last_os_error());
    }

    /// Leads it to where it stops itself, and on from there; how it ended.
    fn lead(&self, instructions: u64) -> i32 {
        // The first stop is the one of every traced process when it begins its program.
        loop {
            let signal = match self.wait() {
                Stood::Ended(status) => return status,
                Stood::Stopped(libc::SIGSTOP) => break,
                Stood::Stopped(libc::SIGTRAP) => 0,
                Stood::Stopped(other) => other,
            };
            self.resume(libc::PTRACE_CONT, signal);
        }
        for _ in 0..instructions {
            self.resume(libc::PTRACE_SINGLESTEP, 0);
            if let Stood::Ended(status) = self.wait() {
                return status;
            }
        }
        // SAFETY: a process of ours that was not waited for yet.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        match self.wait() {
            Stood::Ended(status) => status,
            Stood::Stopped(signal) => panic!("killed, and stopped by signal {signal}"),
        }
    }
}

#[expect(
    clippy::zombie_processes,
    reason = "`lead` waits for it, as its tracer"
)]
/// Runs a victim to a point, then for some instructions, and kills it.
pub(crate) fn run(role: &str, place: &Path, point: u64, instructions: u64) -> Report {
    let mut command = victim::command(role, place, victim::Fault::Stop(point));
    // SAFETY: between fork and exec; one system call, which only asks to be traced by the parent.
    unsafe {
        command.pre_exec(|| {
            let nothing = ptr::null_mut::<c_void>();
            match libc::ptrace(libc::PTRACE_TRACEME, 0, nothing, nothing) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
    let mut child = command.spawn().expect("a process can be traced here");
    // What it says fits into the pipe.
    let status = Traced(child.id().cast_signed()).lead(instructions);
    let mut said = String::new();
    let output = child.stdout.take();
    output.unwrap().read_to_string(&mut said).unwrap();
    let mut report = Report::default();
    said.lines().for_each(|line| report.hear(line));
    report.killed = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL;
    let succeeded = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
    assert!(
        succeeded || report.killed,
        "{role}: the victim ended with wait status {status:#x}"
    );
    report
}
