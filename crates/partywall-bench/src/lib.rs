//! The harness behind `partywall bench`: how far from the limits of the machine.
//!
//! A *contest* is a group of processes that do one thing: one leads and takes the time, the others follow. They are children
//! of the process that conducts them, each bound to a core. In a *group* of contests one is the limit: something bare that
//! no correct program can beat. The conductor lets limit and contenders take turns of about a millisecond, because on
//! a shared machine the way between two cores changes several times a second: what counts is a contender's time by that
//! of the limit just before and just after it, and of those ratios the median.

#![forbid(non_ascii_idents)]

pub mod arguments;
mod conductor;
pub mod contest;
mod cores;

pub mod latest;
mod limits;
pub mod mapped;
mod os;
mod patterns;
pub mod payload;
mod report;
mod statistics;
mod system;
pub mod transport;
mod works;

use std::error::Error;

/// What went wrong, in words.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub use arguments::Arguments;
pub use conductor::{SEAT, conduct, serve};
