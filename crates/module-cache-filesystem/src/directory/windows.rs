//! The directory on Windows: plain paths, below a folder that nobody else can write to. Links are not followed in the end.
//!
//! Every file is opened so that others may rename and remove it meanwhile. An entry is opened so that nobody can write to it
//! until it is closed, and so that it can be executed.

use std::ffi::c_void;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};
use std::ptr;

use module_cache_core::ModuleHash;
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_CANT_ACCESS_FILE, ERROR_CRC, ERROR_DELETE_PENDING,
    ERROR_FILE_CORRUPT, ERROR_LOCK_VIOLATION, ERROR_SHARING_VIOLATION, ERROR_USER_MAPPED_FILE,
    ERROR_VIRUS_DELETED, ERROR_VIRUS_INFECTED,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, FILE_BASIC_INFO,
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_GENERIC_EXECUTE,
    FILE_GENERIC_READ, FILE_ID_INFO, FILE_INFO_BY_HANDLE_CLASS, FILE_READ_ATTRIBUTES,
    FILE_REMOTE_PROTOCOL_INFO, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_STANDARD_INFO,
    FileBasicInfo, FileIdInfo, FileRemoteProtocolInfo, FileStandardInfo,
    GetFileInformationByHandleEx, READ_CONTROL,
};
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Ioctl::{
    FSCTL_READ_FILE_USN_DATA, READ_FILE_USN_DATA, USN_RECORD_V2, USN_RECORD_V3,
};

use super::{Attributes, Kind, Space};
use crate::platform;
use crate::storage::Storage;

