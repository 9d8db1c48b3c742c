//! Making a file look older or newer than it is.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::SystemTime;

/// Sets when a file was last modified, on an entry too, which cannot be opened for writing.
pub(crate) fn set_modified(path: &Path, time: SystemTime) {
    let mut options = OpenOptions::new();
    #[cfg(not(windows))]
    options.read(true);
    // FILE_WRITE_ATTRIBUTES: a handle for reading does not do there.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::access_mode(&mut options, 0x100);
    options.open(path).unwrap().set_modified(time).unwrap();
}
