//! A runtime as the cache sees it: what it makes, and what that depends on.

use std::borrow::Cow;

use crate::{Artifact, CodeFields, EngineError, EngineId, EngineInstance};

/// A WebAssembly runtime whose modules can be cached.
///
/// This much is enough to keep live modules in memory. An engine that can also compile implements
/// [`Compile`]; one whose modules can leave the process implements [`ArtifactEngine`].
///
/// # Contract
///
/// - [`id`](Self::id) and [`instance`](Self::instance) never change during the life of an engine, and
///   cost nothing: both are computed when it is made.
/// - Clones of an engine share their instance, and engines of equal instance have equal ids: a live
///   module of one may be handed to the other.
pub trait Engine {
    /// A live module: cheap to clone, as engines keep the code behind a reference count. It need not be
    /// [`Send`]; a browser's is not.
    type Module: Clone + 'static;

    /// What compiled code depends on. Equal ids mean interchangeable stored code.
    fn id(&self) -> &EngineId;

    /// Other ids whose stored code this engine can run, the best first; it saves none under them. The default has none.
    ///
    /// A store looks for the code of the engine's own id first, then for these in their order; of two stores in a chain, the first
    /// that has either is taken. Like the id, they stay as they are during
    /// the life of an engine, and cost nothing. What they promise is said in [`ArtifactEngine`].
    fn accepted_ids(&self) -> &[EngineId] {
        &[]
    }

    /// This engine object in this process, shared by its clones.
    ///
    /// A module holds no clone of it, or caches would never learn that the engine is gone.
    fn instance(&self) -> &EngineInstance;

    /// Bytes that a live module holds, for memory budgets; `None` where the engine cannot tell.
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
    /// The calling thread does nothing else meanwhile. One that is a worker of a thread pool must not take up other
    /// work of that pool, as a worker of rayon does that waits in `join` or `scope`: that work may be a load of the
    /// very module that it compiles, which would wait for itself. An engine that compiles in parallel has a pool of
    /// its own, and waits for it on a thread that is no worker.
    ///
    /// # Errors
    ///
    /// When the wasm is not valid, or the engine cannot compile it. A panic inside a compiler is reported
    /// as an error too ([`EngineError::panicked`]).
    fn compile(&self, wasm: &[u8]) -> Result<Self::Module, EngineError>;

    /// As [`compile`](Self::compile), for a module that nobody waits for yet: an engine that can do so gives way to what
    /// else the machine does.
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
/// Whoever implements it promises:
///
/// - Engines of equal [`id`](Engine::id) can load each other's artifacts: all that machine code and its
///   metadata depend on is in the id.
/// - On this machine, this engine can load the artifacts of engines with one of its
///   [`accepted_ids`](Engine::accepted_ids), or refuses them in [`deserialize`](Self::deserialize). That is said of this
///   engine alone: another one of equal id, on another machine, may accept other ids.
/// - [`serialize`](Self::serialize) returns only code of its own id: code that this engine compiled, or that it loaded
///   under the contract of [`deserialize`](Self::deserialize) from an artifact of an engine with an equal id. It refuses
///   a module of another engine where the runtime tells engines apart (the adapter says where it does not, as of wasmer),
///   and one that it loaded under an accepted id: stored under its own, that would reach
///   engines that do not accept it.
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
    /// When the engine does not take it, or the file cannot be read.
    unsafe fn deserialize(&self, artifact: Artifact) -> Result<Self::Module, EngineError>;

    /// What this engine's code depends on, for people who ask why stored code is not used. By default it does not tell.
    fn code_fields(&self) -> CodeFields {
        CodeFields::default()
    }

    /// The same of stored code, as it says itself: of another engine's, too, if this one can read it. Any bytes may be
    /// asked about; of what is no such code, nothing is known.
    fn code_fields_of(&self, _artifact: &[u8]) -> CodeFields {
        CodeFields::default()
    }
}
