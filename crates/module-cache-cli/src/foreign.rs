//! What lies in the cache folder and is none of the cache's: it is named, and left alone.

use std::path::PathBuf;

use crate::messages;

/// Names each of these files.
pub(crate) fn note(files: &[PathBuf]) {
    for file in files {
        messages::note(format_args!(
            "{} is none of the cache's, and is left alone",
            file.display()
        ));
    }
}

/// The files, as `--json` prints them.
pub(crate) fn names(files: &[PathBuf]) -> Vec<String> {
    let names = files.iter().map(|file| file.to_string_lossy().into_owned());
    names.collect()
}
