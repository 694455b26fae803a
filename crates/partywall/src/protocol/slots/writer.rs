//! The one writer.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::reader::latest;
use super::{Copied, Meta, Shape, complete, copy_out, writing, wrong_mark};
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
        let found = latest(&owner, shape.base)?;
        let mark = |version| owner.load(shape.slot(version) + slots::MARK, Acquire);
        if found != shape.base {
            let mark = mark(found);
            if mark != complete(found) {
                return Err(Lie {
                    word: "mark of the latest value",
                    place: found,
                    expected: "twice its version",
                    found: mark,
                });
            }
        }
        // Complete, but not said: somebody may have read it.
        let next = found + 1;
        let version = if mark(next) == complete(next) {
            owner.store(owner::WRITE_SEQ, next, Release);
            next
        } else {
            found
        };
        // SYNC slot-lapped: the next mark is stored without a fence of ours before it, but for this one.
        owner.fence(Release);
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

    /// Copies the latest value; `None` if there is none yet. Nobody else writes meanwhile.
    pub(crate) fn read(&self, out: &mut Vec<u8>) -> Result<Option<Meta>, Lie> {
        if self.version == self.shape.base {
            return Ok(None);
        }
        match copy_out(&self.owner, &self.shape, self.version, out)? {
            Copied::Whole(meta) => Ok(Some(meta)),
            Copied::Other(mark) => Err(wrong_mark(self.version, mark)),
        }
    }

    /// Whether there is a version after this one: no honest writer comes to the end, and readers would believe none behind it.
    #[inline(always)]
    pub(crate) fn expect_more(&self) -> Result<(), Lie> {
        if self.version < slots::LAST_VERSION {
            return Ok(());
        }
        Err(Lie {
            word: "write_seq",
            place: owner::WRITE_SEQ,
            expected: "less than 2^62: no version follows the last",
            found: self.version,
        })
    }

    /// Writes the next version; the caller has checked that there is one, and that it is not too large.
    #[inline(always)]
    pub(crate) fn put(&mut self, bytes: &[u8], kind: u16, time_ns: u64) {
        let version = self.version + 1;
        let at = self.shape.slot(version);
        let owner = &self.owner;
        owner.store(at + slots::MARK, writing(version), Relaxed);
        // SYNC slot-open: whoever sees a byte of this value sees this mark, or a later one.
        // SYNC slot-lapped: whoever sees the next mark sees the `write_seq` of the version before this.
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
