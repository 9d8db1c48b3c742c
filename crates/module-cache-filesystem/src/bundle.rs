//! Bundles: many entries in one tar stream, to be copied to another folder.
//!
//! A member is a sealed entry in its transport encoding, as `docs/format.md` describes it, named `<engine>/<module hash>`
//! for those who list the archive. An import ignores the names: the footer says what an entry is.

mod export;
mod import;

use std::io::{self, Read, Write};

use module_cache_core::{CacheError, ListedEntry, Trust};

use crate::FileSystemCache;

pub use export::ExportReport;
pub use import::{ImportReport, Refused};

/// The largest entry in a bundle: one is held in memory at a time.
const MAX_ENTRY: u64 = 4 << 30;

/// The most members that a bundle has, so that reading one comes to an end.
const MAX_MEMBERS: u64 = 1_000_000;

/// Machine code shrinks by two thirds at any level; higher ones cost much more and bring little.
const LEVEL: i32 = 3;

fn compress(content: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(content, LEVEL)
}

fn decompress(stored: &[u8], content: &mut [u8]) -> io::Result<()> {
    if zstd::bulk::decompress_to_buffer(stored, content)? == content.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

impl FileSystemCache {
    /// Writes the entries that `select` chooses to one tar stream, for [`import`](Self::import) elsewhere: compressed, and
    /// signed under `trust` if they have no signature.
    ///
    /// Each entry is verified first, and one that cannot be used, or is signed with a key that `trust` does not accept, is
    /// left out and reported. Equal entries under an equal trust give the same bytes. One entry at a time is held in
    /// memory.
    ///
    /// ```
    /// use module_cache_core::{Compile, ModuleCache, ModuleHash, SharedKey, Trust};
    /// # use module_cache_filesystem::FileSystemCache;
    /// # use module_cache_testkit::{TestEngine, wasm};
    /// # let folder = tempfile::tempdir()?;
    /// # let here = FileSystemCache::open(folder.path().join("here"))?;
    /// # let there = FileSystemCache::open(folder.path().join("there"))?;
    /// # let (engine, wasm) = (TestEngine::new("doc"), wasm(1, 100));
    /// # here.save(ModuleHash::of(&wasm), &engine, &engine.compile(&wasm)?)?;
    ///
    /// let trust = Trust::shared(SharedKey::from_bytes([7; 32]));
    /// let mut bundle = Vec::new();
    /// here.export(&|entry| entry.bytes < 64 << 20, &trust, &mut bundle)?;
    /// assert_eq!(there.import(&mut &bundle[..], &trust)?.stored, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the folder cannot be listed, or `out` fails; what was written is then not a complete bundle.
    pub fn export(
        &self,
        select: &dyn Fn(&ListedEntry) -> bool,
        trust: &Trust,
        out: &mut dyn Write,
    ) -> Result<ExportReport, CacheError> {
        let mut chosen = self.list()?;
        chosen.retain(select);
        export::export(&self.folder, chosen, trust, out)
    }

    /// Stores the entries of a tar stream that [`export`](Self::export) wrote, each verified under `trust`. They keep their
    /// signatures.
    ///
    /// Importing installs code that will be executed: under [`Trust::unauthenticated`], the code of anybody who could write
    /// the bundle. Members that are not proven entries are refused and reported. A damaged or hostile bundle costs memory
    /// for one entry at a time, no larger than the limit of this folder, and time in proportion to its uncompressed size.
    /// The names in it are ignored: an entry is stored under the key in its footer. If an import ends early, what it has
    /// stored stays. If the entries exceed the limit of the folder, storing the later ones removes others, as a save does.
    ///
    /// # Errors
    ///
    /// When the folder is not writable or stores none of the entries, when `bundle` cannot be read, and when it is not a
    /// bundle or is empty. Problems of single members are in the report.
    pub fn import(&self, bundle: &mut dyn Read, trust: &Trust) -> Result<ImportReport, CacheError> {
        import::import(self, bundle, trust)
    }
}
