//! Waiting for names to change: inotify.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify;

/// Wakes when names in a directory appear or change; made *before* looking, it misses nothing.
#[derive(Debug)]
pub(crate) struct DirectoryWatch {
    queue: OwnedFd,
}

impl DirectoryWatch {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let queue = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let watch = DirectoryWatch { queue };
        watch.add(path)?;
        Ok(watch)
    }

    /// Watches another directory as well.
    pub(crate) fn add(&self, path: &Path) -> io::Result<()> {
        let events = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::ONLYDIR
            | inotify::WatchFlags::DONT_FOLLOW;
        inotify::add_watch(&self.queue, path, events)?;
        Ok(())
    }

    /// Sleeps until something changed or the time is over.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut poll = [rustix::event::PollFd::new(
            &self.queue,
            rustix::event::PollFlags::IN,
        )];
        let timeout = rustix::time::Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // Any error (EINTR among them) only means that the caller looks again early.
        let _ = rustix::event::poll(&mut poll, Some(&timeout));
        let mut buffer = [0_u8; 4096];
        while rustix::io::read(&self.queue, &mut buffer).is_ok_and(|read| read > 0) {}
    }
}
