//! wasmtime as an engine of components.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;

use module_cache_core::format::strip_footer;
use module_cache_core::instance::EngineInstance;
use module_cache_core::{Artifact, ArtifactEngine, Engine, EngineError, EngineId};
#[cfg(feature = "cranelift")]
use module_cache_core::{CodeFields, Compile};
use wasmtime::component::Component;

use crate::accepted::Accepted;
#[cfg(feature = "cranelift")]
use crate::compile_pool::Urgency;
#[cfg(feature = "cranelift")]
use crate::engine_id::identify;
use crate::load_artifact::load_artifact;
use crate::weight;

/// A [`wasmtime::Engine`] whose [`Component`]s can be cached.
///
/// A cache treats its clones as one engine, as wasmtime treats clones of a `wasmtime::Engine`.
#[derive(Clone)]
pub struct WasmtimeComponentEngine {
    engine: wasmtime::Engine,
    id: EngineId,
    instance: EngineInstance,
    accepted: Accepted,
}

impl WasmtimeComponentEngine {
    /// Wraps an engine and computes its id.
    ///
    /// The id covers wasmtime's version and all of the configuration that decides whether it can run code. It does not
    /// cover changes in a wasmtime that was patched without a new version: use [`salted`](Self::salted) then.
    ///
    /// # Errors
    ///
    /// When the engine's [module version strategy](wasmtime::Config::module_version) is `None`, or it was
    /// configured to have no compiler.
    #[cfg(feature = "cranelift")]
    pub fn new(engine: &wasmtime::Engine) -> Result<Self, EngineError> {
        Self::salted(engine, "")
    }

    /// Like [`new`](Self::new), with a text that becomes part of the id, for differences that the id does not cover
    /// otherwise.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    #[cfg(feature = "cranelift")]
    pub fn salted(engine: &wasmtime::Engine, salt: &str) -> Result<Self, EngineError> {
        let own = identify(engine, "component", "", salt)?;
        let accepted = Accepted::new(Vec::new(), &own.artifact)?;
        Ok(Self::with_accepted(engine, own.id, accepted))
    }

    /// Wraps an engine whose id is known, for hosts that only load: an id cannot be computed without a compiler.
    ///
    /// # Safety
    ///
    /// `id` was computed by [`new`](Self::new) or [`salted`](Self::salted) of this type, in this process
    /// or another one, from an engine with the same version of wasmtime, for the same target and CPU
    /// features, and with the same configuration.
    pub unsafe fn with_id(engine: &wasmtime::Engine, id: EngineId) -> Self {
        Self::with_accepted(engine, id, Accepted::default())
    }

    /// The id is that of the engine, and wasmtime loads code of the accepted ones into it.
    pub(crate) fn with_accepted(
        engine: &wasmtime::Engine,
        id: EngineId,
        accepted: Accepted,
    ) -> Self {
        Self {
            engine: engine.clone(),
            id,
            instance: EngineInstance::new(),
            accepted,
        }
    }

    /// The engine that components belong to.
    pub fn engine(&self) -> &wasmtime::Engine {
        &self.engine
    }
}

impl fmt::Debug for WasmtimeComponentEngine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "WasmtimeComponentEngine({})", self.id)
    }
}

impl Engine for WasmtimeComponentEngine {
    type Module = Component;

    fn id(&self) -> &EngineId {
        &self.id
    }

    fn accepted_ids(&self) -> &[EngineId] {
        &self.accepted.ids
    }

    fn instance(&self) -> &EngineInstance {
        &self.instance
    }

    /// The component's size in memory: its image of code, data and metadata, mapped or not, and wasmtime's own structures.
    fn weight(&self, component: &Component) -> Option<u64> {
        Some(weight::of_image(component.image_range()))
    }

    /// One: wasmtime keeps a file open to map the initial memory of instances from, either the file of the code or one of
    /// its own.
    fn descriptors(&self, _: &Component) -> u32 {
        1
    }
}

#[cfg(feature = "cranelift")]
impl Compile for WasmtimeComponentEngine {
    /// Compiles a binary component in parallel, in a thread pool that all engines of this crate share.
    fn compile(&self, wasm: &[u8]) -> Result<Component, EngineError> {
        self.compile_with(Urgency::Awaited, wasm)
    }

