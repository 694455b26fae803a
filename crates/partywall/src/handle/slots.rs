//! What snapshots and broadcasts have in common: one writer of slots that never waits, and values.

use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use super::OwnerHandle;
use super::options::{OwnerSettings, invalid};
use crate::channel::generation::{Base, Wanted};
use crate::channel::owner::{self, OwnerRole};
use crate::channel::segment::Header;
use crate::error::{GrowError, OpenError, SendError};
use crate::layout::header::{FLAG_CHECKSUM, Pattern};
use crate::layout::slots;
use crate::memory::{ReadOnly, Region, Writable};
use crate::os;
use crate::protocol::Lie;
use crate::protocol::slots::{LatestReader, Meta as SlotMeta, Shape, SlotWriter};
use crate::record::Schema;

/// A value that was read, with its own copy of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Counts the values of the channel from 1.
    pub sequence: u64,
    /// The application's own number.
    pub kind: u16,
    /// `CLOCK_BOOTTIME` in nanoseconds at which it was handed over; 0 if the writer does not stamp.
    pub time_ns: u64,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl Value {
    pub(crate) fn new(meta: Meta, payload: Vec<u8>) -> Self {
        Value {
            sequence: meta.sequence,
            kind: meta.kind,
            time_ns: meta.time_ns,
            payload,
        }
    }

    /// How long ago it was handed over; `None` if the writer does not stamp.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        age(self.time_ns)
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.payload
    }
}

/// What there is to know of a value besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Bytes.
    pub len: usize,
    /// Counts the values of the channel from 1.
    pub sequence: u64,
    /// The application's own number.
    pub kind: u16,
    /// `CLOCK_BOOTTIME` in nanoseconds at which it was handed over; 0 if the writer does not stamp.
    pub time_ns: u64,
}

impl Meta {
    pub(crate) fn of(slot: SlotMeta, len: usize) -> Self {
        Meta {
            len,
            sequence: slot.version,
            kind: slot.kind,
            time_ns: slot.time_ns,
        }
    }

    /// How long ago it was handed over; `None` if the writer does not stamp.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        age(self.time_ns)
    }
}

/// How long ago a stamp was made; `None` for 0, which is none.
pub(crate) fn age(time_ns: u64) -> Option<Duration> {
    (time_ns != 0).then(|| Duration::from_nanos(os::boottime_ns().saturating_sub(time_ns)))
}

/// The geometry, from a header that was checked.
pub(crate) fn shape(header: &Header) -> Shape {
    Shape {
        slots: header.payload_size / slots::stride(header.record_size),
        value: header.record_size,
        base: header.base_seq,
        checksums: header.flags & FLAG_CHECKSUM != 0,
    }
}

/// Which pattern the slots are of.
pub(crate) trait SlotPattern {
    const PATTERN: Pattern;
    /// The latest value is what the channel is for: it goes over into a generation that replaces its own.
    const KEEPS_LATEST: bool;

    /// Further words that go over with it.
    fn inherit(_new: &Region<Writable>, _old: &Region<Writable>) {}
}

/// The writer's words over mapped segments.
#[derive(Debug)]
pub(crate) struct SlotRole<K> {
    pub(crate) writer: SlotWriter<Region<Writable>>,
    peers: Region<ReadOnly>,
    pattern: PhantomData<K>,
}

impl<K: SlotPattern> OwnerRole for SlotRole<K> {
    const PATTERN: Pattern = K::PATTERN;

    fn create(
        owner: Region<Writable>,
        peers: Region<ReadOnly>,
        header: &Header,
        _wanted: &Wanted,
    ) -> Self {
        SlotRole {
            writer: SlotWriter::create(owner, shape(header)),
            peers,
            pattern: PhantomData,
        }
    }

    fn adopt(
        owner: Region<Writable>,
        peers: Region<ReadOnly>,
        header: &Header,
    ) -> Result<Self, Lie> {
        Ok(SlotRole {
            writer: SlotWriter::adopt(owner, shape(header))?,
            peers,
            pattern: PhantomData,
        })
    }

    fn owner(&self) -> &Region<Writable> {
        self.writer.owner()
    }

    fn peers(&self) -> &Region<ReadOnly> {
        &self.peers
    }

    fn base(&self) -> Base {
        Base {
            position: self.writer.version(),
            records: self.writer.version(),
        }
    }

    /// The latest value is written again, under its own number.
    fn base_of_growth(&self) -> Base {
        let version = self.writer.version();
        let kept = K::KEEPS_LATEST && version > self.writer.shape().base;
        let base = version - u64::from(kept);
        Base {
            position: base,
            records: base,
        }
    }

    fn inherit(&mut self, old: &Self) {
        if !K::KEEPS_LATEST {
            return;
        }
        let mut value = Vec::new();
        let mut reader = LatestReader::new(old.owner().clone(), *old.writer.shape());
        let largest = self.writer.shape().value as usize;
        // What cannot be read is not worth keeping, and what has no room cannot be kept.
        if let Ok(Some(meta)) = reader.read(&mut value)
            && value.len() <= largest
        {
            self.writer.put(&value, meta.kind, meta.time_ns);
        }
        K::inherit(self.owner(), old.owner());
    }
}

