//! Typed records. While it waits, look at them from outside:
//!
//! ```text
//! cargo run --release --example quotes &
//! partywall schema example-quotes --as python
//! partywall recv example-quotes --json
//! ```
//! With a number it sends so many to a consumer of its own instead, and ends.

use partywall::OpenError;
use partywall::record::Record;
use partywall::ring::{ConsumerOptions, ProducerOptions};

#[derive(Record, Clone, Copy, Debug)]
#[repr(C)]
struct Quote {
    #[record(unit = "ns")]
    time: u64,
    #[record(unit = "EUR")]
    bid: f64,
    #[record(unit = "EUR")]
    ask: f64,
    sizes: [u32; 2],
}

/// What somebody else takes for a quote.
#[derive(Record)]
#[repr(C)]
#[record(name = "Quote")]
struct OtherQuote {
    #[record(unit = "ns")]
    time: u64,
    #[record(unit = "EUR")]
    ask: f64,
    #[record(unit = "EUR")]
    bid: f64,
    sizes: [u32; 2],
}

const CHANNEL: &str = "example-quotes";

fn quote(time: u64) -> Quote {
    let price = 100.0 + (time % 7) as f64;
    Quote {
        time,
        bid: price,
        ask: price + 0.25,
        sizes: [3, 5],
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: Option<u64> = std::env::args()
        .nth(1)
        .map(|text| text.parse())
        .transpose()?;
    let mut producer = ProducerOptions::new().open_typed::<Quote>(CHANNEL)?;
    let Some(count) = count else {
        for time in 0.. {
            producer.send(&quote(time))?; // waits for somebody who receives
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        return Ok(());
    };
    match ConsumerOptions::new().attach_typed::<OtherQuote>(CHANNEL) {
        Err(error @ OpenError::SchemaMismatch { .. }) => println!("refused: {error}"),
        other => return Err(format!("not refused: {other:?}").into()),
    }
    let mut consumer = ConsumerOptions::new().attach_typed::<Quote>(CHANNEL)?;
    let mut spreads = 0.0;
    for time in 0..count {
        producer.send(&quote(time))?;
        let quote = consumer.recv()?;
        spreads += quote.ask - quote.bid;
    }
    println!("{count} quotes, spreads {spreads} in all");
    Ok(())
}
