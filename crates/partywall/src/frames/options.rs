//! How frames are opened, and what the publisher does when its subscribers are behind.

use std::time::Duration;

use super::role::MappedSubscriber;
use super::{Overflow, Publisher, Subscriber};
use crate::channel::generation::Wanted;
use crate::channel::joining::Request;
use crate::channel::{attach, owner};
use crate::error::OpenError;
use crate::handle::options::{
    invalid, overflow_options, owner_options, peer_options, wait_options,
};
use crate::handle::{OwnerSettings, PeerSettings};
use crate::layout::frames::{self, Pool};
use crate::protocol::frames::Shape;
use crate::protocol::frames::seats::Wish;
use crate::wait::{StopToken, WaitStrategy};

/// Options of a [`Publisher`].
///
/// ```
/// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
/// # let namespace = partywall::Namespace::open(place.path()).unwrap();
/// use partywall::frames::PublisherOptions;
/// let options = PublisherOptions::new().namespace(namespace).frame_size(4096).seats(2).held(3);
/// // Two subscribers that hold three frames each, two that are kept, one in hand.
/// assert_eq!(options.open("cam0")?.slots(), 2 * 3 + 2 + 1);
/// // A pool that cannot serve them is not made.
/// assert!(options.slots(8).open("cam1").is_err());
/// # Ok::<(), partywall::OpenError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    settings: OwnerSettings,
    frame_size: u32,
    slots: Option<u32>,
    history: u32,
    held: u32,
    loans: u32,
    pub(super) time_stamps: bool,
    pub(super) overflow: Overflow,
    pub(super) block_timeout: Option<Duration>,
    pub(super) wait: WaitStrategy,
    pub(super) stop: Option<StopToken>,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        PublisherOptions {
            settings: OwnerSettings::default(),
            frame_size: 1 << 20,
            slots: None,
            history: 2,
            held: 2,
            loans: 1,
            time_stamps: true,
            overflow: Overflow::default(),
            block_timeout: None,
            wait: WaitStrategy::default(),
            stop: None,
        }
    }
}

owner_options!(PublisherOptions);
wait_options!(PublisherOptions);
overflow_options!(PublisherOptions);

impl PublisherOptions {
    /// Bytes of the largest frame, 1 to 1 GiB; default 1 MiB.
    #[must_use]
    pub fn frame_size(mut self, bytes: u32) -> Self {
        self.frame_size = bytes;
        self
    }

