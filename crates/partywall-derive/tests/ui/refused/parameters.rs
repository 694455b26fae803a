use partywall::record::Record;

#[derive(Record)]
#[repr(C)]
struct Samples<const N: usize> {
    values: [u16; N],
}

fn main() {}
