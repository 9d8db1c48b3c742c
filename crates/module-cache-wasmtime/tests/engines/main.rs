//! What the engines promise, shown on real wasm that is run: modules and components alike.
#![cfg(feature = "cranelift")]

/// Makes two tests of each generic function: for modules and for components.
macro_rules! for_both_kinds {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            #[test]
            fn module() {
                super::$test::<module_cache_wasmtime::WasmtimeEngine>();
            }

            #[cfg(feature = "component-model")]
            #[test]
            fn component() {
                super::$test::<module_cache_wasmtime::WasmtimeComponentEngine>();
            }
        }
    )*};
}

mod compile;
mod configurations;
mod fields;
mod identity;
mod kind;
mod levels;
mod load;
mod serialize;
#[cfg(feature = "winch")]
mod tiers;
