//! Making segments and opening them: a header is read once, checked, and used from the local copy.

use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::directory::{ChannelDirectory, UNFINISHED};
use crate::error::{Denied, OpenError};
use crate::layout::geometry::{Geometry, Sizes};
use crate::layout::header::{
    self, FLAG_CONFIDENTIAL, FLAG_GLOBAL, FLAG_PAGE_FILE, KNOWN_INCOMPATIBLE, MAGIC_VALUE, Pattern,
    Side, State,
};
use crate::layout::{self, MAX_SEATS, PAGE, mpsc, peers, slots};
use crate::memory::{ReadOnly, Region, Shared, SharedMut, Writable};
use crate::os::{self, File, FileKind, Mapping, OpenMode, Provision, Unreachable};
use crate::protocol::Lie;

/// A local copy of a header that was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) pattern: Pattern,
    pub(crate) side: Side,
    pub(crate) state: State,
    pub(crate) flags: u32,
    pub(crate) total_size: u64,
    pub(crate) generation: u64,
    pub(crate) payload_offset: u64,
    pub(crate) payload_size: u64,
    pub(crate) record_size: u32,
    pub(crate) seat_count: u32,
    pub(crate) schema_size: u32,
    pub(crate) schema_hash: u64,
    pub(crate) base_seq: u64,
    pub(crate) base_records: u64,
    pub(crate) instance: u64,
    pub(crate) created_ns: u64,
}

/// What a file turned out to be.
#[derive(Debug)]
pub(crate) enum Opened<Access> {
    Segment(Region<Access>, Header),
    /// There is no such file.
    Missing,
    /// All zero: its creator has not finished, or died before it could.
    Initializing,
    /// Its memory went with the last process that had it.
    Vanished,
}

impl<Access> Opened<Access> {
    /// The segment, where anything else is damage.
    pub(crate) fn expect_segment(
        self,
        channel: &ChannelDirectory,
        file: &str,
    ) -> Result<(Region<Access>, Header), OpenError> {
        match self {
            Opened::Segment(region, header) => Ok((region, header)),
            Opened::Missing => Err(damaged(
                channel.name(),
                file,
                Lie {
                    word: "file",
                    place: 0,
                    expected: "to exist, for the root names its generation",
                    found: 0,
                },
            )),
            Opened::Vanished => Err(OpenError::Vanished {
                channel: channel.name().to_owned(),
                file: file.to_owned(),
            }),
            Opened::Initializing => Err(damaged(
                channel.name(),
                file,
                Lie {
                    word: "state",
                    place: header::STATE,
                    expected: "READY, for the root names its generation",
                    found: 0,
                },
            )),
        }
    }
}

fn damaged(channel: &str, file: &str, lie: Lie) -> OpenError {
    OpenError::Damaged {
        channel: channel.to_owned(),
        file: file.to_owned(),
        lie,
    }
}

impl Header {
    /// Where its memory comes from, and who finds it.
    pub(crate) fn provision(&self) -> Provision {
        Provision {
            page_file: self.flags & FLAG_PAGE_FILE != 0,
            global: self.flags & FLAG_GLOBAL != 0,
        }
    }

    /// Where things lie on one side of this generation.
    pub(crate) fn geometry(
        &self,
        side: Side,
    ) -> Result<Geometry, crate::layout::geometry::Impossible> {
        Sizes {
            pattern: self.pattern,
            payload_size: self.payload_size,
            record_size: self.record_size,
            seats: self.seat_count,
            schema_size: self.schema_size,
        }
        .of(side)
    }
}

/// Opens a segment for reading.
pub(crate) fn open_read_only(
    channel: &ChannelDirectory,
    file: &str,
    side: Side,
) -> Result<Opened<ReadOnly>, OpenError> {
    match map(channel, file, OpenMode::Read, u64::MAX)? {
        Mapped::Here(mapping, size) => check(channel, file, side, Region::read_only(mapping), size),
        Mapped::Missing => Ok(Opened::Missing),
        Mapped::Vanished => Ok(Opened::Vanished),
    }
}

/// Whether a file that is to be removed says that it is confidential, or is too damaged to say that it is not.
pub(crate) fn may_be_confidential(file: &File) -> bool {
    let mut head = [0; header::FLAGS as usize + 4];
    match file.read_at(0, &mut head) {
        // Its maker has not come so far as to give it contents.
        Ok(read) if word_at(&head[..read], header::MAGIC) == Some(0) => false,
        Ok(read) => !is_public(&head[..read]),
        Err(_) => true,
    }
}

