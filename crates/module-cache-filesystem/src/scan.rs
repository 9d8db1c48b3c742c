//! Looking at everything in the folder: what are entries, and what this crate did not make.

use std::io;

use module_cache_core::ModuleHash;

use crate::directory::{Attributes, Directory, Kind, blocks};
use crate::open_entry::Refusal;
use crate::{engine_folder, layout, trust_check};

/// What is in the folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Listed>,
    /// Names that this crate does not make, below the folder of the version.
    pub(crate) unknown_files: Vec<String>,
    /// The first name of those that could not be looked at, and why: there may be more entries than are listed.
    pub(crate) incomplete: Option<(String, io::Error)>,
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

impl Listing {
    /// What the entries take, in whole blocks.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries
            .iter()
            .map(|entry| blocks(entry.attributes.size))
            .fold(0, u64::saturating_add)
    }

    fn unreadable(&mut self, name: String, error: io::Error) {
        tracing::debug!(name, %error, "cannot examine a file");
        self.incomplete.get_or_insert((name.clone(), error));
        self.unknown_files.push(name);
    }
}

/// Lists the folder. What appears or goes meanwhile may be in the list or not.
///
/// The folder of an engine that others control is not looked into: nothing in it is loaded, so it is not the cache's.
///
/// # Errors
///
/// When nothing can be listed. What cannot be looked at alone makes the listing incomplete.
pub(crate) fn list(version: &Directory, owner_check: Option<u32>) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for name in version.names()? {
        if layout::is_own(&name) {
            continue;
        }
        if !layout::is_engine_dir(&name) {
            listing.unknown_files.push(name);
            continue;
        }
        match engine_folder::open(version, &name, owner_check) {
            Ok(Ok((folder, _))) => {
                match list_engine(&folder, &name, &mut listing) {
                    // It was removed meanwhile, as happens to one that is empty.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => listing.unreadable(name, error),
                    Ok(()) => {}
                }
            }
            Ok(Err(Refusal::Missing)) => {}
            Ok(Err(_)) => match version.attributes_of(&name) {
                Ok(found) if found.kind == Kind::Directory && is_ours(&found, owner_check) => {
                    listing.unreadable(name, io::ErrorKind::PermissionDenied.into());
                }
                _ => listing.unknown_files.push(name),
            },
            Err(error) => listing.unreadable(name, error),
        }
    }
    Ok(listing)
}

fn is_ours(found: &Attributes, owner_check: Option<u32>) -> bool {
    owner_check.is_none_or(|user| trust_check::objection(found, user).is_none())
}

fn list_engine(folder: &Directory, engine: &str, listing: &mut Listing) -> io::Result<()> {
    for file in folder.names()? {
        // Only the spelling that this crate writes: upper case is somebody else's.
        let hash = file
            .parse::<ModuleHash>()
            .ok()
            .filter(|hash| hash.to_string() == file);
        match (hash, folder.attributes_of(&file)) {
            (Some(hash), Ok(attributes)) if attributes.kind == Kind::File => {
                listing.entries.push(Listed {
                    engine: engine.to_owned(),
                    hash,
                    attributes,
                });
            }
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            (Some(_), Err(error)) => listing.unreadable(format!("{engine}/{file}"), error),
            _ => listing.unknown_files.push(format!("{engine}/{file}")),
        }
    }
    Ok(())
}
