//! What the record kinds of `send` and `recv` mean. `PROTOCOL.md` has the same table.

/// Bytes as they are: a piece of a stream, or a fixed-size record.
pub(crate) const DATA: u16 = 0;
/// A whole line; its newline is not in the record.
pub(crate) const LINE: u16 = 1;
/// The first piece of a line that is longer than a record.
pub(crate) const FIRST: u16 = 2;
/// A further piece of it.
pub(crate) const MORE: u16 = 3;
/// Its last piece; a newline follows.
pub(crate) const END: u16 = 4;
/// Its last piece, at the end of an input without a newline.
pub(crate) const END_BARE: u16 = 5;
/// A whole last line without a newline.
pub(crate) const LINE_BARE: u16 = 6;
/// Empty: a sender begins. What an earlier one left of a line in pieces will not be completed.
pub(crate) const START: u16 = 7;
