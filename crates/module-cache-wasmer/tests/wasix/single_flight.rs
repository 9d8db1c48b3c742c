//! One compilation for all who ask.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;

use futures_executor::block_on;
use module_cache_memory::SharedCache;
use module_cache_testkit::{Method, Observed};
use module_cache_wasmer::WasmerEngine;
use module_cache_wasmer::wasix::{WasixModuleCache, WasixModuleLoader};
use tokio::runtime::{Handle, Runtime as Tokio};
use wasmer::{Engine, Module};
use wasmer_wasix::SpawnError;
use wasmer_wasix::runtime::module_cache::HashedModuleData;
use wasmer_wasix::runtime::{ModuleInput, Runtime};

use crate::support::{OwnRuntime, engine, exports, pluggable_runtime, until, wasm};

const CALLERS: u64 = 16;

/// Parameters of two functions, whose types wasmer cannot tell apart.
const COLLIDING: [&str; 2] = [
    "i64 i32 i64 i64 i32 f32 i32 i64 i64 f64 f64 f32 f32 i32 f64 i64 i32 f32 i32 f32",
    "f32 f64 f64 f32 i64 i64 i64 i64 i64 i64 f32 f32 i64 i64 i32 f64 f32 i32 f64 i64",
];

type TestRuntime = OwnRuntime<Arc<Observed<SharedCache<WasmerEngine>>>>;

fn runtime(handle: &Handle) -> (Engine, TestRuntime) {
    let (engine, known) = engine();
    let observed = Arc::new(Observed::new(SharedCache::new()));
    let cache = WasixModuleCache::new([known], observed, handle.clone());
    let runtime = OwnRuntime {
        base: pluggable_runtime(&engine, cache.clone(), handle),
        loader: WasixModuleLoader::new(cache),
    };
    (engine, runtime)
}

/// Resolves `wasm` by many threads at once, all of which are there before the cache answers the first.
fn resolve_at_once(
    engine: &Engine,
    runtime: &TestRuntime,
    wasm: &[u8],
) -> Vec<Result<Module, SpawnError>> {
    let loader = runtime.loader.loader(engine).unwrap();
    let module = HashedModuleData::new(wasm);
    let hold = loader.cache().hold(Method::Load);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| scope.spawn(|| runtime.load_hashed_module_sync(module.clone(), None)))
            .collect();
        until(|| loader.stats().coalesced == CALLERS - 1);
        drop(hold);
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect()
    })
}

#[test]
fn all_who_resolve_a_cold_module_get_what_one_of_them_compiled() {
    let tokio = Tokio::new().unwrap();
    let (engine, runtime) = runtime(tokio.handle());

    let modules = resolve_at_once(&engine, &runtime, &wasm());

    for module in modules {
        assert_eq!(exports(&module.unwrap()), ["add"]);
    }
    let loader = runtime.loader.loader(&engine).unwrap();
    assert_eq!(loader.stats().compiled, 1);
    assert_eq!(loader.cache().inner().stats().saves, 1);
}

#[test]
fn all_who_resolve_a_bad_module_are_told_what_wasmer_wasix_tells() {
    let tokio = Tokio::new().unwrap();
    // One is refused when it is validated, the other when it is translated: its types collide.
    let invalid = b"\0asm\x01\0\0\0 nonsense".to_vec();
    let colliding = COLLIDING.map(|parameters| format!("(func (param {parameters}))"));
    let colliding = wat::parse_str(format!("(module {})", colliding.concat())).unwrap();
    for (wasm, expected) in [(invalid, "Validate("), (colliding, "Wasm(")] {
        let (engine, runtime) = runtime(tokio.handle());
        let (lone, other) = self::engine();
        let nothing = WasixModuleCache::new([other], SharedCache::new(), tokio.handle().clone());
        let upstream = pluggable_runtime(&lone, nothing, tokio.handle())
            .load_hashed_module_sync(HashedModuleData::new(&wasm[..]), None);
        let told = said(upstream);
        assert!(told.starts_with(expected), "{told}");
        for result in resolve_at_once(&engine, &runtime, &wasm) {
            assert_eq!(said(result), told);
        }
    }
}

/// The error of the compiler, with its kind.
fn said(result: Result<Module, SpawnError>) -> String {
    match result.unwrap_err() {
        SpawnError::CompileError { error, .. } => format!("{error:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_caller_that_goes_away_takes_the_module_from_nobody() {
    let tokio = Tokio::new().unwrap();
    let (engine, runtime) = runtime(tokio.handle());
    let loader = runtime.loader.loader(&engine).unwrap();
    let hold = loader.cache().hold(Method::Load);
    let resolve = || runtime.resolve_module(ModuleInput::Bytes(wasm().into()), None, None);
    {
        let mut first = pin!(resolve());
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        hold.wait_for(1);
    }

    let module = thread::scope(|scope| {
        let second = scope.spawn(|| block_on(resolve()));
        until(|| loader.stats().coalesced == 1);
        drop(hold);
        second.join().unwrap()
    });

    assert_eq!(exports(&module.unwrap()), ["add"]);
    assert_eq!(loader.stats().compiled, 1);
}
