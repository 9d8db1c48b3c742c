//! Serializing modules, and loading what was serialized.

use std::borrow::Cow;
use std::fs::File;
use std::io;

use bytes::Bytes;
use memmap2::{Mmap, MmapMut};
#[cfg(feature = "compiler")]
use module_cache_core::CodeFields;
use module_cache_core::{Artifact, ArtifactEngine, EngineError};
use wasmer::Module;
use wasmer_compiler::ArtifactCreate as _;
use wasmer_types::MetadataHeader;

use crate::WasmerEngine;
use crate::catch_panic::catch_panic;
#[cfg(feature = "compiler")]
use crate::code_fields::code_fields_of;

/// Below this, an artifact in a file is read. A mapped one takes up one of the process's mappings for as
/// long as the engine lives, and at this size saves little.
const MAP_FROM: u64 = 64 * 1024;

// SAFETY: the id says all that wasmer's code depends on (see `engine_id`), and where it was not computed here,
// the caller of `with_id` promises as much. `serialize` emits what wasmer made of a module that this process
// compiled, or loaded under the contract of wasmer's `deserialize`, with this version of wasmer and for this
// machine. wasmer does not say which engine a module belongs to, so a module of another engine of this
// process is not always refused. Its code runs in this one all the same: that engine's compiler, options and
// middleware make no difference to wasmer's runtime; the CPU features that the code needs are checked by wasmer when it is
// loaded, and how its memories and tables are guarded is checked here. Code of an accepted id differs from the engine's own
// in that it uses fewer CPU features than the engine's target and this machine have, which `accept` checks. That code is
// not serialized under the engine's own id: each artifact says which CPU features it was compiled for.
unsafe impl ArtifactEngine for WasmerEngine {
    /// Copies the module's code.
    ///
    /// wasmer does not say which engine a module belongs to. Only one that was compiled for another machine or other
    /// CPU features is refused; that it is of this engine is for the caller to see to, as it is wherever a module is used
    /// with wasmer.
    fn serialize<'m>(&self, module: &'m Module) -> Result<Cow<'m, [u8]>, EngineError> {
        let artifact = module
            .sys_artifact()
            .filter(|artifact| artifact.allocated());
        let Some(artifact) = artifact else {
            return Err(EngineError::refused(
                "the module belongs to an engine for another machine",
            ));
        };
        #[cfg(feature = "compiler")]
        if self
            .identity
            .as_ref()
            .is_some_and(|identity| !identity.is_for_own_cpu(artifact))
        {
            return Err(EngineError::refused(
                "the module was compiled for other CPU features than this engine compiles for: it belongs to another \
                 engine, or was loaded under an accepted id and is stored under that alone",
            ));
        }
        let bytes = module
            .serialize()
            .map_err(|error| EngineError::new("cannot serialize the module", error))?;
        Ok(Vec::from(bytes).into())
    }

    /// Maps a file of 64 KiB or more, and reads a smaller one. Then wasmer copies the code, once, to where
    /// it is executed and adapts it to its place there. It keeps what it was given for as long as the engine
    /// lives, for the initial contents of memories and for backtraces: a mapped file costs no memory for that.
    ///
    /// Artifacts in the native format (`experimental_artifact`) are copied three times. wasmer could map
    /// them, but only from a path that it opens again whenever the module is serialized.
    unsafe fn deserialize(&self, artifact: Artifact) -> Result<Module, EngineError> {
        // SAFETY: the caller promises that a file stays as it is while the module lives. When no code of the
        // module can run any more, wasmer looks into it no more.
        let bytes = unsafe { in_memory(artifact) }
            .map_err(|error| EngineError::new("cannot read the stored code", error))?;
        // SAFETY: wasmer asks for the unmodified output of `Module::serialize`, whole and aligned, of an
        // engine whose code this one can run. The caller promises that, by the equal id, and `in_memory` aligns
        // it. What "unchecked" leaves out is the search for damage in the artifact's structure; magic,
        // metadata version, lengths and CPU features are checked still.
        let module =
            catch_panic(|| unsafe { Module::deserialize_unchecked(self.engine(), bytes) })?
                .map_err(|error| EngineError::new("cannot load the stored code", error))?;
        // Asked for outside of wasmer's lock: tunables are the embedder's code.
        if catch_panic(|| is_guarded_alike(self.engine(), &module))? {
            return Ok(module);
        }
        Err(EngineError::refused(
            "the tunables of this engine guard memories or tables differently from those of the engine that compiled the code",
        ))
    }

    /// Nothing, if the id was not computed here.
    #[cfg(feature = "compiler")]
    fn code_fields(&self) -> CodeFields {
        let identity = self.identity.as_ref();
        identity.map_or_else(CodeFields::default, |identity| identity.code_fields())
    }

    /// The features of CPU and WebAssembly; of native artifacts (`experimental_artifact`) nothing.
    #[cfg(feature = "compiler")]
    fn code_fields_of(&self, artifact: &[u8]) -> CodeFields {
        code_fields_of(artifact).unwrap_or_default()
    }
}

