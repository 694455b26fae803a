//! What a user who may read a channel tries against it. Each attempt is told by a line: `denied` by the system, or
//! `harmless`, where the system lets him and nobody else is the worse for it. A line that begins with `allowed` is a
//! hole.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::ptr::null_mut;

use crate::acts::{say, told};

const SHARED: [&str; 3] = ["root", "1.owner", "1.peers"];

/// The system must refuse it.
fn denied<T>(what: &str, outcome: io::Result<T>) {
    match outcome {
        Err(error) => say(format_args!("denied {what}: {error}")),
        Ok(_) => say(format_args!("allowed {what}")),
    }
}

/// The outcome of a system call.
fn result(returned: libc::c_long) -> io::Result<libc::c_long> {
    match returned {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// Tries everything; then disturbs sleepers until it is told to end.
pub(crate) fn intrude(place: &Path, home: &Path, owner: u32, channel: &str) {
    let directory = place.join(channel);
    by_name(place, &directory, home);
    for name in SHARED {
        by_descriptor(&directory.join(name));
    }
    against_the_lock(&directory.join("lock"));
    against_the_process(owner);
    disturb(&directory.join("1.owner"));
}

/// Names and attributes.
fn by_name(place: &Path, directory: &Path, home: &Path) {
    let own = home.join("own");
    fs::write(&own, "mine").unwrap();
    for name in ["root", "1.owner", "1.peers", "lock"] {
        let file = directory.join(name);
        let tell = |what: &str| format!("{what} {name}");
        let open = |options: &mut OpenOptions| options.open(&file);
        denied(&tell("open to write"), open(OpenOptions::new().write(true)));
        let both = open(OpenOptions::new().read(true).write(true));
        denied(&tell("open to read and write"), both);
        denied(
            &tell("open to append"),
            open(OpenOptions::new().append(true)),
        );
        let cut = open(OpenOptions::new().read(true).custom_flags(libc::O_TRUNC));
        denied(&tell("open and truncate"), cut);
        let path = c_string(&file);
        // SAFETY: a path that outlives the call.
        let truncated = unsafe { libc::truncate(path.as_ptr(), 0) };
        denied(&tell("truncate"), result(truncated.into()));
        denied(&tell("unlink"), fs::remove_file(&file));
        denied(&tell("rename"), fs::rename(&file, directory.join("other")));
        denied(&tell("take away"), fs::rename(&file, home.join("taken")));
        denied(&tell("replace"), fs::rename(&own, &file));
        let mode = fs::Permissions::from_mode(0o666);
        denied(&tell("chmod"), fs::set_permissions(&file, mode));
        let me = rustix::process::geteuid().as_raw();
        denied(
            &tell("chown"),
            std::os::unix::fs::chown(&file, Some(me), None),
        );
        let times = [libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }; 2];
        // SAFETY: a path and two times that outlive the call.
        let touched = unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0) };
        denied(&tell("set the times of"), result(touched.into()));
        // SAFETY: strings and bytes that outlive the call.
        let marked = unsafe {
            libc::setxattr(
                path.as_ptr(),
                c"user.mark".as_ptr(),
                c"x".as_ptr().cast(),
                1,
                0,
            )
        };
        denied(&tell("mark"), result(marked.into()));
        let link = home.join(format!("link-{name}"));
        match fs::hard_link(&file, &link) {
            Err(error) => say(format_args!("denied link to {name}: {error}")),
            // Where the system does not protect hard links: a name more, with the same owner and mode.
            Ok(()) => {
                fs::remove_file(&link).unwrap();
                say(format_args!("harmless link to {name}"));
            }
        }
    }
    for (what, directory) in [("the channel", directory), ("the namespace", place)] {
        let tell = |doing: &str| format!("{doing} in {what}");
        denied(
            &tell("make a file"),
            File::create(directory.join("2.owner")),
        );
        denied(
            &tell("make a directory"),
            fs::create_dir(directory.join("other")),
        );
        denied(
            &tell("make a link"),
            symlink("/etc/passwd", directory.join("root.new")),
        );
        denied(
            &tell("link what is mine"),
            fs::hard_link(&own, directory.join("2.peers")),
        );
        denied(
            &tell("put what is mine"),
            fs::rename(&own, directory.join("3.peers")),
        );
        let pipe = c_string(&directory.join("pipe"));
        // SAFETY: a path that outlives the call.
        let made = unsafe { libc::mkfifo(pipe.as_ptr(), 0o666) };
        denied(&tell("make a pipe"), result(made.into()));
        let file = directory.join("socket");
        denied(
            &tell("bind a socket"),
            std::os::unix::net::UnixListener::bind(file),
        );
        let mode = fs::Permissions::from_mode(0o777);
        denied(
            &format!("chmod {what}"),
            fs::set_permissions(directory, mode),
        );
        let nameless = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_TMPFILE)
            .open(directory);
        denied(&tell("make a nameless file"), nameless);
        denied(&format!("remove {what}"), fs::remove_dir(directory));
        denied(
            &format!("move {what}"),
            fs::rename(directory, home.join("moved")),
        );
    }
}