/// The options that snapshots and broadcasts share.
#[derive(Clone, Debug)]
pub(crate) struct SlotSettings {
    pub(crate) value_size: u32,
    pub(crate) slots: u64,
    pub(crate) checksums: bool,
    pub(crate) time_stamps: bool,
}

impl SlotSettings {
    /// Values are of one type, and so of one size.
    pub(crate) fn set_value_of<T>(&mut self) {
        self.value_size = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
    }

    /// A generation as wanted, once the options were checked.
    pub(crate) fn wanted(&self, settings: &OwnerSettings) -> Result<Wanted, OpenError> {
        // A schema's record is at most the largest value.
        let value_size = match &settings.schema {
            Some(schema) => schema.size() as u32,
            None => self.value_size,
        };
        let payload = payload_of(self.slots, value_size)?;
        settings.wanted(payload, value_size, self.checksums)
    }

    pub(crate) fn open<K: SlotPattern>(
        &self,
        settings: &OwnerSettings,
        channel: &str,
    ) -> Result<Writing<K>, OpenError> {
        let wanted = self.wanted(settings)?;
        let owned = owner::open(&settings.namespace()?, channel, &wanted)?;
        Ok(Writing {
            handle: OwnerHandle::new(owned, settings.heartbeat)?,
            time_stamps: self.time_stamps,
        })
    }
}

/// Bytes of so many slots, rounded up to a power of two, for values of so many bytes.
fn payload_of(slots: u64, value_size: u32) -> Result<u64, OpenError> {
    if !(1..=slots::MAX_VALUE).contains(&value_size) {
        return Err(invalid("value size", "1 byte to 1 GiB", value_size));
    }
    slots
        .checked_next_power_of_two()
        .filter(|&slots| slots >= 2)
        .and_then(|slots| slots.checked_mul(slots::stride(value_size)))
        .filter(|&bytes| bytes <= slots::MAX_PAYLOAD)
        .ok_or_else(|| {
            let expected = "2 or more, and all together at most 1 TiB";
            invalid("slots", expected, slots)
        })
}

/// A writer that never waits.
#[derive(Debug)]
pub(crate) struct Writing<K: SlotPattern> {
    pub(crate) handle: OwnerHandle<SlotRole<K>>,
    time_stamps: bool,
}

impl<K: SlotPattern> Writing<K> {
    /// Commits a value; its sequence.
    #[inline]
    pub(crate) fn put(&mut self, kind: u16, bytes: &[u8]) -> Result<u64, SendError> {
        self.handle.check_process()?;
        let max = self.max_value();
        if bytes.len() > max {
            return Err(self.handle.too_large(bytes.len(), max));
        }
        self.handle.look_at_channel_once_a_slice()?;
        let time_ns = if self.time_stamps {
            os::boottime_ns()
        } else {
            0
        };
        let writer = &mut self.handle.role_mut().writer;
        writer.put(bytes, kind, time_ns);
        let sequence = writer.version();
        self.handle.wake_sleepers();
        self.handle.check_pages()?;
        Ok(sequence)
    }

    /// Goes on in slots for values of at least so many bytes, and at least so many of them.
    pub(crate) fn grow(&mut self, value_size: u32, slots: u64) -> Result<(), GrowError> {
        self.handle.check_process()?;
        let shape = *self.handle.role().writer.shape();
        let typed = self.handle.owned.header.schema_hash != 0;
        let value = if typed { 0 } else { value_size }.max(shape.value);
        let payload = payload_of(slots.max(shape.slots), value)?;
        if value == shape.value && payload <= self.handle.owned.header.payload_size {
            return Ok(());
        }
        self.go_on_with(|wanted| {
            wanted.payload_size = payload;
            wanted.record_size = value;
        })
    }

    /// Goes on with values that are made of something else.
    pub(crate) fn reschema(&mut self, schema: Option<Schema>) -> Result<(), GrowError> {
        self.handle.check_process()?;
        let shape = *self.handle.role().writer.shape();
        let value = schema
            .as_ref()
            .map_or(shape.value, |schema| schema.size() as u32);
        let payload = payload_of(shape.slots, value)?;
        self.go_on_with(|wanted| {
            wanted.payload_size = payload;
            wanted.record_size = value;
            wanted.schema = schema;
        })
    }

    fn go_on_with(&mut self, change: impl FnOnce(&mut Wanted)) -> Result<(), GrowError> {
        let writer = &self.handle.role().writer;
        // It goes over; one that cannot be read was written over by somebody.
        if let Err(lie) = writer.read(&mut Vec::new()) {
            let channel = self.handle.channel().to_owned();
            return Err(SendError::Damaged { channel, lie }.into());
        }
        self.handle.grow(change)
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.handle.role().writer.version()
    }

    pub(crate) fn max_value(&self) -> usize {
        self.handle.role().writer.shape().value as usize
    }

