//! Windows. Its calls are `unsafe`, and stand in this file and in that of its [`Directory`].

use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};
use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{GetSecurityInfo, SE_FILE_OBJECT};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, DACL_SECURITY_INFORMATION, EqualSid, GetAce,
    GetTokenInformation, IsWellKnownSid, OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID,
    TOKEN_QUERY, TOKEN_USER, TokenUser, WinBuiltinAdministratorsSid, WinCreatorOwnerSid,
    WinLocalSystemSid,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_APPEND_DATA, FILE_DELETE_CHILD, FILE_REMOTE_PROTOCOL_INFO, FILE_WRITE_ATTRIBUTES,
    FILE_WRITE_DATA, GetVolumeInformationByHandleW, WRITE_DAC, WRITE_OWNER,
};
use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_DWORD, RegGetValueW};
use windows_sys::Win32::System::SystemServices::{ACCESS_ALLOWED_ACE_TYPE, ACCESS_DENIED_ACE_TYPE};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
use windows_sys::w;

use crate::directory::{Directory, information};
use crate::storage::Storage;

/// Whether entries are mapped where nothing is said.
pub(crate) const MAPS: bool = false;

/// What differs between boots: Windows counts them. `None` where that is not told.
pub(crate) fn boot_id() -> Option<Vec<u8>> {
    let mut count = 0_u32;
    let mut len = 4;
    // SAFETY: the names end in a zero, and `count` has room for the four bytes that are asked for.
    let result = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            w!(
                "SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Memory Management\\PrefetchParameters"
            ),
            w!("BootId"),
            RRF_RT_REG_DWORD,
            ptr::null_mut(),
            (&raw mut count).cast(),
            &raw mut len,
        )
    };
    (result == ERROR_SUCCESS).then(|| count.to_le_bytes().to_vec())
}

/// What is known of where an open file comes from: local disks with a time of change are NTFS and `ReFS`.
pub(crate) fn storage(file: &File) -> Storage {
    let is_remote = information::<FILE_REMOTE_PROTOCOL_INFO>(file).is_ok();
    let mut name = [0_u16; 16];
    // SAFETY: the handle is open, and the length is that of the buffer; nothing else is asked for.
    let told = unsafe {
        GetVolumeInformationByHandleW(
            handle(file),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            name.as_mut_ptr(),
            16,
        )
    };
    let name = String::from_utf16_lossy(&name);
    let is_known = ["NTFS", "ReFS"].contains(&name.trim_end_matches('\0'));
    if told != 0 && is_known && !is_remote {
        Storage::Local
    } else {
        Storage::Remote
    }
}

/// The volume that an open file is on. One that was unplugged and plugged in again is the same.
pub(crate) fn mount(file: &File) -> Option<u64> {
    Directory::attributes_of_file(file)
        .ok()
        .map(|attributes| attributes.device)
}

/// There are no numbers for users.
pub(crate) fn effective_user() -> u32 {
    0
}

/// Not the number that stands for all users.
pub(crate) fn overflow_user() -> u32 {
    u32::MAX
}

/// Users are told apart by access lists: see [`objection_by_access_list`].
pub(crate) fn another_users(_: &Path, _: u32) -> Option<(&Path, u32)> {
    None
}

/// The directories above are not examined.
pub(crate) fn weak_ancestor(_: &Path, _: u32) -> Option<&Path> {
    None
}

/// Links are not examined.
pub(crate) fn weak_link(_: &Path, _: u32) -> Option<PathBuf> {
    None
}

/// What is wrong with using a directory, by its owner and access list: only this user, administrators and the system may
/// own it, write to it or change who may.
pub(crate) fn objection_by_access_list(directory: &Directory) -> Option<String> {
    match examine(directory) {
        Ok(reason) => reason.map(|reason| {
            format!(
                "{reason}; choose a folder in the user's profile, such as one below %LOCALAPPDATA%"
            )
        }),
        Err(error) => Some(format!("cannot determine who can write to it: {error}")),
    }
}

/// With any of these rights, somebody can change what is in the directory, or hide that it changed.
const WRITES: u32 = FILE_WRITE_DATA
    | FILE_APPEND_DATA
    | FILE_WRITE_ATTRIBUTES
    | FILE_DELETE_CHILD
    | DELETE
    | WRITE_DAC
    | WRITE_OWNER
    | 0x4000_0000 // GENERIC_WRITE
    | 0x1000_0000; // GENERIC_ALL