/// What can be done to a file through a descriptor that may only read.
fn by_descriptor(path: &Path) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let tell = |what: &str| format!("{what} {name} through a descriptor");
    let file = File::open(path).unwrap();
    let number = file.as_raw_fd();
    // SAFETY: the descriptor is open, and whatever is pointed to outlives the call.
    let written = unsafe { libc::pwrite(number, c"xxxxxxxx".as_ptr().cast(), 8, 0) };
    denied(&tell("write to"), result(written as libc::c_long));
    // SAFETY: as above.
    denied(
        &tell("truncate"),
        result(unsafe { libc::ftruncate(number, 0) }.into()),
    );
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: as above.
    let punched = unsafe { libc::fallocate(number, punch, 0, 4096) };
    denied(&tell("punch a hole into"), result(punched.into()));
    // SAFETY: as above.
    denied(
        &tell("chmod"),
        result(unsafe { libc::fchmod(number, 0o666) }.into()),
    );
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW;
    // SAFETY: as above.
    let sealed = unsafe { libc::fcntl(number, libc::F_ADD_SEALS, seals) };
    denied(&tell("seal"), result(sealed.into()));
    // SAFETY: as above.
    let leased = unsafe { libc::fcntl(number, libc::F_SETLEASE, libc::F_RDLCK) };
    denied(&tell("lease"), result(leased.into()));
    denied(&tell("lock bytes of"), byte_lock(number, libc::F_WRLCK));
    let again = OpenOptions::new()
        .write(true)
        .open(format!("/proc/self/fd/{number}"));
    denied(&tell("open anew to write"), again);
    // Shared locks, and those of whole files, are his to take: nobody looks for any on these files.
    say(format_args!(
        "harmless {}: {:?}",
        tell("read lock on"),
        byte_lock(number, libc::F_RDLCK)
    ));
    // SAFETY: as above.
    let flocked = unsafe { libc::flock(number, libc::LOCK_EX | libc::LOCK_NB) };
    say(format_args!("harmless {}: {flocked}", tell("flock on")));
    mapped(number, &tell);
    // What is kept open is kept locked until this process ends.
    std::mem::forget(file);
}

/// What can be done to a mapping.
fn mapped(number: RawFd, tell: &dyn Fn(&str) -> String) {
    let map = |protection: i32, flags: i32| {
        // SAFETY: a new mapping, placed by the kernel.
        let base = unsafe { libc::mmap(null_mut(), 4096, protection, flags, number, 0) };
        match base {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            base => Ok(base),
        }
    };
    let write = libc::PROT_READ | libc::PROT_WRITE;
    denied(&tell("map to write"), map(write, libc::MAP_SHARED));
    denied(
        &tell("map to write only"),
        map(libc::PROT_WRITE, libc::MAP_SHARED),
    );
    let base = map(libc::PROT_READ, libc::MAP_SHARED).unwrap();
    // SAFETY: the mapping just made, which nobody else uses.
    let made_writable = unsafe { libc::mprotect(base, 4096, write) };
    denied(
        &tell("make the mapping writable"),
        result(made_writable.into()),
    );
    // SAFETY: as above.
    let removed = unsafe { libc::madvise(base, 4096, libc::MADV_REMOVE) };
    denied(&tell("free the pages"), result(removed.into()));
    // SAFETY: as above; the words that it would write are checked by the kernel.
    let owned = unsafe { libc::syscall(libc::SYS_futex, base, libc::FUTEX_LOCK_PI, 0, 0, 0, 0) };
    denied(&tell("own a futex in"), result(owned));
    // `*word2 = 7; wake`: the kernel would do the store.
    let store = libc::FUTEX_OP_SET << 28 | 7 << 12;
    // SAFETY: as above.
    let stored = unsafe {
        libc::syscall(
            libc::SYS_futex,
            base,
            libc::FUTEX_WAKE_OP,
            1,
            1,
            base,
            store,
        )
    };
    denied(&tell("have the kernel store by a futex"), result(stored));
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/proc/self/mem");
    let stored = memory.and_then(|memory| {
        std::os::unix::fs::FileExt::write_all_at(&memory, b"xxxxxxxx", base as u64)
    });
    denied(&tell("store through /proc/self/mem"), stored);
    // SAFETY: as above; a private copy, which nobody else sees.
    let private = map(write, libc::MAP_PRIVATE).map(|copy| unsafe { copy.cast::<u64>().write(7) });
    say(format_args!(
        "harmless {}: {private:?}",
        tell("a private copy of")
    ));
}

