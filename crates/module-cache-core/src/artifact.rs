//! What an engine is given to load: serialized code in memory or at the start of an open file.

use std::fs::File;
use std::io::{self, Read, Seek};

/// Code that [`ArtifactEngine::serialize`](crate::ArtifactEngine::serialize) made, on its way back into
/// an engine.
///
/// It is owned, because engines keep the file (which they map) or the bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Artifact {
    /// The artifact, exactly.
    Bytes(Vec<u8>),
    /// The artifact is the first `len` bytes of `file`; what follows is a footer of this project, not the
    /// engine's. The descriptor is open for reading and positioned anywhere.
    File {
        /// An open regular file.
        file: File,
        /// Length of the artifact in bytes, less than the file's.
        len: u64,
    },
}

impl Artifact {
    /// Length of the artifact in bytes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "no engine makes an empty artifact"
    )]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// The artifact in memory, for engines that cannot load from an open file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is shorter than the artifact.
    pub fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::File { mut file, len } => {
                let mut bytes = Vec::new();
                let len = usize::try_from(len).map_err(io::Error::other)?;
                bytes.try_reserve_exact(len)?;
                // In one read: growing as it goes, it would begin with small ones.
                bytes.resize(len, 0);
                file.rewind()?;
                file.read_exact(&mut bytes)?;
                Ok(bytes)
            }
        }
    }
}
