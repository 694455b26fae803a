//! Ctrl-C, Ctrl-Break and the closing of the console end every wait, and then the command, in an orderly way.
//!
//! The system calls a handler for them in a thread of its own. It notes what came, and cancels what the main thread
//! waits for in a system call (`CancelSynchronousIo`), until that has ended the process. After the closing of the console the
//! system gives five seconds.

use std::io::{self, Read};
use std::mem::ManuallyDrop;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use partywall::StopToken;
use windows_sys::Win32::Foundation::ERROR_OPERATION_ABORTED;
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::Win32::System::IO::CancelSynchronousIo;
use windows_sys::Win32::System::Threading::{GetCurrentThreadId, OpenThread, THREAD_TERMINATE};

use crate::exit::{Exit, Failure};

/// The handler of this process.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) stop: StopToken,
}

struct Told {
    stopped: Arc<AtomicBool>,
    /// The main thread.
    waiter: OwnedHandle,
}

static TOLD: OnceLock<Told> = OnceLock::new();
/// What came: 1 and the event's number; 0 before.
static CAME: AtomicUsize = AtomicUsize::new(0);
/// The main thread is in a call that may be cancelled.
static WAITING: AtomicBool = AtomicBool::new(false);
/// Somebody else's command runs, and it is for that to end.
static SUPERVISING: AtomicBool = AtomicBool::new(false);

/// Between two tries to cancel: the call may just be about to begin.
const PAUSE: Duration = Duration::from_millis(5);
/// Less than the system allows.
const TIME_TO_END: u32 = 900;

extern "system" fn handle(event: u32) -> i32 {
    if SUPERVISING.load(SeqCst) && event == CTRL_C_EVENT {
        return 1;
    }
    let _ = CAME.compare_exchange(0, event as usize + 1, SeqCst, SeqCst);
    let Some(told) = TOLD.get() else { return 0 };
    told.stopped.store(true, SeqCst);
    let tries = if matches!(event, CTRL_C_EVENT | CTRL_BREAK_EVENT) {
        100
    } else {
        TIME_TO_END
    };
    for _ in 0..tries {
        if WAITING.load(SeqCst) {
            // SAFETY: the handle is that of a thread, and is never closed.
            unsafe { CancelSynchronousIo(told.waiter.as_raw_handle()) };
        }
        std::thread::sleep(PAUSE);
    }
    1
}

/// Marks a call that may be cancelled.
struct Waiting;

impl Waiting {
    fn new() -> Self {
        WAITING.store(true, SeqCst);
        Waiting
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.store(false, SeqCst);
    }
}

impl Signals {
    pub(crate) fn install() -> Result<Self, Failure> {
        let failed = |error| Failure::stream("install a handler for Ctrl-C", &error);
        let stopped = Arc::new(AtomicBool::new(false));
        // SAFETY: the thread is the calling one.
        let waiter = unsafe { OpenThread(THREAD_TERMINATE, 0, GetCurrentThreadId()) };
        if waiter.is_null() {
            return Err(failed(io::Error::last_os_error()));
        }
        // SAFETY: just opened, and owned by nobody else.
        let waiter = unsafe { OwnedHandle::from_raw_handle(waiter) };
        let _ = TOLD.set(Told {
            stopped: Arc::clone(&stopped),
            waiter,
        });
        // SAFETY: the handler is a function for the life of the process.
        if unsafe { SetConsoleCtrlHandler(Some(handle), 1) } == 0 {
            return Err(failed(io::Error::last_os_error()));
        }
        Ok(Signals {
            stop: StopToken::from(stopped),
        })
    }

    /// How to end, if something came.
    #[allow(clippy::unused_self)]
    pub(crate) fn exit(&self) -> Option<Exit> {
        match CAME.load(SeqCst) {
            0 => None,
            came if came == CTRL_C_EVENT as usize + 1 => Some(Exit::Interrupted),
            _ => Some(Exit::Terminated),
        }
    }

    /// Waits for a child to end. Ctrl-C reaches it from the console, and does not end us before it.
    #[allow(clippy::unused_self)]
    pub(crate) fn wait_for_child(&self, child: &mut Child) -> io::Result<ExitStatus> {
        SUPERVISING.store(true, SeqCst);
        child.wait()
    }

    /// Reads from standard input what is there, at most so much; 0 at the end, `None` if a signal came first.
    pub(crate) fn read_input(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let handle = io::stdin().as_raw_handle();
        // SAFETY: it is open for as long as the process; never closed here. Only its reading is used.
        let mut input = ManuallyDrop::new(unsafe { std::fs::File::from_raw_handle(handle) });
        self.cancellable(|| input.read(buffer))
    }

    /// Does a call that a signal cancels; `None` if one came before it was done.
    pub(super) fn cancellable<T>(
        &self,
        call: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let waiting = Waiting::new();
        if self.exit().is_some() {
            return Ok(None);
        }
        let done = call();
        drop(waiting);
        match done {
            Err(error)
                if error.raw_os_error() == Some(ERROR_OPERATION_ABORTED.cast_signed())
                    && self.exit().is_some() =>
            {
                Ok(None)
            }
            done => done.map(Some),
        }
    }
}
