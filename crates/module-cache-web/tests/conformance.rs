//! The contract of all caches, in the browser: the cases that need no second thread.
//!
//! Like the other tests of this crate, these are compiled everywhere and run by `cargo xtask browser`.

use module_cache_core::{ModuleCache, StoreCache};
use module_cache_fallback::{FallbackCache, FallbackExt};
use module_cache_memory::{InMemoryCache, SharedCache, ThreadLocalCache, in_memory};
use module_cache_testkit::{
    Capabilities, Fixture, ReferenceStore, TestEngine, entry_store_conformance,
    module_cache_conformance,
};
use wasm_bindgen_test::wasm_bindgen_test;

const PER_THREAD: Capabilities = Capabilities {
    thread_local: true,
    ..Capabilities::LIVE
};

fn thread_local() -> Fixture<ThreadLocalCache<TestEngine>> {
    let cache = ThreadLocalCache::new();
    let clone = cache.clone();
    Fixture::new(cache, PER_THREAD).reopened_by(move || clone.clone())
}

fn shared() -> Fixture<SharedCache<TestEngine>> {
    let cache = SharedCache::new();
    let clone = cache.clone();
    Fixture::new(cache, Capabilities::LIVE).reopened_by(move || clone.clone())
}

fn store() -> Fixture<ReferenceStore> {
    let store = ReferenceStore::new();
    let again = store.clone();
    let capabilities = Capabilities {
        permits: true,
        ..Capabilities::STORED
    };
    Fixture::new(store, capabilities).reopened_by(move || again.clone())
}

type Layers = FallbackCache<InMemoryCache<TestEngine>, StoreCache<ReferenceStore>>;

fn memory_over_store() -> Fixture<Layers> {
    let store = ReferenceStore::new();
    let again = store.clone();
    let open = |store| in_memory().with_fallback(StoreCache(store));
    let capabilities = Capabilities {
        resident: true,
        permits: true,
        ..Capabilities::STORED
    };
    Fixture::new(open(store), capabilities).reopened_by(move || open(again.clone()))
}

module_cache_conformance!(
    #[wasm_bindgen_test]
    thread_local_cache,
    thread_local,
    single_threaded
);
module_cache_conformance!(
    #[wasm_bindgen_test]
    in_memory_cache,
    || Fixture::new(in_memory(), PER_THREAD),
    single_threaded
);
module_cache_conformance!(
    #[wasm_bindgen_test]
    shared_cache,
    shared,
    single_threaded
);
module_cache_conformance!(
    #[wasm_bindgen_test]
    memory_over_a_store,
    memory_over_store,
    single_threaded
);
module_cache_conformance!(
    #[wasm_bindgen_test]
    box_of_any_cache,
    || thread_local().map(|cache| Box::new(cache) as Box<dyn ModuleCache<TestEngine>>),
    single_threaded
);
entry_store_conformance!(
    #[wasm_bindgen_test]
    reference_store,
    store,
    single_threaded
);
