//! A 64-bit word that one process stores and another loads is never half of two: also if one of them is a 32-bit build,
//! for which a word takes an instruction of its own.
//!
//! The test starts itself again as the writer, or the program that `PARTYWALL_OTHER_HALVES` names: this very test, built
//! for another processor. It uses the standard library and the code that ships for the loads, and nothing else, so that
//! `rustc --test` alone builds it.
#![cfg(unix)] // maps a file by mmap
#![allow(unsafe_code)]

#[allow(dead_code, unreachable_pub, reason = "shown in part")]
#[path = "../src/memory/word.rs"]
mod word;

use std::ffi::{c_int, c_long, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// The file in which the child is to write.
const PLACE: &str = "PARTYWALL_HALVES";
const OTHER: &str = "PARTYWALL_OTHER_HALVES";
const PAGE: usize = 4096;
/// Different values that a reader must have seen before it is content.
const SEEN: u32 = 100_000;
const PROT_READ: c_int = 1;
const PROT_WRITE: c_int = 2;
const MAP_SHARED: c_int = 1;

unsafe extern "C" {
    fn mmap(
        at: *mut c_void,
        len: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: c_long,
    ) -> *mut c_void;
}

fn map(file: &File, protection: c_int) -> *const AtomicU64 {
    let file = file.as_raw_fd();
    // SAFETY: a fresh mapping, placed by the kernel, and never unmapped.
    let base = unsafe { mmap(std::ptr::null_mut(), PAGE, protection, MAP_SHARED, file, 0) };
    assert_ne!(
        base.addr(),
        usize::MAX,
        "{}",
        std::io::Error::last_os_error()
    );
    base.cast_const().cast()
}

/// The file of the test that is this process.
fn name(process: u32) -> PathBuf {
    PathBuf::from(format!("/dev/shm/partywall-halves-{process}"))
}

/// Gone, with its child, when it is dropped.
struct Writer {
    child: Child,
    path: PathBuf,
}

impl Writer {
    fn start() -> Writer {
        let program =
            std::env::var_os(OTHER).map_or_else(|| std::env::current_exe().unwrap(), PathBuf::from);
        let path = name(std::process::id());
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        file.set_len(PAGE as u64).unwrap();
        let child = Command::new(program)
            .args(["--exact", "the_child"])
            .env(PLACE, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Writer { child, path }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn a_word_that_another_process_stores_is_never_read_in_halves() {
    let mut writer = Writer::start();
    // A reader's mapping is read-only, and so is the file that it has opened.
    let words = map(&File::open(&writer.path).unwrap(), PROT_READ);
    let (mut seen, mut last) = (0, [0; 2]);
    while seen < SEEN {
        // The first word of the page, and the last, which is one cache line's end.
        for (at, last) in [0, PAGE / 8 - 1].into_iter().zip(&mut last) {
            // SAFETY: the word lies in the page, aligned; this process only loads it.
            let found = unsafe { word::load(words.add(at).cast(), Ordering::Acquire) };
            assert_eq!(
                found >> 32,
                found & 0xffff_ffff,
                "{found:#x} is half of another"
            );
            assert!(found >= *last, "time went back");
            seen += u32::from(found > *last);
            *last = found;
        }
        if seen == 0 {
            assert!(
                writer.child.try_wait().unwrap().is_none(),
                "the writer has ended"
            );
        }
    }
}

/// Does nothing unless the test has started it; then it stores until it is killed, or the test was.
#[test]
fn the_child() {
    let Some(path) = std::env::var_os(PLACE) else {
        return;
    };
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let words = map(&file, PROT_READ | PROT_WRITE);
    for value in (1..=u64::from(u32::MAX)).cycle() {
        for at in [0, PAGE / 8 - 1] {
            // SAFETY: the word lies in the page, aligned; this process has it mapped writable, and alone stores to it.
            let word = unsafe { &*words.add(at) };
            // As all words of a segment are stored.
            word.store(value << 32 | value, Ordering::Release);
        }
        if value % (1 << 20) == 0 && name(parent_id()) != path {
            return;
        }
    }
}
