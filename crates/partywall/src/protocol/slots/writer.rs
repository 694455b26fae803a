//! The one writer.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{Shape, complete, writing};
use crate::layout::owner;
use crate::layout::slots::{self, Info};
use crate::memory::SharedMut;
use crate::protocol::Lie;
use crate::protocol::checksum::checksum;

/// Whoever writes the slots now.
#[derive(Debug)]
pub(crate) struct SlotWriter<O> {
    owner: O,
    shape: Shape,
    /// The last version that is complete.
    version: u64,
}

impl<O: SharedMut> SlotWriter<O> {
    /// The writer of a fresh generation, not yet published.
    pub(crate) fn create(owner: O, shape: Shape) -> Self {
        owner.store(owner::WRITE_SEQ, shape.base, Relaxed);
        SlotWriter {
            owner,
            shape,
            version: shape.base,
        }
    }

    /// Takes over what an earlier writer left.
    pub(crate) fn adopt(owner: O, shape: Shape) -> Result<Self, Lie> {
        let found = owner.load(owner::WRITE_SEQ, Acquire);
        let mark = |version| owner.load(shape.slot(version) + slots::MARK, Acquire);
        if found != shape.base && mark(found) != complete(found) {
            return Err(Lie {
                word: "mark of the latest value",
                place: found,
                expected: "twice its version",
                found: mark(found),
            });
        }
        // Complete, but not said: somebody may have read it.
        let next = found.wrapping_add(1);
        let version = if mark(next) == complete(next) {
            next
        } else {
            found
        };
        owner.store(owner::WRITE_SEQ, version, Release);
        Ok(SlotWriter {
            owner,
            shape,
            version,
        })
    }

    pub(crate) fn owner(&self) -> &O {
        &self.owner
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Writes the next version; the caller has checked that it is not too large.
    #[inline(always)]
    pub(crate) fn put(&mut self, bytes: &[u8], kind: u16, time_ns: u64) {
        let version = self.version.wrapping_add(1);
        let at = self.shape.slot(version);
        let owner = &self.owner;
        owner.store(at + slots::MARK, writing(version), Relaxed);
        // SYNC slot-open: whoever sees a byte of this value sees this mark, or a later one.
        owner.fence(Release);
        let sum = if self.shape.checksums {
            checksum(bytes)
        } else {
            0
        };
        owner.store(at + slots::CHECKSUM, sum.into(), Relaxed);
        owner.store(at + slots::TIME_NS, time_ns, Relaxed);
        let info = Info::new(bytes.len() as u32, kind);
        owner.store(at + slots::INFO, info.0, Relaxed);
        owner.copy_in(at + slots::HEADER, bytes);
        // SYNC slot-commit
        owner.store(at + slots::MARK, complete(version), Release);
        // SYNC slot-latest
        owner.store(owner::WRITE_SEQ, version, Release);
        self.version = version;
    }
}
