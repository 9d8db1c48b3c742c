//! How tests make engines, feed them, and run what they loaded.

use std::error::Error;
use std::fs::File;
use std::path::Path;

use module_cache_core::format::{Footer, Seal, strip_footer};
use module_cache_core::{
    Artifact, ArtifactEngine, Compile, Engine, EngineError, EntryKey, ModuleHash, SealedEntry,
    Trust,
};
use module_cache_wasmer::WasmerEngine;
use wasmer::sys::{Cranelift, Singlepass};
use wasmer::{Instance, Module, Store, TypedFunction, imports};

/// Artifacts of this much data are mapped; those of [`SMALL`] are not.
pub(crate) const LARGE: usize = 200_000;
pub(crate) const SMALL: usize = 100;

/// A way to make an engine.
pub(crate) type NewEngine = fn() -> WasmerEngine;

pub(crate) fn cranelift() -> WasmerEngine {
    WasmerEngine::without_middleware(&Cranelift::new().into()).unwrap()
}

/// With artifacts that are ELF images.
#[cfg(unix)]
pub(crate) fn cranelift_native() -> WasmerEngine {
    let mut config = Cranelift::new();
    config.experimental_artifact(true);
    WasmerEngine::without_middleware(&config.into()).unwrap()
}

pub(crate) fn singlepass() -> WasmerEngine {
    WasmerEngine::without_middleware(&Singlepass::new().into()).unwrap()
}

/// Wasm whose function `at` returns a byte of its `data_len` bytes of data: a [`letter`].
pub(crate) fn wasm(data_len: usize) -> Vec<u8> {
    let data: String = ('a'..='z').cycle().take(data_len).collect();
    // So many functions, of as many types, that compiling them is work to share out.
    let more: Vec<String> = (0..50)
        .map(|params| {
            let params = "i32 ".repeat(params);
            format!("(func (param i32 {params}) (result i32) (i32.clz (local.get 0)))")
        })
        .collect();
    let text = format!(
        "(module
           (memory 4)
           (data (i32.const 0) \"{data}\")
           (func (export \"at\") (param i32) (result i32) (i32.load8_u (local.get 0)))
           {})",
        more.concat()
    );
    wat::parse_str(text).unwrap()
}

/// Calls `at` of a module of [`wasm`].
pub(crate) fn at(engine: &WasmerEngine, module: &Module, index: u32) -> u32 {
    let mut store = Store::new(engine.engine().clone());
    let instance = Instance::new(&mut store, module, &imports! {}).unwrap();
    let at: TypedFunction<u32, u32> = instance.exports.get_typed_function(&store, "at").unwrap();
    at.call(&mut store, index).unwrap()
}

/// The data of [`wasm`]: the alphabet, over and over.
pub(crate) fn letter(index: u32) -> u32 {
    u32::from(b'a') + index % 26
}

/// Loads an entry. The tests make entries of artifacts from engines of equal id only.
pub(crate) fn load(
    engine: &WasmerEngine,
    entry: SealedEntry<'static>,
) -> Result<Module, EngineError> {
    load_artifact(engine, entry.into_artifact().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "the engine is tested by itself")]
pub(crate) fn load_artifact(
    engine: &WasmerEngine,
    artifact: Artifact,
) -> Result<Module, EngineError> {
    // SAFETY: artifacts in these tests were serialized by engines of equal id, or are refused by the checks
    // that wasmer makes always; nobody changes the temporary files that they lie in.
    unsafe { engine.deserialize(artifact) }
}

pub(crate) fn key(engine: &WasmerEngine, wasm: &[u8]) -> EntryKey {
    EntryKey::new(ModuleHash::of(wasm), *engine.id())
}

/// Compiles `wasm` and returns the bytes of its entry.
pub(crate) fn compile_entry(engine: &WasmerEngine, wasm: &[u8]) -> Vec<u8> {
    let module = engine.compile(wasm).unwrap();
    let artifact = engine.serialize(&module).unwrap();
    // SAFETY: the artifact comes from `serialize` on the engine that is in the key.
    let entry = unsafe { SealedEntry::from_artifact(key(engine, wasm), artifact) };
    let mut bytes = Vec::new();
    entry.write_to(&trust(), &mut bytes).unwrap();
    bytes
}

/// Trust in the temporary files of the tests.
pub(crate) fn trust() -> Trust {
    // SAFETY: nobody else writes to them.
    unsafe { Trust::unauthenticated() }
}

/// Writes an entry to a file and opens it from there, to be loaded without reading it in.
pub(crate) fn entry_in_file(path: &Path, entry: &[u8]) -> SealedEntry<'static> {
    std::fs::write(path, entry).unwrap();
    let footer = Footer::parse(entry).unwrap();
    Seal::verify(&footer, entry, &trust()).unwrap();
    // SAFETY: the entry was verified, and nobody changes the file.
    unsafe { SealedEntry::from_file(File::open(path).unwrap(), footer) }
}

/// The artifact of an entry.
pub(crate) fn artifact(entry: &[u8]) -> &[u8] {
    strip_footer(entry)
}

/// All messages of an error, outermost first.
pub(crate) fn chain(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
