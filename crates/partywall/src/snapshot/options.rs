//! How a snapshot is opened.

use super::{Reader, Writer};
use crate::channel::visit;
use crate::error::OpenError;
use crate::handle::options::{owner_options, peer_options};
use crate::handle::slots::{SlotSettings, slot_options};
use crate::handle::{OwnerSettings, PeerSettings};

/// Options of a [`Writer`]: values of up to 4 KiB in 4 slots, unless told otherwise.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    settings: OwnerSettings,
    slots: SlotSettings,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions {
            settings: OwnerSettings::default(),
            slots: SlotSettings {
                value_size: 4096,
                slots: 4,
                checksums: false,
                time_stamps: true,
            },
        }
    }
}

owner_options!(WriterOptions);
slot_options!(WriterOptions);

impl WriterOptions {
    /// Creates the channel, or adopts what a dead writer left: its last value stays, and sequences go on. One
    /// that was closed begins anew, without a value.
    ///
    /// # Errors
    /// [`OpenError::AlreadyOwned`] if a live writer has it; [`OpenError::NoSpace`] if the memory cannot be
    /// reserved; [`OpenError::Mismatch`] if it is in use and made for smaller values; and whatever is wrong
    /// with its name, its namespace or its files. In all cases nothing was changed.
    pub fn open(&self, channel: &str) -> Result<Writer, OpenError> {
        Ok(Writer::new(self.slots.open(&self.settings, channel)?))
    }
}

/// Options of a [`Reader`].
///
/// ```
/// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
/// # let namespace = partywall::Namespace::open(place.path()).unwrap();
/// use partywall::snapshot::ReaderOptions;
/// use std::time::Duration;
/// let refused = ReaderOptions::new()
///     .namespace(namespace)
///     .attach_timeout(Some(Duration::ZERO))
///     .attach("depth");
/// assert!(matches!(refused, Err(partywall::OpenError::Missing { .. })));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReaderOptions {
    pub(super) settings: PeerSettings,
    pub(super) follow: bool,
}

peer_options!(ReaderOptions);

impl ReaderOptions {
    /// Whether the reader goes on with the next writer's values when one closed the channel, or made it anew for
    /// larger values; default no: then it ends with [`RecvError::Closed`](crate::RecvError::Closed) or
    /// [`RecvError::Superseded`](crate::RecvError::Superseded).
    #[must_use]
    pub fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// Opens a snapshot for reading, or a [guarded record](crate::guarded).
    ///
    /// # Errors
    /// [`OpenError::TimedOut`] or [`OpenError::Missing`] if there is none in time, and whatever is wrong with
    /// its name, namespace or files.
    pub fn attach(&self, channel: &str) -> Result<Reader, OpenError> {
        let namespace = self.settings.namespace()?;
        let request = self.settings.request(&namespace, channel, None);
        let visited = visit::visit(&request, &Reader::PATTERNS)?;
        Ok(Reader::new(visited, self))
    }
}
