//! Looking at everything in the folder: what are entries, and what this crate did not make.

use std::io;

use module_cache_core::ModuleHash;

use crate::directory::{Attributes, Directory, Kind};
use crate::layout;

/// What is in the folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Listed>,
    /// Names that this crate does not make, below the folder of the version.
    pub(crate) unknown_files: Vec<String>,
}

/// A file in the place of an entry.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// The folder of its engine.
    pub(crate) engine: String,
    pub(crate) hash: ModuleHash,
    pub(crate) attributes: Attributes,
}

impl Listed {
    /// Its name below the folder of the version.
    pub(crate) fn name(&self) -> String {
        layout::entry_of(&self.engine, self.hash)
    }
}

/// Lists the folder. What appears or goes meanwhile may be in the list or not.
pub(crate) fn list(directory: &Directory) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for name in directory.names(".")? {
        let kind = directory
            .attributes_of(&name)
            .map_or(Kind::Other, |found| found.kind);
        if layout::is_engine_dir(&name) && kind == Kind::Directory {
            list_engine(directory, &name, &mut listing)?;
        } else if !layout::is_own(&name) {
            listing.unknown_files.push(name);
        }
    }
    Ok(listing)
}

fn list_engine(directory: &Directory, engine: &str, listing: &mut Listing) -> io::Result<()> {
    for file in directory.names(engine)? {
        let name = format!("{engine}/{file}");
        // Only the spelling that this crate writes: upper case is somebody else's.
        let hash = file
            .parse::<ModuleHash>()
            .ok()
            .filter(|hash| hash.to_string() == file);
        match (hash, directory.attributes_of(&name)) {
            (Some(hash), Ok(attributes)) if attributes.kind == Kind::File => {
                listing.entries.push(Listed {
                    engine: engine.to_owned(),
                    hash,
                    attributes,
                });
            }
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            _ => listing.unknown_files.push(name),
        }
    }
    Ok(())
}
