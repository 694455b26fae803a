//! Copies between private memory and memory that another process may be reading or writing.
//!
//! Such a copy races by design, so it must not be `ptr::copy` (a race on plain bytes is undefined
//! behaviour). Short runs go through relaxed atomics, which the language defines under races. Long ones
//! go through the processor's own string copy in inline assembly, whose effect on memory the compiler
//! treats as opaque; the instruction itself is indifferent to races.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// From here on `rep movsb` beats a loop of words (its start-up costs some tens of cycles).
#[cfg(target_arch = "x86_64")]
const STRING_COPY: usize = 768;

/// Copies `bytes` to `to`.
///
/// # Safety
/// `to .. to + bytes.len()` must be mapped writable for the whole call, and accessed by this process
/// only through this module or atomics meanwhile.
#[inline]
pub(super) unsafe fn copy_in(to: *mut u8, bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= STRING_COPY {
        // SAFETY: the source is a slice, the target is the caller's promise; the two cannot overlap,
        // for a `&[u8]` never points into shared memory.
        unsafe { string_copy(to, bytes.as_ptr(), bytes.len()) };
        return;
    }
    let mut done = 0;
    // Words where the target allows it: a record's payload always starts at a multiple of 8.
    if to.addr().is_multiple_of(8) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let value = u64::from_ne_bytes(word.try_into().expect("chunks of 8"));
            // SAFETY: `done + 8 <= bytes.len()`, so the word lies in the caller's range, and it is
            // aligned because `to` is and `done` is a multiple of 8.
            let target = unsafe { AtomicU64::from_ptr(to.add(done).cast()) };
            target.store(value, Relaxed);
            done += 8;
        }
    }
    for (index, &byte) in bytes.iter().enumerate().skip(done) {
        // SAFETY: `index < bytes.len()`.
        let target = unsafe { AtomicU8::from_ptr(to.add(index)) };
        target.store(byte, Relaxed);
    }
}

/// Fills `out` from `from`.
///
/// # Safety
/// `from .. from + out.len()` must be mapped readable for the whole call.
#[inline]
pub(super) unsafe fn copy_out(from: *const u8, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if out.len() >= STRING_COPY {
        // SAFETY: the target is a slice, the source is the caller's promise; they cannot overlap, for
        // a `&mut [u8]` never points into shared memory.
        unsafe { string_copy(out.as_mut_ptr(), from, out.len()) };
        return;
    }
    let from = from.cast_mut();
    let mut done = 0;
    if from.addr().is_multiple_of(8) {
        let mut words = out.chunks_exact_mut(8);
        for word in &mut words {
            // SAFETY: `done + 8 <= out.len()`, aligned as in `copy_in`. Only loads are done through the
            // reference, relaxed and of the machine's word, which read-only pages allow.
            let source = unsafe { AtomicU64::from_ptr(from.add(done).cast()) };
            word.copy_from_slice(&source.load(Relaxed).to_ne_bytes());
            done += 8;
        }
    }
    for (index, byte) in out.iter_mut().enumerate().skip(done) {
        // SAFETY: `index < out.len()`; only a load.
        let source = unsafe { AtomicU8::from_ptr(from.add(index)) };
        *byte = source.load(Relaxed);
    }
}

/// # Safety
/// Both ranges of `len` bytes must be mapped, `to` writable, and must not overlap.
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn string_copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller vouches for both ranges; the direction flag is clear by the calling
    // convention; the registers changed are declared.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_alignment_is_copied_exactly() {
        let source: Vec<u8> = (0..5000_u32).map(|n| (n * 31 % 251) as u8).collect();
        let mut middle = vec![0_u8; 5016];
        let mut out = vec![0_u8; 5000];
        for len in (0..70).chain([767, 768, 769, 4993]) {
            for offset in 0..9 {
                middle.fill(0xaa);
                // SAFETY: `middle` is longer than 8 + 4993 bytes and borrowed by nobody else.
                unsafe { copy_in(middle.as_mut_ptr().add(offset), &source[..len]) };
                // SAFETY: as above.
                unsafe { copy_out(middle.as_ptr().add(offset), &mut out[..len]) };
                assert_eq!(out[..len], source[..len], "length {len}, offset {offset}");
                assert!(middle[..offset].iter().all(|&b| b == 0xaa));
                assert!(middle[offset + len..].iter().all(|&b| b == 0xaa));
            }
        }
    }
}
