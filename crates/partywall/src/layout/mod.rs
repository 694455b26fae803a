//! The ABI: every structure, offset and range check of shared memory, in one place.
//!
//! All words are little-endian and naturally aligned by the tables here (never by a compiler's
//! `repr`), so that 32-bit and 64-bit programs of any language agree. `PROTOCOL.md` prints the same
//! tables; a test holds the two against each other.

/// Declares one block of shared memory: a constant per field, and a table of all of them that is
/// checked at compile time (ascending, aligned to their own size, without overlap, inside the block).
macro_rules! block {
    ($(#[$meta:meta])* $table:ident, $title:literal, $size:expr; $($(#[$field_meta:meta])* $name:ident: [$width:expr; $writer:ident] = $offset:expr;)*) => {
        $($(#[$field_meta])* pub(crate) const $name: u64 = $offset;)*
        $(#[$meta])*
        pub(crate) static $table: crate::layout::Block = crate::layout::Block {
            title: $title,
            size: $size,
            fields: &[$(crate::layout::Field {
                name: stringify!($name),
                offset: $name,
                width: $width,
                writer: crate::layout::Writer::$writer,
            }),*],
        };
        const _: () = crate::layout::check_block($size, &[$(($offset, $width)),*]);
    };
}

pub(crate) mod frames;
pub(crate) mod geometry;
pub(crate) mod guarded;
pub(crate) mod header;
pub(crate) mod last_error;
pub(crate) mod mpsc;
pub(crate) mod owner;
pub(crate) mod peers;
pub(crate) mod record;
pub(crate) mod ring;
pub(crate) mod root;
pub(crate) mod seat;
pub(crate) mod slots;
pub(crate) mod typed;
pub(crate) mod verdict;

/// The version of the layout; it changes only when an old reader would misread a new segment.
pub const ABI_VERSION: u16 = 1;

/// A line that has one writer and one set of readers: two 64-byte cache lines, because x86-64
/// prefetches them in pairs and some ARM cores have lines of 128 bytes.
pub(crate) const LINE: u64 = 128;

/// Segments and payloads start at multiples of this.
pub(crate) const PAGE: u64 = 4096;

/// The most seats that a generation can have.
pub const MAX_SEATS: u32 = 64;

/// Who stores a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Whoever holds the channel's owner lock.
    Owner,
    /// Whoever holds the lock of the seat that the field lies in.
    Seat,
}

/// One field of a block, as `partywall abi` prints it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The field's name, as in `PROTOCOL.md`.
    pub name: &'static str,
    /// Bytes from the start of the block.
    pub offset: u64,
    /// Bytes.
    pub width: u64,
    /// Who stores it.
    pub writer: Writer,
}

/// A named run of fields.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// What the block is.
    pub title: &'static str,
    /// Bytes.
    pub size: u64,
    /// The fields, by ascending offset; what lies between them is reserved and zero.
    pub fields: &'static [Field],
}

/// Every block of the ABI, in the order of `PROTOCOL.md`.
#[must_use]
pub fn abi() -> [&'static Block; 11] {
    [
        &header::HEADER,
        &root::ROOT,
        &owner::OWNER,
        &verdict::VERDICT,
        &seat::SEAT,
        &slots::SLOT,
        &guarded::GUARDED,
        &frames::FRAMES,
        &frames::DESCRIPTOR,
        &mpsc::LANE,
        &mpsc::SENDER,
    ]
}

/// Refuses, at compile time, a table whose fields overlap, leave the block or are misaligned.
const fn check_block(size: u64, fields: &[(u64, u64)]) {
    let mut end = 0;
    let mut index = 0;
    while index < fields.len() {
        let (offset, width) = fields[index];
        assert!(offset >= end, "fields must ascend and must not overlap");
        let alignment = if width > 8 { 8 } else { width };
        assert!(offset % alignment == 0, "a field is misaligned");
        end = offset + width;
        assert!(end <= size, "a field leaves its block");
        index += 1;
    }
}

/// Rounds up to a multiple of `to`, a power of two.
pub(crate) const fn round_up(value: u64, to: u64) -> u64 {
    value.wrapping_add(to - 1) & !(to - 1)
}
