//! Creates engines of one configuration: for this machine, and for other kinds of machines.

#[cfg(feature = "winch")]
use module_cache_core::Tiers;
use module_cache_core::{EngineError, EngineId};
use target_lexicon::{Environment, OperatingSystem, Triple, Vendor};
#[cfg(feature = "winch")]
use wasmtime::Strategy;
use wasmtime::{Config, InstanceAllocationStrategy, Module};

#[cfg(feature = "component-model")]
use crate::WasmtimeComponentEngine;
use crate::accepted::Accepted;
use crate::engine_id::{Identity, identify};
#[cfg(feature = "component-model")]
use crate::wasmtime_component_engine;
use crate::{CpuLevel, WasmtimeEngine, WasmtimePrecompiler, wasmtime_engine};

/// An engine of this machine, its id, and what else it loads.
type Host = (wasmtime::Engine, EngineId, Accepted);

/// Creates engines of one configuration: engines that also load code of CPU levels, and engines that compile for a level.
///
/// A machine that compiles for all CPUs with AVX2, and a host, on the same machine or another one:
///
/// ```
/// use module_cache_core::{Compile, Engine, ModuleCache, ModuleHash, StoreCache};
/// use module_cache_wasmtime::{CpuLevel, EngineBuilder};
/// # use module_cache_testkit::ReferenceStore;
///
/// let mut config = wasmtime::Config::new();
/// config.epoch_interruption(true);
/// # let cache = StoreCache(ReferenceStore::new());
/// let wasm = b"\0asm\x01\0\0\0";
///
/// let compiler = EngineBuilder::new(&config)
///     .cpu(CpuLevel::X86_64V3)
///     .module_precompiler(None)?;
/// cache.save(ModuleHash::of(wasm), &compiler, &compiler.compile(wasm)?)?;
///
/// let host = EngineBuilder::new(&config)
///     .accept(CpuLevel::X86_64V3)
///     .accept(CpuLevel::X86_64V2)
///     .module_engine()?;
/// let found = cache.find(ModuleHash::of(wasm), &host)?;
/// // A CPU without AVX2 does not run it.
/// if let Some(found) = found {
///     assert_eq!(found.accepted_id.as_ref(), Some(compiler.id()));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct EngineBuilder {
    config: Config,
    cpu: Option<CpuLevel>,
    salt: String,
    accept: Vec<CpuLevel>,
}

