//! A cache that is not there has nothing, takes nothing, and fails nothing.

use module_cache_core::permit::CompilePermit;
use module_cache_core::{Compile, ModuleCache, ModuleHash, SaveOutcome, SkipReason, StoreCache};
use module_cache_testkit::{ReferenceStore, TestEngine, wasm};

type Cache = Option<StoreCache<ReferenceStore>>;

#[test]
fn none_is_a_cache_that_has_nothing_and_takes_nothing() {
    let (cache, engine) = (Cache::None, TestEngine::new("test"));
    let wasm = wasm(1, 1000);
    let key = ModuleHash::of(&wasm);
    let module = engine.compile(&wasm).unwrap();
    let outcome = cache.save(key, &engine, &module).unwrap();
    assert_eq!(outcome, SaveOutcome::Skipped(SkipReason::Absent));
    assert!(cache.load(key, &engine).unwrap().is_none());
    assert!(cache.load_resident(key, &engine).is_none());
    assert!(!cache.contains(key, &engine).unwrap());
    assert!(!cache.remove(key, &engine).unwrap());
    assert!(ModuleCache::<TestEngine>::entries(&cache).is_none());
    let permit = cache.compile_permit(key, &engine).unwrap();
    assert!(matches!(permit, CompilePermit::Uncoordinated));
    ModuleCache::<TestEngine>::flush(&cache).unwrap();
}