/// Whether a segment's first bytes say that it is not confidential.
fn is_public(head: &[u8]) -> bool {
    let flags = header::FLAGS as usize;
    let flags = head
        .get(flags..flags + 4)
        .and_then(|bytes| bytes.try_into().ok());
    word_at(head, header::MAGIC) == Some(MAGIC_VALUE)
        && flags.is_some_and(|flags| u32::from_le_bytes(flags) & FLAG_CONFIDENTIAL == 0)
}

fn word_at(bytes: &[u8], at: u64) -> Option<u64> {
    let word = bytes.get(at as usize..at as usize + 8)?;
    Some(u64::from_le_bytes(word.try_into().ok()?))
}

/// What has no secrets may be in core dumps; what is to stay out of swap is locked in memory; and who sleeps on it is
/// found from where the channel is.
fn protect<Access>(
    channel: &ChannelDirectory,
    region: &Region<Access>,
    header: &Header,
) -> Result<(), OpenError> {
    if header.flags & FLAG_CONFIDENTIAL == 0 {
        region
            .show_in_dumps()
            .map_err(|error| channel.error(Denied::Map, "let dumps have a segment", error))?;
    }
    if header.provision().global {
        region.serve_all_sessions();
    }
    let lanes = header.pattern == Pattern::Mpsc && header.side == Side::Peers;
    // Seats and the root hold nothing of the application's.
    if !channel.lock_memory || !(lanes || header.side == Side::Owner) {
        return Ok(());
    }
    // Lanes that nobody has claimed take no memory, and must not be made to.
    region
        .lock_in_memory(!lanes)
        .map_err(|source| OpenError::NotLockable {
            channel: channel.name().to_owned(),
            needed: region.size(),
            limit: os::memory_lock_limit(),
            source,
        })
}

/// Opens a segment for writing: by its owner, or by a peer that holds a seat in it. What belongs to other seats
/// alone is not mapped.
pub(crate) fn open_writable(
    channel: &ChannelDirectory,
    file: &str,
    side: Side,
) -> Result<Opened<Writable>, OpenError> {
    let most = if side == Side::Peers {
        peers::HEAD
    } else {
        u64::MAX
    };
    channel.expect_own(Denied::Map)?;
    match map(channel, file, OpenMode::ReadWrite, most)? {
        Mapped::Here(mapping, size) => {
            let region = Region::writable(mapping).expect("it was mapped writable");
            check(channel, file, side, region, size)
        }
        Mapped::Missing => Ok(Opened::Missing),
        Mapped::Vanished => Ok(Opened::Vanished),
    }
}

enum Mapped {
    /// With the size of the whole file.
    Here(Mapping, u64),
    Missing,
    Vanished,
}

fn map(
    channel: &ChannelDirectory,
    file: &str,
    mode: OpenMode,
    most: u64,
) -> Result<Mapped, OpenError> {
    let found = match channel.files().open_file(file, mode) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Mapped::Missing),
        Err(error) => {
            let denied = match mode {
                OpenMode::Read => Denied::Open,
                OpenMode::ReadWrite => Denied::Map,
            };
            return Err(channel.error_at(file, denied, "open a segment", error));
        }
    };
    let (name, file_name) = (|| channel.name().to_owned(), || file.to_owned());
    match found.unreachable() {
        None => {}
        Some(Unreachable::Gone) => return Ok(Mapped::Vanished),
        Some(Unreachable::ForeignObject { object }) => {
            return Err(OpenError::ForeignObject {
                channel: name(),
                file: file_name(),
                object,
            });
        }
        Some(Unreachable::OtherSession { theirs, ours }) => {
            return Err(OpenError::OtherSession {
                channel: name(),
                file: file_name(),
                theirs,
                ours,
            });
        }
    }
    let mapped = match channel.glance && mode == OpenMode::Read {
        true => Mapping::glance(&found, most, PAGE, |head| !is_public(head)),
        false => Mapping::head(&found, most, mode == OpenMode::ReadWrite),
    };
    match mapped {
        Ok((mapping, size)) => Ok(Mapped::Here(mapping, size)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(OpenError::WrongSize {
            channel: channel.name().to_owned(),
            file: file.to_owned(),
            expected: PAGE,
            found: 0,
        }),
        Err(error) => Err(channel.error_at(file, Denied::Map, "map a segment", error)),
    }
}

