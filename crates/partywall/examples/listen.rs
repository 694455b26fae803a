//! Listens to the broadcast of `samples`: each sample is either received or counted as lost.

use partywall::RecvError;
use partywall::broadcast::{ReceiverOptions, Start};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut receiver = ReceiverOptions::new().start(Start::At(1)).attach("imu")?;
    let (mut received, mut missed) = (0_u64, 0);
    loop {
        match receiver.recv() {
            Ok(sample) => {
                assert_eq!(sample[..8], sample.sequence.to_le_bytes());
                received += 1;
            }
            // The sender came round: it never waits.
            Err(RecvError::Overrun { lost, .. }) => missed += lost,
            Err(RecvError::Closed { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let all = received + missed;
    println!("{received} received and {missed} lost of {all} samples");
    Ok(())
}