fn examine(directory: &Directory) -> io::Result<Option<&'static str>> {
    let file = directory.handle()?;
    let user = this_user()?;
    let security = Security::of(&file)?;
    // SAFETY: the buffer holds what the system wrote for `TokenUser`, and is aligned for it.
    let user = unsafe { (*user.as_ptr().cast::<TOKEN_USER>()).User.Sid };
    if !is_trusted(security.owner, user) {
        return Ok(Some("it belongs to another user"));
    }
    if security.list.is_null() {
        return Ok(Some("it has no access list, so everybody can write to it"));
    }
    // SAFETY: the list is that of the descriptor, which lives.
    let count = unsafe { (*security.list).AceCount };
    for at in 0..u32::from(count) {
        let mut entry = ptr::null_mut();
        // SAFETY: the list is valid, and has an entry at this place.
        if unsafe { GetAce(security.list, at, &raw mut entry) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: each entry begins with a header.
        let kind = u32::from(unsafe { (*entry.cast::<ACE_HEADER>()).AceType });
        if kind == ACCESS_DENIED_ACE_TYPE {
            continue;
        }
        if kind != ACCESS_ALLOWED_ACE_TYPE {
            return Ok(Some("its access list has entries of an unknown kind"));
        }
        let entry = entry.cast::<ACCESS_ALLOWED_ACE>();
        // SAFETY: of this kind it is; the identifier stands at its end.
        let (mask, who) = unsafe { ((*entry).Mask, (&raw mut (*entry).SidStart).cast()) };
        if mask & WRITES != 0 && !is_trusted(who, user) {
            return Ok(Some("its access list lets others write to it"));
        }
    }
    Ok(None)
}

/// Whoever owns an object is a user of their own; what creators are given is this user's, who creates all that is here.
fn is_trusted(who: PSID, user: PSID) -> bool {
    // SAFETY: both are valid identifiers.
    let is = |kind| unsafe { IsWellKnownSid(who, kind) } != 0;
    // SAFETY: as above.
    (unsafe { EqualSid(who, user) } != 0)
        || is(WinBuiltinAdministratorsSid)
        || is(WinLocalSystemSid)
        || is(WinCreatorOwnerSid)
}

/// The user of this process, as a `TOKEN_USER` with what it points to.
fn this_user() -> io::Result<Vec<u64>> {
    use std::os::windows::io::{FromRawHandle, OwnedHandle};

    let mut token = ptr::null_mut();
    // SAFETY: the process is this one.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was opened just now, and nothing else closes it.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // Larger than the largest identifier; of words, for its alignment.
    let mut user = vec![0_u64; 32];
    let mut len = 0;
    // SAFETY: the length is that of the buffer.
    let told = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            user.as_mut_ptr().cast(),
            256,
            &raw mut len,
        )
    };
    if told == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(user)
}

/// The owner and the access list of a file.
struct Security {
    owner: PSID,
    list: *mut ACL,
    /// Holds the two.
    descriptor: PSECURITY_DESCRIPTOR,
}

impl Security {
    fn of(file: &File) -> io::Result<Self> {
        let mut security = Self {
            owner: ptr::null_mut(),
            list: ptr::null_mut(),
            descriptor: ptr::null_mut(),
        };
        // SAFETY: the handle is open, and what is asked for is written to valid places.
        let result = unsafe {
            GetSecurityInfo(
                handle(file),
                SE_FILE_OBJECT,
                OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                &raw mut security.owner,
                ptr::null_mut(),
                &raw mut security.list,
                ptr::null_mut(),
                &raw mut security.descriptor,
            )
        };
        if result == ERROR_SUCCESS {
            Ok(security)
        } else {
            let code = i32::try_from(result).unwrap_or(i32::MAX);
            Err(io::Error::from_raw_os_error(code))
        }
    }
}

impl Drop for Security {
    fn drop(&mut self) {
        // SAFETY: the system allocated it so, or it is null.
        unsafe { LocalFree(self.descriptor) };
    }
}

fn handle(file: &File) -> HANDLE {
    file.as_raw_handle()
}

#[cfg(test)]
mod tests {
    use std::os::windows::ffi::OsStrExt;

    use module_cache_core::CacheError;
    use windows_sys::Win32::Security::Authorization::SetNamedSecurityInfoW;

    use super::*;
    use crate::FileSystemCache;
    use crate::layout::VERSION_DIR;

    /// Without an access list, everybody may do everything.
    fn remove_access_list(directory: &Path) {
        let name: Vec<u16> = directory.as_os_str().encode_wide().chain([0]).collect();
        // SAFETY: the name ends in a zero, and only the list is set, to none.
        let result = unsafe {
            SetNamedSecurityInfoW(
                name.as_ptr(),
                SE_FILE_OBJECT,
                DACL_SECURITY_INFORMATION,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
                ptr::null(),
            )
        };
        assert_eq!(result, ERROR_SUCCESS);
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused() {
        let keep = tempfile::tempdir().unwrap();
        let folder = keep.path().join("modules");
        drop(FileSystemCache::open(&folder).unwrap());
        remove_access_list(&folder.join(VERSION_DIR));

        let error = FileSystemCache::open(&folder).unwrap_err();
        assert!(matches!(error, CacheError::Untrusted { .. }), "{error}");

        // SAFETY: only this test writes to the folder.
        let unchecked = unsafe { FileSystemCache::builder(&folder).skip_permission_checks() };
        drop(unchecked.open().unwrap());
    }
}
