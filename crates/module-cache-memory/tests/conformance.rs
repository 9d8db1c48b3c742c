//! The contract of all caches, by the suite that every one of them passes.

use std::sync::Arc;

use module_cache_core::ModuleCache;
use module_cache_memory::{SharedCache, ThreadLocalCache, in_memory};
use module_cache_testkit::{Capabilities, Fixture, TestEngine, module_cache_conformance};

const PER_THREAD: Capabilities = Capabilities {
    thread_local: true,
    ..Capabilities::LIVE
};

/// A clone is what this process has in place of another handle.
fn shared() -> Fixture<SharedCache<TestEngine>> {
    let cache = SharedCache::new();
    let clone = cache.clone();
    Fixture::new(cache, Capabilities::LIVE).reopened_by(move || clone.clone())
}

fn thread_local() -> Fixture<ThreadLocalCache<TestEngine>> {
    let cache = ThreadLocalCache::new();
    let clone = cache.clone();
    Fixture::new(cache, PER_THREAD).reopened_by(move || clone.clone())
}

type AnyCache = dyn ModuleCache<TestEngine> + Send + Sync;

module_cache_conformance!(shared_cache, shared);
module_cache_conformance!(thread_local_cache, thread_local);
module_cache_conformance!(in_memory_cache, || {
    Fixture::new(in_memory(), Capabilities::LIVE)
});
module_cache_conformance!(arc_of_shared_cache, || {
    shared().map(|cache| Arc::new(cache) as Arc<AnyCache>)
});
module_cache_conformance!(box_of_thread_local_cache, || {
    thread_local().map(|cache| Box::new(cache) as Box<AnyCache>)
});
