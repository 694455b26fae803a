//! Models: the protocols under loom, in small worlds, with every interleaving and every value that the
//! memory model lets a load return (up to a bound on preemptions), and with a death before every store.
//!
//! Producers and consumers try a fixed number of times instead of looping: among all interleavings are those
//! in which every try succeeds, and none goes on for ever. What must hold at the end is asserted after the
//! threads were joined.

mod memory;
mod people;
use super::plain;

mod crash;
mod ended;
mod frames;
mod growth;
mod guarded;
mod join;
mod mpsc;
mod park;
mod properties;
mod seats;
mod slot_properties;
mod slots;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Runs a model with at most `preemptions` switches away from a thread that could go on.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    let runs = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    eprintln!("{} executions", runs.load(Relaxed));
}

/// Runs a model for every number of stores after which somebody may be killed; the model says whether it
/// came to that. Ends with the first number that nobody reached in any interleaving.
fn kill_everywhere(preemptions: usize, model: impl Fn(u64) -> bool + Send + Sync + 'static) {
    let model = Arc::new(model);
    for stores in 0.. {
        let killed = Arc::new(AtomicBool::new(false));
        let (model, seen) = (Arc::clone(&model), Arc::clone(&killed));
        explore(preemptions, move || {
            if model(stores) {
                seen.store(true, Relaxed);
            }
        });
        if !killed.load(Relaxed) {
            return;
        }
        assert!(stores < 100, "a victim that never ends");
    }
}
