// By `partywall schema books --as rust`.

#[derive(partywall::record::Record, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Level {
    #[record(unit = "EUR \"net\" \\")]
    pub price: f64,
    pub size: u32,
    pub _padding: [u8; 4],
}

#[derive(partywall::record::Record, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Book {
    #[record(unit = "ns")]
    pub time: u64,
    #[record(name = "type")]
    pub type_: i16,
    pub int: u16,
    pub class: f32,
    #[record(unit = "*/ // °C")]
    pub bids: [Level; 2],
    pub asks: [[Level; 1]; 3],
    pub matrix: [[i16; 3]; 2],
    pub symbol: [u8; 4],
    pub bytes: [i8; 2],
    pub Book: [u8; 6],
    pub last: Level,
    pub wide: [i64; 1],
}
