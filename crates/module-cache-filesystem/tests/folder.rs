//! What the folder looks like, and which folders are refused with which words.

#![cfg(unix)]

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use module_cache_core::{CacheError, Compile, Engine, ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_testkit::{TestEngine, wasm};

fn mode(path: impl AsRef<std::path::Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_folder_is_created_for_its_user_alone_and_marked_as_a_cache() {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().join("deep/below/cache");
    let cache = FileSystemCache::open(&root).unwrap();
    let (engine, wasm) = (TestEngine::new("test"), wasm(1, 100));
    let key = ModuleHash::of(&wasm);
    let _ = cache
        .save(key, &engine, &engine.compile(&wasm).unwrap())
        .unwrap();

    for directory in [".", "v1", "v1/tmp", &format!("v1/{}", engine.id())] {
        assert_eq!(mode(root.join(directory)), 0o700, "{directory}");
    }
    assert_eq!(mode(root.join(format!("v1/{}/{key}", engine.id()))), 0o444);
    assert!(
        fs::read_to_string(root.join("CACHEDIR.TAG"))
            .unwrap()
            .starts_with("Signature: 8a477f5")
    );
    assert_eq!(fs::read_to_string(root.join(".gitignore")).unwrap(), "*\n");
    assert_eq!(
        fs::read_dir(root.join("v1/tmp")).unwrap().count(),
        0,
        "no temporary is left"
    );
}

#[test]
fn a_file_in_place_of_the_folder_is_one_clear_error() {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().join("cache");
    fs::write(&root, "precious").unwrap();
    for root in [root.clone(), root.join("below")] {
        let error = FileSystemCache::open(&root).unwrap_err();
        assert!(matches!(error, CacheError::Io { .. }), "{error:?}");
        assert!(
            error.to_string().contains(root.to_str().unwrap()),
            "{error}"
        );
        assert!(
            error
                .source()
                .unwrap()
                .to_string()
                .contains("ot a directory"),
            "{error:?}"
        );
    }
    assert_eq!(fs::read_to_string(root).unwrap(), "precious");
}

#[test]
fn a_folder_that_others_can_write_to_is_refused_and_says_what_to_do() {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().join("cache");
    FileSystemCache::open(&root).unwrap();
    for (folder, mode) in [("v1", 0o770), ("v1", 0o702), ("", 0o770), ("", 0o702)] {
        let folder = root.join(folder);
        let before = fs::metadata(&folder).unwrap().permissions();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        let error = FileSystemCache::open(&root).unwrap_err();
        assert!(matches!(error, CacheError::Untrusted { .. }), "{error:?}");
        assert!(error.to_string().contains("chmod go-w"), "{error}");
        fs::set_permissions(&folder, before).unwrap();
    }
    for folder in [&root, &root.join("v1")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    }
    // SAFETY: this test alone writes to the folder.
    let cache = unsafe { FileSystemCache::builder(&root).skip_permission_checks() }
        .open()
        .unwrap();
    assert!(cache.is_writable());
}

#[test]
fn a_link_in_place_of_the_version_is_not_followed() {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().join("cache");
    fs::create_dir(&root).unwrap();
    fs::create_dir(keep.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(keep.path().join("elsewhere"), root.join("v1")).unwrap();
    assert!(FileSystemCache::open(&root).is_err());
}

#[test]
fn a_replaceable_parent_is_a_warning_and_strictly_an_error() {
    let keep = tempfile::tempdir().unwrap();
    fs::set_permissions(keep.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let root = keep.path().join("cache");
    FileSystemCache::open(&root).unwrap();
    let error = FileSystemCache::builder(&root).strict().open().unwrap_err();
    assert!(
        matches!(&error, CacheError::Untrusted { path, .. } if path == keep.path()),
        "{error:?}"
    );
}

#[test]
fn a_replaceable_link_on_the_way_is_an_error_strictly() {
    let keep = tempfile::tempdir().unwrap();
    let below = |name: &str| keep.path().join(name);
    let root = below("cache");
    FileSystemCache::open(&root).unwrap();
    fs::create_dir(below("open")).unwrap();
    std::os::unix::fs::symlink("../cache", below("open/second")).unwrap();
    std::os::unix::fs::symlink("open/second", below("first")).unwrap();
    let strictly = |name| FileSystemCache::builder(below(name)).strict().open();
    for name in ["first", "open/second"] {
        fs::set_permissions(below("open"), fs::Permissions::from_mode(0o755)).unwrap();
        strictly(name).unwrap();
        fs::set_permissions(below("open"), fs::Permissions::from_mode(0o777)).unwrap();
        let error = strictly(name).unwrap_err();
        let weak = below("open/second");
        assert!(
            matches!(&error, CacheError::Untrusted { path, .. } if *path == weak),
            "{error:?}"
        );
        // Otherwise it is a warning.
        FileSystemCache::open(below(name)).unwrap();
    }
}

#[test]
fn a_folder_that_was_removed_while_it_was_open_costs_no_panic() {
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().join("cache");
    let cache = FileSystemCache::open(&root).unwrap();
    let (engine, wasm) = (TestEngine::new("test"), wasm(1, 100));
    let key = ModuleHash::of(&wasm);
    fs::remove_dir_all(&root).unwrap();
    assert!(cache.load(key, &engine).unwrap().is_none());
    assert!(
        cache
            .save(key, &engine, &engine.compile(&wasm).unwrap())
            .is_err()
    );
    assert_eq!(cache.stats().errors, 1);
}
