//! Every configuration of both engines on one folder: none is offered what another stored, and what is loaded does what
//! was compiled.

#[path = "../../module-cache-wasmer/tests/wasmer_engine/configurations.rs"]
mod wasmer_configurations;
#[path = "../../module-cache-wasmtime/tests/engines/configurations.rs"]
mod wasmtime_configurations;

use module_cache::backend::entry::open_entry;
use module_cache::backend::{ArtifactEngine, Compile, EntryKey, EntryStore, SealedEntry};
use module_cache::{FileSystemCache, ModuleCache, ModuleHash, WasmerEngine};
use module_cache_wasmtime::WasmtimeEngine;
use wasmtime::{Config, ModuleVersionStrategy};

const PROGRAM: &str = r#"(module
    (memory (export "memory") 1 3)
    (data (i32.const 0) "abcdefghijklmnop")
    (table 3 funcref)
    (elem (i32.const 0) $ones $zeros)
    (type $unary (func (param i64) (result i64)))
    (func $ones (type $unary) (i64.popcnt (local.get 0)))
    (func $zeros (type $unary) (i64.add (i64.clz (local.get 0)) (i64.ctz (local.get 0))))
    (func (export "indirect") (param i64 i64) (result i64)
        (call_indirect (type $unary) (local.get 1) (i32.wrap_i64 (local.get 0))))
    (func (export "load") (param i64 i64) (result i64)
        (i64.load offset=3 align=1 (i32.wrap_i64 (i64.add (local.get 0) (local.get 1)))))
    (func (export "grow") (param i64 i64) (result i64)
        (i64.extend_i32_s (memory.grow (i32.wrap_i64 (local.get 0)))))
    (func (export "divide") (param i64 i64) (result i64)
        (i64.reinterpret_f64 (f64.div
            (f64.reinterpret_i64 (local.get 0))
            (f64.reinterpret_i64 (local.get 1)))))
    (func (export "round") (param i64 i64) (result i64)
        (i64.trunc_sat_f64_s (f64.nearest (f64.div
            (f64.convert_i64_s (local.get 0))
            (f64.convert_i64_s (local.get 1)))))))"#;

/// With what each function is called, one after the other; some trap.
const CALLS: [(&str, i64, i64); 14] = [
    ("indirect", 0, -7),
    ("indirect", 1, 40),
    ("indirect", 2, 0),
    ("indirect", 3, 0),
    ("load", 0, 5),
    ("load", 65_536, -3),
    ("load", -1, 0),
    ("grow", 1, 0),
    ("load", 65_536, 0),
    ("grow", 9, 0),
    ("divide", 0, 0),
    ("divide", 0x7ff4_0000_0000_0001, 0x3ff0_0000_0000_0000),
    ("round", 7, 2),
    ("round", 1, 0),
];

/// An engine and what it made of the program.
trait Configured {
    fn key(&self) -> EntryKey;
    /// Whether it makes a module of an entry.
    fn takes(&self, entry: SealedEntry<'static>) -> bool;
}

struct Of<E>(E, ModuleHash);

impl<E: ArtifactEngine> Configured for Of<E> {
    fn key(&self) -> EntryKey {
        EntryKey::new(self.1, *self.0.id())
    }

    fn takes(&self, entry: SealedEntry<'static>) -> bool {
        open_entry(self.1, &self.0, entry).is_ok()
    }
}

#[test]
fn every_configuration_misses_what_others_stored_and_runs_what_it_stored_itself() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run {
        cache: FileSystemCache::open(dir.path().join("cache")).unwrap(),
        wasm: wat::parse_str(PROGRAM).unwrap(),
    };
    let mut configured = Vec::new();
    let wasmtime = wasmtime_configurations::WITH_OTHER_CODE;
    for (name, change) in wasmtime {
        configured.push(run.store(name, || wasmtime_engine(*change), call_wasmtime));
    }
    let wasmer = wasmer_configurations::WITH_OTHER_CODE;
    for (name, middleware, new) in wasmer {
        let new = || wasmer_configurations::engine(&new(), *middleware);
        configured.push(run.store(name, new, call_wasmer));
    }
    let equal = wasmtime_configurations::WITH_EQUAL_CODE;
    for (name, change) in equal {
        run.share(
            name,
            || wasmtime_engine(*change),
            || wasmtime_engine(|c| c),
            call_wasmtime,
        );
    }
    for (name, new, like) in wasmer_configurations::WITH_EQUAL_CODE {
        let new = || wasmer_configurations::engine(&new(), None);
        let like = || wasmer_configurations::engine(&like(), None);
        run.share(name, new, like, call_wasmer);
    }
    assert!(configured.len() >= 60, "{}", configured.len());

