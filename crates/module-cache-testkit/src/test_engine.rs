//! An engine that counts its calls, and verifies the artifacts that it loads.

use std::borrow::Cow;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use module_cache_core::instance::EngineInstance;
use module_cache_core::{
    Artifact, ArtifactEngine, Compile, Engine, EngineError, EngineId, ModuleHash,
};
use parking_lot::Mutex;

use crate::TestModule;
use crate::hold::{Gate, Hold};

/// An engine for tests. Its modules hold the wasm they came from; nothing is ever executed.
///
/// A real engine trusts an artifact; this one verifies it: [`deserialize`](ArtifactEngine::deserialize) **panics** on code
/// of another engine or a damaged byte, because a real engine would execute it.
///
/// Clones share the instance, the counters and the settings.
///
/// ```
/// use module_cache_core::{Compile, Engine};
/// use module_cache_testkit::{TestEngine, wasm};
///
/// let engine = TestEngine::new("example");
/// let module = engine.compile(&wasm(1, 100))?;
/// assert_eq!(module.instance(), engine.instance().id());
/// assert_eq!(engine.compiles(), 1);
///
/// let twin = engine.same_id();
/// assert_eq!(twin.id(), engine.id());
/// assert_ne!(twin.instance().id(), engine.instance().id());
/// # Ok::<(), module_cache_core::EngineError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TestEngine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: EngineId,
    accepted_ids: Vec<EngineId>,
    instance: EngineInstance,
    compiles: AtomicU64,
    compiles_behind: AtomicU64,
    serializes: AtomicU64,
    deserializes: AtomicU64,
    compile_time: Mutex<Duration>,
    compile_gate: Arc<Gate>,
    fails_to_compile: AtomicBool,
    panics_in_compile: AtomicBool,
    refuses_to_serialize: AtomicBool,
    rejects_artifacts: AtomicBool,
    rejects_of: Mutex<Option<EngineId>>,
}

impl TestEngine {
    /// An engine whose id depends on the label.
    pub fn new(label: &str) -> Self {
        Self::accepting(label, &[])
    }

    /// The same, with the ids of `others` as its [`accepted_ids`](Engine::accepted_ids).
    pub fn accepting(label: &str, others: &[&Self]) -> Self {
        let id = EngineId::builder(label).field("kind", "test engine");
        Self::with_ids(id.build(), others.iter().map(|other| other.0.id).collect())
    }

    /// Another engine object of the same ids, with counters and settings of its own.
    #[must_use]
    pub fn same_id(&self) -> Self {
        Self::with_ids(self.0.id, self.0.accepted_ids.clone())
    }

    /// How often it was asked to compile, with or without success.
    pub fn compiles(&self) -> u64 {
        self.0.compiles.load(Ordering::SeqCst)
    }

    /// How often [`compile_behind`](Compile::compile_behind) was called.
    pub fn compiles_behind(&self) -> u64 {
        self.0.compiles_behind.load(Ordering::SeqCst)
    }

    /// How often it was asked to serialize.
    pub fn serializes(&self) -> u64 {
        self.0.serializes.load(Ordering::SeqCst)
    }

    /// How often it was asked to load an artifact.
    pub fn deserializes(&self) -> u64 {
        self.0.deserializes.load(Ordering::SeqCst)
    }

    /// Sets how long every compilation takes.
    pub fn set_compile_time(&self, time: Duration) {
        *self.0.compile_time.lock() = time;
    }

    /// Holds compilations, after they are counted, until the [`Hold`] is dropped.
    pub fn hold_compiles(&self) -> Hold {
        self.0.compile_gate.hold()
    }

    /// Whether compilations end in an error.
    pub fn fail_to_compile(&self, fails: bool) {
        self.0.fails_to_compile.store(fails, Ordering::SeqCst);
    }

    /// Whether compilations end in a panic.
    pub fn panic_in_compile(&self, panics: bool) {
        self.0.panics_in_compile.store(panics, Ordering::SeqCst);
    }

    /// Whether it refuses to serialize anything.
    pub fn refuse_to_serialize(&self, refuses: bool) {
        self.0.refuses_to_serialize.store(refuses, Ordering::SeqCst);
    }

    /// Whether it returns an error for every artifact, even a valid one.
    pub fn reject_artifacts(&self, rejects: bool) {
        self.0.rejects_artifacts.store(rejects, Ordering::SeqCst);
    }

    /// Returns an error for every artifact of the other engine, as an engine does whose CPU lacks a feature that the code
    /// uses.
    pub fn reject_artifacts_of(&self, other: &Self) {
        *self.0.rejects_of.lock() = Some(other.0.id);
    }

    fn with_ids(id: EngineId, accepted_ids: Vec<EngineId>) -> Self {
        Self(Arc::new(Shared {
            id,
            accepted_ids,
            instance: EngineInstance::new(),
            compiles: AtomicU64::new(0),
            compiles_behind: AtomicU64::new(0),
            serializes: AtomicU64::new(0),
            deserializes: AtomicU64::new(0),
            compile_time: Mutex::default(),
            compile_gate: Arc::default(),
            fails_to_compile: AtomicBool::new(false),
            panics_in_compile: AtomicBool::new(false),
            refuses_to_serialize: AtomicBool::new(false),
            rejects_artifacts: AtomicBool::new(false),
            rejects_of: Mutex::default(),
        }))
    }
}

