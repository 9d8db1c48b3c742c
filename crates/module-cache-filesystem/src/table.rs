//! What the tables of the folder have in common: hints, and the hashes of files. They are files of slots at
//! fixed places, read and written without a lock, and nothing is lost with them but time.

use std::fs::File;
use std::io;
use std::time::Duration;

use module_cache_core::ModuleHash;

use crate::directory::{Attributes, Directory, Kind};
use crate::{clock, trust_check};

/// A file that changed this recently can change again without its times showing it.
const SETTLED: Duration = Duration::from_secs(2);

/// Opens a table, creating it if necessary; `None` if it is not a file that only `user` could write.
pub(crate) fn open(
    directory: &Directory,
    name: &str,
    user: u32,
) -> io::Result<Option<(File, Attributes)>> {
    let file = directory.open_or_create(name)?;
    let attributes = Directory::attributes_of_file(&file)?;
    let ours = attributes.kind == Kind::File && trust_check::objection(&attributes, user).is_none();
    Ok(ours.then_some((file, attributes)))
}

/// Whether a later change would show in a file's `time`, as its attributes hold it. One in the future never
/// is.
pub(crate) fn is_settled(time: i64, now: Duration) -> bool {
    now.checked_sub(clock::from_nanoseconds(time))
        .is_some_and(|age| age > SETTLED)
}

/// Numbers that tell one state of a file from all others, in few bytes.
pub(crate) fn digest(numbers: &[u64]) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(8 * numbers.len());
    for number in numbers {
        bytes.extend(number.to_le_bytes());
    }
    *ModuleHash::of(&bytes).as_bytes()
}

/// A time of a file as such a number.
pub(crate) fn time(time: i64) -> u64 {
    u64::from_ne_bytes(time.to_ne_bytes())
}
