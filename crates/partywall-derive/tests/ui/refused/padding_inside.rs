use partywall::record::Record;

#[derive(Record)]
#[repr(C)]
struct Quote {
    size: u32,
    price: f64,
}

fn main() {}
