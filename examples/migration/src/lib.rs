//! The code of `docs/migration` and `docs/embed.md`: each page is a documentation test of this package, so `cargo test`
//! compiles it, before and after. What cosmwasm-vm has before is in a package of its own, beside this one.

#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../../../docs/embed.md")]
struct Embed;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/migration/wasmtime-cache.md")]
struct WasmtimeCache;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/migration/wasmer-wasix.md")]
struct WasmerWasix;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/migration/wasmer-cache.md")]
struct WasmerCache;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/migration/cosmwasm-vm.md")]
struct CosmwasmVm;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/migration/viceroy.md")]
struct Viceroy;
