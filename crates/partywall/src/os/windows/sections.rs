//! Named sections of the page file: memory that is in no file, and goes with the last process that has it.
//!
//! A segment that lies in one has a small file in the channel's directory, a **stub**, where it would otherwise be
//! itself: it says what the section is called. So channels are listed, renamed, compared and removed by the files' names
//! whatever they lie in, and who may find a section is who may read its stub.
//!
//! *Made once, by one.* Only the holder of the owner lock makes sections, each by a name that was drawn at random and is
//! nobody's. If something has that name all the same (`ERROR_ALREADY_EXISTS`: another section, whoever's;
//! `ERROR_INVALID_HANDLE`: another kind of object), it is left as it is, and another name drawn. Whoever joins or adopts opens the
//! name that the stub says (`OpenFileMappingW`), and so never makes one by mistake, nor initialises one twice.
//!
//! *Gone with the last handle.* The system takes a name away with the last **handle**, though views may still be there. So
//! every mapping keeps the handle that it was made from. A stub whose section is gone says what the channel was, and that nobody has it.
//!
//! *Names.* `Local\` names belong to one log-on session, so a stub says which: from another, its section would look as if it
//! were gone. `Global\` ones are found from everywhere; to make a section there takes `SeCreateGlobalPrivilege`, which
//! services and administrators have. Events end in `.event` and sections in `.section`, for all kinds of objects share one table of names.
#![allow(unsafe_code)]

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{
    ERROR_ALREADY_EXISTS, ERROR_COMMITMENT_LIMIT, ERROR_DISK_FULL, ERROR_FILE_NOT_FOUND,
    ERROR_INVALID_HANDLE, ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY,
    ERROR_PATH_NOT_FOUND, GetLastError, INVALID_HANDLE_VALUE, LUID,
};
use windows_sys::Win32::Security::{
    LUID_AND_ATTRIBUTES, LookupPrivilegeValueW, PRIVILEGE_SET, PrivilegeCheck,
};
use windows_sys::Win32::Storage::FileSystem::READ_CONTROL;
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, OpenFileMappingW, PAGE_READWRITE,
};
use windows_sys::Win32::System::RemoteDesktop::ProcessIdToSessionId;
use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};

use super::super::Unreachable;
use super::{fault_point, random_word, security, wide};

/// Bytes of a stub.
pub(super) const STUB: u64 = 256;
/// What it begins with.
const MAGIC: [u8; 8] = *b"PRTYSECT";
/// Where its name begins.
const NAME_AT: usize = 24;
/// The session of a name that is found from each.
const EVERY_SESSION: u32 = u32::MAX;
/// How many names are drawn before giving up: one is enough, unless somebody squats on all that he sees.
const DRAWS: u32 = 8;

/// An open section.
#[derive(Debug)]
pub(super) struct Section {
    handle: OwnedHandle,
    len: u64,
}

/// What the directory has for a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stub {
    len: u64,
    session: u32,
    name: String,
}

impl Stub {
    pub(super) fn to_bytes(&self) -> [u8; STUB as usize] {
        let mut bytes = [0; STUB as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.len.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.session.to_le_bytes());
        let name = self.name.as_bytes();
        bytes[20..24].copy_from_slice(&(name.len() as u32).to_le_bytes());
        bytes[NAME_AT..][..name.len()].copy_from_slice(name);
        bytes
    }

    /// `None` if it is none: anything else that lies there.
    pub(super) fn from_bytes(bytes: &[u8; STUB as usize]) -> Option<Self> {
        let half = |at: usize| {
            let bytes = bytes[at..][..4].try_into().expect("four bytes");
            u32::from_le_bytes(bytes)
        };
        let name = bytes[NAME_AT..].get(..half(20) as usize)?;
        let name = std::str::from_utf8(name).ok()?;
        let ours = name
            .strip_prefix("Local\\partywall-")
            .or_else(|| name.strip_prefix("Global\\partywall-"))
            .and_then(|rest| rest.strip_suffix(".section"))
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        (bytes[..8] == MAGIC && ours).then(|| Stub {
            len: u64::from(half(8)) | u64::from(half(12)) << 32,
            session: half(16),
            name: name.to_owned(),
        })
    }

    /// Opens the section that it names.
    ///
    /// # Errors
    /// What the system says; why the section cannot be had, where that is a state of the channel, is the inner result.
    pub(super) fn open(&self, writable: bool) -> io::Result<Result<Section, Unreachable>> {
        let ours = session()?;
        if self.session != EVERY_SESSION && self.session != ours {
            let theirs = self.session;
            return Ok(Err(Unreachable::OtherSession { theirs, ours }));
        }
        let access = FILE_MAP_READ | READ_CONTROL | if writable { FILE_MAP_WRITE } else { 0 };
        let name = wide(self.name.as_ref());
        // SAFETY: the name ends with a zero.
        let handle = unsafe { OpenFileMappingW(access, 0, name.as_ptr()) };
        if handle.is_null() {
            let error = io::Error::last_os_error();
            return match error.raw_os_error().map(i32::cast_unsigned) {
                Some(ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND) => Ok(Err(Unreachable::Gone)),
                Some(ERROR_INVALID_HANDLE) => Ok(Err(Unreachable::ForeignObject {
                    object: self.name.clone(),
                })),
                _ => Err(error),
            };
        }
        // SAFETY: just opened, and owned by nobody else.
        let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
        // Whoever saw the name while ours was there can have made another by it since.
        if !security::is_own_object(&handle)? {
            return Ok(Err(Unreachable::ForeignObject {
                object: self.name.clone(),
            }));
        }
        Ok(Ok(Section {
            handle,
            len: self.len,
        }))
    }
}

