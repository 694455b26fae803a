//! Loads of words that another process may be writing, through a mapping that this one may be allowed only to read.
//!
//! What the language promises of atomic loads of *read-only* memory (`std::sync::atomic`, "Atomic accesses to read-only
//! memory") is little: only `Relaxed` ones, of at most 8 bytes on x86-64 and aarch64 and of at most 4 on x86. Others may
//! be done by an instruction that also writes, which a read-only page answers with a fault. So a load here is a relaxed
//! one and a fence behind it, which orders at least as an acquire load does; and of 64 bits on 32-bit x86 it is an instruction
//! of our own:
//!
//! *Proof for x86.* The word is a multiple of 8, so it lies in one cache line, and a processor since the Pentium reads it by one
//! access (Intel, volume 3, 9.1.1 "Guaranteed Atomic Operations": "a quadword aligned on a 64-bit boundary"; AMD, volume 2,
//! 7.3.2 the same): no half of an older value. `movq` to a register of SSE2, which this target always has, is such an
//! access, and a plain load, so a read-only page allows it. Whoever *writes* the word does so by an access of 8 bytes that is as
//! indivisible, on 32 bits by `AtomicU64` and on 64 bits by a plain store. x86 keeps loads in order among themselves and
//! stores behind earlier loads, so each of its loads is an acquire load; the compiler cannot move other accesses across, for it
//! must assume that the assembly touches any memory (no `nomem`), and the fence behind says the same to it by its own words.
#![allow(unsafe_code)]

#[cfg(any(not(target_arch = "x86"), test))]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// Loads 8 bytes.
///
/// # Safety
/// `from` is a multiple of 8, and 8 bytes from there on are mapped readable. This process writes them by atomics or by
/// `copy` only.
#[inline(always)]
pub(super) unsafe fn load(from: *const u8, order: Ordering) -> u64 {
    // SAFETY: the caller's promise.
    let value = unsafe { load_relaxed(from) };
    order_after(order);
    value
}

/// Loads 4 bytes.
///
/// # Safety
/// As [`load`], with 4 for 8.
#[inline(always)]
pub(super) unsafe fn load_half(from: *const u8, order: Ordering) -> u32 {
    // SAFETY: the caller's promise; only relaxed loads are done through the reference.
    let word = unsafe { AtomicU32::from_ptr(from.cast_mut().cast()) };
    let value = word.load(Ordering::Relaxed);
    order_after(order);
    value
}

/// Loads 8 bytes, relaxed.
///
/// # Safety
/// As [`load`].
#[cfg(not(target_arch = "x86"))]
#[inline(always)]
pub(super) unsafe fn load_relaxed(from: *const u8) -> u64 {
    // SAFETY: the caller's promise; only relaxed loads are done through the reference.
    unsafe { AtomicU64::from_ptr(from.cast_mut().cast()) }.load(Ordering::Relaxed)
}

/// Loads 8 bytes, relaxed.
///
/// # Safety
/// As [`load`].
#[cfg(target_arch = "x86")]
#[inline(always)]
pub(super) unsafe fn load_relaxed(from: *const u8) -> u64 {
    let mut value = 0_u64;
    // SAFETY: reads 8 bytes that the caller vouches for and writes 8 bytes of our own; the register is declared. It is one
    // access, as the proof above has it.
    unsafe {
        std::arch::asm!(
            "movq {word}, qword ptr [{from}]",
            "movq qword ptr [{to}], {word}",
            word = out(xmm_reg) _,
            from = in(reg) from,
            to = in(reg) &raw mut value,
            options(nostack, preserves_flags)
        );
    }
    value
}

#[inline(always)]
fn order_after(order: Ordering) {
    if order != Ordering::Relaxed {
        fence(order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_word_that_is_being_written_is_never_read_in_halves() {
        let word = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut value = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    value = value.wrapping_add(1) & 0xffff_ffff;
                    // Both halves are the same number, in every value that is ever stored.
                    word.store(value << 32 | value, Ordering::Release);
                }
            });
            let mut last = 0;
            for _ in 0..200_000 {
                // SAFETY: an atomic of our own.
                let seen = unsafe { load(word.as_ptr().cast(), Ordering::Acquire) };
                assert_eq!(
                    seen >> 32,
                    seen & 0xffff_ffff,
                    "{seen:#x} is half of another"
                );
                assert!(seen >= last, "time went back");
                last = seen;
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
