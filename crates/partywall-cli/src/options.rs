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

    /// Read what another user shares: his number. His channels are in --dir, or /dev/shm/partywall-UID
    #[arg(long, global = true, value_name = "UID")]
    pub(crate) owner: Option<u32>,
}

impl Place {
    pub(crate) fn open(&self) -> Result<Namespace, OpenError> {
        self.open_for(&Protection::default())
    }

    /// The same, for who may make a channel there: one that is shared needs a namespace that lets others in.
    pub(crate) fn open_for(&self, protection: &Protection) -> Result<Namespace, OpenError> {
        let readable = protection.mode.unwrap_or(0) & 0o044;
        let mode = 0o700 | readable | readable >> 2;
        match (&self.dir, self.owner) {
            (Some(path), Some(user)) => Namespace::open_of(path, user),
            (None, Some(user)) => Namespace::of_user(user),
            (Some(path), None) => Namespace::open_with_mode(path, mode),
            (None, None) => Namespace::open_with_mode(Namespace::default_path(), mode),
        }
    }
}

/// Who may read a channel, and what is kept from everybody.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Protection {
    /// Who may read it: 0600 you alone, 0640 its group, 0644 everybody; nobody else ever writes. [default: as it is, and
    /// 0600 at first]
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub(crate) mode: Option<u32>,

    /// Keep it out of core dumps, and overwrite it before it is freed
    #[arg(long)]
    pub(crate) confidential: bool,

    /// Keep it out of swap while this command has it open
    #[arg(long)]
    pub(crate) lock_memory: bool,

    /// Windows: let its memory be of the page file, in no file of its own; it goes with the last process that has the channel open
    #[arg(long)]
    pub(crate) page_file: bool,

    /// Windows: let processes of other log-on sessions wake each other, and with --page-file find it (which takes
    /// SeCreateGlobalPrivilege)
    #[arg(long)]
    pub(crate) global: bool,
}

/// An owner's options with a [`Protection`].
macro_rules! protected {
    ($options:expr, $protection:expr) => {{
        let protection: $crate::options::Protection = $protection;
        let options = $options
            .confidential(protection.confidential)
            .locked_in_memory(protection.lock_memory);
        let options = match protection.mode {
            Some(mode) => options.mode(mode),
            None => options,
        };
        let options = match protection.page_file {
            true => options.backing(partywall::Backing::PageFile),
            false => options,
        };
        match protection.global {
            true => options.global(true),
            false => options,
        }
    }};
}
pub(crate) use protected;

/// Parses a file's mode, such as `0644` or `640`.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777 && !text.starts_with('+'))
        .ok_or_else(|| "an octal mode, such as 0644".to_owned())
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
    fn modes_are_octal() {
        assert_eq!(mode("0644"), Ok(0o644));
        assert_eq!(mode("640"), Ok(0o640));
        for text in ["", "rw-r--r--", "0o644", "999", "+644", "100644"] {
            assert!(mode(text).is_err(), "{text}");
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
