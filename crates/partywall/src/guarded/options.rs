//! How a guarded record is opened.

use std::time::Duration;

use super::{Record, TypedRecord};
use crate::channel::liveness::Tries;
use crate::channel::namespace::Namespace;
use crate::channel::owner;
use crate::channel::visit::{self, Visited};
use crate::error::OpenError;
use crate::handle::options::{Backing, owner_options, wait_options};
use crate::handle::slots::{SlotPattern, SlotRole, SlotSettings, slot_options};
use crate::handle::{OwnerSettings, PeerSettings};
use crate::layout::guarded;
use crate::layout::header::Pattern;
use crate::memory::{Region, Shared, SharedMut, Writable};
use crate::record;
use crate::wait::{StopToken, WaitStrategy};

/// How long to try while somebody else makes the record, or holds it, and how often at least, on a slow machine: each try has
/// patience of its own.
const MAKING: (Duration, u32) = (Duration::from_secs(5), 100);

#[derive(Debug)]
pub(super) struct Records;

impl SlotPattern for Records {
    const PATTERN: Pattern = Pattern::Guarded;
    const KEEPS_LATEST: bool = true;

    fn inherit(new: &Region<Writable>, old: &Region<Writable>) {
        use std::sync::atomic::Ordering::Relaxed;
        // A death that nobody has dealt with stays news.
        for word in [guarded::HOLDER, guarded::CONDITION] {
            new.store(word, old.load(word, Relaxed), Relaxed);
        }
    }
}

/// Options of a [`Record`]: values of up to 4 KiB, 64 handles at a time, unless told otherwise. A record stays
/// until it is removed, whoever comes and goes; but one of the [page file](crate::Backing::PageFile) until its last handle goes.
#[derive(Clone, Debug)]
pub struct RecordOptions {
    settings: OwnerSettings,
    slots: SlotSettings,
    wait: WaitStrategy,
    stop: Option<StopToken>,
}

impl Default for RecordOptions {
    fn default() -> Self {
        RecordOptions {
            settings: OwnerSettings {
                seats: 64,
                keep: true,
                ..OwnerSettings::default()
            },
            slots: SlotSettings {
                value_size: 4096,
                slots: 4,
                checksums: false,
                time_stamps: true,
            },
            wait: WaitStrategy::default(),
            stop: None,
        }
    }
}

owner_options!(RecordOptions);
slot_options!(RecordOptions);
wait_options!(RecordOptions);

impl RecordOptions {
    /// Opens the record, and makes it if there is none. Every handle takes a seat.
    ///
    /// # Errors
    /// [`OpenError::NoFreeSeat`]; [`OpenError::Mismatch`] if it is in use and made for smaller values;
    /// [`OpenError::NoSpace`] if the memory cannot be reserved; and whatever is wrong with its name, its
    /// namespace or its files.
    pub fn open(&self, channel: &str) -> Result<Record, OpenError> {
        let namespace = self.settings.namespace()?;
        let settings = OwnerSettings {
            keep: self.settings.keep && self.settings.backing == Backing::Files,
            ..self.settings.clone()
        };
        let wanted = self.slots.wanted(&settings)?;
        owner::check_readers(Pattern::Guarded, &wanted)?;
        let mut making = Tries::of(MAKING.0, MAKING.1);
        // What was just made: its memory may go with the last who has it.
        let mut _made;
        let mut tries = None;
        loop {
            if let Some(visited) = self.find(&namespace, channel)?
                && owner::mismatch(&visited.channel, &visited.header, &visited.owner, &wanted)
                    .is_none()
            {
                let settings = PeerSettings {
                    wait: self.wait,
                    stop: self.stop.clone(),
                    heartbeat: self.settings.heartbeat,
                    lock_memory: self.settings.lock_memory,
                    ..PeerSettings::default()
                };
                let opening = visited.moment();
                let opened = Record::new(visited, settings, self.slots.time_stamps);
                // It may have been removed, or made anew, while we opened one file after the other, or before we sat: who
                // makes it anew has all seats meanwhile, and the root says so before it gives them back.
                let stands = opening.is_now();
                if stands && matches!(opened, Err(OpenError::NoFreeSeat { .. })) {
                    // For good, or for a moment by somebody who only looks whether it is used.
                    if tries.get_or_insert_with(Tries::begin).pause() {
                        continue;
                    }
                }
                if stands || !making.pause() {
                    return opened;
                }
                continue;
            }
            // Who makes it owns it for that moment, and lets go of it at once.
            match owner::open::<SlotRole<Records>>(&namespace, channel, &wanted) {
                Ok(mut owned) => {
                    drop(owned.reclaim());
                    _made = owned.role;
                }
                Err(OpenError::AlreadyOwned { .. }) if making.pause() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// [`Self::open`] for values of one type, whose [schema](crate::record) is written into the channel. A record that is
    /// in use with others is refused.
    ///
    /// # Errors
    /// [`OpenError::SchemaMismatch`], which names the field that differs; and as [`Self::open`].
    pub fn open_typed<T: record::Record>(
        &self,
        channel: &str,
    ) -> Result<TypedRecord<T>, OpenError> {
        let mut options = self.clone().schema(record::Schema::of::<T>());
        options.slots.set_value_of::<T>();
        options.open(channel).map(record::Typed::new)
    }

    /// The record, if it is there now.
    fn find(&self, namespace: &Namespace, channel: &str) -> Result<Option<Visited>, OpenError> {
        let settings = PeerSettings {
            lock_memory: self.settings.lock_memory,
            attach_timeout: Some(Duration::ZERO),
            ..PeerSettings::default()
        };
        let request = settings.request(namespace, channel, None);
        match visit::visit(&request, &[Pattern::Guarded]) {
            Ok(visited) => Ok(Some(visited)),
            Err(OpenError::Missing { .. } | OpenError::TimedOut { .. }) => Ok(None),
            // To be made anew.
            Err(error) if error.is_of_vanished_memory() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
