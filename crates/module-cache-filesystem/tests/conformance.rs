//! The folder keeps the contract of a cache and of a store, however it is opened.

use std::path::Path;

use module_cache_core::{SharedKey, Trust};
use module_cache_filesystem::{FileSystemCache, FileSystemCacheBuilder, Verification};
use module_cache_testkit::{
    Capabilities, Fixture, entry_store_conformance, module_cache_conformance,
};

fn fixture(
    options: fn(FileSystemCacheBuilder) -> FileSystemCacheBuilder,
) -> Fixture<FileSystemCache> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("cache");
    let open = move |root: &Path| options(FileSystemCache::builder(root)).open().unwrap();
    let capabilities = Capabilities {
        permits: true,
        ..Capabilities::STORED
    };
    Fixture::new(open(&root), capabilities)
        .reopened_by(move || open(&root))
        .keeping(folder)
}

fn by_default() -> Fixture<FileSystemCache> {
    fixture(|options| options)
}

fn always_verified() -> Fixture<FileSystemCache> {
    fixture(|options| options.verification(Verification::Always))
}

fn signed() -> Fixture<FileSystemCache> {
    fixture(|options| options.trust(Trust::shared(SharedKey::from_bytes([5; 32]))))
}

/// The same as by default where entries are mapped in any case.
#[cfg(not(target_os = "linux"))]
fn mapped() -> Fixture<FileSystemCache> {
    fixture(FileSystemCacheBuilder::experimental_mapping)
}

module_cache_conformance!(cache, by_default);
module_cache_conformance!(cache_always_verified, always_verified);
module_cache_conformance!(cache_signed, signed);
entry_store_conformance!(store, by_default);
entry_store_conformance!(store_signed, signed);
#[cfg(not(target_os = "linux"))]
module_cache_conformance!(cache_mapped, mapped);
#[cfg(not(target_os = "linux"))]
entry_store_conformance!(store_mapped, mapped);
