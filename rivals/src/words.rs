//! Records of 64 bytes as values of a type, which most rivals want.
#![allow(dead_code, reason = "not every rival needs all of it")]

use partywall_bench::Outcome;

/// Eight words.
pub type Words = [u64; 8];

#[inline(always)]
pub fn words(payload: &[u8]) -> Outcome<Words> {
    bytemuck::try_pod_read_unaligned(payload).map_err(|_| "records are of 64 bytes here".into())
}

#[inline(always)]
pub fn bytes(words: &Words) -> &[u8] {
    bytemuck::bytes_of(words)
}

/// Calls until there is something.
#[inline(always)]
pub fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        std::hint::spin_loop();
    }
}

/// A name for what rivals keep outside of the run's directory.
pub fn unique(seat: &partywall_bench::contest::Seat, name: &str) -> String {
    let run = seat.place.file_name().unwrap_or_default().to_string_lossy();
    // Some take what follows a dot for a suffix, and leave it off.
    format!("{run}-{}", seat.name(name)).replace('.', "-")
}
