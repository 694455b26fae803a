//! What is there is not what an owner wants: another pattern, too small, damaged.

use crate::channel::directory::{ChannelDirectory, owner_file};
use crate::channel::generation::Wanted;
use crate::channel::schema;
use crate::channel::segment::Header;
use crate::error::OpenError;
use crate::layout::header::{self, Pattern, State};
use crate::memory::Shared;
use crate::os;
use crate::protocol::Lie;

pub(in crate::channel) fn broken(name: &str, generation: u64) -> OpenError {
    OpenError::Damaged {
        channel: name.to_owned(),
        file: owner_file(generation),
        lie: Lie {
            word: "state",
            place: header::STATE,
            expected: "READY; an earlier owner found the generation damaged",
            found: State::BROKEN.0.into(),
        },
    }
}

/// A channel has one pattern for its lifetime.
pub(crate) fn expect_pattern(
    name: &str,
    header: &Header,
    expected: &[Pattern],
) -> Result<(), OpenError> {
    if expected.contains(&header.pattern) {
        return Ok(());
    }
    Err(OpenError::WrongPattern {
        channel: name.to_owned(),
        expected: expected
            .first()
            .map_or("another pattern", |pattern| pattern.name()),
        found: header.pattern.name().to_owned(),
    })
}

/// In what a generation is not as wanted.
pub(crate) fn mismatch(
    channel: &ChannelDirectory,
    header: &Header,
    owner: &impl Shared,
    wanted: &Wanted,
) -> Option<OpenError> {
    if let Some((option, expected, found)) = shortcoming(header, wanted) {
        return Some(OpenError::Mismatch {
            channel: channel.name().to_owned(),
            option,
            expected,
            found,
        });
    }
    schema::expect(channel, header, owner, wanted.schema.as_ref()).err()
}

/// In what the generation that is there falls short: option, wanted, found.
fn shortcoming(header: &Header, wanted: &Wanted) -> Option<(&'static str, u64, u64)> {
    [
        (
            "a record size of",
            wanted.record_size.into(),
            header.record_size.into(),
        ),
        ("a capacity of", wanted.payload_size, header.payload_size),
        (
            "a number of seats of",
            wanted.seats.into(),
            header.seat_count.into(),
        ),
        (
            "checksums",
            wanted.checksums.into(),
            u64::from(header.flags & header::FLAG_CHECKSUM != 0),
        ),
        (
            "confidentiality",
            wanted.confidential.into(),
            u64::from(header.flags & header::FLAG_CONFIDENTIAL != 0),
        ),
    ]
    .into_iter()
    .find(|(_, wanted, found)| found < wanted)
}

/// Only what is read without a seat can be shared with other users.
pub(crate) fn check_readers(pattern: Pattern, wanted: &Wanted) -> Result<(), OpenError> {
    match wanted.readers {
        Some(readers) if readers.any() && !os::SHARES_WITH_OTHERS => {
            Err(OpenError::InvalidOption {
                option: "the mode of a channel on Windows",
                expected: "0600: its owner and SYSTEM have access, by the lists of its directory, its files and its named objects, and sharing it with other users is not offered here",
                found: format!("{:04o}", readers.mode()),
            })
        }
        Some(readers) if readers.any() && !pattern.may_be_shared() => {
            Err(OpenError::InvalidOption {
                option: "the mode of such a channel",
                expected: "0600 (only snapshots and broadcasts can be shared with other users, who read and do nothing else)",
                found: format!("{:04o}", readers.mode()),
            })
        }
        _ => Ok(()),
    }
}