impl Section {
    /// Makes a section of `len` bytes, all zero, that only this user can open; and what the directory is to have for it.
    pub(super) fn create(len: u64, global: bool) -> io::Result<(Self, Stub)> {
        Self::create_by(len, global, || {
            format!("{:016x}{:016x}", random_word(), random_word())
        })
    }

    /// The same; `draw` draws a name.
    fn create_by(
        len: u64,
        global: bool,
        mut draw: impl FnMut() -> String,
    ) -> io::Result<(Self, Stub)> {
        let (scope, session) = match global {
            true => ("Global", EVERY_SESSION),
            false => ("Local", session()?),
        };
        let attributes = security::OwnerOnly::of_object()?.attributes();
        let mut taken = io::Error::other("no name was drawn");
        for _ in 0..DRAWS {
            let name = format!("{scope}\\partywall-{}.section", draw());
            let units = wide(name.as_ref());
            fault_point();
            // SAFETY: the name ends with a zero; the attributes' descriptor lives as long as the process. Memory of
            // the page file is committed at once, so no later store fails.
            let (handle, error) = unsafe {
                let handle = CreateFileMappingW(
                    INVALID_HANDLE_VALUE,
                    &raw const attributes,
                    PAGE_READWRITE,
                    (len >> 32) as u32,
                    len as u32,
                    units.as_ptr(),
                );
                (handle, GetLastError())
            };
            if handle.is_null() {
                let error = error_of(error);
                if error.raw_os_error() != Some(ERROR_INVALID_HANDLE.cast_signed()) {
                    return Err(error);
                }
                taken = io::Error::other(format!(
                    "{name} is the name of another kind of object (ERROR_INVALID_HANDLE)"
                ));
                continue;
            }
            // SAFETY: just opened, and owned by nobody else.
            let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
            if error == ERROR_ALREADY_EXISTS {
                // Somebody's, and what is in it is his: it is closed as it is.
                taken = io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("{name} exists already"),
                );
                continue;
            }
            return Ok((Section { handle, len }, Stub { len, session, name }));
        }
        Err(taken)
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Another handle of it, which keeps its name.
    pub(super) fn another_handle(&self) -> io::Result<OwnedHandle> {
        self.handle.try_clone()
    }
}

/// What a failure to make a section means. Too little page file is a full disk, with other numbers.
fn error_of(code: u32) -> io::Error {
    match code {
        ERROR_COMMITMENT_LIMIT
        | ERROR_NOT_ENOUGH_MEMORY
        | ERROR_OUTOFMEMORY
        | ERROR_NO_SYSTEM_RESOURCES
        | ERROR_DISK_FULL => io::ErrorKind::StorageFull.into(),
        _ => io::Error::from_raw_os_error(code.cast_signed()),
    }
}

/// Bytes that sections can still have: of memory and page file together.
pub(super) fn free_bytes() -> io::Result<u64> {
    let mut status = MEMORYSTATUSEX {
        dwLength: size_of::<MEMORYSTATUSEX>() as u32,
        ..Default::default()
    };
    // SAFETY: fills a structure of our own that says its size.
    match unsafe { GlobalMemoryStatusEx(&raw mut status) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(status.ullAvailPageFile),
    }
}

/// The log-on session of this process.
fn session() -> io::Result<u32> {
    let mut session = 0;
    // SAFETY: stores one number into one of our own.
    match unsafe { ProcessIdToSessionId(std::process::id(), &raw mut session) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(session),
    }
}

/// Whether this process may not make sections that all sessions find: it is outside session 0, where services run,
/// and lacks `SeCreateGlobalPrivilege`. What cannot be found out is no reason.
pub(crate) fn lacks_global_right() -> bool {
    session().is_ok_and(|session| session != 0) && has_global_privilege().is_ok_and(|has| !has)
}

