//! A forked child is no second writer, and does not keep its parent's locks alive.
//!
//! Without the harness, whose threads a fork would not carry over.

#[cfg(unix)]
mod children;
#[cfg(unix)]
#[path = "../common/mod.rs"]
mod common;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    children::main()
}

#[cfg(not(unix))]
fn main() {
    println!("0 passed, 0 failed: there is no fork here");
}
