//! Who may open what: this user and the system, nobody else.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo,
    SDDL_REVISION_1, SE_FILE_OBJECT, SE_KERNEL_OBJECT,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACL, DACL_SECURITY_INFORMATION, GetAce, GetTokenInformation,
    OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES,
    TOKEN_INFORMATION_CLASS, TOKEN_QUERY, TokenOwner, TokenUser,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_APPEND_DATA, FILE_DELETE_CHILD, FILE_WRITE_DATA, WRITE_DAC, WRITE_OWNER,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::super::Doubt;

/// SYSTEM and the administrators: they can do everything anyway.
const ALMIGHTY: [&str; 2] = ["S-1-5-18", "S-1-5-32-544"];
/// "Creator owner" and "owner rights": the owner, whom `doubt` has looked at.
const OWNERS: [&str; 2] = ["S-1-3-0", "S-1-3-4"];

/// `ACCESS_ALLOWED_ACE_TYPE` of winnt.h.
const ALLOWED: u8 = 0;
/// `INHERIT_ONLY_ACE` of winnt.h: for what will be made in it.
const INHERIT_ONLY: u8 = 8;
/// Any of these lets somebody change what is in a directory.
const CHANGES: u32 = FILE_WRITE_DATA
    | FILE_APPEND_DATA
    | FILE_DELETE_CHILD
    | DELETE
    | WRITE_DAC
    | WRITE_OWNER
    | 0x5000_0000; // GENERIC_WRITE, GENERIC_ALL

/// A security descriptor: full access for this user and the system, and nothing inherited from above.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnerOnly(PSECURITY_DESCRIPTOR);

// SAFETY: made once, never changed, never freed.
unsafe impl Send for OwnerOnly {}
// SAFETY: as above.
unsafe impl Sync for OwnerOnly {}

impl OwnerOnly {
    /// Of a directory: it is passed on to what is made inside.
    pub(super) fn of_directory() -> io::Result<Self> {
        static MADE: OnceLock<OwnerOnly> = OnceLock::new();
        Self::made(&MADE, "OICI")
    }

    /// Of a section or an event.
    pub(super) fn of_object() -> io::Result<Self> {
        static MADE: OnceLock<OwnerOnly> = OnceLock::new();
        Self::made(&MADE, "")
    }

    /// Made once, with such flags of inheritance.
    fn made(once: &OnceLock<Self>, inherited: &str) -> io::Result<Self> {
        if let Some(made) = once.get() {
            return Ok(*made);
        }
        let text = owner_only(&own_sids()?.user, inherited);
        let mut descriptor: PSECURITY_DESCRIPTOR = std::ptr::null_mut();
        // SAFETY: the text ends with a zero; one pointer is stored into one of our own.
        let made = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                super::wide(text.as_ref()).as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                std::ptr::null_mut(),
            )
        };
        if made == 0 {
            return Err(io::Error::last_os_error());
        }
        // Another thread may have been first; then ours stays unused, a few bytes once.
        Ok(*once.get_or_init(|| OwnerOnly(descriptor)))
    }

    pub(super) fn attributes(self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0,
            bInheritHandle: 0,
        }
    }
}

/// The user and SYSTEM may do everything, and nobody else anything; a protected list, to which nothing is added by inheritance.
fn owner_only(user: &str, inherited: &str) -> String {
    format!("D:P(A;{inherited};GA;;;{user})(A;{inherited};GA;;;SY)")
}

/// Why an opened directory cannot be trusted: it is another's, or others may change what is in it.
pub(super) fn doubt(directory: &File) -> io::Result<Option<Doubt>> {
    let own = own_sids()?;
    let (mut owner, mut dacl): (PSID, *mut ACL) = (std::ptr::null_mut(), std::ptr::null_mut());
    let mut descriptor: PSECURITY_DESCRIPTOR = std::ptr::null_mut();
    // SAFETY: the handle is open for reading its security; pointers are stored into our own.
    let result = unsafe {
        GetSecurityInfo(
            directory.as_raw_handle(),
            SE_FILE_OBJECT,
            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
            &raw mut owner,
            std::ptr::null_mut(),
            &raw mut dacl,
            std::ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if result != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(result.cast_signed()));
    }
    let _descriptor = Local(descriptor.cast());
    let owner = text_of(owner)?;
    if owner != own.user && owner != own.default_owner {
        return Ok(Some(Doubt {
            problem: format!("belongs to user {owner}, not to user {}", own.user),
            next: "choose a directory of your own with PARTYWALL_DIR",
        }));
    }
    if dacl.is_null() {
        return Ok(Some(open_to("everybody".into())));
    }
    // SAFETY: a list of the descriptor that `_descriptor` keeps.
    let entries = unsafe { (*dacl).AceCount };
    for index in 0..u32::from(entries) {
        let mut entry: *mut c_void = std::ptr::null_mut();
        // SAFETY: the list is as above; one pointer is stored into one of our own.
        if unsafe { GetAce(dacl, index, &raw mut entry) } == 0 {
            return Err(io::Error::last_os_error());
        }
        let entry = entry.cast::<ACCESS_ALLOWED_ACE>();
        // SAFETY: every entry begins with this header.
        let header = unsafe { (*entry).Header };
        if header.AceType != ALLOWED || header.AceFlags & INHERIT_ONLY != 0 {
            continue;
        }
        // SAFETY: an entry of this type has a mask, and a SID from `SidStart` on.
        let (mask, sid) = unsafe { ((*entry).Mask, (&raw mut (*entry).SidStart).cast()) };
        if mask & CHANGES == 0 {
            continue;
        }
        let who = text_of(sid)?;
        let trusted = who == own.user
            || who == owner
            || ALMIGHTY.contains(&who.as_str())
            || OWNERS.contains(&who.as_str());
        if !trusted {
            return Ok(Some(open_to(who)));
        }
    }
    Ok(None)
}

