//! Counts in a guarded record; run it as often at once as you like, and kill one: the others go on, and no step is lost.

use partywall::guarded::{Lock, Record};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let steps = std::env::args()
        .nth(1)
        .map_or(Ok(1000), |text| text.parse::<u64>())?;
    let mut record = Record::open("counter")?;
    let mut count = 0;
    for _ in 0..steps {
        let mut guard = match record.lock()? {
            Lock::Clean(guard) => guard,
            Lock::OwnerDied(mut guard) => {
                eprintln!("somebody was killed; what it committed will do");
                guard.mark_consistent();
                guard
            }
        };
        // Empty before the first commit.
        let value: [u8; 8] = guard.value().try_into().unwrap_or_default();
        count = u64::from_le_bytes(value) + 1;
        *guard.value_mut() = count.to_le_bytes().to_vec();
        guard.commit()?;
    }
    println!("made {steps} steps, the last was number {count}");
    Ok(())
}
