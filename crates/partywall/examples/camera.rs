//! A producer: numbered frames, written where they lie.
//!
//! ```text
//! cargo run --release --example camera &
//! cargo run --release --example inspector
//! ```

use partywall::ring::ProducerOptions;

const FRAME: usize = 1920 * 1080 * 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let frames: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(200), |count| count.parse())?;
    let mut producer = ProducerOptions::new()
        .capacity(4 * FRAME as u64)
        .open("example-camera")?;
    println!("waiting for an inspector");
    let mut row = vec![0; 1920 * 3];
    for number in 0..frames {
        // Waits for room, and for a consumer before the first frame.
        let mut frame = producer.reserve(FRAME)?;
        row.fill(number as u8);
        for start in (0..FRAME).step_by(row.len()) {
            frame.write_at(start, &row);
        }
        frame.commit();
    }
    // Until the last frame was taken; then the stream ends.
    producer.flush(None)?;
    println!("sent {frames} frames");
    Ok(())
}