fn open_to(who: String) -> Doubt {
    Doubt {
        problem: format!("{who} may write to it"),
        next: "run `icacls DIRECTORY /inheritance:r /grant:r %USERNAME%:(OI)(CI)F` on it",
    }
}

/// Whether an object of the kernel's is this user's. The handle must be open for reading its security.
pub(super) fn is_own_object(object: &OwnedHandle) -> io::Result<bool> {
    let mut owner: PSID = std::ptr::null_mut();
    let mut descriptor: PSECURITY_DESCRIPTOR = std::ptr::null_mut();
    // SAFETY: the handle is open; pointers are stored into our own.
    let result = unsafe {
        GetSecurityInfo(
            object.as_raw_handle(),
            SE_KERNEL_OBJECT,
            OWNER_SECURITY_INFORMATION,
            &raw mut owner,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if result != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(result.cast_signed()));
    }
    let _descriptor = Local(descriptor.cast());
    let (own, owner) = (own_sids()?, text_of(owner)?);
    Ok(owner == own.user || owner == own.default_owner)
}

struct OwnSids {
    user: String,
    /// Who owns what this user makes: for an administrator, the administrators.
    default_owner: String,
}

fn own_sids() -> io::Result<OwnSids> {
    let token = own_token()?;
    Ok(OwnSids {
        user: sid_of(&token, TokenUser)?,
        default_owner: sid_of(&token, TokenOwner)?,
    })
}

/// What this process may do, and as whom.
pub(super) fn own_token() -> io::Result<OwnedHandle> {
    let mut token: HANDLE = std::ptr::null_mut();
    // SAFETY: one handle is stored into one of our own.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and owned by nobody else.
    Ok(unsafe { OwnedHandle::from_raw_handle(token) })
}

/// The user, or the owner, that a token says.
fn sid_of(token: &OwnedHandle, what: TOKEN_INFORMATION_CLASS) -> io::Result<String> {
    // Words, so that the structure is aligned; with its SID, of at most 68 bytes, it has room enough.
    let mut room = [0_u64; 32];
    let mut used = 0;
    // SAFETY: at most as many bytes are stored as there is room for.
    let found = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            what,
            room.as_mut_ptr().cast(),
            size_of_val(&room) as u32,
            &raw mut used,
        )
    };
    if found == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: what both kinds begin with is a pointer to a SID, which lies behind it in `room`.
    text_of(unsafe { room.as_ptr().cast::<PSID>().read() })
}

/// Who may open an object of the kernel's, as SDDL.
#[cfg(test)]
pub(super) fn text_of_object(object: &OwnedHandle) -> io::Result<String> {
    use windows_sys::Win32::Security::Authorization::ConvertSecurityDescriptorToStringSecurityDescriptorW;
    let nowhere = std::ptr::null_mut();
    let mut descriptor: PSECURITY_DESCRIPTOR = std::ptr::null_mut();
    // SAFETY: the handle is open; one pointer is stored into one of our own.
    let result = unsafe {
        GetSecurityInfo(
            object.as_raw_handle(),
            SE_KERNEL_OBJECT,
            DACL_SECURITY_INFORMATION,
            nowhere,
            nowhere,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if result != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(result.cast_signed()));
    }
    let _descriptor = Local(descriptor.cast());
    let mut text: *mut u16 = std::ptr::null_mut();
    // SAFETY: `_descriptor` keeps it; one pointer is stored into one of our own.
    let made = unsafe {
        ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor,
            SDDL_REVISION_1,
            DACL_SECURITY_INFORMATION,
            &raw mut text,
            std::ptr::null_mut(),
        )
    };
    match made {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(owned_text(text)),
    }
}

/// This user's SID.
#[cfg(test)]
pub(super) fn own_user() -> io::Result<String> {
    Ok(own_sids()?.user)
}

/// A SID as people write it.
fn text_of(sid: PSID) -> io::Result<String> {
    let mut text: *mut u16 = std::ptr::null_mut();
    // SAFETY: the caller has the SID from the system; one pointer is stored into one of our own.
    if unsafe { ConvertSidToStringSidW(sid, &raw mut text) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(owned_text(text))
}

/// What the system wrote for us to free, ending with a zero.
fn owned_text(text: *mut u16) -> String {
    let _text = Local(text.cast());
    // SAFETY: it ends with a zero, and `_text` keeps it.
    let units = unsafe {
        let length = (0..).take_while(|&index| *text.add(index) != 0).count();
        std::slice::from_raw_parts(text, length)
    };
    String::from_utf16_lossy(units)
}

/// What the system gave us to free.
struct Local(*mut c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: the system said so, and nobody uses it any more.
        unsafe { LocalFree(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_for_the_user_and_the_system_alone() {
        assert_eq!(
            owner_only("S-1-5-21-1-2-3-1001", "OICI"),
            "D:P(A;OICI;GA;;;S-1-5-21-1-2-3-1001)(A;OICI;GA;;;SY)"
        );
        assert_eq!(
            owner_only("S-1-5-19", ""),
            "D:P(A;;GA;;;S-1-5-19)(A;;GA;;;SY)"
        );
        let user = own_user().unwrap();
        assert!(user.starts_with("S-1-5-"), "{user}");
    }
}
