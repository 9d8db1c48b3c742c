//! A pair of engines for tiers.

use std::convert::Infallible;
use std::sync::Arc;

use module_cache_core::{Compile, Engine, HashedModule};
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::{Source, Tier, TieredLoader};
use module_cache_wasmer::{WasmerEngine, tiers};
use wasmer::sys::{Cranelift, EngineBuilder};

use crate::support::{LARGE, at, letter, wasm};

#[test]
fn both_tiers_run_the_same_wasm() {
    let tiers = tiers(|compiler| EngineBuilder::new(compiler).engine().into()).unwrap();
    let (fast, best) = (tiers.fast(), tiers.best());
    assert!(fast.id().label().ends_with("singlepass"));
    assert!(best.id().label().ends_with("cranelift"));
    for engine in [fast, best] {
        let module = engine.compile(&wasm(100)).unwrap();
        assert_eq!(at(engine, &module, 30), letter(30));
    }
}

#[test]
fn an_engine_with_another_compiler_than_it_was_given_is_refused() {
    let error = tiers(|_| Cranelift::new().into()).unwrap_err();
    assert!(error.to_string().contains("singlepass"), "{error}");
}

#[test]
fn singlepass_serves_first_and_cranelift_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let folder = || FileSystemCache::open(dir.path().join("cache")).unwrap();
    let tiers = || tiers(|compiler| EngineBuilder::new(compiler).engine().into()).unwrap();
    let module = Arc::new(HashedModule::new(wasm(LARGE)));
    let keep =
        |tier, engine: &WasmerEngine, module| Ok::<_, Infallible>((tier, engine.clone(), module));
    let loader = TieredLoader::new(tiers(), folder());
    let handle = loader.load(&module, keep).unwrap().module;
    let first = handle.get();
    handle.wait_upgraded().unwrap();
    let second = handle.get();
    for (tier, served) in [(first.0, &first), (Tier::Best, &second)] {
        assert_eq!(served.0, tier);
        assert_eq!(at(&served.1, &served.2, 30), letter(30));
    }
    drop(loader);
    let loader = TieredLoader::new(tiers(), folder());
    let loaded = loader.load(&module, keep).unwrap();
    assert_eq!(
        (loaded.source, loaded.module.tier()),
        (Source::Stored, Tier::Best)
    );
}