impl Engine for TestEngine {
    type Module = TestModule;

    fn id(&self) -> &EngineId {
        &self.0.id
    }

    fn accepted_ids(&self) -> &[EngineId] {
        &self.0.accepted_ids
    }

    fn instance(&self) -> &EngineInstance {
        &self.0.instance
    }

    fn weight(&self, module: &TestModule) -> Option<u64> {
        Some(module.weight())
    }
}

/// Takes whatever starts with `\0asm`.
impl Compile for TestEngine {
    fn compile(&self, wasm: &[u8]) -> Result<TestModule, EngineError> {
        self.0.compiles.fetch_add(1, Ordering::SeqCst);
        self.0.compile_gate.pass();
        let time = *self.0.compile_time.lock();
        if !time.is_zero() {
            thread::sleep(time);
        }
        assert!(
            !self.0.panics_in_compile.load(Ordering::SeqCst),
            "the test engine was told to panic"
        );
        if self.0.fails_to_compile.load(Ordering::SeqCst) {
            return Err(EngineError::refused("the test engine was told to fail"));
        }
        if !wasm.starts_with(b"\0asm") {
            let cause = "not a wasm module";
            return Err(EngineError::invalid_wasm(
                "cannot compile the module",
                cause,
            ));
        }
        Ok(TestModule::new(self.0.instance.id(), self.0.id, wasm))
    }

    fn compile_behind(&self, wasm: &[u8]) -> Result<TestModule, EngineError> {
        self.0.compiles_behind.fetch_add(1, Ordering::SeqCst);
        self.compile(wasm)
    }
}

// SAFETY: the ids cover the labels, and an artifact depends on nothing else. `serialize` emits only what is
// in a module of this instance, which this engine compiled or loaded. Beyond that, artifacts are data here:
// `deserialize` reads them with safe code, and nothing executes them.
unsafe impl ArtifactEngine for TestEngine {
    fn serialize<'m>(&self, module: &'m TestModule) -> Result<Cow<'m, [u8]>, EngineError> {
        self.0.serializes.fetch_add(1, Ordering::SeqCst);
        if module.instance() != self.0.instance.id() {
            return Err(EngineError::refused("the module is of another engine"));
        }
        if module.code_id() != &self.0.id {
            let refused = "the module was loaded under an accepted id";
            return Err(EngineError::refused(refused));
        }
        if self.0.refuses_to_serialize.load(Ordering::SeqCst) {
            return Err(EngineError::refused(
                "the test engine was told not to serialize",
            ));
        }
        let hash = ModuleHash::of(module.wasm());
        let parts = [MAGIC, self.0.id.digest(), hash.as_bytes(), module.wasm()];
        Ok(parts.concat().into())
    }

    /// # Panics
    ///
    /// If the artifact is not one that an engine of this id, or of an accepted one, made.
    unsafe fn deserialize(&self, artifact: Artifact) -> Result<TestModule, EngineError> {
        self.0.deserializes.fetch_add(1, Ordering::SeqCst);
        let artifact = artifact
            .into_bytes()
            .map_err(|error| EngineError::new("cannot read the artifact", error))?;
        let (id, wasm) = self.proven(&artifact).unwrap_or_else(|fault| {
            panic!(
                "UNPROVEN CODE reached the engine {}: {fault} ({} bytes)",
                self.0.id,
                artifact.len()
            )
        });
        let rejects = self.0.rejects_artifacts.load(Ordering::SeqCst);
        if rejects || *self.0.rejects_of.lock() == Some(id) {
            return Err(EngineError::refused(
                "the test engine was told to reject artifacts",
            ));
        }
        Ok(TestModule::new(self.0.instance.id(), id, wasm))
    }
}

/// An artifact is this, the engine's digest, the hash of the wasm, and the wasm.
const MAGIC: &[u8] = b"TESTCODE";

impl TestEngine {
    /// The wasm in an artifact, and whose code it is, if every byte is as an engine made it whose code this one loads.
    fn proven<'a>(&self, artifact: &'a [u8]) -> Result<(EngineId, &'a [u8]), &'static str> {
        let rest = artifact
            .strip_prefix(MAGIC)
            .ok_or("it is not an artifact of a test engine")?;
        let (digest, rest) = rest.split_first_chunk::<32>().ok_or("it is cut short")?;
        let id = iter::once(&self.0.id)
            .chain(&self.0.accepted_ids)
            .find(|id| id.digest() == digest)
            .ok_or("it was made by an engine of another id")?;
        let (hash, wasm) = rest.split_first_chunk::<32>().ok_or("it is cut short")?;
        if hash != ModuleHash::of(wasm).as_bytes() {
            return Err("its bytes are damaged");
        }
        Ok((*id, wasm))
    }
}