impl EngineBuilder {
    /// Engines of this configuration. Code of each level uses CPU features that it turns on, and may use those that it
    /// turns off by flags of Cranelift: mask these with [`Config::detect_host_feature`].
    pub fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            cpu: None,
            salt: String::new(),
            accept: Vec::new(),
        }
    }

    /// Compiles for all CPUs of this level. Without it, an engine compiles for the CPU that it runs on, and a precompiler for
    /// all CPUs of its target.
    #[must_use]
    pub fn cpu(mut self, level: CpuLevel) -> Self {
        self.cpu = Some(level);
        self
    }

    /// Adds a salt to the id, as [`WasmtimeEngine::salted`] does.
    #[must_use]
    pub fn salt(mut self, salt: &str) -> Self {
        salt.clone_into(&mut self.salt);
        self
    }

    /// Also loads code that was compiled for this level, if there is none of the engine's own id or of levels that were
    /// named before.
    ///
    /// A level that this machine cannot run is left out, as [`accepted_ids`](module_cache_core::Engine::accepted_ids)
    /// shows; wasmtime decides that by loading code that was compiled for it. So one program can name all levels, and each
    /// machine loads what it can run.
    ///
    /// The code gives the same results as code for this CPU, where WebAssembly defines them. It does not define the bits of
    /// a NaN (see [`Config::cranelift_nan_canonicalization`]) and some results of relaxed SIMD (see
    /// [`Config::relaxed_simd_deterministic`]).
    ///
    /// While the engine is created, one more is created for each level, without a pool of instances.
    #[must_use]
    pub fn accept(mut self, level: CpuLevel) -> Self {
        self.accept.push(level);
        self
    }

    /// An engine of modules.
    ///
    /// # Errors
    ///
    /// When wasmtime refuses the configuration, when this CPU cannot run code of the [level](Self::cpu) that was named, or
    /// as for [`WasmtimeEngine::new`].
    pub fn module_engine(&self) -> Result<WasmtimeEngine, EngineError> {
        let (engine, id, accepted) = self.host("module")?;
        Ok(WasmtimeEngine::with_accepted(&engine, id, accepted))
    }

    /// An engine of components, with a [`wasmtime::Engine`] of its own: tick its epochs, too.
    ///
    /// # Errors
    ///
    /// As for [`module_engine`](Self::module_engine).
    #[cfg(feature = "component-model")]
    pub fn component_engine(&self) -> Result<WasmtimeComponentEngine, EngineError> {
        let (engine, id, accepted) = self.host("component")?;
        Ok(WasmtimeComponentEngine::with_accepted(
            &engine, id, accepted,
        ))
    }

    /// Two engines of modules for tiers: Winch compiles fast, and the code of Cranelift is fast. Both have the
    /// configuration of this builder, so a module does the same on both, except for what WebAssembly leaves open (the bits
    /// of a NaN) and for the stack that its calls use. Wasm with proposals that Winch lacks does not compile on the fast
    /// engine.
    ///
    /// Tick epochs for both ([`increment_epoch`](wasmtime::Engine::increment_epoch)). Only the best engine accepts code of
    /// other [levels](Self::accept). It compiles upgrades in threads of low priority.
    ///
    /// Winch has had [advisories](https://rustsec.org/packages/wasmtime.html) of its own: a decision to run untrusted
    /// guests on Cranelift does not cover Winch.
    ///
    /// # Errors
    ///
    /// When the configuration counts fuel, because wasmtime does not promise that Winch counts the same; when it requires a
    /// feature that Winch lacks; or as for [`module_engine`](Self::module_engine).
    #[cfg(feature = "winch")]
    pub fn module_tiers(&self) -> Result<Tiers<WasmtimeEngine, WasmtimeEngine>, EngineError> {
        let [fast, best] = self
            .tiers("module")?
            .map(|(engine, id, accepted)| WasmtimeEngine::with_accepted(&engine, id, accepted));
        Tiers::pair(fast, best)
    }

    /// The same for components.
    ///
    /// # Errors
    ///
    /// As for [`module_tiers`](Self::module_tiers).
    #[cfg(all(feature = "winch", feature = "component-model"))]
    pub fn component_tiers(
        &self,
    ) -> Result<Tiers<WasmtimeComponentEngine, WasmtimeComponentEngine>, EngineError> {
        let [fast, best] = self.tiers("component")?.map(|(engine, id, accepted)| {
            WasmtimeComponentEngine::with_accepted(&engine, id, accepted)
        });
        Tiers::pair(fast, best)
    }

    /// A compiler of modules for machines of a target, such as `aarch64-unknown-linux-gnu`; by default, for those of this
    /// machine's target.
    ///
    /// Another architecture than this machine's needs wasmtime's feature `all-arch`.
    ///
    /// # Errors
    ///
    /// When the target has no such level, or wasmtime cannot compile for it.
    pub fn module_precompiler(
        &self,
        target: Option<&str>,
    ) -> Result<WasmtimePrecompiler, EngineError> {
        let (engine, own) = self.compiler("module", target, self.cpu)?;
        let precompile = |engine: &wasmtime::Engine, wasm: &[u8]| {
            let compiled = engine.precompile_module(wasm);
            compiled.map_err(|error| wasmtime_engine::compile_error(engine, wasm, error))
        };
        Ok(WasmtimePrecompiler::new(engine, precompile, own.id))
    }

    /// The same for components.
    ///
    /// # Errors
    ///
    /// As for [`module_precompiler`](Self::module_precompiler).
    #[cfg(feature = "component-model")]
    pub fn component_precompiler(
        &self,
        target: Option<&str>,
    ) -> Result<WasmtimePrecompiler, EngineError> {
        let (engine, own) = self.compiler("component", target, self.cpu)?;
        let precompile = |engine: &wasmtime::Engine, wasm: &[u8]| {
            let compiled = engine.precompile_component(wasm);
            compiled.map_err(wasmtime_component_engine::compile_error)
        };
        Ok(WasmtimePrecompiler::new(engine, precompile, own.id))
    }

    /// As [`host`](Self::host), of both compilers.
    #[cfg(feature = "winch")]
    fn tiers(&self, kind: &str) -> Result<[Host; 2], EngineError> {
        Ok([
            self.tier(&format!("winch-{kind}"), Strategy::Winch, Vec::new())?,
            self.tier(kind, Strategy::Cranelift, self.accept.clone())?,
        ])
    }

    /// As [`host`](Self::host), of one compiler.
    #[cfg(feature = "winch")]
    fn tier(
        &self,
        kind: &str,
        strategy: Strategy,
        accept: Vec<CpuLevel>,
    ) -> Result<Host, EngineError> {
        let mut tier = self.clone();
        tier.config.strategy(strategy);
        tier.accept = accept;
        let host = tier.host(kind)?;
        let (engine, ..) = &host;
        if wasmtime::Store::new(engine, ()).get_fuel().is_ok() {
            return Err(EngineError::refused(
                "fuel is counted, and two compilers may count it differently; use epochs for tiers",
            ));
        }
        Ok(host)
    }

    /// An engine for this machine.
    fn host(&self, kind: &str) -> Result<Host, EngineError> {
        let (engine, own) = if self.cpu.is_some() {
            self.leveled(self.config.clone(), kind, None, self.cpu)?
        } else {
            let engine = new_engine(&self.config)?;
            let own = identify(&engine, kind, "", &self.salt)?;
            (engine, own)
        };
        if let Err(error) = load(&engine, &own.artifact) {
            return Err(EngineError::new("this CPU cannot run the code", error));
        }
        let host = Triple::host();
        let mut accepted = Vec::new();
        for level in self.accept.iter().filter(|level| level.is_of(&host)) {
            let (_, Identity { id, artifact }) = self.compiler(kind, None, Some(*level))?;
            if load(&engine, &artifact).is_ok() && id != own.id && !accepted.contains(&id) {
                accepted.push(id);
            }
        }
        let accepted = Accepted::new(accepted, &own.artifact)?;
        Ok((engine, own.id, accepted))
    }

    /// An engine that only compiles, for a level. How instances are allocated is not in its code.
    fn compiler(
        &self,
        kind: &str,
        target: Option<&str>,
        level: Option<CpuLevel>,
    ) -> Result<(wasmtime::Engine, Identity), EngineError> {
        let mut config = self.config.clone();
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        self.leveled(config, kind, target, level)
    }

    /// An engine of code for a level, and what is known of that.
    fn leveled(
        &self,
        mut config: Config,
        kind: &str,
        target: Option<&str>,
        level: Option<CpuLevel>,
    ) -> Result<(wasmtime::Engine, Identity), EngineError> {
        let target = target.map_or_else(|| Ok(Triple::host()), parse_target)?;
        let level = level
            .or_else(|| CpuLevel::baseline(&target))
            .filter(|level| level.is_of(&target))
            .ok_or_else(|| EngineError::refused(&format!("{target} has no such CPU level")))?;
        // With a target, wasmtime does not look what the CPU of this machine has.
        config
            .target(&target.to_string())
            .map_err(|error| EngineError::new("cannot compile for the target", error))?;
        for flag in level.flags() {
            // SAFETY: which instructions code may use breaks no invariant of a compiler. Whether a CPU has them is
            // checked where it is loaded.
            unsafe { config.cranelift_flag_enable(flag) };
        }
        let engine = wasmtime::Engine::new(&config).map_err(|error| {
            let mut message = format!("cannot set up wasmtime for {target}");
            // Cranelift's words, which have no type here.
            if format!("{error:?}").contains("target is disabled") {
                message += ", which needs its feature `all-arch`";
            }
            EngineError::new(&message, error)
        })?;
        // What the name of the level does not say.
        let mut machine = format!("-{level}-{}", target.operating_system);
        if target.environment != Environment::Unknown {
            machine = format!("{machine}-{}", target.environment);
        }
        let own = identify(&engine, kind, &machine, &self.salt)?;
        Ok((engine, own))
    }
}

