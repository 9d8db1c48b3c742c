//! From artifact to module: mapped where that pays and works, else through memory.

use std::fs::File;

use module_cache_core::{Artifact, EngineError};

/// Below this, an artifact in a file is read. A mapped one costs a descriptor for the life of the module,
/// and at this size saves little.
///
/// For aarch64, wasmtime places each of an artifact's four parts at a multiple of 64 KiB, as pages there may be so large. So an
/// artifact is small if the parts together would be, without the room between them.
const MAP_FROM: u64 = if cfg!(target_arch = "aarch64") {
    5 * PART
} else {
    PART
};

const PART: u64 = 64 * 1024;

/// Loads with `map` from an open file, or with `copy` from memory.
///
/// Not every file that can be read can be mapped and executed: the file system may be mounted `noexec`,
/// or the process may be out of descriptors. So where `map` fails, `copy` has the last word.
///
/// # Errors
///
/// When the file cannot be read, or `copy` fails.
pub(crate) fn load_artifact<T>(
    artifact: Artifact,
    map: impl FnOnce(&File) -> wasmtime::Result<T>,
    copy: impl FnOnce(&[u8]) -> wasmtime::Result<T>,
) -> Result<T, EngineError> {
    match &artifact {
        Artifact::File { file, len } if *len >= MAP_FROM => {
            if let Ok(module) = map(file) {
                return Ok(module);
            }
        }
        _ => {}
    }
    let bytes = artifact
        .into_bytes()
        .map_err(|error| EngineError::new("cannot read the stored code", error))?;
    copy(&bytes).map_err(|error| EngineError::new("cannot load the stored code", error))
}