fn has_global_privilege() -> io::Result<bool> {
    let token = security::own_token()?;
    let mut luid = LUID::default();
    let name = wide("SeCreateGlobalPrivilege".as_ref());
    // SAFETY: the name ends with a zero; one number is stored into one of our own.
    if unsafe { LookupPrivilegeValueW(std::ptr::null(), name.as_ptr(), &raw mut luid) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut asked = PRIVILEGE_SET {
        PrivilegeCount: 1,
        Control: 1, // PRIVILEGE_SET_ALL_NECESSARY of winnt.h
        Privilege: [LUID_AND_ATTRIBUTES {
            Luid: luid,
            Attributes: 0,
        }],
    };
    let mut has = 0;
    // SAFETY: the set has one privilege, as it says; one number is stored into one of our own.
    match unsafe { PrivilegeCheck(token.as_raw_handle(), &raw mut asked, &raw mut has) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(has != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Unreachable;
    use super::*;
    use windows_sys::Win32::System::Threading::CreateEventW;

    fn drawn() -> String {
        format!("{:016x}{:016x}", random_word(), random_word())
    }

    #[test]
    fn a_stub_says_what_its_section_is_called_and_nothing_else_is_one() {
        let stub = Stub {
            len: 1 << 40 | 4096,
            session: 7,
            name: "Local\\partywall-00ff.section".to_owned(),
        };
        let bytes = stub.to_bytes();
        assert_eq!(Stub::from_bytes(&bytes), Some(stub));
        // Its magic; its name's length, also beyond its end; its name.
        for (at, wrong) in [(0, 0), (20, 0), (20, 233), (23, 1), (24, b'l'), (40, b'\\')] {
            let mut bytes = bytes;
            bytes[at] = wrong;
            assert_eq!(Stub::from_bytes(&bytes), None, "{at}");
        }
    }

    #[test]
    fn a_section_that_exists_already_is_left_as_it_is() {
        let taken = drawn();
        let (first, _) = Section::create_by(65536, false, || taken.clone()).unwrap();
        let mut names = [drawn(), taken.clone()];
        let (_, stub) = Section::create_by(4096, false, || {
            names.swap(0, 1);
            names[0].clone()
        })
        .unwrap();
        assert!(!stub.name.contains(&taken), "{}", stub.name);
        let error = Section::create_by(4096, false, || taken.clone()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(first.len(), 65536);
    }

    #[test]
    fn another_kind_of_object_on_the_name_is_told() {
        let name = drawn();
        let full = format!("Local\\partywall-{name}.section");
        let units = wide(full.as_ref());
        // SAFETY: the name ends with a zero.
        let event = unsafe { CreateEventW(std::ptr::null(), 1, 0, units.as_ptr()) };
        assert!(!event.is_null());
        // SAFETY: just made, and owned by nobody else.
        let _event = unsafe { OwnedHandle::from_raw_handle(event) };
        let error = Section::create_by(4096, false, || name.clone()).unwrap_err();
        assert!(
            error.to_string().contains("ERROR_INVALID_HANDLE"),
            "{error}"
        );
        let stub = Stub {
            len: 4096,
            session: session().unwrap(),
            name: full.clone(),
        };
        let why = stub.open(false).unwrap().unwrap_err();
        assert_eq!(why, Unreachable::ForeignObject { object: full });
    }

    #[test]
    fn a_section_is_gone_with_its_last_handle_and_found_in_its_session_only() {
        let (first, stub) = Section::create(4096, false).unwrap();
        let second = stub.open(true).unwrap().unwrap();
        drop(first);
        drop(stub.open(false).unwrap().unwrap());
        let elsewhere = Stub {
            session: stub.session + 1,
            ..stub.clone()
        };
        assert!(matches!(
            elsewhere.open(false).unwrap(),
            Err(Unreachable::OtherSession { .. })
        ));
        drop(second);
        assert_eq!(stub.open(false).unwrap().unwrap_err(), Unreachable::Gone);
    }

    #[test]
    fn a_name_for_every_session_is_found_from_every_session() {
        let (_section, stub) = Section::create(4096, true).unwrap();
        assert!(stub.name.starts_with("Global\\"), "{}", stub.name);
        assert_eq!(stub.session, EVERY_SESSION);
        stub.open(true).unwrap().unwrap();
    }

    #[test]
    fn too_little_page_file_is_too_little_space() {
        for code in [ERROR_COMMITMENT_LIMIT, ERROR_NOT_ENOUGH_MEMORY] {
            assert_eq!(error_of(code).kind(), io::ErrorKind::StorageFull);
        }
        let denied = error_of(windows_sys::Win32::Foundation::ERROR_ACCESS_DENIED);
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        assert!(free_bytes().unwrap() > 0);
    }

    #[test]
    fn only_the_user_and_the_system_may_open_a_section() {
        let (section, _) = Section::create(4096, false).unwrap();
        let user = security::own_user().unwrap();
        let text = security::text_of_object(&section.handle).unwrap();
        // All rights of a section, by whatever name the system gives them.
        let entries: Vec<&str> = text.split('(').skip(1).collect();
        assert_eq!(entries.len(), 2, "{text}");
        assert!(text.starts_with("D:P"), "{text}");
        assert!(entries[0].ends_with(&format!(";;;{user})")), "{text}");
        assert!(entries[1].ends_with(";;;SY)"), "{text}");
        assert!(
            entries.iter().all(|entry| entry.starts_with("A;;")),
            "{text}"
        );
    }
}
