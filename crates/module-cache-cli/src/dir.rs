//! `module-cache dir`: prints the cache folder.

use anyhow::Result;

use crate::args::DirArgs;
use crate::{cache_folder, output};

/// Runs the command and returns its exit code.
///
/// # Errors
///
/// When there is no cache folder, or nothing can be printed.
pub(crate) fn dir(args: &DirArgs) -> Result<u8> {
    let folder = cache_folder::resolve(&args.cache_dir)?;
    // As it is, so that a shell that takes it gets the same folder, whatever its name is made of.
    output::print_line(folder.as_os_str().as_encoded_bytes())?;
    output::flush()?;
    Ok(0)
}
