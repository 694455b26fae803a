//! What only the compiler sees.

use partywall::record::Record;

type Length = usize;

#[derive(Record)]
#[repr(C)]
struct Frame {
    length: Length,
}

fn main() {}
