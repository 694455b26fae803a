//! How a snapshot is opened.

use super::{Reader, TypedReader, TypedWriter, Writer};
use crate::channel::visit;
use crate::error::OpenError;
use crate::handle::options::{owner_options, peer_options};
use crate::handle::slots::{SlotSettings, slot_options};
use crate::handle::{OwnerSettings, PeerSettings};
use crate::record::{Record, Schema, Typed};

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

    /// [`Self::open`] for values of one type, whose [schema](crate::record) is written into the channel, and whose size
    /// is that of the slots. A channel that is in use with others is refused.
    ///
    /// # Errors
    /// [`OpenError::SchemaMismatch`], which names the field that differs; and as [`Self::open`].
    pub fn open_typed<T: Record>(&self, channel: &str) -> Result<TypedWriter<T>, OpenError> {
        let mut options = self.clone().schema(Schema::of::<T>());
        options.slots.set_value_of::<T>();
        options.open(channel).map(Typed::new)
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
    /// Whether the reader goes on with the next writer's values when one closed the channel; default no: then it ends
    /// with [`RecvError::Closed`](crate::RecvError::Closed). Where a writer grows, or makes the channel anew for larger
    /// values, every reader goes on.
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

    /// [`Self::attach`] for values of one type. A channel of others, or of bytes without a schema, is refused.
    ///
    /// # Errors
    /// [`OpenError::SchemaMismatch`], which names the field that differs; and as [`Self::attach`].
    pub fn attach_typed<T: Record>(&self, channel: &str) -> Result<TypedReader<T>, OpenError> {
        let options = self.clone().schema(Schema::of::<T>());
        options.attach(channel).map(Typed::new)
    }
}
