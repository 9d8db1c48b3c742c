//! How much the folder may take: a number of bytes in `<root>/v1/limit`, the same for all programs that use it.

use std::io::{self, Read, Write};

use crate::directory::Directory;
use crate::layout;
use crate::ledger::LedgerGuard;
use crate::temporary::Temporary;

/// For a folder of which nobody has said.
pub(crate) const DEFAULT: u64 = 10 << 30;

/// What the folder says.
///
/// # Errors
///
/// When it cannot be read, or is no number: to go by another limit could remove what should stay.
pub(crate) fn read(directory: &Directory) -> io::Result<u64> {
    let file = match directory.open_file(layout::LIMIT_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DEFAULT),
        file => file?,
    };
    let mut text = String::new();
    file.take(32).read_to_string(&mut text)?;
    text.strip_suffix('\n')
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| {
            let text =
                "the file `limit` is not a number of bytes; set the limit of the folder again";
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
}

/// Sets it for all who use the folder, from their next save on.
pub(crate) fn write(directory: &Directory, guard: &LedgerGuard<'_>, bytes: u64) -> io::Result<()> {
    let temporary = Temporary::create(directory, 0, guard)?;
    let mut file = temporary.file();
    writeln!(file, "{bytes}")?;
    Directory::seal_permissions(file)?;
    file.sync_all()?;
    temporary.publish(directory, layout::LIMIT_FILE, guard)
}
