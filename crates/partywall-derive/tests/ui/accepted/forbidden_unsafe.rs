//! What is generated disturbs no program, however strict.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub, dead_code, unused_qualifications)]

/// Types of the program's own that are called like the library's.
pub mod inner {
    use partywall::record::Record;

    #[derive(Record, Clone, Copy, Default)]
    #[repr(C)]
    struct Private {
        value: u64,
    }

    /// Public, with a private part.
    #[derive(Record, Clone, Copy, Default)]
    #[repr(C)]
    #[record(name = "Renamed")]
    pub struct Public {
        /// A keyword in Rust.
        pub r#type: u32,
        /// A unit that is no ASCII.
        #[record(unit = "°C", name = "temperature")]
        pub degrees: f32,
        _padding: [u8; 8],
        inner: [[Private; 2]; 2],
    }

    impl Public {
        /// Of its parts.
        pub fn sum(&self) -> u64 {
            self.inner.iter().flatten().map(|one| one.value).sum()
        }
    }
}

fn main() {
    let text = partywall::record::Schema::of::<inner::Public>().to_text();
    assert_eq!(
        text,
        "partywall schema 1\nrecord Private 8\nfield value 0 u64\nrecord Renamed 48\nfield type 0 u32\nfield temperature 4 f32 °C\nfield _padding 8 u8[8]\nfield inner 16 Private[2][2]\n"
    );
    let bytes = [1; 48];
    let value = partywall::record::from_bytes::<inner::Public>(&bytes).unwrap();
    assert_eq!(value.sum(), 4 * 0x0101_0101_0101_0101);
}