    pub(crate) fn slots(&self) -> u64 {
        self.handle.role().writer.shape().slots
    }
}

/// The methods of a writer whose field `writing` is a [`Writing`].
macro_rules! slot_writer {
    ($writer:ident) => {
        crate::handle::accessors::owner_accessors!($writer, self => self.writing.handle);

        impl $writer {
            /// The sequence of the latest value, by whichever owner; 0 before the first.
            #[must_use]
            pub fn sequence(&self) -> u64 {
                self.writing.sequence()
            }

            /// Bytes of the largest value.
            #[must_use]
            pub fn max_value(&self) -> usize {
                self.writing.max_value()
            }

            /// How many slots there are.
            #[must_use]
            pub fn slots(&self) -> u64 {
                self.writing.slots()
            }

            /// Whether this took over what a dead or abandoning owner left.
            #[must_use]
            pub fn adopted(&self) -> bool {
                self.writing.handle.owned.adopted
            }

            /// Goes on in at least `slots` slots (rounded up to a power of two) for values of at least `value_size`
            /// bytes, in a new generation, while others read: they come over by themselves, and sequences go on. Where
            /// there is a schema the size is its record's, and stays. What is large enough stays as it is; 0 changes
            /// nothing.
            ///
            /// # Errors
            /// [`OpenError::InvalidOption`](crate::OpenError::InvalidOption),
            /// [`OpenError::NoSpace`](crate::OpenError::NoSpace) and what the system says; [`SendError::Deleted`],
            /// [`SendError::Superseded`], [`SendError::Damaged`], [`SendError::Forked`]. Nothing was changed then.
            pub fn grow(
                &mut self,
                value_size: u32,
                slots: u64,
            ) -> Result<(), crate::error::GrowError> {
                self.writing.grow(value_size, slots)
            }

            /// Goes on with values that are made of something else, in a new generation, in slots of their size; `None`:
            /// bytes without a schema. Who reads values of the old kind gets
            /// [`RecvError::SchemaMismatch`](crate::RecvError::SchemaMismatch), which names the field that differs; who
            /// reads bytes goes on.
            ///
            /// # Errors
            /// As [`Self::grow`].
            pub fn reschema(
                &mut self,
                schema: Option<crate::record::Schema>,
            ) -> Result<(), crate::error::GrowError> {
                self.writing.reschema(schema)
            }

            /// Ends the channel: readers learn that it is closed. Dropping does the same.
            ///
            /// # Errors
            /// [`SendError::Forked`].
            pub fn close(self) -> Result<(), SendError> {
                self.writing.handle.check_process()
            }

            /// Gives the channel up without closing it: what was committed stays, and the next owner goes on.
            pub fn abandon(mut self) {
                self.writing.handle.abandon();
            }
        }
    };
}

/// The methods of a writer's options whose field `slots` is a [`SlotSettings`].
macro_rules! slot_options {
    ($options:ident) => {
        impl $options {
            /// Bytes of the largest value, 1 to 1 GiB; with a schema it is its record's size instead.
            #[must_use]
            pub fn value_size(mut self, bytes: u32) -> Self {
                self.slots.value_size = bytes;
                self
            }

            /// How many slots, rounded up to a power of two, at least 2. More of them leave readers more time.
            #[must_use]
            pub fn slots(mut self, slots: u64) -> Self {
                self.slots.slots = slots;
                self
            }

            /// Whether each value has a checksum (CRC-32), which readers verify; default no. Values are whole by
            /// protocol; a checksum also notices a program that scribbles.
            #[must_use]
            pub fn checksums(mut self, checksums: bool) -> Self {
                self.slots.checksums = checksums;
                self
            }

            /// Whether each value is stamped with the time at which it was handed over; default yes.
            #[must_use]
            pub fn time_stamps(mut self, stamps: bool) -> Self {
                self.slots.time_stamps = stamps;
                self
            }
        }
    };
}

/// The methods of a typed writer whose handle has those of [`slot_writer`].
macro_rules! typed_slot_writer {
    ($writer:ident) => {
        impl<T: Record> Typed<$writer, T> {
            /// Goes on in at least so many slots: see the handle's own `grow`.
            ///
            /// # Errors
            /// As the handle's own `grow`.
            pub fn grow(&mut self, slots: u64) -> Result<(), crate::error::GrowError> {
                self.handle.grow(0, slots)
            }

            /// Goes on with values of another type: see the handle's own `reschema`.
            ///
            /// # Errors
            /// As the handle's own `reschema`, with this handle, which is as it was.
            pub fn reschema<U: Record>(
                mut self,
            ) -> Result<Typed<$writer, U>, crate::error::Unchanged<Self>> {
                let schema = crate::record::Schema::of::<U>();
                match self.handle.reschema(Some(schema)) {
                    Ok(()) => Ok(Typed::new(self.handle)),
                    Err(error) => Err(crate::error::Unchanged::new(self, error)),
                }
            }
        }
    };
}

pub(crate) use {slot_options, slot_writer, typed_slot_writer};
