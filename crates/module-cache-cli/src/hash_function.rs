//! The hash functions by whose digest of the wasm its code can be found.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use clap::ValueEnum;
use module_cache::{FileSystemCache, ModuleHash};
use sha2::{Digest, Sha256};

/// What the key of a module is computed with. Those who look for it must use the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HashFunction {
    /// BLAKE3, which `run` and the library use
    Blake3,
    /// SHA-256, which wasmer-wasix uses
    Sha256,
}

/// What is read of a file at a time.
const PIECE: usize = 64 * 1024;

impl HashFunction {
    /// The key of wasm that is in memory.
    pub(crate) fn of(self, wasm: &[u8]) -> ModuleHash {
        match self {
            Self::Blake3 => ModuleHash::of(wasm),
            Self::Sha256 => ModuleHash::from_bytes(Sha256::digest(wasm).into()),
        }
    }

    /// The key of what is in a file, which is not held in memory. The cache folder remembers BLAKE3s, so that
    /// a file that did not change is not read again.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub(crate) fn of_file(
        self,
        path: &Path,
        folder: Option<&FileSystemCache>,
    ) -> io::Result<ModuleHash> {
        match (self, folder) {
            (Self::Blake3, Some(folder)) => folder.hash_of_file(path),
            (Self::Blake3, None) => ModuleHash::of_file(path),
            (Self::Sha256, _) => sha256_of_file(path),
        }
    }
}

fn sha256_of_file(path: &Path) -> io::Result<ModuleHash> {
    let mut file = BufReader::with_capacity(PIECE, File::open(path)?);
    let mut hasher = Sha256::new();
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            return Ok(ModuleHash::from_bytes(hasher.finalize().into()));
        }
        hasher.update(piece);
        let len = piece.len();
        file.consume(len);
    }
}