    // Whatever the folder says: an entry under another name is refused, in both directions.
    for one in &configured {
        for other in &configured {
            let entry = run.cache.get(&one.key()).unwrap().unwrap();
            assert_eq!(other.takes(entry), one.key() == other.key());
        }
    }
}

struct Run {
    cache: FileSystemCache,
    wasm: Vec<u8>,
}

impl Run {
    /// Misses, compiles, stores, and loads with an engine that was made anew.
    fn store<E: ArtifactEngine + Compile + 'static>(
        &self,
        name: &str,
        new: impl Fn() -> E,
        call: fn(&E, &E::Module) -> Vec<String>,
    ) -> Box<dyn Configured> {
        let hash = ModuleHash::of(&self.wasm);
        let engine = new();
        assert!(
            self.cache.load(hash, &engine).unwrap().is_none(),
            "{name} is offered what another stored"
        );
        let module = engine.compile(&self.wasm).unwrap();
        let outcome = self.cache.save(hash, &engine, &module).unwrap();
        assert!(outcome.is_stored(), "{name}: {outcome:?}");
        let another = new();
        let loaded = self.cache.load(hash, &another).unwrap().unwrap();
        assert_eq!(call(&another, &loaded), call(&engine, &module), "{name}");
        Box::new(Of(another, hash))
    }

    /// Loads what the one like it stored, or stores it for both; each does what it does without a cache.
    fn share<E: ArtifactEngine + Compile>(
        &self,
        name: &str,
        new: impl Fn() -> E,
        like: impl Fn() -> E,
        call: fn(&E, &E::Module) -> Vec<String>,
    ) {
        let hash = ModuleHash::of(&self.wasm);
        let (one, other) = (like(), new());
        let module = one.compile(&self.wasm).unwrap();
        let _ = self.cache.save(hash, &one, &module).unwrap();
        let loaded = self.cache.load(hash, &other).unwrap();
        let loaded = loaded.unwrap_or_else(|| panic!("{name} misses"));
        let uncached = new();
        let compiled = uncached.compile(&self.wasm).unwrap();
        assert_eq!(call(&other, &loaded), call(&uncached, &compiled), "{name}");
    }
}

fn wasmtime_engine(change: wasmtime_configurations::Change) -> WasmtimeEngine {
    let mut config = Config::new();
    change(&mut config);
    WasmtimeEngine::new(&wasmtime::Engine::new(&config).unwrap()).unwrap()
}

/// What each call returns, or how it traps; and the fuel that is left.
fn call_wasmtime(engine: &WasmtimeEngine, module: &wasmtime::Module) -> Vec<String> {
    let mut store = wasmtime::Store::new(engine.engine(), ());
    let fueled = store.set_fuel(1_000_000).is_ok();
    store.set_epoch_deadline(1);
    let instance = wasmtime::Instance::new(&mut store, module, &[]).unwrap();
    let mut results: Vec<String> = CALLS
        .iter()
        .map(|(function, one, other)| {
            let function = instance
                .get_typed_func::<(i64, i64), i64>(&mut store, function)
                .unwrap();
            let result = function.call(&mut store, (*one, *other));
            let result = result.map_err(|error| error.downcast::<wasmtime::Trap>().unwrap());
            format!("{result:?}")
        })
        .collect();
    if fueled {
        results.push(store.get_fuel().unwrap().to_string());
    }
    results
}

fn call_wasmer(engine: &WasmerEngine, module: &wasmer::Module) -> Vec<String> {
    let mut store = wasmer::Store::new(engine.engine().clone());
    let instance = wasmer::Instance::new(&mut store, module, &wasmer::imports! {}).unwrap();
    CALLS
        .iter()
        .map(|(function, one, other)| {
            let function = instance
                .exports
                .get_typed_function::<(i64, i64), i64>(&store, function)
                .unwrap();
            let result = function.call(&mut store, *one, *other);
            format!("{:?}", result.map_err(wasmer::RuntimeError::to_trap))
        })
        .collect()
}

#[test]
fn an_engine_without_a_compiler_is_refused_whatever_its_version_is_called() {
    let mut config = Config::new();
    config.enable_compiler(false);
    config
        .module_version(ModuleVersionStrategy::Custom("opt_level".to_owned()))
        .unwrap();
    let error = WasmtimeEngine::new(&wasmtime::Engine::new(&config).unwrap()).unwrap_err();
    assert!(error.to_string().contains("`with_id`"), "{error}");
}
