//! The schema of a generation's records: a text behind the payload of the owner side, written before anybody
//! looks and never changed. Read like all that is shared: once, with bounds, checked, and used from the copy.

use super::directory::{ChannelDirectory, owner_file};
use super::segment::Header;
use crate::error::OpenError;
use crate::layout::geometry::MAX_SCHEMA;
use crate::layout::{PAGE, header, round_up};
use crate::memory::{Region, Shared, SharedMut, Writable};
use crate::protocol::Lie;
use crate::record::{Change, Difference, Schema};

/// Where the text begins, in an owner side's header that was checked: behind the payload, whatever the pattern.
fn text_at(header: &Header) -> u64 {
    header.total_size - round_up(header.schema_size.into(), PAGE)
}

/// Writes the text of a generation that nobody looks at yet.
pub(super) fn write(owner: &Region<Writable>, header: &Header, text: &str) {
    if !text.is_empty() {
        owner.copy_in(text_at(header), text.as_bytes());
    }
}

/// The schema of a generation; `None` if its records are bytes.
///
/// # Errors
/// [`OpenError::Damaged`] if the text is not the one of the hash, or no schema.
pub(crate) fn read(
    channel: &ChannelDirectory,
    header: &Header,
    owner: &impl Shared,
) -> Result<Option<Schema>, OpenError> {
    let damaged = |word, place, expected, found| OpenError::Damaged {
        channel: channel.name().to_owned(),
        file: owner_file(header.generation),
        lie: Lie {
            word,
            place,
            expected,
            found,
        },
    };
    let (size, hash) = (header.schema_size, header.schema_hash);
    if size == 0 && hash == 0 {
        return Ok(None);
    }
    // The geometry was checked with this size: the text lies inside the segment.
    if size == 0 || hash == 0 || size > MAX_SCHEMA {
        let expected = "1 byte to 64 KiB with a hash, or neither";
        let place = header::SCHEMA_SIZE;
        return Err(damaged("schema_size", place, expected, size.into()));
    }
    let mut text = vec![0; size as usize];
    owner.copy_out(text_at(header), &mut text);
    let found = crate::record::hash(&text);
    if found != hash {
        let expected = "the hash of the schema's text";
        return Err(damaged("schema_hash", header::SCHEMA_HASH, expected, hash));
    }
    match Schema::parse(&text) {
        Ok(schema) => Ok(Some(schema)),
        Err(error) => {
            let line = error.line as u64;
            Err(damaged(
                "line of the schema",
                text_at(header),
                error.problem,
                line,
            ))
        }
    }
}

/// Refuses a generation whose records are not those that are wanted. Who wants none in particular gets bytes.
pub(crate) fn expect(
    channel: &ChannelDirectory,
    header: &Header,
    owner: &impl Shared,
    wanted: Option<&Schema>,
) -> Result<(), OpenError> {
    let Some(wanted) = wanted else {
        return Ok(());
    };
    let difference = match read(channel, header, owner)? {
        Some(found) => wanted.difference(&found),
        None => Some(Difference {
            path: wanted.name().to_owned(),
            change: Change::Untyped,
        }),
    };
    match difference {
        None => Ok(()),
        Some(difference) => Err(OpenError::SchemaMismatch {
            channel: channel.name().to_owned(),
            difference,
        }),
    }
}