/// Checks a segment; an error too if some of what was looked at was not there.
fn check<Access>(
    channel: &ChannelDirectory,
    file: &str,
    side: Side,
    region: Region<Access>,
    size: u64,
) -> Result<Opened<Access>, OpenError>
where
    Region<Access>: Shared,
{
    let checked = check_header(channel.name(), file, side, &region, size);
    match region.lost_page() {
        None => Ok(match checked? {
            Some(header) => {
                protect(channel, &region, &header)?;
                Opened::Segment(region, header)
            }
            None => Opened::Initializing,
        }),
        Some(at) => Err(damaged(channel.name(), file, Lie::lost_page(at))),
    }
}

/// Reads the header once and checks everything that later code relies on; `None`: its creator has not finished. The file
/// has `size` bytes.
pub(crate) fn check_header(
    channel: &str,
    file: &str,
    side: Side,
    region: &impl Shared,
    size: u64,
) -> Result<Option<Header>, OpenError> {
    let wrong_size = |expected: u64| OpenError::WrongSize {
        channel: channel.to_owned(),
        file: file.to_owned(),
        expected,
        found: size,
    };
    let lie = |word: &'static str, place: u64, expected: &'static str, found: u64| {
        damaged(
            channel,
            file,
            Lie {
                word,
                place,
                expected,
                found,
            },
        )
    };
    if size < PAGE {
        return Err(wrong_size(PAGE));
    }
    // SYNC publish: READY was stored Release after everything else in the header.
    let state = State(region.load32(header::STATE, Acquire));
    let magic = region.load(header::MAGIC, Relaxed);
    if magic != MAGIC_VALUE {
        if magic == 0 && state == State::INITIALIZING {
            return Ok(None);
        }
        return Err(OpenError::Foreign {
            channel: channel.to_owned(),
            file: file.to_owned(),
            found: magic,
        });
    }
    let versions = region.load32(header::ABI_VERSION, Relaxed);
    let (abi, header_size) = (versions as u16, (versions >> 16) as u16);
    if abi != layout::ABI_VERSION {
        return Err(OpenError::WrongAbi {
            channel: channel.to_owned(),
            file: file.to_owned(),
            expected: layout::ABI_VERSION,
            found: abi,
        });
    }
    let unknown = region.load(header::INCOMPATIBLE_FEATURES, Relaxed) & !KNOWN_INCOMPATIBLE;
    if unknown != 0 {
        return Err(OpenError::UnknownFeatures {
            channel: channel.to_owned(),
            file: file.to_owned(),
            features: unknown,
        });
    }
    if u64::from(header_size) != header::SIZE {
        return Err(lie(
            "header_size",
            header::HEADER_SIZE,
            "256",
            header_size.into(),
        ));
    }
    if state == State::INITIALIZING {
        return Ok(None);
    }
    if state.phase().is_none() {
        return Err(lie("state", header::STATE, "a known state", state.0.into()));
    }
    let kinds = region.load32(header::PATTERN, Relaxed);
    let (number, found_side) = (kinds as u16, (kinds >> 16) as u16);
    let Some(pattern) = Pattern::from_number(number) else {
        return Err(OpenError::WrongPattern {
            channel: channel.to_owned(),
            expected: "pattern that this version knows",
            found: number.to_string(),
        });
    };
    if found_side != side.number() {
        return Err(lie(
            "side",
            header::SIDE,
            "the side of its name",
            found_side.into(),
        ));
    }
    let header = Header {
        pattern,
        side,
        state,
        flags: region.load32(header::FLAGS, Relaxed),
        total_size: region.load(header::TOTAL_SIZE, Relaxed),
        generation: region.load(header::GENERATION, Relaxed),
        payload_offset: region.load(header::PAYLOAD_OFFSET, Relaxed),
        payload_size: region.load(header::PAYLOAD_SIZE, Relaxed),
        record_size: region.load32(header::RECORD_SIZE, Relaxed),
        seat_count: region.load32(header::SEAT_COUNT, Relaxed),
        schema_size: region.load32(header::SCHEMA_SIZE, Relaxed),
        schema_hash: region.load(header::SCHEMA_HASH, Relaxed),
        base_seq: region.load(header::BASE_SEQ, Relaxed),
        base_records: region.load(header::BASE_RECORDS, Relaxed),
        instance: region.load(header::INSTANCE, Relaxed),
        created_ns: region.load(header::CREATED_NS, Relaxed),
    };
    if header.total_size != size {
        return Err(wrong_size(header.total_size));
    }
    if side != Side::Root && !(1..=MAX_SEATS).contains(&header.seat_count) {
        let found = header.seat_count.into();
        return Err(lie("seat_count", header::SEAT_COUNT, "1 to 64", found));
    }
    let geometry = header
        .geometry(side)
        .map_err(|(word, place, expected, found)| lie(word, place, expected, found))?;
    if header.payload_offset != geometry.payload_offset {
        let found = header.payload_offset;
        let expected = "where this pattern has it";
        return Err(lie(
            "payload_offset",
            header::PAYLOAD_OFFSET,
            expected,
            found,
        ));
    }
    if let Some(expected) = wrong_base(pattern, header.base_seq) {
        return Err(lie("base_seq", header::BASE_SEQ, expected, header.base_seq));
    }
    let expected = geometry.total_size;
    if size != expected {
        return Err(wrong_size(expected));
    }
    Ok(Some(header))
}

