//! A library that gives ours on under another name.

mod sharing {
    pub use partywall as wall;
}

use sharing::wall::record::{Record, Schema};

#[derive(Record)]
#[repr(C)]
#[record(crate = "crate::sharing::wall")]
struct Quote {
    price: f64,
}

fn main() {
    assert_eq!(Schema::of::<Quote>().size(), 8);
    assert_eq!(Quote { price: 1.0 }.price, 1.0);
}
