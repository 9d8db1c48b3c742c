//! The hashes of wasm files, remembered by the files' identity, so that a large one is hashed once and not
//! each time a program starts.
//!
//! `<root>/v1/files` is a table of slots of 96 bytes, of which a file has one; another file may take it. As
//! in the table of hints, no lock is taken. A torn slot fails its own checksum.
//!
//! | bytes | |
//! |---|---|
//! | 0..32 | BLAKE3 of the session (boot and mount), and of device, inode, size, time of modification, time of change (ns) and number of the last change of the file |
//! | 32..64 | its hash |
//! | 64..96 | BLAKE3 of the above |

use std::fs::File;
use std::io;
use std::path::Path;

use module_cache_core::ModuleHash;

use crate::directory::{Attributes, Directory, Kind};
use crate::policy::Map;
use crate::positional::{read_exact_at, write_all_at};
use crate::storage::{self, Storage};
use crate::{FileSystemCache, clock, layout, platform, table};

const IDENTITY: usize = 32;
const SEALED: usize = IDENTITY + 32;
const SLOT: usize = 96;
/// The file is sparse, so unused slots take no space.
const SLOTS: u64 = 1 << 14;

impl FileSystemCache {
    /// The hash of a wasm file, as [`ModuleHash::of_file`] computes it; remembered as long as the file does not change.
    ///
    /// A file is recognized by its device, inode, size, and times of modification and change, as long as its file system
    /// stays mounted. Its hash is remembered if it last changed more than two seconds ago. Like build tools that compare
    /// the same attributes, this does not notice a write through a mapping that is still open. Hashes of files on network
    /// file systems, overlays and tmpfs are not remembered, and neither are any in a folder whose entries are not mapped.
    /// Use it only for wasm that is as trusted as the folder.
    ///
    /// ```
    /// use module_cache_core::ModuleHash;
    /// # use module_cache_filesystem::FileSystemCache;
    /// # let folder = tempfile::tempdir()?;
    /// # let cache = FileSystemCache::open(folder.path().join("cache"))?;
    /// # let path = folder.path().join("module.wasm");
    /// # std::fs::write(&path, b"\0asm\x01\0\0\0")?;
    ///
    /// assert_eq!(cache.hash_of_file(&path)?, ModuleHash::of_file(&path)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`ModuleHash::of_file`]. If the table cannot be used, the file is hashed.
    pub fn hash_of_file(&self, path: impl AsRef<Path>) -> io::Result<ModuleHash> {
        let file = File::open(path)?;
        let Some(table) = self.file_hashes() else {
            return ModuleHash::of_open_file(&file);
        };
        // All of this is asked of one open file: what a name stands for may be swapped.
        let asked = clock::now();
        let before = Directory::attributes_of_file(&file)?;
        let Some(identity) = identity(&file, &before) else {
            return ModuleHash::of_open_file(&file);
        };
        if let Some(hash) = find(&table, &identity) {
            return Ok(hash);
        }
        let hash = ModuleHash::of_open_file(&file)?;
        let after = Directory::attributes_of_file(&file)?;
        if before == after
            && table::is_settled(before.modified, asked)
            && table::is_settled(before.changed, asked)
        {
            if let Err(error) = write_all_at(&table, &slot(&identity, hash), offset(&identity)) {
                tracing::debug!(%error, "cannot remember the hash of a file");
            }
        }
        Ok(hash)
    }

    /// The table, where it can be relied on.
    fn file_hashes(&self) -> Option<File> {
        let policy = &self.folder.policy;
        let user = policy.owner_check?;
        if policy.map_on(self.folder.directory.storage()) == Map::None || !self.is_writable() {
            return None;
        }
        match table::open(&self.folder.directory, layout::FILES_FILE, user) {
            Ok(opened) => opened.map(|(file, _)| file),
            Err(error) => {
                tracing::debug!(%error, "cannot open the table of file hashes; every file is hashed");
                None
            }
        }
    }
}

fn find(table: &File, identity: &[u8; IDENTITY]) -> Option<ModuleHash> {
    let mut found = [0; SLOT];
    read_exact_at(table, &mut found, offset(identity)).ok()?;
    let hash = ModuleHash::from_bytes(*found[IDENTITY..].first_chunk()?);
    (found == slot(identity, hash)).then_some(hash)
}

fn slot(identity: &[u8; IDENTITY], hash: ModuleHash) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..IDENTITY].copy_from_slice(identity);
    slot[IDENTITY..SEALED].copy_from_slice(hash.as_bytes());
    let check = ModuleHash::of(&slot[..SEALED]);
    slot[SEALED..].copy_from_slice(check.as_bytes());
    slot
}

fn offset(identity: &[u8; IDENTITY]) -> u64 {
    let first = identity.first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(first) % SLOTS * SLOT as u64
}

/// What tells this state of a file from all others; `None` where another could look the same.
fn identity(file: &File, attributes: &Attributes) -> Option<[u8; IDENTITY]> {
    if attributes.kind != Kind::File || platform::storage(file) != Storage::Local {
        return None;
    }
    Some(table::digest(&[
        storage::session(platform::mount(file))?,
        attributes.device,
        attributes.inode,
        attributes.size,
        table::time(attributes.modified),
        table::time(attributes.changed),
        attributes.usn,
    ]))
}
