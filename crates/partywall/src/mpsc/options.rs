//! How an mpsc channel is opened.

use std::time::Duration;

use super::{Overflow, Receiver, Sender};
use crate::channel::{attach, owner};
use crate::error::OpenError;
use crate::handle::options::{
    attach_options, invalid, overflow_options, owner_options, wait_options,
};
use crate::handle::{OwnerSettings, PeerSettings};
use crate::layout::mpsc;
use crate::wait::{StopToken, WaitStrategy};

/// Options of a [`Receiver`].
///
/// ```
/// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
/// # let namespace = partywall::Namespace::open(place.path()).unwrap();
/// use partywall::mpsc::ReceiverOptions;
/// let receiver = ReceiverOptions::new()
///     .namespace(namespace)
///     .seats(64)
///     .lane_capacity(256 << 10)
///     .open("log")?;
/// assert_eq!(receiver.lane_capacity(), 256 << 10);
/// # Ok::<(), partywall::OpenError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReceiverOptions {
    pub(super) settings: OwnerSettings,
    lane_capacity: u64,
    pub(super) wait: WaitStrategy,
    pub(super) stop: Option<StopToken>,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        ReceiverOptions {
            settings: OwnerSettings::default(),
            lane_capacity: 1 << 20,
            wait: WaitStrategy::default(),
            stop: None,
        }
    }
}

owner_options!(ReceiverOptions);
wait_options!(ReceiverOptions);

impl ReceiverOptions {
    /// Bytes of each sender's lane, rounded up to a power of two, 4 KiB to 4 GiB; default 1 MiB. A record takes at
    /// most half of it, less 16 bytes. The memory of a lane is reserved when a sender first takes its seat.
    #[must_use]
    pub fn lane_capacity(mut self, bytes: u64) -> Self {
        self.lane_capacity = bytes;
        self
    }

    /// Creates the channel, or adopts what a dead receiver left: everything that senders have committed is still
    /// received. An adopted channel keeps its lanes and seats if they are at least those asked for; for larger ones it is
    /// made anew if nobody sits there and nothing is left to receive. One that was closed begins anew too.
    ///
    /// # Errors
    /// [`OpenError::AlreadyOwned`] if a live receiver has it; [`OpenError::NoSpace`] if the memory cannot be
    /// reserved; [`OpenError::Mismatch`] if it is in use and smaller than asked for; and whatever is wrong
    /// with its name, its namespace or its files. In all cases nothing was changed.
    pub fn open(&self, channel: &str) -> Result<Receiver, OpenError> {
        let lane = whole_lane(self.lane_capacity)?;
        let wanted = self.settings.wanted(lane, 0, false)?;
        let owned = owner::open(&self.settings.namespace()?, channel, &wanted)?;
        Receiver::new(owned, self, self.settings.heartbeat)
    }
}

/// Bytes of a lane that has at least so many.
pub(super) fn whole_lane(bytes: u64) -> Result<u64, OpenError> {
    if bytes == 0 || bytes > mpsc::MAX_LANE {
        return Err(invalid("lane_capacity", "1 byte to 4 GiB", bytes));
    }
    Ok(bytes.next_power_of_two().max(mpsc::MIN_LANE))
}

/// Options of a [`Sender`].
///
/// ```
/// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
/// # let namespace = partywall::Namespace::open(place.path()).unwrap();
/// use partywall::mpsc::{Overflow, SenderOptions};
/// use std::time::Duration;
/// let refused = SenderOptions::new()
///     .namespace(namespace)
///     .overflow(Overflow::DropNewest)
///     .attach_timeout(Some(Duration::ZERO))
///     .attach("log");
/// assert!(matches!(refused, Err(partywall::OpenError::Missing { .. })));
/// ```
#[derive(Clone, Debug, Default)]
pub struct SenderOptions {
    pub(super) settings: PeerSettings,
    pub(super) overflow: Overflow,
    pub(super) block_timeout: Option<Duration>,
}

attach_options!(SenderOptions);
overflow_options!(SenderOptions);

impl SenderOptions {
    /// Takes a seat, and reserves the memory of its lane if nobody has before. The receiver need not be alive: its
    /// successor will receive what is sent.
    ///
    /// # Errors
    /// [`OpenError::TimedOut`] or [`OpenError::Missing`] if there is no receiver's channel in time;
    /// [`OpenError::NoFreeSeat`]; [`OpenError::NoSpace`] if the lane's memory cannot be reserved, and then nothing was
    /// changed; and whatever is wrong with the channel's name, namespace or files.
    pub fn attach(&self, channel: &str) -> Result<Sender, OpenError> {
        let namespace = self.settings.namespace()?;
        let request = self.settings.request(&namespace, channel, None);
        Ok(Sender::new(attach::attach(&request)?, self))
    }
}