#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        fs::read_dir(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    pub(crate) fn open_directory(&self, name: &str) -> io::Result<Self> {
        if self.attributes_of(name)?.kind != Kind::Directory {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Self::open(&self.path.join(name))
    }

    pub(crate) fn open_file(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
            .open(self.path.join(name))
    }

    pub(crate) fn open_entry(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            // Without the second, engines copy instead of mapping.
            .access_mode(FILE_GENERIC_READ | FILE_GENERIC_EXECUTE)
            .share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE)
            .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
            .open(self.path.join(name))
    }

    /// The directory itself, to be asked about.
    pub(crate) fn handle(&self) -> io::Result<File> {
        OpenOptions::new()
            .access_mode(FILE_READ_ATTRIBUTES | READ_CONTROL)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
            .open(&self.path)
    }

    pub(crate) fn create_new(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.path.join(name))
    }

    pub(crate) fn open_or_create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
            .open(self.path.join(name))
    }

    pub(crate) fn create_directory(&self, name: &str) -> io::Result<()> {
        fs::create_dir_all(self.path.join(name))
    }

    pub(crate) fn rename(&self, from: &str, to: &Self, name: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), to.path.join(name))
    }

    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// A directory cannot be opened for that here.
    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Who may read is a matter of access lists here, which a directory takes from the one it is in.
    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn let_others_read(&self) -> io::Result<()> {
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn make_private(_: &File) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    pub(crate) fn remove_directory(&self, name: &str) -> io::Result<()> {
        fs::remove_dir(self.path.join(name))
    }

    pub(crate) fn attributes_of(&self, name: &str) -> io::Result<Attributes> {
        let file = OpenOptions::new()
            .access_mode(FILE_READ_ATTRIBUTES)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
            .open(self.path.join(name))?;
        attributes(&file)
    }

    pub(crate) fn attributes(&self) -> io::Result<Attributes> {
        attributes(&self.handle()?)
    }

    pub(crate) fn attributes_of_file(file: &File) -> io::Result<Attributes> {
        attributes(file)
    }

    pub(crate) fn is_writable(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| !metadata.permissions().readonly())
    }

    pub(crate) fn space(&self) -> io::Result<Space> {
        Ok(Space {
            total: fs4::total_space(&self.path)?,
            free: fs4::free_space(&self.path)?,
            available: fs4::available_space(&self.path)?,
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn sync_file_system(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn storage(&self) -> Storage {
        self.handle()
            .map_or(Storage::Remote, |handle| platform::storage(&handle))
    }

    pub(crate) fn mount(&self) -> Option<u64> {
        platform::mount(&self.handle().ok()?)
    }

    pub(crate) fn is_about_the_name(error: &io::Error) -> bool {
        const ERRORS: [u32; 9] = [
            ERROR_ACCESS_DENIED,
            ERROR_CANT_ACCESS_FILE,
            ERROR_CRC,
            ERROR_DELETE_PENDING,
            ERROR_FILE_CORRUPT,
            ERROR_LOCK_VIOLATION,
            // Somebody has it open for writing.
            ERROR_SHARING_VIOLATION,
            ERROR_VIRUS_DELETED,
            ERROR_VIRUS_INFECTED,
        ];
        error.kind() == io::ErrorKind::NotADirectory || is_one_of(error, &ERRORS)
    }

    pub(crate) fn is_in_use(error: &io::Error) -> bool {
        is_one_of(
            error,
            &[
                ERROR_ACCESS_DENIED,
                ERROR_SHARING_VIOLATION,
                ERROR_USER_MAPPED_FILE,
            ],
        )
    }

    pub(crate) fn is_out_of_descriptors(_: &io::Error) -> bool {
        false
    }

    /// A read-only attribute would keep the entry from ever being replaced or removed.
    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn seal_permissions(_: &File) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn is_one_of(error: &io::Error, codes: &[u32]) -> bool {
    error
        .raw_os_error()
        .and_then(|code| u32::try_from(code).ok())
        .is_some_and(|code| codes.contains(&code))
}

/// Asks for information of a class about an open file, which must be one that is told in a `T`.
pub(crate) fn information<T: Information>(file: &File) -> io::Result<T> {
    let mut told = mem::MaybeUninit::<T>::zeroed();
    let len = u32::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the handle is open, and the length is that of the buffer.
    let result = unsafe {
        GetFileInformationByHandleEx(
            file.as_raw_handle(),
            T::CLASS,
            told.as_mut_ptr().cast(),
            len,
        )
    };
    if result == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: these are plain numbers, of which zeros and all that the system writes are values.
    Ok(unsafe { told.assume_init() })
}

/// What [`information`] can ask for: a structure of plain numbers, and the class that the system knows it by.
pub(crate) trait Information {
    /// How the system calls it.
    const CLASS: FILE_INFO_BY_HANDLE_CLASS;
}

impl Information for FILE_BASIC_INFO {
    const CLASS: FILE_INFO_BY_HANDLE_CLASS = FileBasicInfo;
}

impl Information for FILE_ID_INFO {
    const CLASS: FILE_INFO_BY_HANDLE_CLASS = FileIdInfo;
}

impl Information for FILE_REMOTE_PROTOCOL_INFO {
    const CLASS: FILE_INFO_BY_HANDLE_CLASS = FileRemoteProtocolInfo;
}

impl Information for FILE_STANDARD_INFO {
    const CLASS: FILE_INFO_BY_HANDLE_CLASS = FileStandardInfo;
}

fn attributes(file: &File) -> io::Result<Attributes> {
    let basic: FILE_BASIC_INFO = information(file)?;
    let standard: FILE_STANDARD_INFO = information(file)?;
    let id: FILE_ID_INFO = information(file)?;
    let has = |attribute| basic.FileAttributes & attribute != 0;
    let kind = if has(FILE_ATTRIBUTE_REPARSE_POINT) {
        Kind::Other
    } else if has(FILE_ATTRIBUTE_DIRECTORY) {
        Kind::Directory
    } else {
        Kind::File
    };
    Ok(Attributes {
        kind,
        size: u64::try_from(standard.EndOfFile).unwrap_or(0),
        owner: 0,
        mode: 0,
        device: id.VolumeSerialNumber,
        inode: number_of(id.FileId.Identifier),
        changed: nanoseconds(basic.ChangeTime),
        modified: nanoseconds(basic.LastWriteTime),
        usn: usn(file),
    })
}

/// The number of a file: its own on NTFS, which leaves the second half empty, and the digest of both on `ReFS`.
fn number_of(id: [u8; 16]) -> u64 {
    let (number, rest) = id.split_at(8);
    let digest = *ModuleHash::of(&id).as_bytes();
    let number = if rest == [0; 8] { number } else { &digest };
    number
        .first_chunk()
        .map_or(0, |number| u64::from_le_bytes(*number))
}

/// Nanoseconds since 1970 of a time in steps of 100 ns since 1601.
fn nanoseconds(time: i64) -> i64 {
    const BETWEEN: i64 = 11_644_473_600 * 10_000_000;
    time.saturating_sub(BETWEEN).saturating_mul(100)
}

/// What the journal of the volume counts changes by; 0 where it has none. No program can set that.
fn usn(file: &File) -> u64 {
    let versions = READ_FILE_USN_DATA {
        MinMajorVersion: 2,
        MaxMajorVersion: 3,
    };
    // A record ends in a name. Words, for its alignment.
    let mut record = [0_u64; 128];
    let mut len = 0;
    // SAFETY: the handle is open, and the lengths are those of what is read and written.
    let result = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            FSCTL_READ_FILE_USN_DATA,
            (&raw const versions).cast::<c_void>(),
            4,
            record.as_mut_ptr().cast(),
            1024,
            &raw mut len,
            ptr::null_mut(),
        )
    };
    if result == 0 {
        return 0;
    }
    let record = record.as_ptr();
    // SAFETY: both versions are smaller than the buffer, which began as zeros, and begin alike.
    let usn = unsafe {
        match (*record.cast::<USN_RECORD_V2>()).MajorVersion {
            2 => (*record.cast::<USN_RECORD_V2>()).Usn,
            3 => (*record.cast::<USN_RECORD_V3>()).Usn,
            _ => 0,
        }
    };
    u64::try_from(usn).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_and_keep_their_number_under_another_name() {
        let keep = tempfile::tempdir().unwrap();
        let directory = Directory::open(keep.path()).unwrap();
        for name in ["a", "b"] {
            fs::write(keep.path().join(name), name).unwrap();
        }
        let [a, b] = ["a", "b"].map(|name| directory.attributes_of(name).unwrap());
        assert_eq!(a.device, b.device);
        assert_ne!(a.inode, b.inode);
        directory.rename("a", &directory, "c").unwrap();
        assert_eq!(directory.attributes_of("c").unwrap().inode, a.inode);
        let open = directory.open_file("c").unwrap();
        assert_eq!(Directory::attributes_of_file(&open).unwrap().inode, a.inode);
    }

    #[test]
    fn nobody_writes_to_an_entry_that_is_open() {
        let keep = tempfile::tempdir().unwrap();
        let directory = Directory::open(keep.path()).unwrap();
        let path = keep.path().join("entry");
        fs::write(&path, "entry").unwrap();
        let entry = directory.open_entry("entry").unwrap();
        OpenOptions::new().write(true).open(&path).unwrap_err();
        drop(entry);
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        let error = directory.open_entry("entry").unwrap_err();
        assert!(Directory::is_about_the_name(&error), "{error}");
        drop(writer);
        directory.open_entry("entry").unwrap();
    }

    #[test]
    fn times_are_those_of_the_clock() {
        let keep = tempfile::tempdir().unwrap();
        let directory = Directory::open(keep.path()).unwrap();
        fs::write(keep.path().join("a"), "a").unwrap();
        let attributes = directory.attributes_of("a").unwrap();
        let modified = fs::metadata(keep.path().join("a")).unwrap().modified();
        let modified = modified.unwrap().duration_since(std::time::UNIX_EPOCH);
        let modified = i64::try_from(modified.unwrap().as_nanos()).unwrap();
        assert_eq!(attributes.modified, modified);
        assert!(attributes.changed >= attributes.modified);
    }
}
