//! The identity of a wasmtime engine, from what wasmtime itself says its compiled code depends on.

use std::hash::{Hash, Hasher};

use module_cache_core::{EngineError, EngineId};
use wasmtime::ModuleVersionStrategy;

use crate::compile_pool;

/// What is known of an engine's code.
pub(crate) struct Identity {
    pub(crate) id: EngineId,
    /// Of an empty module: by it, code of this engine is told from that of others.
    pub(crate) artifact: Vec<u8>,
}

/// The id for artifacts of `kind` that `engine` compiles, and one of these. `machine` tells people for which machines it does, where that is
/// not the one that it runs on.
///
/// # Errors
///
/// When the engine says too little about its code for it to be stored.
pub(crate) fn identify(
    engine: &wasmtime::Engine,
    kind: &str,
    machine: &str,
    salt: &str,
) -> Result<Identity, EngineError> {
    let compatibility = hashed_bytes(&engine.precompile_compatibility_hash());
    // What wasmtime hashes last is the module version: a string, of which `str` writes the bytes and then
    // 0xff, or nothing at all for `ModuleVersionStrategy::None`. What comes before it is a `bool`, a byte
    // of 0 or 1. There is no other way to ask for the strategy.
    if compatibility.last() != Some(&0xff) {
        return Err(EngineError::refused(
            "an engine with `ModuleVersionStrategy::None` accepts code of any version of wasmtime, \
             so its modules cannot be stored",
        ));
    }
    // An engine may be made without a compiler (`Config::enable_compiler`). Target, CPU features and
    // compiler flags are then missing in the hash. Compiling tells, and of an empty module takes microseconds.
    let compiler = engine.clone();
    let compile = move || compiler.precompile_module(EMPTY_MODULE);
    let artifact = compile_pool::run_here(compile)?.map_err(|_| {
        EngineError::refused("the engine has no compiler and cannot compute its id; use `with_id`")
    })?;
    // The label counts as a field. It brings the version in, which is not in the hash when a module
    // version of the embedder's own is; and the kind, for which wasmtime has no different hash.
    let label = format!("wasmtime-{}-{kind}{machine}", wasmtime_version());
    let fields = [
        ("compatibility", compatibility.escape_ascii().to_string()),
        ("salt", salt.to_owned()),
    ];
    let id = fields
        .iter()
        .fold(EngineId::builder(&label), |id, (name, value)| {
            id.field(name, value)
        });
    Ok(Identity {
        id: id.build(),
        artifact,
    })
}

const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// The version of the wasmtime that this is built with, which it tells only to a hasher.
fn wasmtime_version() -> String {
    let bytes = hashed_bytes(&ModuleVersionStrategy::WasmtimeVersion);
    let text = bytes.strip_suffix(&[0xff]).unwrap_or(&bytes);
    String::from_utf8_lossy(text).into_owned()
}

/// All that `value` feeds to a hasher: no digest that could collide, and open to inspection.
fn hashed_bytes(value: &impl Hash) -> Vec<u8> {
    let mut bytes = HashedBytes(Vec::new());
    value.hash(&mut bytes);
    bytes.0
}

struct HashedBytes(Vec<u8>);

impl Hasher for HashedBytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("the bytes are read from the hasher itself")
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Engine};

    use super::*;

    fn versioned(strategy: ModuleVersionStrategy) -> Result<EngineId, EngineError> {
        let mut config = Config::new();
        config.module_version(strategy).unwrap();
        let engine = Engine::new(&config).unwrap();
        identify(&engine, "module", "", "").map(|identity| identity.id)
    }

    #[test]
    fn the_label_names_version_and_kind() {
        let id = versioned(ModuleVersionStrategy::WasmtimeVersion).unwrap();
        let version = id
            .label()
            .strip_prefix("wasmtime-")
            .and_then(|rest| rest.strip_suffix("-module"))
            .unwrap();
        let parts: Vec<u64> = version
            .split('.')
            .map(|part| part.parse().unwrap())
            .collect();
        assert_eq!(parts.len(), 3, "{version}");
        assert!((36..51).contains(&parts[0]), "{version}");
    }

    #[test]
    fn an_engine_that_accepts_every_version_is_refused() {
        let error = versioned(ModuleVersionStrategy::None).unwrap_err();
        assert!(error.to_string().contains("ModuleVersionStrategy::None"));
    }

    #[test]
    fn every_named_version_has_an_id_of_its_own() {
        let custom =
            |version: &str| versioned(ModuleVersionStrategy::Custom(version.to_owned())).unwrap();
        let ids = [
            versioned(ModuleVersionStrategy::WasmtimeVersion).unwrap(),
            custom(""),
            custom("a"),
            custom("\u{1}"),
        ];
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(id));
        }
    }
}
