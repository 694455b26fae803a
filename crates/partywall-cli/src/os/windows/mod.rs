//! Windows: console control events, and system calls that they cancel.
#![allow(unsafe_code)]

pub(crate) mod output;
pub(crate) mod signals;

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::AsRawHandle;
use std::os::windows::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use signal_hook::consts::{SIGINT, SIGTERM};
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Storage::FileSystem::MoveFileExW;
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::Pipes::PeekNamedPipe;
use windows_sys::Win32::System::Threading::{CREATE_NEW_PROCESS_GROUP, TerminateProcess};

/// What ends a command that does not look after it itself, by the numbers of the C library.
pub(crate) const ENDING: [i32; 2] = [SIGINT, SIGTERM];

/// This very program.
pub(crate) fn this_program() -> Command {
    Command::new(std::env::current_exe().unwrap_or_else(|_| PathBuf::from("partywall")))
}

/// Ctrl-C on the console does not reach the child. Nothing here takes children along: they find out by the end of their
/// input.
pub(crate) fn set_apart(command: &mut Command) {
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
}

/// Nothing here does.
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn die_with_parent() -> io::Result<()> {
    Ok(())
}

/// Whether nobody holds the other end of a pipe any more.
pub(crate) fn has_gone(pipe: &impl AsRawHandle) -> bool {
    let (nothing, nowhere) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the handle is open; nothing is asked for but whether the pipe is.
    let there =
        unsafe { PeekNamedPipe(pipe.as_raw_handle(), nothing, 0, nowhere, nowhere, nowhere) };
    there == 0 && io::Error::last_os_error().kind() == io::ErrorKind::BrokenPipe
}

/// What a process that was ended by force ends with.
const KILLED: u32 = 137;

/// Ends a child by force, and does not return before the system has taken everything from it; whether it was this that
/// ended it.
pub(crate) fn kill(child: &mut Child) -> io::Result<bool> {
    // SAFETY: the handle is open. For a child that has ended already this fails, and changes nothing.
    unsafe { TerminateProcess(child.as_raw_handle(), KILLED) };
    Ok(child.wait()?.code() == Some(KILLED.cast_signed()))
}

#[link(name = "ntdll")]
unsafe extern "system" {
    fn NtSuspendProcess(process: HANDLE) -> i32;
    fn NtResumeProcess(process: HANDLE) -> i32;
}

/// Stops a child until it may go on. One that has ended is heard of elsewhere.
pub(crate) fn stop(child: &Child) {
    // SAFETY: the handle is open.
    unsafe { NtSuspendProcess(child.as_raw_handle()) };
}

/// Lets a stopped child go on.
pub(crate) fn go_on(child: &Child) {
    // SAFETY: the handle is open.
    unsafe { NtResumeProcess(child.as_raw_handle()) };
}

/// Renames a file, unless there is one of that name.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let wide = |path: &Path| -> Vec<u16> { path.as_os_str().encode_wide().chain([0]).collect() };
    // SAFETY: both names end with a zero.
    match unsafe { MoveFileExW(wide(from).as_ptr(), wide(to).as_ptr(), 0) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// How a command ended, in the byte that this one ends with: never 0 if it was not 0.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    match status.code() {
        Some(0) => 0,
        Some(code) => u8::try_from(code).unwrap_or(u8::MAX),
        None => u8::MAX,
    }
}

/// Where directories for one run are made.
pub(crate) fn scratch_parent() -> PathBuf {
    std::env::temp_dir()
}

/// Makes a directory. The parent is the user's own, and what is in it inherits who may enter.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}

/// Whether something in the user's own directory is his.
pub(crate) fn is_ours(_found: &Metadata) -> bool {
    true
}

/// Held as long as somebody needs a directory; gone with the process, however that ends.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _beside: File,
}

impl DirectoryLock {
    /// Locks a directory by a file beside it that nobody else can open meanwhile, and that goes when it is closed.
    pub(crate) fn take(path: &Path) -> Option<Self> {
        const DELETE_ON_CLOSE: u32 = 0x0400_0000;
        let beside = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .share_mode(0)
            .custom_flags(DELETE_ON_CLOSE)
            .open(path.with_extension("lock"))
            .ok()?;
        path.is_dir().then_some(DirectoryLock { _beside: beside })
    }
}

/// The performance counter, the same in every process of the machine.
pub(crate) fn monotonic_ns() -> u64 {
    let (mut ticks, mut frequency) = (0_i64, 0_i64);
    // SAFETY: each stores one number into one of our own.
    unsafe {
        QueryPerformanceFrequency(&raw mut frequency);
        QueryPerformanceCounter(&raw mut ticks);
    }
    (i128::from(ticks) * 1_000_000_000 / i128::from(frequency.max(1))) as u64
}

/// Fills the buffer from a place in a file.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.seek_read(&mut buffer[filled..], at + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(())
}