/// A target. Names that people have for Linux and Rust has not are refused: no program would have the id.
fn parse_target(name: &str) -> Result<Triple, EngineError> {
    let target: Triple = name
        .parse()
        .map_err(|error| EngineError::refused(&format!("unknown target {name}: {error}")))?;
    let is_whole = match target.operating_system {
        OperatingSystem::Unknown => target.environment != Environment::Unknown,
        OperatingSystem::Linux => {
            target.vendor != Vendor::Pc && target.environment != Environment::Unknown
        }
        _ => true,
    };
    if is_whole {
        Ok(target)
    } else {
        let message = format!(
            "unknown target {name}: name it as Rust does, such as aarch64-unknown-linux-gnu"
        );
        Err(EngineError::refused(&message))
    }
}

fn new_engine(config: &Config) -> Result<wasmtime::Engine, EngineError> {
    wasmtime::Engine::new(config).map_err(|error| EngineError::new("cannot set up wasmtime", error))
}

/// Has an engine load what it or another one compiled. wasmtime compares targets, flags with the features of this CPU,
/// tunables and wasm features (`engine/serialization.rs`).
fn load(engine: &wasmtime::Engine, artifact: &[u8]) -> wasmtime::Result<()> {
    // SAFETY: wasmtime asks for what it made itself, unmodified.
    unsafe { Module::deserialize(engine, artifact) }.map(drop)
}
