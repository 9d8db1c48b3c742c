//! The cache that suits the target.

use module_cache_core::Engine;

cfg_if::cfg_if! {
    if #[cfg(all(target_arch = "wasm32", target_os = "unknown"))] {
        /// The cache of live modules that suits the target: [`ThreadLocalCache`](crate::ThreadLocalCache)
        /// in the browser, where a module cannot leave its thread.
        pub type InMemoryCache<E> = crate::ThreadLocalCache<E>;
    } else {
        /// The cache of live modules that suits the target: [`SharedCache`](crate::SharedCache) everywhere
        /// but in the browser, where it is `ThreadLocalCache`.
        pub type InMemoryCache<E> = crate::SharedCache<E>;
    }
}

/// An empty cache of live modules that suits the target, with its default bound.
///
/// Programs that run natively and in a browser use what both kinds have in common: clones share the modules, and the
/// methods are those of [`ModuleCache`](module_cache_core::ModuleCache), `len`, `weight`, `clear` and `stats`.
pub fn in_memory<E: Engine>() -> InMemoryCache<E> {
    InMemoryCache::new()
}