/// The lane of a sender that holds the seat's lock: its memory is reserved, and nothing else is mapped. What lies in
/// it stays. `None` if the file is not the one whose header that is: the channel was removed and made anew.
pub(crate) fn open_lane(
    channel: &ChannelDirectory,
    file: &str,
    header: &Header,
    seat: u32,
) -> Result<Option<Region<Writable>>, OpenError> {
    let at = mpsc::lane_at(header.payload_size, seat);
    let found = match channel.files().open_file(file, OpenMode::ReadWrite) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(channel.error_at(file, Denied::Map, "open a segment", error)),
    };
    let (head, _) = Mapping::head(&found, PAGE, false)
        .map_err(|error| channel.error_at(file, Denied::Map, "map a segment", error))?;
    if Region::read_only(head).load(header::INSTANCE, Relaxed) != header.instance {
        return Ok(None);
    }
    found.reserve(at, header.payload_size).map_err(|error| {
        let operation = "reserve a lane";
        no_space(
            channel,
            operation,
            header.payload_size,
            header.provision(),
            error,
        )
    })?;
    let mapping = Mapping::part(&found, at, header.payload_size, true)
        .map_err(|error| channel.error_at(file, Denied::Map, "map a lane", error))?;
    let lane = Region::writable(mapping).expect("it was mapped writable");
    let locked = Header {
        // A lane is present as a whole, once it was claimed.
        side: Side::Owner,
        ..*header
    };
    protect(channel, &lane, &locked)?;
    Ok(Some(lane))
}

/// What a generation's base would have to be, if it may not be this one.
pub(crate) fn wrong_base(pattern: Pattern, base: u64) -> Option<&'static str> {
    match pattern {
        Pattern::Ring if base & 7 != 0 => Some("a multiple of 8"),
        Pattern::Snapshot | Pattern::Broadcast | Pattern::Guarded if base > slots::LAST_VERSION => {
            Some("a version, at most 2^62")
        }
        // Marks are twice a frame's number, and compared by the sign of their difference.
        Pattern::Frames if base >> 61 != 0 => Some("less than 2^61"),
        _ => None,
    }
}

