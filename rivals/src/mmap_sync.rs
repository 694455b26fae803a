//! mmap-sync: one writer, values read where they lie. What it returns torn or out of order is counted.

use mmap_sync::synchronizer::Synchronizer;
use partywall_bench::Outcome;
use partywall_bench::contest::{Party, Seat};
use partywall_bench::latest::{self, Getting, Latest, Putting};
use std::time::Duration;

pub const LISTED: &str = r#"{"name": "mmap-sync", "does": ["read idle", "read busy", "write busy"], "at_least": 64, "at_most": 64}"#;

pub fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    (seat.who == "mmap-sync")
        .then(|| latest::party::<Mmap>(seat))
        .flatten()
}

struct Mmap;
struct End(Synchronizer);

/// How long a writer waits for readers: as its documentation has it.
const GRACE: Duration = Duration::from_secs(1);

fn open(seat: &Seat) -> End {
    End(Synchronizer::new(seat.file("synchronized").as_os_str()))
}

impl Putting for End {
    fn put(&mut self, value: &[u8]) -> Outcome<()> {
        let value: &[u8; 64] = value.try_into()?;
        self.0.write(value, GRACE)?;
        Ok(())
    }
}

impl Getting for End {
    #[inline(always)]
    fn get(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        // SAFETY: none can be given against its own races; the value is plain bytes, and it is judged at once.
        let read = unsafe { self.0.read::<[u8; 64]>(false)? };
        look(&read[..])
    }
}

impl Latest for Mmap {
    type Writer = End;
    type Reader = End;

    fn writer(seat: &Seat) -> Outcome<End> {
        Ok(open(seat))
    }

    fn reader(seat: &Seat) -> Outcome<End> {
        Ok(open(seat))
    }
}
