//! Bytes of anybody's choosing, for the code that ships: what checks a header, walks over records, reads seats,
//! slots, descriptors and lanes. For fuzzers, and for tests of what they found. Not part of the interface.
//!
//! An entry takes bytes and returns, whatever they are. It panics where the library would panic, read outside its
//! memory, or go on without an end. Entries for segments begin with an honest one and take the bytes as
//! a list of lies, so that a fuzzer need not guess what a header looks like to come further.

mod segments;
mod streams;

use std::sync::atomic::Ordering::Relaxed;

use crate::channel::{root, segment};
use crate::layout::header::{KNOWN_INCOMPATIBLE, MAGIC_VALUE, Side};
use crate::layout::{ABI_VERSION, PAGE, header};
use crate::memory::SharedMut;
use crate::protocol::plain::Plain;
use crate::record::Schema;

/// An entry and its name, which is its target's and its corpus's.
pub type Entry = (&'static str, fn(&[u8]));

/// All of them.
pub const ENTRIES: [Entry; 8] = [
    ("header", header),
    ("root", root),
    ("seats", segments::seats),
    ("records", streams::records),
    ("slots", segments::slots),
    ("descriptors", segments::descriptors),
    ("lanes", streams::lanes),
    ("schema", schema),
];

/// What a fuzzer said, piece by piece; zeros when it has said all.
pub(crate) struct Said<'a>(&'a [u8]);

impl Said<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut piece = [0; N];
        let len = N.min(self.0.len());
        let (now, rest) = self.0.split_at(len);
        piece[..len].copy_from_slice(now);
        self.0 = rest;
        piece
    }

    fn byte(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells one lie: which memory, which word of it, and what that is to be. A word may be replaced, moved a little, or
    /// have a bit changed.
    fn lie(&mut self, memories: &[(&Plain, u64)]) {
        let which = self.byte();
        let (memory, size) = memories[usize::from(which & 15) % memories.len()];
        let at = u64::from(u16::from_le_bytes(self.bytes())) % (size / 8) * 8;
        let before = crate::memory::Shared::load(memory, at, Relaxed);
        let value = match which >> 4 {
            0..=7 => self.word(),
            8..=11 => before.wrapping_add_signed(i64::from(self.byte() as i8)),
            12..=13 => before ^ 1 << (self.byte() & 63),
            14 => before.wrapping_add(u64::from(self.byte()) << 12),
            _ => 0,
        };
        memory.store(at, value, Relaxed);
    }
}

/// The first bytes choose the side, whether the head is made honest first, and the size of the file; the others are the
/// header.
fn header(bytes: &[u8]) {
    let mut said = Said(bytes);
    let choice = said.byte();
    let side = [Side::Root, Side::Owner, Side::Peers][usize::from(choice % 3)];
    let size = match choice >> 6 {
        0 => PAGE,
        1 => 3 * PAGE,
        2 => 1 << 16,
        _ => said.word(),
    };
    let memory = Plain::new(PAGE);
    for at in (0..header::SIZE).step_by(8) {
        memory.store(at, said.word(), Relaxed);
    }
    if choice & 32 == 0 {
        memory.store(header::MAGIC, MAGIC_VALUE, Relaxed);
        let versions = u32::from(ABI_VERSION) | (header::SIZE as u32) << 16;
        memory.store32(header::ABI_VERSION, versions, Relaxed);
        memory.store(header::INCOMPATIBLE_FEATURES, KNOWN_INCOMPATIBLE, Relaxed);
    }
    if let Ok(Some(found)) = segment::check_header("c", "f", side, &memory, size) {
        // What was accepted describes a file of this size, on the other side a possible one.
        let geometry = found.geometry(side).expect("it was checked");
        assert_eq!(geometry.total_size, size);
        assert!(geometry.reserved <= size && geometry.payload_offset <= size);
        // The text of a schema lies on the owner side alone.
        assert!(side != Side::Owner || u64::from(found.schema_size) <= size);
    }
}

fn root(bytes: &[u8]) {
    let mut said = Said(bytes);
    let memory = Plain::new(PAGE);
    for at in (0..header::SIZE + 256).step_by(8) {
        memory.store(at, said.word(), Relaxed);
    }
    let _ = root::state(&memory);
    if let Ok(generations) = root::generations(&memory) {
        // Whoever goes through all of them comes to an end.
        assert!(generations.current.wrapping_sub(generations.oldest) <= 1 << 16);
    }
}

fn schema(bytes: &[u8]) {
    let Ok(schema) = Schema::parse(bytes) else {
        return;
    };
    // What is accepted says the same when it is written, and there is one way to write it.
    let text = schema.to_text();
    let again = Schema::parse(text.as_bytes()).expect("what was written can be read");
    assert!(schema.difference(&again).is_none());
    assert_eq!(again.to_text(), text);
    assert_eq!(schema.hash(), again.hash());
    assert!(schema.size() > 0);
}
