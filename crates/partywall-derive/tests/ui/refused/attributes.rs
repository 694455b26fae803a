use partywall::record::Record;

#[derive(Record)]
#[repr(C)]
#[record(version = 2)]
struct Unknown {
    price: f64,
}

#[derive(Record)]
#[repr(C)]
#[record(name = "my quote")]
struct Quote {
    #[record(unit = " EUR")]
    price: f64,
    #[record(units = "lots")]
    size: u64,
    größe: u64,
    #[record(name = "size")]
    other: u64,
}

#[derive(Record)]
#[repr(C)]
struct u8 {
    value: u32,
}

fn main() {}
