//! What the tables of the folder have in common: hints, and the hashes of files. They are files of slots at
//! fixed places, read and written without a lock, and nothing is lost with them but time.

use std::fs::File;
use std::io;
use std::time::Duration;

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

/// Five numbers as they stand in a slot.
pub(crate) fn encode(numbers: [u64; 5]) -> [u8; 40] {
    let mut bytes = [0; 40];
    for (to, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
        *to = number.to_le_bytes();
    }
    bytes
}

/// A time of a file as such a number.
pub(crate) fn time(time: i64) -> u64 {
    u64::from_ne_bytes(time.to_ne_bytes())
}
