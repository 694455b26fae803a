//! Copies between private memory and memory that another process may be reading or writing.
//!
//! Such a copy races by design, so it must not be `ptr::copy` (a race on plain bytes is undefined
//! behaviour). Short runs go through relaxed atomics, which the language defines under races. Long ones
//! go through the processor's own string copy in inline assembly, whose effect on memory the compiler
//! treats as opaque; the instruction itself is indifferent to races.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use super::word::load_relaxed;

/// From here on `rep movsb` beats a loop of words (its start-up costs some tens of cycles).
#[cfg(target_arch = "x86_64")]
const STRING_COPY: usize = 768;

/// Copies `bytes` to `to`, from the start to the end.
///
/// # Safety
/// `to .. to + bytes.len()` must be mapped writable for the whole call, and accessed by this process
/// only through this module or atomics meanwhile.
#[inline(always)]
pub(super) unsafe fn copy_in(to: *mut u8, bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= STRING_COPY {
        // SAFETY: the source is a slice, the target is the caller's promise. They do not overlap: a slice of
        // shared memory is of a record that was not given back yet, and nobody writes there.
        unsafe { string_copy(to, bytes.as_ptr(), bytes.len()) };
        return;
    }
    if !only_words(to, bytes.len()) {
        // SAFETY: the caller's promise.
        unsafe { copy_in_with_odd_end(to, bytes) };
        return;
    }
    for (index, word) in bytes.chunks_exact(8).enumerate() {
        // SAFETY: the caller's promise; `to` is aligned, and the word inside the range.
        unsafe { store_word(to, index, word) };
    }
}

/// [`copy_in`] from the end to the start, where that is not long.
///
/// The word written last is then the neighbour of the record's header, which is stored next. A processor
/// merges neighbouring stores to a line that it must first fetch from another core, and pays for every
/// change of line: this order needs the fewest changes.
///
/// # Safety
/// As [`copy_in`].
#[inline(always)]
pub(super) unsafe fn copy_in_backwards(to: *mut u8, bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= STRING_COPY {
        // SAFETY: as in `copy_in`.
        unsafe { string_copy(to, bytes.as_ptr(), bytes.len()) };
        return;
    }
    if !only_words(to, bytes.len()) {
        // SAFETY: the caller's promise.
        unsafe { copy_in_with_odd_end(to, bytes) };
        return;
    }
    for (index, word) in bytes.chunks_exact(8).enumerate().rev() {
        // SAFETY: as in `copy_in`.
        unsafe { store_word(to, index, word) };
    }
}

/// Whether a copy consists of aligned words.
#[inline(always)]
fn only_words(to: *mut u8, len: usize) -> bool {
    to.addr().is_multiple_of(8) && len.is_multiple_of(8)
}

/// Bytes behind the last word, then words downwards; where the target is not aligned, bytes only. Apart, so
/// that the usual copy stays small enough to be inlined.
///
/// # Safety
/// As [`copy_in`].
#[inline(never)]
unsafe fn copy_in_with_odd_end(to: *mut u8, bytes: &[u8]) {
    let words = if only_words(to, 0) {
        bytes.len() / 8
    } else {
        0
    };
    for (index, &byte) in bytes.iter().enumerate().skip(8 * words).rev() {
        // SAFETY: `index < bytes.len()`.
        let target = unsafe { AtomicU8::from_ptr(to.add(index)) };
        target.store(byte, Relaxed);
    }
    for (index, word) in bytes.chunks_exact(8).enumerate().take(words).rev() {
        // SAFETY: as in `copy_in`.
        unsafe { store_word(to, index, word) };
    }
}

/// # Safety
/// `to` is a multiple of 8, and the word at `8 * index` lies in a range as [`copy_in`] demands it.
#[inline(always)]
unsafe fn store_word(to: *mut u8, index: usize, word: &[u8]) {
    let value = u64::from_ne_bytes(word.try_into().expect("chunks of 8"));
    // SAFETY: the caller's promise.
    let target = unsafe { AtomicU64::from_ptr(to.add(8 * index).cast()) };
    target.store(value, Relaxed);
}

/// Fills `out` from `from`.
///
/// # Safety
/// `from .. from + out.len()` must be mapped readable for the whole call.
#[inline(always)]
pub(super) unsafe fn copy_out(from: *const u8, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if out.len() >= STRING_COPY {
        // SAFETY: the target is a slice, the source is the caller's promise. They do not overlap: a `&mut` slice
        // of shared memory is of a reservation, which is no committed record.
        unsafe { string_copy(out.as_mut_ptr(), from, out.len()) };
        return;
    }
    let from = from.cast_mut();
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    while out.len() - done >= 16 {
        // SAFETY: 16 bytes from `done` on lie in both ranges.
        unsafe { move_16(out.as_mut_ptr().add(done), from.add(done)) };
        done += 16;
    }
    if from.addr().is_multiple_of(8) {
        let mut words = out[done..].chunks_exact_mut(8);
        for word in &mut words {
            // SAFETY: `done + 8 <= out.len()`, so inside the range; aligned, as just tested.
            let value = unsafe { load_relaxed(from.add(done)) };
            word.copy_from_slice(&value.to_ne_bytes());
            done += 8;
        }
    }
    for (index, byte) in out.iter_mut().enumerate().skip(done) {
        // SAFETY: `index < out.len()`; only a load.
        let source = unsafe { AtomicU8::from_ptr(from.add(index)) };
        *byte = source.load(Relaxed);
    }
}

/// Sixteen bytes at once: a reader of the copy that uses wide loads need not wait until several narrow stores
/// have reached the cache.
///
/// # Safety
/// 16 bytes from `from` on must be mapped, and 16 from `to` on writable.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn move_16(to: *mut u8, from: *const u8) {
    // SAFETY: the caller vouches for both ranges; unaligned moves; the register is declared.
    unsafe {
        std::arch::asm!(
            "movdqu {bytes}, [{from}]",
            "movdqu [{to}], {bytes}",
            bytes = out(xmm_reg) _,
            from = in(reg) from,
            to = in(reg) to,
            options(nostack, preserves_flags)
        );
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
            for offset in 0..17 {
                middle.fill(0xaa);
                let to = middle.as_mut_ptr().wrapping_add(offset);
                // SAFETY: `middle` is longer than 16 + 4993 bytes and borrowed by nobody else.
                unsafe {
                    if offset & 1 == 0 {
                        copy_in(to, &source[..len]);
                    } else {
                        copy_in_backwards(to, &source[..len]);
                    }
                }
                // SAFETY: as above.
                unsafe { copy_out(middle.as_ptr().add(offset), &mut out[..len]) };
                assert_eq!(out[..len], source[..len], "length {len}, offset {offset}");
                assert!(middle[..offset].iter().all(|&b| b == 0xaa));
                assert!(middle[offset + len..].iter().all(|&b| b == 0xaa));
            }
        }
    }
}
