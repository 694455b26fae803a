//! Other users, other containers, and what is kept from all of them: real processes of made-up users.
//!
//! The tests run as root and start this program again as somebody else, to *act*. No accounts are needed, for the
//! kernel knows numbers only. Who is not root is told what was skipped; with `PARTYWALL_NO_SKIPS` set, which the gate
//! does, a skip is a failure. `cargo test --test users NAME` runs the tests whose name contains NAME.

#[cfg(unix)]
mod acts;
#[cfg(unix)]
#[path = "../common/mod.rs"]
mod common;
#[cfg(unix)]
mod confidential;
#[cfg(unix)]
mod containers;
#[cfg(unix)]
mod intruder;
#[cfg(unix)]
mod permissions;
#[cfg(unix)]
mod reader;
#[cfg(unix)]
mod scarce;
#[cfg(unix)]
mod stage;

#[cfg(not(unix))]
fn main() {
    println!("0 passed, 0 failed: users have no numbers here");
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use std::panic::catch_unwind;
    use std::process::ExitCode;

    if let Some(act) = std::env::var_os("PARTYWALL_ACT") {
        acts::perform(act.to_str().expect("acts have plain names"));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let tests = [
        permissions::TESTS,
        reader::TESTS,
        confidential::TESTS,
        containers::TESTS,
        scarce::TESTS,
    ];
    let (mut passed, mut failed) = (0, 0);
    for &(name, test) in tests.into_iter().flatten() {
        if !filters.is_empty() && !filters.iter().any(|part| name.contains(part)) {
            continue;
        }
        match catch_unwind(test) {
            Ok(()) => {
                println!("test {name} ... ok");
                passed += 1;
            }
            Err(_) => {
                println!("test {name} ... FAILED");
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
