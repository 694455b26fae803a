//! Memory for tests of one thread, and for what is fuzzed: what is stored is there.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::memory::{Shared, SharedMut};
use crate::protocol::SeatLocks;

/// A segment of which every byte is there, but for those that a test took away.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    bytes: Rc<[Cell<u8>]>,
    /// Behind these there is no memory: whoever reads them would be ended.
    hole: Rc<Cell<(u64, u64)>>,
}

impl Plain {
    pub(crate) fn new(size: u64) -> Self {
        Plain {
            bytes: (0..size).map(|_| Cell::new(0)).collect(),
            hole: Rc::default(),
        }
    }

    /// Takes the memory of so many bytes away.
    pub(crate) fn take_away(&self, at: u64, len: u64) {
        self.hole.set((at, at + len));
    }

    fn is_there(&self, at: u64, len: u64) -> bool {
        let (begin, end) = self.hole.get();
        at + len <= begin || end <= at
    }
}

impl Shared for Plain {
    fn load(&self, at: u64, _: Ordering) -> u64 {
        assert!(at.is_multiple_of(8));
        let mut bytes = [0; 8];
        self.copy_out(at, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn load32(&self, at: u64, _: Ordering) -> u32 {
        assert!(at.is_multiple_of(4));
        let mut bytes = [0; 4];
        self.copy_out(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn populate(&self, at: u64, len: u64) -> bool {
        self.is_there(at, len)
    }

    fn copy_out(&self, at: u64, out: &mut [u8]) {
        assert!(self.is_there(at, out.len() as u64), "no memory at {at}");
        let cells = &self.bytes[at as usize..][..out.len()];
        for (byte, cell) in out.iter_mut().zip(cells) {
            *byte = cell.get();
        }
    }

    fn fence(&self, _: Ordering) {}
}

impl SharedMut for Plain {
    fn store(&self, at: u64, value: u64, _: Ordering) {
        assert!(at.is_multiple_of(8));
        self.copy_in(at, &value.to_le_bytes());
    }

    fn store32(&self, at: u64, value: u32, _: Ordering) {
        assert!(at.is_multiple_of(4));
        self.copy_in(at, &value.to_le_bytes());
    }

    fn set_bits(&self, at: u64, bits: u64, order: Ordering) -> u64 {
        let before = self.load(at, order);
        self.store(at, before | bits, order);
        before
    }

    fn clear_bits(&self, at: u64, bits: u64, order: Ordering) -> u64 {
        let before = self.load(at, order);
        self.store(at, before & !bits, order);
        before
    }

    fn copy_in(&self, at: u64, bytes: &[u8]) {
        for (byte, cell) in bytes.iter().zip(&self.bytes[at as usize..][..bytes.len()]) {
            cell.set(*byte);
        }
    }
}

/// Everybody is dead.
pub(crate) struct NoLocks;

impl SeatLocks for NoLocks {
    fn try_lock(&self, _: u32) -> bool {
        true
    }

    fn unlock(&self, _: u32) {}
}
