//! A mapped segment.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence, fence};
use std::time::Duration;

use super::{Doorbell, Shared, SharedMut, copy, word};
use crate::os::{self, Mapping};

/// Marks a region that the kernel lets this process only read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadOnly;
/// Marks a region that this process writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writable;

/// A mapped segment; clones share the mapping, which goes when the last of them does.
#[derive(Clone, Debug)]
pub(crate) struct Region<Access> {
    /// The mapping's own, here so that an access needs no second look-up.
    base: NonNull<u8>,
    len: u64,
    /// Keeps the mapping.
    pages: Arc<os::Mapping>,
    access: PhantomData<Access>,
}

// SAFETY: `base` points into `pages`, which may be sent and shared; every access through it is an atomic one
// or a racing copy.
unsafe impl<Access: Send> Send for Region<Access> {}
// SAFETY: as above.
unsafe impl<Access: Sync> Sync for Region<Access> {}

impl<Access> Region<Access> {
    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.len
    }
}

impl Region<ReadOnly> {
    pub(crate) fn read_only(pages: os::Mapping) -> Self {
        Self::new(pages)
    }
}

impl Region<Writable> {
    /// `None` for pages that were mapped without the right to write.
    pub(crate) fn writable(pages: os::Mapping) -> Option<Self> {
        pages.is_writable().then(|| Self::new(pages))
    }
}

impl<Access> Region<Access> {
    fn new(pages: os::Mapping) -> Self {
        Region {
            base: pages.base(),
            len: pages.len(),
            pages: Arc::new(pages),
            access: PhantomData,
        }
    }

    /// Lets core dumps have it: it is not confidential.
    pub(crate) fn show_in_dumps(&self) -> io::Result<()> {
        self.pages.show_in_dumps()
    }

    /// Keeps it out of swap: at once, or page by page as it is touched.
    pub(crate) fn lock_in_memory(&self, present: bool) -> io::Result<()> {
        self.pages.lock_in_memory(present)
    }

    /// Sleepers and wakers find each other from every log-on session.
    pub(crate) fn serve_all_sessions(&self) {
        self.pages.serve_all_sessions();
    }

    #[inline(always)]
    fn word(&self, at: u64) -> &AtomicU64 {
        // One comparison: the low bits of a misaligned offset become the high ones.
        assert!(
            at.rotate_right(3) < self.len / 8,
            "word outside its segment"
        );
        // SAFETY: `at` is a multiple of 8 and `at + 8 <= len` (just checked), so the word lies in the
        // mapping, which `pages` keeps; pages are aligned to far more than 8. Other processes access these
        // bytes by their own instructions; this process only by atomics and by `copy`.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(at as usize).cast()) }
    }

    #[inline(always)]
    fn half_word(&self, at: u64) -> &AtomicU32 {
        assert!(
            at.rotate_right(2) < self.len / 4,
            "word outside its segment"
        );
        // SAFETY: as in `word`, with 4 for 8.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(at as usize).cast()) }
    }

    /// A page that was accessed and was not there any more, by its offset: asked before use is made of what was read.
    /// Nearly always one load of a word that nobody changes.
    #[inline(always)]
    pub(crate) fn lost_page(&self) -> Option<u64> {
        if os::pages_lost() {
            self.pages.lost()
        } else {
            None
        }
    }

    /// A pointer to `len` bytes at `at`, checked to lie inside; for borrowing in place, by the contract
    /// that the user accepted when opening.
    pub(crate) fn pointer(&self, at: u64, len: u64) -> *mut u8 {
        assert!(
            at <= self.len && self.len - at >= len,
            "range outside its segment"
        );
        // SAFETY: `at` is at most the length of the mapping.
        unsafe { self.base.as_ptr().add(at as usize) }
    }
}

impl<Access> Shared for Region<Access> {
    #[inline(always)]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        // SAFETY: `word` checked the place.
        unsafe { word::load(self.word(at).as_ptr().cast(), order) }
    }

    #[inline(always)]
    fn load32(&self, at: u64, order: Ordering) -> u32 {
        // SAFETY: `half_word` checked the place.
        unsafe { word::load_half(self.half_word(at).as_ptr().cast(), order) }
    }

    #[inline(always)]
    fn any32(&self, at: u64, count: u32) -> bool {
        // The range is checked once; a load for each, but one branch for all.
        let first = self.pointer(at, u64::from(count) * 4).cast::<u32>();
        assert!(first.is_aligned(), "half-words are misaligned");
        (0..count as usize).fold(0, |seen, index| {
            // SAFETY: inside the range that `pointer` checked, and aligned as its first half-word is.
            let word = unsafe { AtomicU32::from_ptr(first.add(index)) };
            seen | word.load(Ordering::Relaxed)
        }) != 0
    }

    #[inline(always)]
    fn prefetch(&self, at: u64) {
        #[cfg(target_arch = "x86_64")]
        if at < self.len {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let line = self.base.as_ptr().wrapping_add(at as usize);
            // SAFETY: a hint; it neither reads nor faults, and `line` lies in the mapping anyway.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    fn populate(&self, at: u64, len: u64) -> bool {
        self.pages.populate(at, len)
    }

    #[inline(always)]
    fn copy_out(&self, at: u64, out: &mut [u8]) {
        let from = self.pointer(at, out.len() as u64);
        // SAFETY: `pointer` checked the range; the mapping outlives the call.
        unsafe { copy::copy_out(from, out) }
    }

    #[inline(always)]
    fn fence(&self, order: Ordering) {
        fence(order);
    }
}

