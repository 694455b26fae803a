use partywall::record::Record;

#[derive(Record)]
#[repr(C)]
struct Level {
    price: f64,
}

#[derive(Record)]
#[repr(C)]
struct Book {
    flags: [u8; 3],
    levels: [Level; 2],
}

fn main() {}
