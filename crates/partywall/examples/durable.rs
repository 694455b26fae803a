//! A durable consumer goes on where it stood. Both sides in one process, to be short.

use partywall::RecvError;
use partywall::ring::{ConsumerOptions, Producer};
use partywall::{Namespace, manage};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const CHANNEL: &str = "example-durable";
    let archive = ConsumerOptions::new().durable("archive");
    let mut producer = Producer::open(CHANNEL)?;
    archive.attach(CHANNEL)?.detach();

    // It is away, and misses nothing.
    for order in ["first", "second", "third"] {
        producer.send(order.as_bytes())?;
    }
    let mut consumer = archive.attach(CHANNEL)?;
    println!("resumed: {}", consumer.resumed());
    println!("got {}", String::from_utf8_lossy(&consumer.recv()?));
    drop(consumer);
    producer.close()?;

    let mut consumer = archive.attach(CHANNEL)?;
    loop {
        match consumer.recv() {
            Ok(order) => println!("got {}", String::from_utf8_lossy(&order)),
            Err(RecvError::Closed { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    drop(consumer);
    // Nobody comes back for more: the channel may go.
    manage::forget(&Namespace::open_default()?, CHANNEL, "archive")?;
    Ok(())
}
