//! The limit that everything is measured against: two atomics on lines of their own, in memory that
//! two processes share, and nothing else. No crossing between two cores can be shorter.
//!
//! The same mapping carries the words by which the driver tells the follower what comes next.
#![allow(unsafe_code)]

use memmap2::MmapRaw;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};

/// Two cache lines of most machines, because many fetch them in pairs.
#[repr(C, align(128))]
#[derive(Debug)]
struct Line(AtomicU64);

#[repr(C)]
#[derive(Debug)]
struct Words {
    /// Written by the driver, read by the follower: serial number and what to do.
    command: Line,
    /// Written by the follower: the command it has seen, and is at the ready for.
    ready: Line,
    /// Written by the follower: the last command it has finished.
    done: Line,
    ping: Line,
    pong: Line,
}

/// The words, mapped.
#[derive(Debug)]
pub(super) struct Limit {
    mapping: MmapRaw,
    /// Where ping and pong stand.
    round: u64,
}

impl Limit {
    /// Both processes open the same file; who comes first creates it.
    pub(super) fn open(path: &Path) -> io::Result<Limit> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.set_len(size_of::<Words>() as u64)?;
        Ok(Limit {
            mapping: MmapRaw::map_raw(&file)?,
            round: 0,
        })
    }

    fn words(&self) -> &Words {
        let start = self.mapping.as_ptr().cast::<Words>();
        debug_assert!(start.is_aligned() && self.mapping.len() >= size_of::<Words>());
        // SAFETY: the mapping is at least as long as `Words` (`open` set the file's length, and the
        // file lies in a directory that only this user may enter and that nobody else writes to),
        // it begins on a page and so is aligned to 128, it lives as long as `self`, it is zero to
        // begin with, which is a valid `Words`, and all access by any process is atomic.
        unsafe { &*start }
    }

    /// The driver's half: there and back `times` times.
    pub(super) fn ping(&mut self, times: u64) {
        let (from, words) = (self.round, self.words());
        for round in from + 1..=from + times {
            words.ping.0.store(round, Release);
            while words.pong.0.load(Acquire) != round {
                std::hint::spin_loop();
            }
        }
        self.round += times;
    }

    /// The follower's half.
    pub(super) fn pong(&mut self, times: u64) {
        let (from, words) = (self.round, self.words());
        for round in from + 1..=from + times {
            while words.ping.0.load(Acquire) != round {
                std::hint::spin_loop();
            }
            words.pong.0.store(round, Release);
        }
        self.round += times;
    }

    /// Driver: gives a command, and comes back when the follower stands at the ready, so that the
    /// time it takes to notice is not measured.
    pub(super) fn command(&self, command: u64) {
        self.words().command.0.store(command, Release);
        while self.words().ready.0.load(Acquire) != command {
            std::hint::spin_loop();
        }
    }

    /// Driver: waits until the follower has done it.
    pub(super) fn await_done(&self, command: u64) {
        while self.words().done.0.load(Acquire) != command {
            std::hint::spin_loop();
        }
    }

    /// Follower: waits for a command other than the last.
    pub(super) fn await_command(&self, last: u64) -> u64 {
        loop {
            let command = self.words().command.0.load(Acquire);
            if command != last {
                self.words().ready.0.store(command, Release);
                return command;
            }
            std::hint::spin_loop();
        }
    }

    /// Follower: has done it.
    pub(super) fn done(&self, command: u64) {
        self.words().done.0.store(command, Release);
    }
}
