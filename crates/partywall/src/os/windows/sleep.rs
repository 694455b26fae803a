//! Sleeping on words, by named events.
//!
//! `WaitOnAddress` works within one process only. So a word has events, named by the file it lies in, its place **and its
//! value**: who sleeps while the word is `v` makes or opens the event of `v`, looks at the word once more, and waits. Who has
//! changed the word from `v` to `v + 1` (a bell has one writer, and counts) then opens the event of `v`, if there is one,
//! and sets it, for good.
//!
//! *No wake-up is lost.* Both sides go through the kernel's table of names, one after the other. If the sleeper's opening comes
//! first, the waker finds the event and sets it; whoever waits for it then or later returns. If the waker comes first and finds
//! nothing, the sleeper's second look comes after the waker's change, and it does not wait. An event is never reset, and its
//! value does not come back (a bell would have to be rung four thousand million times meanwhile), so nobody returns early
//! either. A sleeper that is killed leaves nothing: the event goes with its last handle. A waker that is killed between the
//! change and the setting costs what it costs everywhere: the rest of a slice.
//!
//! `Local\`, the names of this log-on session, unless the segment's header says `Global\`, for channels between a service and a
//! desktop. (Unlike sections, events may be made there without `SeCreateGlobalPrivilege`.) So all processes of a channel
//! agree. If another kind of object has the name, or somebody else's event (`ERROR_INVALID_HANDLE`, `ERROR_ACCESS_DENIED`), a
//! sleeper looks every 2 ms instead: whoever squats on names costs time, and nothing else.
#![allow(unsafe_code)]

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Threading::{
    CreateEventW, EVENT_MODIFY_STATE, OpenEventW, SetEvent, WaitForMultipleObjects,
};

use super::{Mapping, fault_point, security, wide};

/// `MAXIMUM_WAIT_OBJECTS` of winnt.h.
const MOST: usize = 64;

/// Between two looks where there is no event to be had.
const PAUSE: Duration = Duration::from_millis(2);

impl Mapping {
    /// Sleeps while the half-word at `at` is `expected`, at most `timeout`. Comes back early for any reason; the
    /// caller looks at its condition again. Works through a read-only mapping.
    pub(crate) fn sleep(&self, at: u64, expected: u32, timeout: Duration) {
        Self::sleep_any(&[(self, at, expected)], timeout);
    }

    /// The same for several half-words and their values, up to 64 of them, of any mappings; any of them wakes. If there are
    /// more, the rest are looked at every 2 ms.
    pub(crate) fn sleep_any(words: &[(&Self, u64, u32)], timeout: Duration) {
        if words.is_empty() {
            return;
        }
        let events: io::Result<Vec<OwnedHandle>> = words
            .iter()
            .take(MOST)
            .map(|&(mapping, at, value)| make(&mapping.event(at, value)))
            .collect();
        // The second look, which must come behind the making.
        fence(Ordering::SeqCst);
        if words
            .iter()
            .any(|&(mapping, at, value)| mapping.half_word(at).load(Ordering::Relaxed) != value)
        {
            return;
        }
        let Ok(events) = events else {
            std::thread::sleep(timeout.min(PAUSE));
            return;
        };
        let handles: Vec<HANDLE> = events.iter().map(AsRawHandle::as_raw_handle).collect();
        let count = handles.len() as u32;
        let timeout = match words.len() > MOST {
            true => timeout.min(PAUSE),
            false => timeout,
        };
        // SAFETY: `events` keeps the handles open for the call; there are at most 64, as many as may be.
        unsafe { WaitForMultipleObjects(count, handles.as_ptr(), 0, milliseconds(timeout)) };
    }

    /// Wakes everybody who sleeps on the half-word at `at`, which was just changed by one; 1 if there may be any.
    pub(crate) fn wake(&self, at: u64) -> usize {
        fault_point();
        // This process alone changes the word, and has just done so.
        let before = self.half_word(at).load(Ordering::Relaxed).wrapping_sub(1);
        fence(Ordering::SeqCst);
        let name = wide(self.event(at, before).as_ref());
        // SAFETY: the name ends with a zero.
        let event = unsafe { OpenEventW(EVENT_MODIFY_STATE, 0, name.as_ptr()) };
        if event.is_null() {
            return 0;
        }
        // SAFETY: just opened, and owned by nobody else.
        let event = unsafe { OwnedHandle::from_raw_handle(event) };
        // SAFETY: the handle is open.
        unsafe { SetEvent(event.as_raw_handle()) };
        1
    }

    fn event(&self, at: u64, value: u32) -> String {
        // The end tells kinds of objects apart, which share one table of names.
        format!(
            "{}\\partywall-{}-{value:08x}.event",
            self.sessions(),
            self.name_of(at)
        )
    }
}

/// Makes an event that only this user can open, or opens it if another sleeper has made it.
fn make(name: &str) -> io::Result<OwnedHandle> {
    let attributes = security::OwnerOnly::of_object()?.attributes();
    let name = wide(name.as_ref());
    // SAFETY: the name ends with a zero; the attributes' descriptor lives as long as the process.
    let event = unsafe { CreateEventW(&raw const attributes, 1, 0, name.as_ptr()) };
    if event.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and owned by nobody else.
    Ok(unsafe { OwnedHandle::from_raw_handle(event) })
}

/// A time-out as the system wants it: not less than was asked for, and never "for ever".
pub(super) fn milliseconds(timeout: Duration) -> u32 {
    let rounded = timeout.as_nanos().div_ceil(1_000_000);
    u32::try_from(rounded)
        .unwrap_or(u32::MAX - 1)
        .min(u32::MAX - 1)
}

/// Every waker fences for itself here: there is no call that fences other processes.
pub(crate) fn register_waker() {}

/// No.
#[inline(always)]
pub(crate) fn sleepers_fence_for_us() -> bool {
    false
}

/// Yes, for every waker fences.
pub(crate) fn may_rely_on_wakers() -> bool {
    true
}

/// A full fence here; the others do their own.
pub(crate) fn fence_wakers() {
    fence(Ordering::SeqCst);
}
