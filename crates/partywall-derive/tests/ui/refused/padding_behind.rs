use partywall::record::Record;

#[derive(Record)]
#[repr(C)]
struct Quote {
    price: f64,
    venue: u16,
}

fn main() {}
