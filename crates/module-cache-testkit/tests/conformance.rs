//! The doubles that are correct pass the suite, as they are and behind every kind of pointer.

use std::sync::Arc;

use module_cache_core::{EntryStore, ModuleCache, StoreCache};
use module_cache_testkit::{
    Capabilities, Fixture, Observed, ReferenceCache, ReferenceStore, TestEngine,
    entry_store_conformance, module_cache_conformance,
};

const WITH_PERMITS: Capabilities = Capabilities {
    permits: true,
    ..Capabilities::STORED
};

type DynCache = dyn ModuleCache<TestEngine> + Send + Sync;

fn live() -> Fixture<ReferenceCache<TestEngine>> {
    Fixture::new(ReferenceCache::new(), Capabilities::LIVE)
}

fn store() -> Fixture<ReferenceStore> {
    let store = ReferenceStore::new();
    let again = store.clone();
    Fixture::new(store, WITH_PERMITS).reopened_by(move || again.clone())
}

fn stored() -> Fixture<StoreCache<ReferenceStore>> {
    store().map(StoreCache)
}

module_cache_conformance!(a_reference_cache, live);
module_cache_conformance!(a_store_cache, stored);
module_cache_conformance!(a_cache_that_is_there, || stored().map(Some));
module_cache_conformance!(an_observed_cache, || stored().map(Observed::new));
module_cache_conformance!(a_cache_in_a_box, || {
    stored().map(|cache| Box::new(cache) as Box<DynCache>)
});
module_cache_conformance!(a_cache_in_an_arc, || {
    live().map(|cache| Arc::new(cache) as Arc<DynCache>)
});
module_cache_conformance!(a_cache_behind_a_reference, || {
    live().map(|cache| &*Box::leak(Box::new(cache)))
});
module_cache_conformance!(
    a_cache_that_threads_cannot_share,
    || live().map(|cache| Box::new(cache) as Box<dyn ModuleCache<TestEngine>>),
    single_threaded
);

entry_store_conformance!(a_reference_store, store);
entry_store_conformance!(an_observed_store, || store().map(Observed::new));
entry_store_conformance!(a_store_in_an_arc, || {
    store().map(|store| Arc::new(store) as Arc<dyn EntryStore + Send + Sync>)
});
entry_store_conformance!(
    a_store_that_threads_cannot_share,
    || store().map(|store| Box::new(store) as Box<dyn EntryStore>),
    single_threaded
);
