use partywall::record::Record;

#[repr(u32)]
enum Side {
    Bid,
    Ask,
}

#[derive(Record)]
#[repr(C)]
struct Order {
    price: f64,
    size: u32,
    side: Side,
}

fn main() {
    let _ = (Side::Bid, Side::Ask);
}
