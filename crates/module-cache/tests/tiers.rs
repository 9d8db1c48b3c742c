//! Winch in front of Cranelift, on real wasm, in memory and in a folder.

#[path = "support/corpus.rs"]
mod corpus;

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;

use module_cache::backend::{Engine as _, Tiers};
use module_cache::loader::{Source, Tier, Tiered, TieredLoader};
use module_cache::{
    FallbackExt, FileSystemCache, HashedModule, LayeredCache, ModuleCache, in_memory,
};
use module_cache_wasmtime::{EngineBuilder, WasmtimeEngine};
use wasmtime::{Config, Engine, InstancePre, Linker, Module, Store};

type Loader = TieredLoader<WasmtimeEngine, WasmtimeEngine, LayeredCache<WasmtimeEngine>>;

fn tiers() -> Tiers<WasmtimeEngine, WasmtimeEngine> {
    EngineBuilder::new(&Config::new()).module_tiers().unwrap()
}

fn loader(folder: &FileSystemCache) -> Loader {
    TieredLoader::new(tiers(), in_memory().with_fallback(folder.clone()))
}

/// What a request uses.
struct App {
    tier: Tier,
    engine: WasmtimeEngine,
    ready: InstancePre<()>,
}

#[expect(clippy::needless_pass_by_value, reason = "loads hand the module over")]
fn prepare(tier: Tier, engine: &WasmtimeEngine, module: Module) -> wasmtime::Result<App> {
    Ok(App {
        tier,
        engine: engine.clone(),
        ready: Linker::new(engine.engine()).instantiate_pre(&module)?,
    })
}

/// A module whose `answer` is `n`, with a little to compile.
fn answering(n: u64) -> Arc<HashedModule<'static>> {
    let text = format!(
        r#"(module (memory 1) (func (export "answer") (param i64) (result i64)
            (i64.add (i64.mul (local.get 0) (i64.const 0)) (i64.const {n}))))"#
    );
    Arc::new(HashedModule::new(wat::parse_str(text).unwrap()))
}

impl App {
    fn answer(&self) -> u64 {
        assert!(Engine::same(
            self.ready.module().engine(),
            self.engine.engine()
        ));
        let mut store = Store::new(self.engine.engine(), ());
        let instance = self.ready.instantiate(&mut store).unwrap();
        let answer = instance.get_typed_func::<u64, u64>(&mut store, "answer");
        answer.unwrap().call(&mut store, 7).unwrap()
    }
}

#[test]
fn real_wasm_is_served_by_winch_first_then_by_cranelift_then_from_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = FileSystemCache::open(dir.path().join("cache")).unwrap();
    let module = Arc::new(HashedModule::new(corpus::wasm("qjs")));
    let keep = |_, _: &WasmtimeEngine, module| Ok::<Module, Infallible>(module);
    {
        let loader = loader(&folder);
        let loaded = loader.load(&module, keep).unwrap();
        assert_eq!(loaded.source, Source::Compiled);
        let handle: Tiered<Module> = loaded.module;
        handle.wait_upgraded().unwrap();
        let best = loader.best_engine();
        assert!(Engine::same(handle.get().engine(), best.engine()));
        assert_eq!(loader.stats().failed_upgrades, 0);
        // The fast one is gone.
        assert_eq!(folder.usage().unwrap().entries, 1);
        assert!(folder.contains(module.hash(), best).unwrap());
    }
    let loader = loader(&folder);
    let loaded = loader.load(&module, keep).unwrap();
    assert_eq!(
        (loaded.source, loaded.module.tier()),
        (Source::Stored, Tier::Best)
    );
}

#[test]
fn wasm_that_winch_does_not_compile_is_served_by_cranelift() {
    let dir = tempfile::tempdir().unwrap();
    let folder = FileSystemCache::open(dir.path().join("cache")).unwrap();
    let loader = loader(&folder);
    let tail_call = wat::parse_str("(module (func $f (export \"f\") (return_call $f)))").unwrap();
    let tail_call = Arc::new(HashedModule::new(tail_call));
    for _ in 0..2 {
        let handle = loader.load(&tail_call, prepare).unwrap().module;
        assert_eq!(handle.get().tier, Tier::Best);
    }
    let stats = loader.stats();
    assert_eq!(
        (stats.without_fast, stats.best.compiled, stats.best.resident),
        (1, 1, 1)
    );
}

#[test]
fn nothing_is_served_by_a_wrong_engine_under_ten_thousand_requests_while_tiers_swap() {
    const REQUESTS: u64 = 10_000;
    const MODULES: u64 = 16;
    let dir = tempfile::tempdir().unwrap();
    let folder = FileSystemCache::open(dir.path().join("cache")).unwrap();
    let modules: Vec<_> = (0..MODULES).map(answering).collect();
    let host = RwLock::new(loader(&folder));
    let (next, of_fast) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let request = next.fetch_add(1, Ordering::Relaxed);
                    if request >= REQUESTS {
                        return;
                    }
                    // Numbers without a pattern.
                    let random = request.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
                    let n = random % MODULES;
                    let module = &modules[usize::try_from(n).unwrap()];
                    match (random >> 32) % 1000 {
                        // The engines go, with what they compile.
                        0..3 => *host.write().unwrap() = loader(&folder),
                        // A module leaves memory and folder.
                        3..40 => {
                            let host = host.read().unwrap();
                            for engine in [host.best_engine(), host.fast_engine()] {
                                host.cache().remove(module.hash(), engine).unwrap();
                            }
                        }
                        _ => {}
                    }
                    let handle = host.read().unwrap().load(module, prepare).unwrap().module;
                    let app = handle.get();
                    of_fast.fetch_add(u64::from(app.tier == Tier::Fast), Ordering::Relaxed);
                    let is_winch = app.engine.id().label().contains("winch");
                    assert_eq!(app.tier == Tier::Fast, is_winch);
                    assert_eq!(app.answer(), n);
                    assert_eq!(handle.get().answer(), n);
                }
            });
        }
    });
    let of_fast = of_fast.into_inner();
    assert!((1..REQUESTS).contains(&of_fast), "{of_fast}");
}
