//! Broadcasts the samples of a sensor, and never waits for anybody; run `listen` beside it, as often as you like.

use partywall::broadcast::SenderOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = std::env::args()
        .nth(1)
        .map_or(Ok(100_000), |text| text.parse::<u64>())?;
    let mut sender = SenderOptions::new()
        .value_size(16)
        .slots(1024)
        .open("imu")?;
    for number in 1..=count {
        // The number of the sample, and what was measured.
        let sample = [number, number * number % 997];
        sender.send(&sample.map(u64::to_le_bytes).concat())?;
    }
    println!("sent {count} samples");
    Ok(())
}
