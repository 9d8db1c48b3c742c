//! Wasm together with its hash, so that it is not hashed twice.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use crate::ModuleHash;

/// The bytes of a module and their [`ModuleHash`], computed once.
///
/// Hashing 14 MB takes milliseconds and a hit in memory takes nanoseconds, so a program that asks for
/// the same module again keeps this (or the hash alone) instead of the bytes.
///
/// ```
/// use module_cache_core::{HashedModule, ModuleHash};
///
/// let wasm = b"\0asm\x01\0\0\0";
/// let module = HashedModule::new(wasm);
/// assert_eq!(module.hash(), ModuleHash::of(wasm));
/// ```
#[derive(Debug, Clone)]
pub struct HashedModule<'a> {
    wasm: Cow<'a, [u8]>,
    hash: ModuleHash,
}

impl<'a> HashedModule<'a> {
    /// Hashes `wasm` and keeps both.
    pub fn new(wasm: impl Into<Cow<'a, [u8]>>) -> Self {
        let wasm = wasm.into();
        let hash = ModuleHash::of(&wasm);
        Self { wasm, hash }
    }

    /// Pairs `wasm` with a key that the caller already has.
    ///
    /// The caller is responsible for the pair: under a wrong key, caches return another module than `wasm`.
    pub fn with_hash(hash: ModuleHash, wasm: impl Into<Cow<'a, [u8]>>) -> Self {
        Self {
            wasm: wasm.into(),
            hash,
        }
    }

    /// Reads and hashes a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read; the message names it.
    pub fn from_file(path: impl AsRef<Path>) -> io::Result<HashedModule<'static>> {
        let path = path.as_ref();
        let wasm = std::fs::read(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            io::Error::new(error.kind(), message)
        })?;
        Ok(HashedModule::new(wasm))
    }

    /// The wasm itself.
    pub fn wasm(&self) -> &[u8] {
        &self.wasm
    }

    /// The hash of the wasm.
    pub fn hash(&self) -> ModuleHash {
        self.hash
    }
}
