use partywall::record::Record;

#[derive(Record)]
#[repr(C)]
struct Frame {
    width: u32,
    pixels: [u8; 0],
}

fn main() {}
