//! How a broadcast is opened.

use super::{Receiver, Sender, Start, TypedReceiver, TypedSender};
use crate::channel::visit;
use crate::error::OpenError;
use crate::handle::options::{owner_options, peer_options};
use crate::handle::slots::{SlotSettings, slot_options};
use crate::handle::{OwnerSettings, PeerSettings};
use crate::layout::header::Pattern;
use crate::record::{Record, Schema, Typed};

/// Options of a [`Sender`]: records of up to 256 bytes in 1024 slots, unless told otherwise.
#[derive(Clone, Debug)]
pub struct SenderOptions {
    settings: OwnerSettings,
    slots: SlotSettings,
}

impl Default for SenderOptions {
    fn default() -> Self {
        SenderOptions {
            settings: OwnerSettings::default(),
            slots: SlotSettings {
                value_size: 256,
                slots: 1024,
                checksums: false,
                time_stamps: true,
            },
        }
    }
}

owner_options!(SenderOptions);
slot_options!(SenderOptions);

impl SenderOptions {
    /// Creates the channel, or adopts what a dead sender left: its records stay, and sequences go on. One that
    /// was closed begins anew.
    ///
    /// # Errors
    /// [`OpenError::AlreadyOwned`] if a live sender has it; [`OpenError::NoSpace`] if the memory cannot be
    /// reserved; [`OpenError::Mismatch`] if it is in use and made for smaller records; and whatever is wrong
    /// with its name, its namespace or its files. In all cases nothing was changed.
    pub fn open(&self, channel: &str) -> Result<Sender, OpenError> {
        Ok(Sender::new(self.slots.open(&self.settings, channel)?))
    }

    /// [`Self::open`] for values of one type, whose [schema](crate::record) is written into the channel, and whose size
    /// is that of the slots. A channel that is in use with others is refused.
    ///
    /// # Errors
    /// [`OpenError::SchemaMismatch`], which names the field that differs; and as [`Self::open`].
    pub fn open_typed<T: Record>(&self, channel: &str) -> Result<TypedSender<T>, OpenError> {
        let mut options = self.clone().schema(Schema::of::<T>());
        options.slots.set_value_of::<T>();
        options.open(channel).map(Typed::new)
    }
}

/// Options of a [`Receiver`].
///
/// ```
/// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
/// # let namespace = partywall::Namespace::open(place.path()).unwrap();
/// use partywall::broadcast::{ReceiverOptions, Start};
/// use std::time::Duration;
/// let refused = ReceiverOptions::new()
///     .namespace(namespace)
///     .start(Start::Oldest)
///     .attach_timeout(Some(Duration::ZERO))
///     .attach("imu");
/// assert!(matches!(refused, Err(partywall::OpenError::Missing { .. })));
/// ```
#[derive(Clone, Debug)]
pub struct ReceiverOptions {
    pub(super) settings: PeerSettings,
    pub(super) start: Start,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        ReceiverOptions {
            settings: PeerSettings::default(),
            start: Start::Next,
        }
    }
}

peer_options!(ReceiverOptions);

impl ReceiverOptions {
    /// Where to begin; default [`Start::Next`].
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Opens a broadcast for receiving.
    ///
    /// # Errors
    /// [`OpenError::TimedOut`] or [`OpenError::Missing`] if there is none in time, and whatever is wrong with
    /// its name, namespace or files.
    pub fn attach(&self, channel: &str) -> Result<Receiver, OpenError> {
        let namespace = self.settings.namespace()?;
        let request = self.settings.request(&namespace, channel, None);
        let visited = visit::visit(&request, &[Pattern::Broadcast])?;
        Receiver::new(visited, self)
    }

    /// [`Self::attach`] for values of one type. A channel of others, or of bytes without a schema, is refused.
    ///
    /// # Errors
    /// [`OpenError::SchemaMismatch`], which names the field that differs; and as [`Self::attach`].
    pub fn attach_typed<T: Record>(&self, channel: &str) -> Result<TypedReceiver<T>, OpenError> {
        let options = self.clone().schema(Schema::of::<T>());
        options.attach(channel).map(Typed::new)
    }
}
