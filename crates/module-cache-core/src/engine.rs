//! A runtime as the cache sees it: its modules, and what their code depends on.

use std::borrow::Cow;

use crate::instance::EngineInstance;
use crate::{Artifact, CodeFields, EngineError, EngineId};

/// A WebAssembly runtime whose modules can be cached.
///
/// This trait suffices to keep live modules in memory. An engine that can also compile implements [`Compile`]; one whose
/// modules can be stored implements [`ArtifactEngine`].
///
/// # Contract
///
/// - [`id`](Self::id) and [`instance`](Self::instance) never change during the life of an engine. Both are computed when it
///   is created, so the calls are cheap.
/// - Clones of an engine share their instance, and engines of equal instance have equal ids: a live module of one may be
///   used with the other.
pub trait Engine {
    /// A live module: cheap to clone, as engines keep the code behind a reference count. It need not be
    /// [`Send`]; a browser's is not.
    type Module: Clone + 'static;

    /// What compiled code depends on. Equal ids mean interchangeable stored code.
    fn id(&self) -> &EngineId;

    /// Other ids whose stored code this engine can run, the best first; it saves none under them. The default has none.
    ///
    /// A store looks for code of the engine's own id first, then for these in order. In a chain of stores, the first store
    /// that has any of them is used. Like the id, they never change during the life of an engine. [`ArtifactEngine`] says
    /// what they promise.
    fn accepted_ids(&self) -> &[EngineId] {
        &[]
    }

    /// This engine object in this process, shared by its clones.
    ///
    /// A module must not hold a clone of it: caches would never learn that the engine was dropped.
    fn instance(&self) -> &EngineInstance;

    /// Bytes that a live module occupies, for memory budgets; `None` if the engine cannot tell.
    fn weight(&self, module: &Self::Module) -> Option<u64>;

    /// How many file descriptors a live module holds at most, from now until it is dropped. The default is none.
    fn descriptors(&self, _module: &Self::Module) -> u32 {
        0
    }
}

/// An engine that can compile. Hosts built without a compiler load only, and do not implement it.
pub trait Compile: Engine {
    /// Compiles wasm, blocking until it is done.
    ///
    /// The calling thread must do nothing else meanwhile. A worker of a thread pool must not run other jobs of that pool,
    /// as a worker of rayon does while it waits in `join` or `scope`: such a job may be a load of the same module, which
    /// would then wait for itself. An engine that compiles in parallel needs its own pool, and a thread outside of it that
    /// waits.
    ///
    /// # Errors
    ///
    /// When the wasm is not valid, or the engine cannot compile it. A panic inside a compiler is reported
    /// as an error too ([`EngineError::panicked`]).
    fn compile(&self, wasm: &[u8]) -> Result<Self::Module, EngineError>;

    /// Like [`compile`](Self::compile), for a module that no caller waits for: an engine that can do so compiles it at a
    /// low priority.
    ///
    /// # Errors
    ///
    /// As for `compile`.
    fn compile_behind(&self, wasm: &[u8]) -> Result<Self::Module, EngineError> {
        self.compile(wasm)
    }
}

/// An engine whose modules can be stored and loaded again, by another process too.
///
/// # Safety
///
/// An implementation promises:
///
/// - Engines of equal [`id`](Engine::id) can load each other's artifacts: all that machine code and its
///   metadata depend on is in the id.
/// - On this machine, this engine can load the artifacts of engines with one of its [`accepted_ids`](Engine::accepted_ids),
///   or refuses them in [`deserialize`](Self::deserialize). This holds for this engine alone: another one of equal id, on
///   another machine, may accept other ids.
/// - [`serialize`](Self::serialize) returns only code of its own id: code that this engine compiled, or that it loaded
///   under the contract of [`deserialize`](Self::deserialize) from an artifact of an engine with an equal id. It refuses a
///   module of another engine if the runtime can tell engines apart (the adapter documents where it cannot, as with
///   wasmer). It also refuses a module that it loaded under an accepted id: if that were stored under the engine's own id,
///   engines that do not accept it would load it.
pub unsafe trait ArtifactEngine: Engine {
    /// Turns a module into bytes from which [`deserialize`](Self::deserialize) makes it again.
    ///
    /// A module that was loaded from an artifact gives that artifact.
    ///
    /// # Errors
    ///
    /// When the module belongs to another engine or was loaded under an accepted id, or its code cannot be stored.
    fn serialize<'m>(&self, module: &'m Self::Module) -> Result<Cow<'m, [u8]>, EngineError>;

    /// Makes a module from stored code.
    ///
    /// # Safety
    ///
    /// The artifact was made by [`serialize`](Self::serialize) on an engine whose id is this one's or one of its
    /// [`accepted_ids`](Engine::accepted_ids), and is unchanged. If it is a file, it stays unchanged while the module lives.
    ///
    /// # Errors
    ///
    /// When the engine refuses the artifact, or the file cannot be read.
    unsafe fn deserialize(&self, artifact: Artifact) -> Result<Self::Module, EngineError>;

    /// What this engine's code depends on, for people who ask why stored code is not used. The default has no fields.
    fn code_fields(&self) -> CodeFields {
        CodeFields::default()
    }

    /// What stored code depends on, as recorded in it; also for another engine's code, if this engine can read it. Any
    /// bytes may be passed; the result is empty for bytes that are not such code.
    fn code_fields_of(&self, _artifact: &[u8]) -> CodeFields {
        CodeFields::default()
    }
}
