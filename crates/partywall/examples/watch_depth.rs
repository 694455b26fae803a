//! Follows the snapshot of `depth`: gets the latest, whole, and misses what came in between.

use partywall::RecvError;
use partywall::snapshot::ReaderOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reader = ReaderOptions::new().attach("depth")?;
    let (mut got, mut last) = (0_u64, 0);
    loop {
        match reader.changed() {
            Ok(value) => {
                let levels: Vec<u64> = value
                    .chunks_exact(8)
                    .map(|level| u64::from_le_bytes(level.try_into().expect("eight bytes")))
                    .collect();
                assert!((0..10).all(|level| levels[level] == levels[0] + level as u64));
                (got, last) = (got + 1, value.sequence);
            }
            // The writer is faster than we copy: the next one may do.
            Err(RecvError::Contended { .. }) => {}
            Err(RecvError::Closed { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("saw {got} of {last} updates, each of them whole");
    Ok(())
}
