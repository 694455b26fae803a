//! Coming to a channel that may not be there yet.

use std::path::Path;
use std::time::{Duration, Instant};

use super::directory::ChannelDirectory;
use super::namespace::Namespace;
use super::root::{self, Found, Generations};
use super::segment::Header;
use crate::error::OpenError;
use crate::layout::header::Pattern;
use crate::memory::{ReadOnly, Region};
use crate::os::{self, DirectoryWatch};
use crate::protocol::frames::seats::Wish;
use crate::record::Schema;
use crate::wait::{SLICE, StopToken};

/// What to attach to, and how long to wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) channel: &'a str,
    pub(crate) durable: Option<&'a str>,
    /// Of frames: how to be served.
    pub(crate) wish: Wish,
    /// `None`: for ever.
    pub(crate) timeout: Option<Duration>,
    pub(crate) stop: Option<&'a StopToken>,
    /// What is mapped is kept out of swap.
    pub(crate) lock_memory: bool,
    /// What the records must be made of; `None`: bytes, whatever they are.
    pub(crate) schema: Option<&'a Schema>,
    /// For reading alone: also what was closed by now, for what is left there.
    pub(crate) or_closed: bool,
}

/// One attempt.
pub(crate) enum Attempt<T> {
    Attached(T),
    /// Nothing there to attach to yet.
    Wait(&'static str),
    /// Something changed under us: look again at once.
    Again,
}

/// How often in a row.
const AT_ONCE: u32 = 1000;

pub(crate) const THE_CHANNEL: &str = "the channel to appear";
pub(crate) const AN_OWNER: &str = "an owner to open the channel again";
const ITS_MEMORY: &str =
    "an owner to open the channel again, whose memory went with the last process that had it";

/// Tries until it works, waiting for the channel if need be.
pub(crate) fn until_attached<T>(
    request: &Request<'_>,
    mut attempt: impl FnMut() -> Result<Attempt<T>, OpenError>,
) -> Result<T, OpenError> {
    super::namespace::check_name(request.channel)?;
    os::register_waker();
    let started = Instant::now();
    let mut watch = Watch::NotYet;
    let mut again = 0;
    loop {
        // Before looking, so that nothing that happens between looking and sleeping is missed.
        watch.cover(request);
        let attempt = match attempt() {
            // A successor makes it anew.
            Err(OpenError::Vanished { .. }) => Attempt::Wait(ITS_MEMORY),
            other => other?,
        };
        let changed = matches!(attempt, Attempt::Again);
        let awaited = match attempt {
            Attempt::Attached(attached) => return Ok(attached),
            Attempt::Again => AN_OWNER,
            Attempt::Wait(awaited) => {
                again = 0;
                awaited
            }
        };
        let channel = || request.channel.to_owned();
        if request.stop.is_some_and(StopToken::is_stopped) {
            return Err(OpenError::Stopped { channel: channel() });
        }
        let waited = started.elapsed();
        let left = request
            .timeout
            .map_or(SLICE, |timeout| timeout.saturating_sub(waited).min(SLICE));
        if !left.is_zero() {
            // What changed under us is looked at again at once, but not for ever.
            if changed && again < AT_ONCE {
                again += 1;
            } else {
                watch.wait(request.namespace.path(), left);
            }
            continue;
        }
        return Err(
            if request.timeout == Some(Duration::ZERO) && awaited == THE_CHANNEL {
                OpenError::Missing {
                    channel: channel(),
                    namespace: request.namespace.path().to_owned(),
                }
            } else {
                OpenError::TimedOut {
                    channel: channel(),
                    waited,
                    awaited,
                }
            },
        );
    }
}

/// What wakes a waiting joiner: new names in the namespace and in the channel's directory.
enum Watch {
    /// Most attach at the first attempt and need none.
    NotYet,
    On(DirectoryWatch),
    /// None to be had (`fs.inotify` limits): a tenth of a slice at a time then.
    Refused,
}

impl Watch {
    fn cover(&self, request: &Request<'_>) {
        if let Watch::On(watch) = self {
            // The channel's own directory may have appeared since; that it has not is no error.
            let _ = watch.add(&request.namespace.path().join(request.channel));
        }
    }

    fn wait(&mut self, namespace: &Path, longest: Duration) {
        match self {
            // The watch begins now: look once more before sleeping.
            Watch::NotYet => {
                *self = DirectoryWatch::new(namespace).map_or(Watch::Refused, Watch::On);
            }
            Watch::On(watch) => watch.wait(longest),
            Watch::Refused => std::thread::sleep(longest.min(SLICE / 10)),
        }
    }
}

/// A channel's root as a peer finds it.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) channel: ChannelDirectory,
    pub(crate) root: Region<ReadOnly>,
    pub(crate) root_header: Header,
    pub(crate) generations: Generations,
}

/// Finds the channel, if it is there and has one of the patterns.
pub(crate) fn enter(
    request: &Request<'_>,
    patterns: &[Pattern],
) -> Result<Result<Entrance, &'static str>, OpenError> {
    let name = request.channel;
    let Some(mut channel) = ChannelDirectory::open(request.namespace, name, false)? else {
        return Ok(Err(THE_CHANNEL));
    };
    channel.lock_memory = request.lock_memory;
    let (root, root_header) = match root::open_read_only(&channel)? {
        Found::Ready(root, header) => (root, header),
        Found::Absent => return Ok(Err(THE_CHANNEL)),
        Found::Deleted => return Ok(Err(AN_OWNER)),
    };
    super::owner::expect_pattern(name, &root_header, patterns)?;
    let generations = root::generations(&root).map_err(|lie| OpenError::Damaged {
        channel: name.to_owned(),
        file: super::directory::ROOT.to_owned(),
        lie,
    })?;
    Ok(Ok(Entrance {
        channel,
        root,
        root_header,
        generations,
    }))
}
