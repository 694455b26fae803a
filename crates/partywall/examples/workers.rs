//! Many workers report to one: `workers` collects, and starts itself as each worker. One of them dies in the middle.

use std::collections::BTreeMap;
use std::process::{Child, Command};

use partywall::mpsc::{Event, ReceiverOptions, Sender, SenderId};

const CHANNEL: &str = "example-workers";
const WORKERS: u32 = 4;
const RESULTS: u64 = 1000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(number) = std::env::args().nth(1) {
        return work(number == "0");
    }
    let mut receiver = ReceiverOptions::new().seats(WORKERS).open(CHANNEL)?;
    let mut workers = Vec::<Child>::new();
    for number in 0..WORKERS {
        let program = std::env::current_exe()?;
        workers.push(Command::new(program).arg(number.to_string()).spawn()?);
    }
    let mut results: BTreeMap<SenderId, u64> = BTreeMap::new();
    let mut gone = 0;
    while gone < WORKERS {
        match receiver.recv()? {
            Event::Opened(sender) => drop(results.insert(sender, 0)),
            Event::Record(record) => {
                let next = results.entry(record.sender).or_default();
                // Each one's results come in order.
                assert_eq!(record[..], next.to_le_bytes());
                *next += 1;
            }
            // Told behind its last result, and so is a death.
            Event::Closed(sender) => {
                println!("a worker finished after {} results", results[&sender]);
                gone += 1;
            }
            Event::Died(sender) => {
                println!("a worker died after {} results", results[&sender]);
                gone += 1;
            }
            Event::Lied(sender, lie) => return Err(format!("{sender}: {lie}").into()),
        }
    }
    for worker in &mut workers {
        worker.wait()?;
    }
    Ok(())
}

fn work(doomed: bool) -> Result<(), Box<dyn std::error::Error>> {
    let mut sender = Sender::attach(CHANNEL)?;
    for number in 0..RESULTS {
        if doomed && number == RESULTS / 2 {
            std::process::exit(1); // without a word: nothing is dropped
        }
        sender.send(&number.to_le_bytes())?;
    }
    Ok(())
}