/// Whether this engine's tunables say of each memory and table what those said that the code was compiled with: it decides
/// which bounds checks the code has. The id has samples of it, and tunables may answer otherwise for other sizes.
fn is_guarded_alike(engine: &wasmer::Engine, module: &Module) -> bool {
    let Some(artifact) = module.sys_artifact() else {
        return true;
    };
    let (tunables, info) = (engine.as_sys().tunables(), module.info());
    let memories = info
        .memories
        .iter()
        .map(|(at, ty)| artifact.memory_styles().get(at) == Some(&tunables.memory_style(ty)));
    let tables = info
        .tables
        .iter()
        .map(|(at, ty)| artifact.table_styles().get(at) == Some(&tunables.table_style(ty)));
    memories.chain(tables).all(|is_alike| is_alike)
}

/// The artifact, aligned as wasmer needs it.
///
/// # Safety
///
/// If the artifact is a file, it stays unchanged while the bytes live.
unsafe fn in_memory(artifact: Artifact) -> io::Result<Bytes> {
    if let Artifact::File { file, len } = &artifact
        && *len >= MAP_FROM
        // SAFETY: the caller promises it.
        && let Some(bytes) = unsafe { map(file, *len) }
    {
        return Ok(bytes);
    }
    aligned(artifact.into_bytes()?.into())
}

/// The first `len` bytes of a file, or nothing where it cannot be mapped or is shorter than that.
///
/// # Safety
///
/// The file stays unchanged while the bytes live.
unsafe fn map(file: &File, len: u64) -> Option<Bytes> {
    let len = usize::try_from(len).ok()?;
    // SAFETY: the caller promises that nobody changes or truncates the file.
    let map = unsafe { Mmap::map(file) }.ok()?;
    (len <= map.len()).then(|| Bytes::from_owner(map).slice(..len))
}

/// The bytes themselves if they are aligned, as allocators align anything but the smallest; else a copy.
fn aligned(bytes: Bytes) -> io::Result<Bytes> {
    if bytes.as_ptr().addr().is_multiple_of(MetadataHeader::ALIGN) {
        return Ok(bytes);
    }
    let mut copy = MmapMut::map_anon(bytes.len())?;
    copy.copy_from_slice(&bytes);
    Ok(Bytes::from_owner(copy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_copied_only_where_they_are_not_aligned() {
        let bytes = aligned(vec![7; 1000].into()).unwrap();
        for offset in 0..MetadataHeader::ALIGN {
            let slice = bytes.slice(offset..);
            let address = slice.as_ptr();
            let result = aligned(slice.clone()).unwrap();
            assert_eq!(result, slice);
            assert_eq!(result.as_ptr() == address, offset == 0);
            assert!(result.as_ptr().addr().is_multiple_of(MetadataHeader::ALIGN));
        }
    }

    #[test]
    fn no_bytes_at_all_are_aligned_too() {
        assert!(aligned(Bytes::new()).unwrap().is_empty());
    }
}
