use partywall::record::Record;

#[derive(Record)]
#[repr(u32)]
enum Side {
    Bid,
    Ask,
}

#[derive(Record)]
#[repr(C)]
union Either {
    whole: u32,
    real: f32,
}

#[derive(Record)]
#[repr(C)]
struct Pair(u32, u32);

#[derive(Record)]
#[repr(C)]
struct Nothing;

fn main() {}
