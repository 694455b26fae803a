//! A consumer of the `camera` example: looks at every byte of every frame.

use partywall::ring::ConsumerOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut consumer = ConsumerOptions::new()
        // The camera may be started later.
        .attach_timeout(None)
        // It may die and be started again.
        .await_successor(true)
        .attach("example-camera")?;
    let mut frames = 0_u64;
    for frame in consumer.records() {
        let frame = frame?;
        let shade = frame[0];
        if frame.iter().any(|&byte| byte != shade) {
            return Err(format!("frame {frames} is torn").into());
        }
        frames += 1;
    }
    println!("got {frames} frames, all of them whole");
    Ok(())
}
