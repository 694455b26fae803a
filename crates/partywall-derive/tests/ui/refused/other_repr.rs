use partywall::record::Record;

#[derive(Record)]
#[repr(C, packed)]
struct Packed {
    price: f64,
}

#[derive(Record)]
#[repr(C, align(64))]
struct Aligned {
    price: f64,
}

fn main() {}