fn no_space(
    channel: &ChannelDirectory,
    operation: &'static str,
    needed: u64,
    provision: Provision,
    error: io::Error,
) -> OpenError {
    if error.kind() == io::ErrorKind::PermissionDenied
        && no_global_right(provision, os::lacks_global_right)
    {
        return OpenError::NoGlobalRight {
            channel: channel.name().to_owned(),
            source: error,
        };
    }
    match error.kind() {
        // Without a file that could be made, no number of bytes helps.
        io::ErrorKind::StorageFull if channel.files().most_files().is_some() => {
            channel.error(Denied::Make, operation, error)
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenError::NoSpace {
            channel: channel.name().to_owned(),
            needed,
            free: channel.files().free_bytes(provision).unwrap_or(0),
        },
        _ => channel.error(Denied::Make, operation, error),
    }
}

/// Whether it is for want of a right that memory could not be made: events take none, and neither do files.
fn no_global_right(provision: Provision, lacks: impl FnOnce() -> bool) -> bool {
    provision.page_file && provision.global && lacks()
}

/// Makes a segment under an unfinished name, fills it, and only then gives it its own: whoever finds the
/// name finds it complete. Called under the owner lock.
pub(crate) fn create(
    channel: &ChannelDirectory,
    file: &str,
    header: &Header,
    fill: impl FnOnce(&Region<Writable>),
) -> Result<Region<Writable>, OpenError> {
    let unfinished = format!("{file}{UNFINISHED}");
    let files = channel.files();
    let stands = || {
        let stands = channel.expect_the_claim_to_stand();
        stands.map_err(|error| channel.error(Denied::Make, "go on making a segment", error))
    };
    stands()?;
    match files.remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let operation = "remove what a dead creator left";
            return Err(named(
                channel,
                &unfinished,
                Denied::Delete,
                operation,
                error,
            ));
        }
        _ => {}
    }
    let reserved = header
        .geometry(header.side)
        .map_or(header.total_size, |geometry| geometry.reserved);
    let (len, provision) = (header.total_size, header.provision());
    let made = files
        .create_reserved(&unfinished, len, reserved, channel.readers, provision)
        .map_err(|error| no_space(channel, "make a segment", reserved, provision, error))?;
    let region = Mapping::new(&made, true)
        .map_err(|error| channel.error_at(&unfinished, Denied::Map, "map a segment", error))
        .map(|mapping| Region::writable(mapping).expect("it was mapped writable"))
        .and_then(|region| {
            protect(channel, &region, header)?;
            Ok(region)
        })
        .inspect_err(|_| {
            // Nothing is left behind; the error that counts is the first.
            let _ = files.remove_file(&unfinished);
        })?;
    write(&region, header);
    fill(&region);
    // SYNC publish
    region.store32(header::STATE, header.state.0, Release);
    stands()?;
    files.rename(&unfinished, file).map_err(|error| {
        let _ = files.remove_file(&unfinished);
        named(channel, file, Denied::Make, "name a segment", error)
    })?;
    Ok(region)
}

/// Names cannot be changed: it is the directory that forbids it, or something else has the name.
pub(super) fn named(
    channel: &ChannelDirectory,
    file: &str,
    denied: Denied,
    operation: &'static str,
    error: io::Error,
) -> OpenError {
    let in_the_way = matches!(channel.files().kind_of(file), Ok(kind) if kind != FileKind::File);
    match error.kind() {
        io::ErrorKind::PermissionDenied if !in_the_way => channel.error(denied, operation, error),
        _ => channel.error_at(file, denied, operation, error),
    }
}

fn write(region: &Region<Writable>, header: &Header) {
    let pair = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
    region.store32(
        header::ABI_VERSION,
        pair(layout::ABI_VERSION, header::SIZE as u16),
        Relaxed,
    );
    region.store32(header::FLAGS, header.flags, Relaxed);
    region.store32(
        header::PATTERN,
        pair(header.pattern.number(), header.side.number()),
        Relaxed,
    );
    for (at, value) in [
        (header::TOTAL_SIZE, header.total_size),
        (header::GENERATION, header.generation),
        (header::PAYLOAD_OFFSET, header.payload_offset),
        (header::PAYLOAD_SIZE, header.payload_size),
        (header::SCHEMA_HASH, header.schema_hash),
        (header::BASE_SEQ, header.base_seq),
        (header::BASE_RECORDS, header.base_records),
        (header::INSTANCE, header.instance),
        (header::CREATED_NS, header.created_ns),
        (header::HEARTBEAT_NS, os::boottime_ns()),
        (header::OWNER_PID, os::process_id().into()),
        (header::OWNER_SINCE_NS, os::boottime_ns()),
    ] {
        region.store(at, value, Relaxed);
    }
    region.store32(header::RECORD_SIZE, header.record_size, Relaxed);
    region.store32(header::SEAT_COUNT, header.seat_count, Relaxed);
    region.store32(header::SCHEMA_SIZE, header.schema_size, Relaxed);
    // Last of all but the state: whoever maps an unfinished file by accident finds no magic.
    region.store(header::MAGIC, MAGIC_VALUE, Relaxed);
}

#[cfg(all(test, unix))] // elsewhere a lane takes its memory when the channel is made
mod tests {
    use super::super::namespace::Namespace;
    use super::*;