impl SharedMut for Region<Writable> {
    #[inline(always)]
    fn store(&self, at: u64, value: u64, order: Ordering) {
        #[cfg(feature = "fault-points")]
        super::fault::point(super::fault::Kind::Store);
        self.word(at).store(value, order);
    }

    #[inline(always)]
    fn store32(&self, at: u64, value: u32, order: Ordering) {
        #[cfg(feature = "fault-points")]
        super::fault::point(super::fault::Kind::Store);
        self.half_word(at).store(value, order);
    }

    #[inline(always)]
    fn set_bits(&self, at: u64, bits: u64, order: Ordering) -> u64 {
        #[cfg(feature = "fault-points")]
        super::fault::point(super::fault::Kind::Store);
        self.word(at).fetch_or(bits, order)
    }

    #[inline(always)]
    fn clear_bits(&self, at: u64, bits: u64, order: Ordering) -> u64 {
        #[cfg(feature = "fault-points")]
        super::fault::point(super::fault::Kind::Store);
        self.word(at).fetch_and(!bits, order)
    }

    #[inline(always)]
    fn copy_in(&self, at: u64, bytes: &[u8]) {
        let to = self.pointer(at, bytes.len() as u64);
        self.in_halves(to, bytes, false, |to, bytes| {
            // SAFETY: inside the range that `pointer` checked; `Writable` pages are mapped writable.
            unsafe { copy::copy_in(to, bytes) }
        });
    }

    #[inline(always)]
    fn copy_in_backwards(&self, at: u64, bytes: &[u8]) {
        let to = self.pointer(at, bytes.len() as u64);
        self.in_halves(to, bytes, true, |to, bytes| {
            // SAFETY: as in `copy_in`.
            unsafe { copy::copy_in_backwards(to, bytes) }
        });
    }
}

impl Region<Writable> {
    /// A copy is many stores; a sweep kills before it and in its middle. Without a sweep it is one.
    #[cfg(feature = "fault-points")]
    fn in_halves(&self, to: *mut u8, bytes: &[u8], backwards: bool, copy: impl Fn(*mut u8, &[u8])) {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let middle = to.wrapping_add(first.len());
        let mut halves = [(to, first), (middle, second)];
        if backwards {
            halves.reverse();
        }
        for (to, half) in halves {
            super::fault::point(super::fault::Kind::Store);
            copy(to, half);
        }
    }

    #[cfg(not(feature = "fault-points"))]
    #[inline(always)]
    fn in_halves(
        &self,
        to: *mut u8,
        bytes: &[u8],
        _backwards: bool,
        copy: impl Fn(*mut u8, &[u8]),
    ) {
        copy(to, bytes);
    }

    /// Writes zeros over everything from `from` on: for who knows that nobody needs it any more.
    pub(crate) fn wipe(&self, from: u64) {
        const PIECE: u64 = 4096;
        let mut at = from;
        while at < self.len {
            let piece = PIECE.min(self.len - at);
            self.copy_in(at, &[0; PIECE as usize][..piece as usize]);
            at += piece;
        }
    }

    /// Stamps a heartbeat: from another thread, so never a point at which a sweep kills.
    pub(crate) fn stamp(&self, at: u64, now_ns: u64) {
        self.word(at).store(now_ns, Ordering::Relaxed);
    }
}

impl<Access> Region<Access> {
    /// Sleeps while the half-word at `at` is `expected`, at most `timeout`. Comes back early for any reason.
    pub(crate) fn sleep(&self, at: u64, expected: u32, timeout: Duration) {
        self.pages.sleep(at, expected, timeout);
    }

    /// The same for several half-words and their values, up to 64 of them; any of them wakes.
    pub(crate) fn sleep_any(words: &[(&Self, u64, u32)], timeout: Duration) {
        let words: Vec<_> = words
            .iter()
            .map(|&(region, at, value)| (&*region.pages, at, value))
            .collect();
        Mapping::sleep_any(&words, timeout);
    }
}

impl<Access> Doorbell for Region<Access> {
    fn wake(&self, at: u64) -> usize {
        self.pages.wake(at)
    }

    #[inline(always)]
    fn light_fence(&self) {
        if os::sleepers_fence_for_us() {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    fn heavy_fence(&self) {
        os::fence_wakers();
    }
}
