//! The hashes of wasm files, remembered by the files' identity, so that a large one is hashed once and not
//! each time a program starts.
//!
//! `<root>/v1/files` is a table of slots of 96 bytes, of which a file has one; another file may take it. As
//! in the table of hints, no lock is taken. A torn slot fails its own checksum.
//!
//! | bytes | |
//! |---|---|
//! | 0..40 | device, inode, size, time of modification, time of change (ns) of the file |
//! | 40..72 | its hash |
//! | 72..96 | the first bytes of the BLAKE3 of the above |

use std::fs::File;
use std::io;
use std::path::Path;

use module_cache_core::ModuleHash;

use crate::directory::{Attributes, Directory, Kind};
use crate::positional::{read_exact_at, write_all_at};
use crate::{FileSystemCache, clock, layout, table};

const IDENTITY: usize = 40;
const SEALED: usize = IDENTITY + 32;
const SLOT: usize = 96;
/// The file is sparse, so unused slots take no space.
const SLOTS: u64 = 1 << 14;

impl FileSystemCache {
    /// The hash of a wasm file, as [`ModuleHash::of_file`] computes it, or as it did earlier for the same
    /// file, unchanged.
    ///
    /// A file is known again by its device, inode, size, and times of modification and change, and its hash
    /// is remembered if it last changed more than two seconds ago. That is what build tools go by; what
    /// escapes them, such as a write through a mapping that is still open, escapes this too. Nothing is
    /// remembered where entries are not mapped: in a folder with a signing key, on a network file system, and
    /// on systems other than Linux. It is for wasm that is as trusted as the folder.
    ///
    /// # Errors
    ///
    /// As for [`ModuleHash::of_file`]. A table that cannot be used costs a hash.
    pub fn hash_of_file(&self, path: impl AsRef<Path>) -> io::Result<ModuleHash> {
        let file = File::open(path)?;
        let Some(table) = self.file_hashes() else {
            return ModuleHash::of_open_file(&file);
        };
        // All of this is asked of one open file: what a name stands for may be swapped.
        let before = Directory::attributes_of_file(&file)?;
        if let Some(hash) = find(&table, &before) {
            return Ok(hash);
        }
        let asked = clock::now();
        let hash = ModuleHash::of_open_file(&file)?;
        let after = Directory::attributes_of_file(&file)?;
        if before.kind == Kind::File
            && identity(&before) == identity(&after)
            && table::is_settled(before.modified, asked)
            && table::is_settled(before.changed, asked)
            && let Err(error) = write_all_at(&table, &slot(&before, hash), offset(&before))
        {
            tracing::debug!(%error, "cannot remember the hash of a file");
        }
        Ok(hash)
    }

    /// The table, where it can be relied on.
    fn file_hashes(&self) -> Option<File> {
        let policy = &self.folder.policy;
        let user = policy.owner_check?;
        if !policy.map || !self.is_writable() {
            return None;
        }
        match table::open(&self.folder.directory, layout::FILES_FILE, user) {
            Ok(opened) => opened.map(|(file, _)| file),
            Err(error) => {
                tracing::debug!(%error, "no table of files: every file is hashed");
                None
            }
        }
    }
}

fn find(table: &File, attributes: &Attributes) -> Option<ModuleHash> {
    let mut found = [0; SLOT];
    read_exact_at(table, &mut found, offset(attributes)).ok()?;
    let hash = ModuleHash::from_bytes(*found[IDENTITY..].first_chunk()?);
    (found == slot(attributes, hash)).then_some(hash)
}

fn slot(attributes: &Attributes, hash: ModuleHash) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..IDENTITY].copy_from_slice(&identity(attributes));
    slot[IDENTITY..SEALED].copy_from_slice(hash.as_bytes());
    let check = ModuleHash::of(&slot[..SEALED]);
    slot[SEALED..].copy_from_slice(&check.as_bytes()[..SLOT - SEALED]);
    slot
}

fn offset(attributes: &Attributes) -> u64 {
    let digest = ModuleHash::of(&identity(attributes));
    let first = digest.as_bytes().first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(first) % SLOTS * SLOT as u64
}

fn identity(attributes: &Attributes) -> [u8; IDENTITY] {
    table::encode([
        attributes.device,
        attributes.inode,
        attributes.size,
        table::time(attributes.modified),
        table::time(attributes.changed),
    ])
}
