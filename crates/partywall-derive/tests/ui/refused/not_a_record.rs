//! Where a record is asked for.

use partywall::record::Record;

struct Quote {
    price: f64,
}

fn send<T: Record>(_: &T) {}

fn main() {
    send(&Quote { price: 1.0 });
}
