//! The contract of all caches, by the suite that every one of them passes.

use std::sync::Arc;

use module_cache_core::ModuleCache;
use module_cache_memory::{SharedCache, ThreadLocalCache, in_memory};
use module_cache_testkit::{Capabilities, Fixture, TestEngine, module_cache_conformance};

const PER_THREAD: Capabilities = Capabilities {
    thread_local: true,
    ..Capabilities::LIVE
};

module_cache_conformance!(shared_cache, || Fixture::new(
    SharedCache::new(),
    Capabilities::LIVE
));

module_cache_conformance!(thread_local_cache, || Fixture::new(
    ThreadLocalCache::new(),
    PER_THREAD
));

module_cache_conformance!(in_memory_cache, || Fixture::new(
    in_memory(),
    Capabilities::LIVE
));

module_cache_conformance!(arc_of_shared_cache, || {
    let cache: Arc<dyn ModuleCache<TestEngine> + Send + Sync> = Arc::new(SharedCache::new());
    Fixture::new(cache, Capabilities::LIVE)
});

module_cache_conformance!(box_of_thread_local_cache, || {
    let cache: Box<dyn ModuleCache<TestEngine> + Send + Sync> = Box::new(ThreadLocalCache::new());
    Fixture::new(cache, PER_THREAD)
});
