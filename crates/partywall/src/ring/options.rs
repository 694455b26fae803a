//! How a ring is opened, and what its sides do when the other is behind or away.

use std::time::Duration;

use super::{Consumer, Producer, TypedConsumer, TypedProducer};
use crate::channel::{attach, owner};
use crate::error::OpenError;
use crate::handle::options::{
    invalid, overflow_options, owner_options, peer_options, wait_options,
};
use crate::handle::records::Overflow;
use crate::handle::{OwnerSettings, PeerSettings};
use crate::layout::{record, ring, seat};
use crate::record::{Record, Schema, Typed};
use crate::wait::{StopToken, WaitStrategy};

/// What a send does while no consumer is attached, nor a durable one expected back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alone {
    /// Treat the ring as full until one comes.
    #[default]
    Wait,
    /// Go on; what nobody reads is overwritten, and counted.
    Discard,
}

/// When a record counts as processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// When the next one is asked for (or [`Consumer::acknowledge`] is called): a durable consumer that is
    /// killed meanwhile gets some records again.
    #[default]
    AtLeastOnce,
    /// Before it is handed out: killed meanwhile, it never gets it again.
    AtMostOnce,
}

/// Options of a [`Producer`].
///
/// ```
/// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
/// # let namespace = partywall::Namespace::open(place.path()).unwrap();
/// use partywall::ring::{Alone, Overflow, ProducerOptions};
/// let producer = ProducerOptions::new()
///     .namespace(namespace)
///     .capacity(64 << 20)
///     .overflow(Overflow::DropNewest)
///     .alone(Alone::Discard)
///     .open("cam0")?;
/// # Ok::<(), partywall::OpenError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    settings: OwnerSettings,
    capacity: u64,
    pub(super) overflow: Overflow,
    pub(super) block_timeout: Option<Duration>,
    pub(super) alone: Alone,
    pub(super) wait: WaitStrategy,
    pub(super) stop: Option<StopToken>,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        ProducerOptions {
            settings: OwnerSettings::default(),
            capacity: 16 << 20,
            overflow: Overflow::default(),
            block_timeout: None,
            alone: Alone::default(),
            wait: WaitStrategy::default(),
            stop: None,
        }
    }
}

owner_options!(ProducerOptions);
wait_options!(ProducerOptions);
overflow_options!(ProducerOptions);

impl ProducerOptions {
    /// Bytes of the ring, rounded up to a power of two, 4 KiB to 1 TiB; default 16 MiB. A record takes at
    /// most half of it. The memory is reserved at once.
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// See [`Alone`].
    #[must_use]
    pub fn alone(mut self, alone: Alone) -> Self {
        self.alone = alone;
        self
    }

    /// Creates the channel, or adopts what a dead producer left: its unread records are still delivered.
    /// An adopted channel keeps its capacity and seats if they are at least those asked for. A channel that
    /// was closed begins a new stream, in a new generation.
    ///
    /// # Errors
    /// [`OpenError::AlreadyOwned`] if a live producer has it; [`OpenError::NoSpace`] if the memory cannot be
    /// reserved; [`OpenError::Mismatch`] if it is in use and smaller than asked for; and whatever is wrong
    /// with its name, its namespace or its files. In all cases nothing was changed.
    pub fn open(&self, channel: &str) -> Result<Producer, OpenError> {
        let capacity = whole_capacity(self.capacity, self.settings.schema.as_ref())?;
        let wanted = self.settings.wanted(capacity, 0, false)?;
        let owned = owner::open(&self.settings.namespace()?, channel, &wanted)?;
        Producer::new(owned, self, self.settings.heartbeat)
    }

    /// [`Self::open`] for values of one type, whose [schema](crate::record) is written into the channel. A channel that
    /// is in use with other records is refused.
    ///
    /// # Errors
    /// [`OpenError::SchemaMismatch`], which names the field that differs; and as [`Self::open`].
    pub fn open_typed<T: Record>(&self, channel: &str) -> Result<TypedProducer<T>, OpenError> {
        let options = self.clone().schema(Schema::of::<T>());
        options.open(channel).map(Typed::new)
    }
}

/// The bytes of a ring of at least so many, in which a record of the schema has room.
pub(super) fn whole_capacity(bytes: u64, schema: Option<&Schema>) -> Result<u64, OpenError> {
    if bytes == 0 || bytes > ring::MAX_CAPACITY {
        return Err(invalid("capacity", "1 byte to 1 TiB", bytes));
    }
    let capacity = bytes.next_power_of_two().max(ring::MIN_CAPACITY);
    let largest = record::max_payload(capacity);
    if schema.is_some_and(|schema| schema.size() as u64 > largest) {
        let expected = "large enough for the schema's record: twice its size, and 16 bytes";
        return Err(invalid("capacity", expected, capacity));
    }
    Ok(capacity)
}

/// Options of a [`Consumer`].
///
/// ```
/// # let place = tempfile::tempdir_in("/dev/shm").unwrap();
/// # let namespace = partywall::Namespace::open(place.path()).unwrap();
/// use partywall::ring::ConsumerOptions;
/// use std::time::Duration;
/// let refused = ConsumerOptions::new()
///     .namespace(namespace)
///     .durable("archive")
///     .attach_timeout(Some(Duration::ZERO))
///     .attach("cam0");
/// assert!(matches!(refused, Err(partywall::OpenError::Missing { .. })));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConsumerOptions {
    pub(super) settings: PeerSettings,
    pub(super) durable: Option<String>,
    pub(super) delivery: Delivery,
}

peer_options!(ConsumerOptions);

impl ConsumerOptions {
    /// A name, 1 to 64 bytes of UTF-8, under which the consumer resumes where it stood, after a detach as
    /// after its death. Until then the producer keeps what it has not read. Default: none.
    #[must_use]
    pub fn durable(mut self, name: &str) -> Self {
        self.durable = Some(name.to_owned());
        self
    }

    /// See [`Delivery`].
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Takes a seat. A new consumer receives what is committed from now on; a durable one that was here
    /// before goes on where it stood.
    ///
    /// # Errors
    /// [`OpenError::TimedOut`] or [`OpenError::Missing`] if there is no producer in time;
    /// [`OpenError::NoFreeSeat`]; [`OpenError::ConsumerInUse`] if a consumer of the same name is attached;
    /// and whatever is wrong with the channel's name, namespace or files.
    pub fn attach(&self, channel: &str) -> Result<Consumer, OpenError> {
        let durable = self.durable.as_deref();
        if let Some(name) = durable
            && !(1..=seat::MAX_NAME).contains(&name.len())
        {
            return Err(invalid(
                "the name of a durable consumer",
                "1 to 64 bytes long",
                name,
            ));
        }
        let namespace = self.settings.namespace()?;
        let request = self.settings.request(&namespace, channel, durable);
        Ok(Consumer::new(attach::attach(&request)?, self))
    }

    /// [`Self::attach`] for values of one type. A channel of other records, or of bytes without a schema, is refused.
    ///
    /// # Errors
    /// [`OpenError::SchemaMismatch`], which names the field that differs; and as [`Self::attach`].
    pub fn attach_typed<T: Record>(&self, channel: &str) -> Result<TypedConsumer<T>, OpenError> {
        let options = self.clone().schema(Schema::of::<T>());
        options.attach(channel).map(Typed::new)
    }
}
