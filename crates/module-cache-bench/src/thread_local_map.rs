//! The baseline of all memory hits: a bare map of each thread's own.

/// Defines a [`LiveMap`](crate::live_map::LiveMap) that is a `HashMap` in a thread-local `RefCell`: no
/// lock, no bound, and nothing that threads share but the modules.
///
/// A macro, because a thread-local cannot be generic.
#[macro_export]
macro_rules! thread_local_map {
    ($(#[$doc:meta])* $name:ident, $module:ty, $hasher:ty) => {
        $(#[$doc])*
        pub struct $name;

        impl $name {
            fn with<T>(
                act: impl FnOnce(
                    &std::cell::RefCell<
                        std::collections::HashMap<module_cache_core::ModuleHash, $module, $hasher>,
                    >,
                ) -> T,
            ) -> T {
                thread_local! {
                    static MAP: std::cell::RefCell<
                        std::collections::HashMap<module_cache_core::ModuleHash, $module, $hasher>,
                    > = std::cell::RefCell::default();
                }
                MAP.with(act)
            }
        }

        impl $crate::live_map::LiveMap for $name {
            type Module = $module;

            fn save(&self, key: module_cache_core::ModuleHash, module: &$module) {
                Self::with(|map| map.borrow_mut().insert(key, module.clone()));
            }

            fn load(&self, key: &module_cache_core::ModuleHash) -> Option<$module> {
                Self::with(|map| map.borrow().get(key).cloned())
            }
        }
    };
}
