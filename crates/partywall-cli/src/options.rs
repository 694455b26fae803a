//! Options that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use partywall::ring::Overflow;
use partywall::{Namespace, OpenError, WaitStrategy};

/// Where the channels are.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// Directory of the channels, instead of $PARTYWALL_DIR
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub(crate) dir: Option<PathBuf>,
}

impl Place {
    pub(crate) fn open(&self) -> Result<Namespace, OpenError> {
        match &self.dir {
            Some(path) => Namespace::open(path),
            None => Namespace::open_default(),
        }
    }
}

/// How to wait.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Wait {
    /// Never sleep: lowest latency, a whole core
    Spin,
    /// Spin for some microseconds, then sleep
    #[default]
    SpinThenPark,
    /// Sleep at once: least processor time
    Park,
}

impl From<Wait> for WaitStrategy {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Spin => WaitStrategy::Spin,
            Wait::SpinThenPark => WaitStrategy::SpinThenPark,
            Wait::Park => WaitStrategy::Park,
        }
    }
}

/// See [`Overflow`].
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum WhenFull {
    /// Wait
    #[default]
    Block,
    /// End with an error
    Fail,
    /// Drop what was to be sent, and count it
    Drop,
}

/// See [`Alone`](partywall::ring::Alone).
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum WhenAlone {
    /// Wait for one
    #[default]
    Wait,
    /// Go on; what nobody reads is gone
    Discard,
}

impl From<WhenFull> for Overflow {
    fn from(when: WhenFull) -> Self {
        match when {
            WhenFull::Block => Overflow::Block,
            WhenFull::Fail => Overflow::Fail,
            WhenFull::Drop => Overflow::DropNewest,
        }
    }
}

/// How long to go on receiving, and how.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Stream {
    /// At the end wait for whoever opens the channel next, and go on
    #[arg(long)]
    pub(crate) follow: bool,

    /// How to wait for what comes
    #[arg(long, value_enum, default_value_t)]
    pub(crate) wait: Wait,

    /// Give up when there is no channel, or nothing arrives, for so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

/// Parses a size: bytes, or with a suffix such as `64k`, `16M`, `1GiB` (all of them powers of 1024).
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let shift = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err("a number of bytes, with k, M, G or T if you like".to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| "a size from 1 byte to 1 TiB".to_owned())
}

/// Parses seconds, fractions allowed.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "a number of seconds, such as 2 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_suffixes() {
        for (text, bytes) in [
            ("1", 1),
            ("4096", 4096),
            ("64k", 65536),
            ("16MiB", 16 << 20),
            ("1t", 1 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "0",
            "-1",
            "1x",
            "k",
            "99999999999999999999",
            "18446744073709551615k",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_are_read_and_nonsense_is_not() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "-1", "nan", "inf", "1e400", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