fn byte_lock(number: RawFd, kind: i32) -> io::Result<libc::c_long> {
    // SAFETY: plain data for which zero bytes are a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as _;
    lock.l_len = 1;
    // SAFETY: the descriptor is open, and the request outlives the call.
    result(unsafe { libc::fcntl(number, libc::F_OFD_SETLK, &raw const lock) }.into())
}

/// Whoever could open the lock file, for reading even, could keep its owner out.
fn against_the_lock(lock: &Path) {
    denied("open the lock to read", File::open(lock));
    let path = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(lock);
    let path = path.unwrap();
    denied(
        "lock through a path descriptor",
        byte_lock(path.as_raw_fd(), libc::F_RDLCK),
    );
    let again = File::open(format!("/proc/self/fd/{}", path.as_raw_fd()));
    denied("open the lock through a path descriptor", again);
}

/// The owner's process.
fn against_the_process(owner: u32) {
    for file in ["mem", "environ", "map_files", "fd", "maps"] {
        let path = format!("/proc/{owner}/{file}");
        let read = match Path::new(&path).is_dir() {
            true => fs::read_dir(&path).map(drop),
            false => fs::read(&path).map(drop),
        };
        denied(&format!("read {path}"), read);
    }
    let owner = owner as libc::pid_t;
    for signal in [libc::SIGSTOP, libc::SIGKILL] {
        // SAFETY: a signal to another process.
        denied(
            "signal the owner",
            result(unsafe { libc::kill(owner, signal) }.into()),
        );
    }
    // SAFETY: no pointers that matter to this request.
    let traced = unsafe { libc::ptrace(libc::PTRACE_SEIZE, owner, 0, 0) };
    denied("trace the owner", result(traced));
    // SAFETY: a process id and flags.
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, owner, 0) };
    for number in 3..8 {
        // SAFETY: descriptors and flags.
        let taken = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, number, 0) };
        denied("take a descriptor of the owner's", result(taken));
    }
    let mut word = 7_u64;
    let local = libc::iovec {
        iov_base: (&raw mut word).cast(),
        iov_len: 8,
    };
    let remote = libc::iovec {
        iov_base: 0x1000 as *mut _,
        iov_len: 8,
    };
    // SAFETY: the local range is ours; the remote one is the kernel's to check.
    let written =
        unsafe { libc::process_vm_writev(owner, &raw const local, 1, &raw const remote, 1, 0) };
    denied("write into the owner", result(written as libc::c_long));
    let limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a limit that outlives the call.
    let limited =
        unsafe { libc::prlimit(owner, libc::RLIMIT_NOFILE, &raw const limit, null_mut()) };
    denied("limit the owner", result(limited.into()));
}

/// Wakes whoever sleeps on the owner's bell, and moves sleepers to another word, until it is told to end. That is all
/// that reading lets him do to others.
fn disturb(path: &Path) {
    const OWNER_BELL: usize = 384;
    let file = File::open(path).unwrap();
    // SAFETY: a new mapping, placed by the kernel; it stays.
    let base = unsafe {
        libc::mmap(
            null_mut(),
            4096,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    assert_ne!(base, libc::MAP_FAILED);
    let bell = base as usize + OWNER_BELL;
    let elsewhere = base as usize + 2048;
    std::thread::spawn(move || {
        loop {
            // SAFETY: words of a mapping that stays; a request by which the kernel writes nothing.
            unsafe {
                let move_all = libc::FUTEX_REQUEUE;
                libc::syscall(
                    libc::SYS_futex,
                    bell,
                    move_all,
                    0,
                    i32::MAX as usize,
                    elsewhere,
                    0,
                );
                libc::syscall(libc::SYS_futex, bell, libc::FUTEX_WAKE, i32::MAX);
            }
            std::thread::yield_now();
        }
    });
    say("disturbing");
    told().for_each(drop);
}