    /// The peer side of an mpsc channel.
    fn peer_side(lane: u64, seats: u32) -> Header {
        let header = Header {
            pattern: Pattern::Mpsc,
            side: Side::Peers,
            state: State::READY,
            flags: 0,
            total_size: 0,
            generation: 1,
            payload_offset: 0,
            payload_size: lane,
            record_size: 0,
            seat_count: seats,
            schema_size: 0,
            schema_hash: 0,
            base_seq: 0,
            base_records: 0,
            instance: 7,
            created_ns: 0,
        };
        let geometry = header.geometry(Side::Peers).unwrap();
        Header {
            total_size: geometry.total_size,
            payload_offset: geometry.payload_offset,
            ..header
        }
    }

    #[test]
    fn a_lane_takes_memory_when_it_is_claimed_and_is_all_that_a_sender_maps_of_the_lanes() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let namespace = Namespace::open(directory.path()).unwrap();
        let channel = ChannelDirectory::open(&namespace, "c", true)
            .unwrap()
            .unwrap();
        let lane = 1 << 20;
        let header = peer_side(lane, 64);
        drop(create(&channel, "1.peers", &header, |_| {}).unwrap());
        let taken = || channel.files().bytes_of("1.peers").unwrap();
        let head = taken();
        // Windows reserves all of it when it is made.
        let lane_taken = if cfg!(windows) { 0 } else { lane };
        let most = if cfg!(windows) {
            header.total_size
        } else {
            peers::HEAD
        };
        assert!(head <= most, "{head} bytes");

        let opened = open_writable(&channel, "1.peers", Side::Peers).unwrap();
        let (seats, found) = opened.expect_segment(&channel, "1.peers").unwrap();
        assert_eq!(found.payload_size, lane);
        assert_eq!(seats.size(), peers::HEAD);
        let own = open_lane(&channel, "1.peers", &found, 63).unwrap().unwrap();
        assert_eq!(own.size(), lane);
        assert_eq!(taken(), head + lane_taken);
        own.store(lane - 8, 42, Relaxed);

        // What was in it stays, and the receiver finds it where the lane lies.
        let again = open_lane(&channel, "1.peers", &found, 63).unwrap().unwrap();
        assert_eq!(again.load(lane - 8, Relaxed), 42);
        assert_eq!(taken(), head + lane_taken);
        let opened = open_read_only(&channel, "1.peers", Side::Peers).unwrap();
        let (all, _) = opened.expect_segment(&channel, "1.peers").unwrap();
        assert_eq!(all.size(), header.total_size);
        let at = mpsc::lane_at(lane, 63);
        assert_eq!(all.load(at + lane - 8, Relaxed), 42);
    }

    #[test]
    fn the_missing_right_is_told_where_it_is_needed_and_missing() {
        for page_file in [false, true] {
            for global in [false, true] {
                for lacks in [false, true] {
                    let provision = Provision { page_file, global };
                    let told = no_global_right(provision, || lacks);
                    assert_eq!(told, page_file && global && lacks, "{provision:?}");
                }
            }
        }
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let channel = "c".to_owned();
        let told = OpenError::NoGlobalRight { channel, source }.to_string();
        assert!(told.contains("SeCreateGlobalPrivilege"), "{told}");
    }

    #[test]
    #[cfg(not(windows))]
    fn a_lane_that_memory_does_not_suffice_for_is_refused_with_the_numbers() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let namespace = Namespace::open(directory.path()).unwrap();
        let channel = ChannelDirectory::open(&namespace, "c", true)
            .unwrap()
            .unwrap();
        let header = peer_side(4096, 2);
        drop(create(&channel, "1.peers", &header, |_| {}).unwrap());
        let taken = channel.files().bytes_of("1.peers").unwrap();
        // No machine has so much.
        let lane = 1 << 45;
        let header = Header {
            payload_size: lane,
            ..header
        };
        let other = Header {
            instance: 8,
            ..header
        };
        assert!(open_lane(&channel, "1.peers", &other, 1).unwrap().is_none());
        let refused = open_lane(&channel, "1.peers", &header, 1).unwrap_err();
        assert!(
            matches!(refused, OpenError::NoSpace { needed, .. } if needed == lane),
            "{refused}"
        );
        assert_eq!(channel.files().bytes_of("1.peers").unwrap(), taken);
    }
}
