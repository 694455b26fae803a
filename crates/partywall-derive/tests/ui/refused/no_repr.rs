use partywall::record::Record;

#[derive(Record)]
struct Quote {
    price: f64,
}

fn main() {}