    /// How many slots the pool has, 2 to 256; default `seats × held + history + loans`, and fewer are refused. More
    /// of them let reliable subscribers be further behind. The memory is reserved at once.
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = Some(slots);
        self
    }

    /// The newest frames, so many, are never written over; default 2. It is how long a lossy subscriber has to take a
    /// frame, and how far back a newcomer can begin.
    #[must_use]
    pub fn history(mut self, frames: u32) -> Self {
        self.history = frames;
        self
    }

    /// Frames that each subscriber may hold at once, 1 or more; default 2.
    #[must_use]
    pub fn held(mut self, frames: u32) -> Self {
        self.held = frames;
        self
    }

    /// Frames that the publisher may have in hand at once, 1 or more; default 1.
    #[must_use]
    pub fn loans(mut self, frames: u32) -> Self {
        self.loans = frames;
        self
    }

    /// Whether each frame is stamped with the time at which it was published; default yes.
    #[must_use]
    pub fn time_stamps(mut self, stamps: bool) -> Self {
        self.time_stamps = stamps;
        self
    }

    /// Creates the channel, or adopts what a dead publisher left: its frames stay, and sequences go on. An adopted
    /// channel keeps its numbers if they are at least those asked for. One that was closed begins anew.
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`] if the pool cannot serve what its subscribers may hold;
    /// [`OpenError::AlreadyOwned`] if a live publisher has it; [`OpenError::NoSpace`] if the memory cannot be
    /// reserved; [`OpenError::Mismatch`] if it is in use and smaller than asked for; and whatever is wrong with its
    /// name, its namespace or its files. In all cases nothing was changed.
    pub fn open(&self, channel: &str) -> Result<Publisher, OpenError> {
        let wanted = self.wanted()?;
        let owned = owner::open(&self.settings.namespace()?, channel, &wanted)?;
        Publisher::new(owned, self, self.settings.heartbeat)
    }

    /// A generation as wanted, once the options were checked.
    fn wanted(&self) -> Result<Wanted, OpenError> {
        if !(1..=frames::MAX_FRAME).contains(&self.frame_size) {
            return Err(invalid("frame size", "1 byte to 1 GiB", self.frame_size));
        }
        let mut pool = Pool {
            slots: self.slots.unwrap_or(0),
            seats: self.settings.seats,
            history: self.history,
            held: self.held,
            loans: self.loans,
        };
        let needed = pool.needed();
        if self.slots.is_none() {
            pool.slots = u32::try_from(needed).unwrap_or(u32::MAX);
        }
        let refused = |option, expected| {
            let Pool {
                slots,
                seats,
                history,
                held,
                loans,
            } = pool;
            let found = format!(
                "{slots} (seats {seats} * held {held} + history {history} + loans {loans} = {needed})"
            );
            Err(invalid(option, expected, found))
        };
        if !(2..=frames::MAX_SLOTS).contains(&pool.slots) {
            return refused("slots", "2 to 256");
        }
        if let Err((option, _, expected, _)) = pool.check() {
            return refused(option, expected);
        }
        let payload = frames::payload_size(pool.slots, self.frame_size);
        let wanted = self.settings.wanted(payload, self.frame_size, false)?;
        Ok(Wanted {
            pool: Some(pool),
            ..wanted
        })
    }
}

/// A pool with at least so many slots for frames of at least so many bytes, and else as it is.
pub(super) fn grown(shape: &Shape, slots: u32, frame: u32) -> Result<(Pool, u32), OpenError> {
    if frame > frames::MAX_FRAME {
        return Err(invalid("frame size", "1 byte to 1 GiB", frame));
    }
    if slots > frames::MAX_SLOTS {
        return Err(invalid("slots", "2 to 256", slots));
    }
    let pool = Pool {
        slots: slots.max(shape.pool.slots),
        ..shape.pool
    };
    Ok((pool, frame.max(shape.frame)))
}

/// Makes a generation be wanted with such a pool.
pub(super) fn refit(wanted: &mut Wanted, pool: Pool, frame: u32) {
    wanted.payload_size = frames::payload_size(pool.slots, frame);
    wanted.record_size = frame;
    wanted.pool = Some(pool);
}

/// Options of a [`Subscriber`].
///
/// ```
/// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
/// # let namespace = partywall::Namespace::open(place.path()).unwrap();
/// use partywall::frames::SubscriberOptions;
/// use std::time::Duration;
/// let refused = SubscriberOptions::new()
///     .namespace(namespace)
///     .lossy(true)
///     .attach_timeout(Some(Duration::ZERO))
///     .attach("cam0");
/// assert!(matches!(refused, Err(partywall::OpenError::Missing { .. })));
/// ```
#[derive(Clone, Debug, Default)]
pub struct SubscriberOptions {
    pub(super) settings: PeerSettings,
    wish: Wish,
}

peer_options!(SubscriberOptions);

impl SubscriberOptions {
    /// Whether the publisher may write over frames that this subscriber has not come to; default no. It never waits
    /// for a lossy subscriber, who is told how many frames it missed.
    #[must_use]
    pub fn lossy(mut self, lossy: bool) -> Self {
        self.wish.lossy = lossy;
        self
    }

    /// Begins so many frames back, as far as they are kept; default 0: the next one is the first.
    #[must_use]
    pub fn history(mut self, frames: u32) -> Self {
        self.wish.back = frames;
        self
    }

    /// Takes a seat.
    ///
    /// # Errors
    /// [`OpenError::TimedOut`] or [`OpenError::Missing`] if there is no publisher in time;
    /// [`OpenError::NoFreeSeat`]; and whatever is wrong with the channel's name, namespace or files.
    pub fn attach(&self, channel: &str) -> Result<Subscriber, OpenError> {
        let namespace = self.settings.namespace()?;
        let request = Request {
            wish: self.wish,
            ..self.settings.request(&namespace, channel, None)
        };
        let attached = attach::attach::<MappedSubscriber>(&request)?;
        Ok(Subscriber::new(attached, self))
    }
}
