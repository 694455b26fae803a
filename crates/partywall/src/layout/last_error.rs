//! The numbers in the words that hold the last error a side met.

/// What went wrong last, for people who look from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum LastError {
    TooLarge = 1,
    Full = 2,
    TimedOut = 3,
    NoConsumer = 4,
    Damaged = 5,
    Evicted = 6,
    Deleted = 7,
    Superseded = 8,
    OwnerDied = 9,
    Vanished = 10,
}

/// The number in `PROTOCOL.md`'s terms; `None` for 0, which is no error.
pub(crate) fn name(number: u64) -> Option<&'static str> {
    Some(match number {
        0 => return None,
        1 => "too large",
        2 => "full",
        3 => "timed out",
        4 => "no consumer",
        5 => "damaged",
        6 => "evicted",
        7 => "deleted",
        8 => "superseded",
        9 => "owner died",
        10 => "vanished",
        _ => "unknown",
    })
}
