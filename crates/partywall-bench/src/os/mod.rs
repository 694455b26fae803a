//! What the harness needs of the operating system.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(any(target_os = "linux", windows)))]
mod other;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
pub(crate) use linux::{
    HAS_FUTEXES, HAS_HUGE_PAGES, allocated, ask_for_huge_pages, ask_for_priority, bind, cores,
    run_when_idle, sleep, this_program, wake,
};
#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) use other::{
    HAS_FUTEXES, HAS_HUGE_PAGES, allocated, ask_for_huge_pages, ask_for_priority, bind, cores,
    run_when_idle, sleep, this_program, wake,
};
#[cfg(windows)]
pub(crate) use windows::{
    HAS_FUTEXES, HAS_HUGE_PAGES, allocated, ask_for_huge_pages, ask_for_priority, bind, cores,
    run_when_idle, sleep, this_program, wake,
};
