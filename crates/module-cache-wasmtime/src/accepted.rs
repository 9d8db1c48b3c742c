//! What an engine loads beside code of its own id, and how it tells the two apart.

use std::sync::Arc;

#[cfg(any(feature = "cranelift", feature = "component-model"))]
use module_cache_core::EngineError;
use module_cache_core::EngineId;
#[cfg(feature = "cranelift")]
use {crate::code_fields::code_fields, module_cache_core::CodeFields};

/// The ids that an engine accepts, none by default.
#[derive(Clone, Default)]
pub(crate) struct Accepted {
    pub(crate) ids: Arc<[EngineId]>,
    /// What artifacts of the engine's own id say of the engine that made them. It counts also where no other ids are accepted:
    /// another adapter of the same engine may accept some, and its modules are this one's. Empty where that is not known.
    #[cfg(any(feature = "cranelift", feature = "component-model"))]
    own: Arc<[u8]>,
}

impl Accepted {
    /// Takes an artifact of the engine's own id, to know others by.
    ///
    /// # Errors
    ///
    /// When the artifact does not say what it was compiled for, and other ids are to be accepted.
    #[cfg(feature = "cranelift")]
    pub(crate) fn new(ids: Vec<EngineId>, own_artifact: &[u8]) -> Result<Self, EngineError> {
        let own = engine_section(own_artifact);
        if own.is_none() && !ids.is_empty() {
            return Err(EngineError::refused(
                "artifacts of this wasmtime do not say what they were compiled for",
            ));
        }
        Ok(Self {
            ids: ids.into(),
            own: own.unwrap_or_default().into(),
        })
    }

    /// What code of the engine's own id depends on.
    #[cfg(feature = "cranelift")]
    pub(crate) fn own_fields(&self) -> CodeFields {
        code_fields(&self.own, &self.own)
    }

    /// What an artifact depends on, if this version of wasmtime wrote it.
    #[cfg(feature = "cranelift")]
    pub(crate) fn fields_of(&self, artifact: &[u8]) -> CodeFields {
        code_fields(engine_section(artifact).unwrap_or_default(), &self.own)
    }

    /// Checks that an artifact is code of the engine's own id.
    ///
    /// # Errors
    ///
    /// When it was loaded under an accepted id.
    #[cfg(any(feature = "cranelift", feature = "component-model"))]
    pub(crate) fn check_own(&self, artifact: &[u8]) -> Result<(), EngineError> {
        if self.own.is_empty() || engine_section(artifact) == Some(&self.own) {
            return Ok(());
        }
        Err(EngineError::refused(
            "the code was loaded under an accepted id, and is stored under that alone",
        ))
    }
}

/// What wasmtime writes into an artifact about the engine that made it (`engine/serialization.rs`): version, target, flags,
/// tunables and wasm features, in a section of a 64-bit little-endian ELF.
#[cfg(any(feature = "cranelift", feature = "component-model"))]
fn engine_section(elf: &[u8]) -> Option<&[u8]> {
    let number = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(elf.get(at..at.checked_add(len)?)?);
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    let (table, header_len) = (number(0x28, 8)?, number(0x3a, 2)?);
    let (count, names) = (number(0x3c, 2)?, number(0x3e, 2)?);
    let header = |index: usize| table.checked_add(index.checked_mul(header_len)?);
    let content = |header: usize| {
        let start = number(header.checked_add(0x18)?, 8)?;
        let len = number(header.checked_add(0x20)?, 8)?;
        elf.get(start..start.checked_add(len)?)
    };
    let names = content(header(names)?)?;
    let found = (0..count).filter_map(header).find(|&header| {
        let name = number(header, 4).and_then(|at| names.get(at..));
        name.is_some_and(|name| name.starts_with(b".wasmtime.engine\0"))
    });
    content(found?)
}