    /// Compiles in another such pool, of lower priority.
    fn compile_behind(&self, wasm: &[u8]) -> Result<Component, EngineError> {
        self.compile_with(Urgency::Behind, wasm)
    }
}

#[cfg(feature = "cranelift")]
impl WasmtimeComponentEngine {
    fn compile_with(&self, urgency: Urgency, wasm: &[u8]) -> Result<Component, EngineError> {
        urgency
            .run(|| Component::from_binary(&self.engine, wasm))?
            .map_err(compile_error)
    }
}

/// wasmtime has no way to validate a component alone. What it cannot parse has this context.
#[cfg(feature = "cranelift")]
pub(crate) fn compile_error(error: wasmtime::Error) -> EngineError {
    let message = "cannot compile the component";
    if error.to_string() == "failed to parse WebAssembly module" {
        EngineError::invalid_wasm(message, error)
    } else {
        EngineError::new(message, error)
    }
}

// SAFETY: wasmtime documents of `precompile_compatibility_hash`, all of which is in the id, that artifacts
// of one engine load in every other with an equal hash; `with_id` makes its caller promise the same. An
// id is accepted only if wasmtime has loaded code of that id into this very engine.
// `serialize` emits what wasmtime made of a component of this engine, which was compiled by it or loaded
// under the contract of wasmtime's `deserialize`, without the footer that may follow it in a file. It refuses
// what was loaded under an accepted id, which shows in what wasmtime writes into each artifact.
unsafe impl ArtifactEngine for WasmtimeComponentEngine {
    fn serialize<'m>(&self, component: &'m Component) -> Result<Cow<'m, [u8]>, EngineError> {
        if !wasmtime::Engine::same(component.engine(), &self.engine) {
            return Err(EngineError::refused(
                "the component belongs to another engine",
            ));
        }
        let mut bytes = component
            .serialize()
            .map_err(|error| EngineError::new("cannot serialize the component", error))?;
        // Of a component that is mapped from an entry, wasmtime returns the whole file.
        bytes.truncate(strip_footer(&bytes).len());
        self.accepted.check_own(&bytes)?;
        Ok(bytes.into())
    }

    /// On Linux, maps a file of 64 KiB or more (on aarch64, of 320 KiB): `openat`, `statx`, `mmap`, two `mprotect`s, and
    /// `close`. Reads a smaller one, and any on other systems: `lseek` and `read`, then `mmap` and the `mprotect`s of a
    /// copy, and `close`.
    unsafe fn deserialize(&self, artifact: Artifact) -> Result<Component, EngineError> {
        load_artifact(
            artifact,
            // SAFETY: wasmtime asks for the unmodified output of `Component::serialize`, in a file that
            // nobody changes while the component lives; the caller promises it, and `self.id` that it is
            // of a compatible engine. The footer behind it is in no section that wasmtime reads.
            |file| unsafe { map(&self.engine, file) },
            // SAFETY: as above, for bytes; wasmtime copies them.
            |bytes| unsafe { Component::deserialize(&self.engine, bytes) },
        )
    }

    #[cfg(feature = "cranelift")]
    fn code_fields(&self) -> CodeFields {
        self.accepted.own_fields()
    }

    #[cfg(feature = "cranelift")]
    fn code_fields_of(&self, artifact: &[u8]) -> CodeFields {
        self.accepted.fields_of(artifact)
    }
}

/// Loads a component from an open file. wasmtime takes only a path, so this is the path of a descriptor:
/// of this thread, as a thread may have a table of descriptors to itself.
///
/// # Safety
///
/// As for [`Component::deserialize_file`].
#[cfg(target_os = "linux")]
unsafe fn map(engine: &wasmtime::Engine, file: &File) -> wasmtime::Result<Component> {
    use std::os::fd::AsRawFd;

    let path = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
    // SAFETY: the caller keeps the contract for `file`, which the path names as long as it is open.
    unsafe { Component::deserialize_file(engine, path) }
}

/// # Safety
///
/// None is needed.
#[cfg(not(target_os = "linux"))]
unsafe fn map(_: &wasmtime::Engine, _: &File) -> wasmtime::Result<Component> {
    Err(wasmtime::Error::msg(
        "an open file has no path on this system",
    ))
}
