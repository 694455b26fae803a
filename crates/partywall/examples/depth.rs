//! Puts the market depth into a snapshot, again and again; run `watch_depth` beside it, as often as you like.

use partywall::snapshot::WriterOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let updates = std::env::args()
        .nth(1)
        .map_or(Ok(100_000), |text| text.parse::<u64>())?;
    let mut writer = WriterOptions::new().value_size(80).open("depth")?;
    for update in 1..=updates {
        // Five bids and five asks around a price that moves; a reader checks that they belong together.
        let levels = (0..10).map(|level| update * 100 + level);
        let value: Vec<u8> = levels.flat_map(u64::to_le_bytes).collect();
        writer.put(&value)?; // never waits
    }
    println!("put {updates} updates");
    Ok(())
}
