//! Leaves a channel behind that no command makes, in `PARTYWALL_DIR`: `ci/golden.py make` keeps images of such for ever.
//!
//! ```text
//! images typed     a ring whose records say what they are
//! images grown     a ring of two generations: somebody who comes back has not read the first to its end
//! ```

use partywall::record::Record;
use partywall::ring::{ConsumerOptions, ProducerOptions};

#[derive(Record, Clone, Copy)]
#[repr(C)]
struct Sample {
    #[record(unit = "ns")]
    time: u64,
    #[record(unit = "m/s^2")]
    acceleration: [f32; 3],
    flags: u16,
    temperature: i16,
    gains: [[f64; 2]; 2],
}

const CHANNEL: &str = "golden";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = ProducerOptions::new().capacity(4096).seats(2);
    let archive = ConsumerOptions::new().durable("archive");
    match std::env::args().nth(1).as_deref() {
        Some("typed") => {
            let mut producer = options.open_typed::<Sample>(CHANNEL)?;
            archive.attach(CHANNEL)?.detach();
            for time in 1..=3_u8 {
                producer.send(&Sample {
                    time: time.into(),
                    acceleration: [0.5, -1.0, 9.75 + f32::from(time)],
                    flags: 1 << time,
                    temperature: -i16::from(time),
                    gains: [[1.0, 0.5], [0.25, f64::from(time)]],
                })?;
            }
            std::mem::forget(producer); // as if it had been killed
        }
        Some("grown") => {
            let mut producer = options.open(CHANNEL)?;
            archive.attach(CHANNEL)?.detach();
            for record in [&b"of the first generation"[..], b"", b"its last"] {
                producer.send(record)?;
            }
            producer.grow(8192)?;
            producer.send(b"of the second generation")?;
            producer.send_kind(7, b"of a kind")?;
            producer.abandon();
        }
        _ => return Err("images typed|grown".into()),
    }
    Ok(())
}
