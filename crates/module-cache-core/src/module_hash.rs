//! The key of a wasm file: what makes two modules the same.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::str::FromStr;

use crate::parallel_hash;

/// Names a WebAssembly module by its contents: the BLAKE3 of the wasm, 32 bytes.
///
/// Two files with equal bytes have equal hashes, wherever they are. It is written as 64 lower-case hexadecimal digits,
/// which is what `b3sum` prints.
///
/// ```
/// use module_cache_core::ModuleHash;
///
/// let hash = ModuleHash::of(b"\0asm\x01\0\0\0");
/// assert_eq!(hash.to_string().parse::<ModuleHash>()?, hash);
/// # Ok::<(), module_cache_core::ParseHashError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleHash([u8; 32]);

impl ModuleHash {
    /// Hashes wasm that is in memory, on all cores when it is large.
    pub fn of(wasm: &[u8]) -> Self {
        Self(parallel_hash::hash_slice(wasm))
    }

    /// Hashes a file without holding it in memory, on all cores when it is large.
    ///
    /// The file is read in pieces rather than mapped: truncating a mapped file would kill the process.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or read, or shrinks while it is read. What is appended meanwhile is
    /// not part of the hash.
    pub fn of_file(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::of_open_file(&File::open(path)?)
    }

    /// The same for an open file: all of a regular file, wherever its cursor is, or what can be read from another kind of
    /// file.
    ///
    /// # Errors
    ///
    /// As for [`of_file`](Self::of_file), except for opening the file.
    pub fn of_open_file(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() == 0 {
            // A pipe has no length and no offsets, and files of the kernel say that they are empty.
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(file)?;
            return Ok(Self(*hasher.finalize().as_bytes()));
        }
        parallel_hash::hash_read(metadata.len(), &|piece, offset| {
            read_exact_at(file, piece, offset)
        })
        .map(Self)
    }

    /// A key that the caller computed, such as wasmer-wasix's SHA-256 of the wasm.
    ///
    /// It must be unique to the module and spread like a digest: caches use its bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ModuleHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ModuleHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ModuleHash({self})")
    }
}

impl FromStr for ModuleHash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, ParseHashError> {
        let hash = blake3::Hash::from_hex(text).map_err(|_| ParseHashError)?;
        Ok(Self(hash.into()))
    }
}

/// A text that is not a [`ModuleHash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a module hash is 64 hexadecimal digits")]
pub struct ParseHashError;

#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, buffer, offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[count..];
        offset += count as u64;
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
pub(crate) fn read_exact_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_module_never_changes() {
        assert_eq!(
            ModuleHash::of(b"\0asm\x01\0\0\0").to_string(),
            blake3::hash(b"\0asm\x01\0\0\0").to_hex().as_str()
        );
        assert_eq!(
            ModuleHash::of(b"").to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn a_file_hashes_like_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("module.wasm");
        for len in [0, 5, (1 << 20) + 3] {
            let wasm = vec![42; len];
            std::fs::write(&path, &wasm).unwrap();
            assert_eq!(ModuleHash::of_file(&path).unwrap(), ModuleHash::of(&wasm));
        }
    }

    #[test]
    fn only_64_hexadecimal_digits_are_a_hash() {
        let hash = ModuleHash::of(b"x").to_string();
        assert!(hash.to_uppercase().parse::<ModuleHash>().is_ok());
        for bad in [
            "",
            &hash[1..],
            &format!("{hash}0"),
            &hash.replace(&hash[..1], "g"),
            &"é".repeat(32),
        ] {
            assert_eq!(bad.parse::<ModuleHash>(), Err(ParseHashError), "{bad}");
        }
    }
}
