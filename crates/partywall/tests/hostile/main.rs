//! Bytes that nobody honest wrote, and files that change under those who have them open: every handle answers with an
//! error that says so, or goes on. Nobody dies of a signal or a panic, nobody hangs, and nobody takes memory
//! by a length that was forged. What uses the channels are processes of their own, so that their death is seen, and
//! the lie is named that brought it about.
//!
//! `PARTYWALL_LIES=full` tells every lie of every word, `PARTYWALL_LIES=20` a twentieth of what is told by default. `cargo test --test hostile NAME` runs those whose name contains NAME;
//! the seed of the random ones is printed, and taken from `PARTYWALL_SEED`.

mod at_rest;
#[path = "../common/mod.rs"]
mod common;
#[cfg(unix)] // SIGBUS; Windows shortens no file that is mapped
mod cut_short;
#[cfg(unix)]
mod cut_waits;
mod lies;
mod live;
mod mapped;
mod patterns;
mod process;
mod promises;

use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    if let Some(role) = process::role() {
        let role: Vec<&str> = role.iter().map(String::as_str).collect();
        match role[..] {
            ["at_rest", path, pattern, aside, from] => {
                at_rest::child(
                    Path::new(path),
                    pattern,
                    Path::new(aside),
                    from.parse().unwrap(),
                );
            }
            ["live", path, pattern, board, process] => {
                live::child(
                    Path::new(path),
                    pattern,
                    Path::new(board),
                    process.parse().unwrap(),
                );
            }
            #[cfg(unix)]
            ["bus", path, what] => cut_short::child(Path::new(path), what),
            _ => panic!("no such role: {role:?}"),
        }
        return ExitCode::SUCCESS;
    }
    macro_rules! tests {
        ($($module:ident::$name:ident),* $(,)?) => {
            [$((stringify!($name), $module::$name as fn())),*]
        };
    }
    #[cfg(not(unix))]
    let of_the_system: [(&str, fn()); 0] = [];
    #[cfg(unix)]
    let of_the_system = tests![
        cut_short::a_file_that_is_cut_short_under_its_handles_is_told_by_them,
        cut_waits::the_call_that_meets_a_page_that_is_gone_tells_of_it,
        cut_short::a_sigbus_that_is_not_ours_ends_the_process_as_before,
        cut_short::a_handler_that_was_there_before_gets_what_is_not_ours,
        cut_short::who_declines_the_handler_dies_of_a_file_that_is_cut_short,
    ];
    let tests = tests![
        promises::a_subscriber_that_lies_about_its_pins_is_evicted_and_the_others_are_served,
        promises::a_consumer_that_lies_about_its_position_is_evicted_and_the_others_are_served,
        promises::a_producer_that_waits_notices_that_its_channel_was_removed_or_scribbled_over,
        promises::a_seat_that_is_scribbled_over_is_noticed_by_its_holder,
        promises::headers_that_lead_round_and_round_are_told_by_consumers,
        promises::headers_that_lead_round_and_round_in_a_lane_cut_it_off,
        at_rest::every_word_of_every_file_may_lie_at_rest,
        live::lies_in_live_channels_harm_nobody,
    ];
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests.into_iter().chain(of_the_system) {
        if !filters.is_empty() && !filters.iter().any(|part| name.contains(part)) {
            continue;
        }
        let started = Instant::now();
        let outcome = catch_unwind(test);
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!(
            "{name} ... {word}, {:.1} s",
            started.elapsed().as_secs_f64()
        );
        if outcome.is_ok() {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && (passed > 0 || !filters.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
