//! Rivals of Partywall that are Rust crates, as processes that `partywall bench` starts.
//!
//! Each is in its own best configuration for the work, as its documentation has it; `BENCHMARKS.md` says which. Every
//! record is looked at in full by the harness's own functions, where it lies if the rival lends it.

#[cfg(feature = "crossbar")]
mod crossbar;
#[cfg(feature = "crossbeam")]
mod crossbeam;
#[cfg(feature = "iceoryx2")]
mod iceoryx2;
#[cfg(feature = "ipc-channel")]
mod ipc_channel;
#[cfg(feature = "mmap-sync")]
mod mmap_sync;
#[cfg(feature = "ringfire")]
mod ringfire;
#[cfg(feature = "rtrb")]
mod rtrb;
#[cfg(feature = "shaq")]
mod shaq;
#[cfg(feature = "subetha")]
mod subetha;
#[cfg(any(feature = "rtrb", feature = "crossbeam"))]
mod threads;
mod words;

use clap::Parser;
use partywall_bench::Outcome;
use partywall_bench::contest::{self, Party, Seat};

#[derive(Parser)]
enum Command {
    /// Say who is here, and what each does
    List,
    /// Take part in a contest
    Seat(Seat),
}

/// A rival's line in the list, and its party.
type Rival = (&'static str, fn(&Seat) -> Option<Outcome<Box<dyn Party>>>);

const RIVALS: &[Rival] = &[
    #[cfg(feature = "crossbar")]
    (crossbar::LISTED, crossbar::party),
    #[cfg(feature = "crossbeam")]
    (crossbeam::LISTED, crossbeam::party),
    #[cfg(feature = "iceoryx2")]
    (iceoryx2::LISTED, iceoryx2::party),
    #[cfg(feature = "ipc-channel")]
    (ipc_channel::LISTED, ipc_channel::party),
    #[cfg(feature = "mmap-sync")]
    (mmap_sync::LISTED, mmap_sync::party),
    #[cfg(feature = "ringfire")]
    (ringfire::LISTED, ringfire::party),
    #[cfg(feature = "rtrb")]
    (rtrb::LISTED, rtrb::party),
    #[cfg(feature = "shaq")]
    (shaq::LISTED, shaq::party),
    #[cfg(feature = "subetha")]
    (subetha::LISTED, subetha::party),
];

fn main() -> Outcome<()> {
    match Command::parse() {
        Command::List => {
            for (listed, _) in RIVALS {
                println!("{listed}");
            }
            Ok(())
        }
        Command::Seat(seat) => contest::serve(&seat, |seat| {
            RIVALS
                .iter()
                .find_map(|(_, party)| party(seat))
                .unwrap_or_else(|| {
                    Err(
                        format!("{} was not built, or does not do '{}'", seat.who, seat.what)
                            .into(),
                    )
                })
        }),
    }
}
