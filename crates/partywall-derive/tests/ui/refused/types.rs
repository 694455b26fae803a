//! Every type that has a reason of its own for not being a field.

use partywall::record::Record;

#[derive(Record)]
#[repr(C)]
struct Everything<'a> {
    length: usize,
    offset: isize,
    valid: bool,
    letter: char,
    identity: u128,
    balance: i128,
    name: String,
    samples: Vec<f64>,
    next: Option<u32>,
    inner: Box<u32>,
    pointer: *const u8,
    reference: &'a u32,
    callback: fn(u32) -> u32,
    pair: (u32, u32),
    nothing: (),
    slice: [u8],
    counter: std::sync::atomic::AtomicU64,
    positive: std::num::NonZeroU32,
    elapsed: std::time::Duration,
    lock: std::sync::Mutex<u32>,
    wrapped: std::num::Wrapping<u32>,
    flags: [bool; 8],
}

fn main() {}
