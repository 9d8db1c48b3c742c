//! The two kinds of engine, made alike for tests: how to make one, feed it, and run what it loaded.

use std::error::Error;
use std::fs::File;
use std::path::Path;

use module_cache_core::format::{Footer, Seal, strip_footer};
use module_cache_core::{
    Artifact, ArtifactEngine, Compile, EngineError, EntryKey, ModuleHash, SealedEntry, Trust,
};
use module_cache_wasmtime::{EngineBuilder, WasmtimeEngine, WasmtimePrecompiler};
use wasmtime::{Instance, Module, Store};

/// Artifacts of this much data are mapped; those of [`SMALL`] are not.
pub(crate) const LARGE: usize = 200_000;
pub(crate) const SMALL: usize = 100;

pub(crate) trait Kind: Compile + ArtifactEngine + Clone {
    /// What `for_both_kinds` calls the test of this kind.
    const NAME: &str;

    fn new(engine: &wasmtime::Engine) -> Self;

    fn build(builder: &EngineBuilder) -> Self;

    fn precompiler(builder: &EngineBuilder, target: Option<&str>) -> WasmtimePrecompiler;

    /// Wasm whose function `at` returns a byte of its `data_len` bytes of data: a [`letter`].
    fn wasm(data_len: usize) -> Vec<u8>;

    /// Calls `at`.
    fn at(&self, module: &Self::Module, index: u32) -> u32;

    /// Loads an entry. The tests make entries of artifacts from engines of equal id only.
    fn load(&self, entry: SealedEntry<'static>) -> Result<Self::Module, EngineError> {
        self.load_artifact(entry.into_artifact().unwrap())
    }

    #[expect(clippy::disallowed_methods, reason = "the engine is tested by itself")]
    fn load_artifact(&self, artifact: Artifact) -> Result<Self::Module, EngineError> {
        // SAFETY: artifacts in these tests were serialized by engines of equal id, or are refused by the
        // checks that wasmtime documents; nobody changes the temporary files that they lie in.
        unsafe { self.deserialize(artifact) }
    }

    fn key(&self, wasm: &[u8]) -> EntryKey {
        EntryKey::new(ModuleHash::of(wasm), *self.id())
    }

    /// Compiles `wasm` and returns the bytes of its entry.
    fn compile_entry(&self, wasm: &[u8]) -> Vec<u8> {
        let module = self.compile(wasm).unwrap();
        let artifact = self.serialize(&module).unwrap();
        // SAFETY: the artifact comes from `serialize` on the engine that is in the key.
        let entry = unsafe { SealedEntry::from_artifact(self.key(wasm), artifact) };
        let mut bytes = Vec::new();
        entry.write_to(&trust(), &mut bytes).unwrap();
        bytes
    }
}

impl Kind for WasmtimeEngine {
    const NAME: &str = "module";

    fn new(engine: &wasmtime::Engine) -> Self {
        Self::new(engine).unwrap()
    }

    fn build(builder: &EngineBuilder) -> Self {
        builder.module_engine().unwrap()
    }

    fn precompiler(builder: &EngineBuilder, target: Option<&str>) -> WasmtimePrecompiler {
        builder.module_precompiler(target).unwrap()
    }

    fn wasm(data_len: usize) -> Vec<u8> {
        let text = format!("(module {} (export \"at\" (func $at)))", core(data_len));
        wat::parse_str(text).unwrap()
    }

    fn at(&self, module: &Module, index: u32) -> u32 {
        let mut store = Store::new(self.engine(), ());
        let instance = Instance::new(&mut store, module, &[]).unwrap();
        let at = instance.get_typed_func::<u32, u32>(&mut store, "at");
        at.unwrap().call(&mut store, index).unwrap()
    }
}

#[cfg(feature = "component-model")]
impl Kind for module_cache_wasmtime::WasmtimeComponentEngine {
    const NAME: &str = "component";

    fn new(engine: &wasmtime::Engine) -> Self {
        Self::new(engine).unwrap()
    }

    fn build(builder: &EngineBuilder) -> Self {
        builder.component_engine().unwrap()
    }

    fn precompiler(builder: &EngineBuilder, target: Option<&str>) -> WasmtimePrecompiler {
        builder.component_precompiler(target).unwrap()
    }

    fn wasm(data_len: usize) -> Vec<u8> {
        let text = format!(
            "(component
               (core module $m {} (export \"at\" (func $at)))
               (core instance $i (instantiate $m))
               (func (export \"at\") (param \"index\" u32) (result u32)
                 (canon lift (core func $i \"at\"))))",
            core(data_len)
        );
        wat::parse_str(text).unwrap()
    }

    fn at(&self, component: &wasmtime::component::Component, index: u32) -> u32 {
        let mut store = Store::new(self.engine(), ());
        let linker = wasmtime::component::Linker::new(self.engine());
        let instance = linker.instantiate(&mut store, component).unwrap();
        let at = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "at");
        at.unwrap().call(&mut store, (index,)).unwrap().0
    }
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

/// The data of [`Kind::wasm`]: the alphabet, over and over.
pub(crate) fn letter(index: u32) -> u32 {
    u32::from(b'a') + index % 26
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

fn core(data_len: usize) -> String {
    let data: String = ('a'..='z').cycle().take(data_len).collect();
    // So many functions that compiling them is work to share out.
    let more = "(func (param i32) (result i32) (i32.clz (local.get 0)))".repeat(50);
    format!(
        "(memory 4)
         (data (i32.const 0) \"{data}\")
         (func $at (param i32) (result i32) (i32.load8_u (local.get 0)))
         {more}"
    )
}
