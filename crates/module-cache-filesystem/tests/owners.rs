//! Folders of other users, read-only ones, and full disks. These tests change owners and mount file
//! systems, so they run as root, in a namespace of their own where they mount.

#![cfg(target_os = "linux")]

#[path = "support/privileged.rs"]
mod privileged;
#[path = "support/role.rs"]
mod role;
#[path = "support/user.rs"]
mod user;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use module_cache_core::{
    CacheError, Compile, Engine, ModuleCache, ModuleHash, SaveOutcome, SkipReason,
};
use module_cache_filesystem::FileSystemCache;
use module_cache_testkit::{TestEngine, TestModule, wasm};

use crate::privileged::{need_root, on_mount};
use crate::user::as_user;

const SOMEBODY: u32 = 1000;
const SOMEBODY_ELSE: u32 = 1001;

fn engine() -> TestEngine {
    TestEngine::new("owners")
}

fn module(engine: &TestEngine, n: u64) -> (ModuleHash, TestModule) {
    let wasm = wasm(n, 50_000);
    (ModuleHash::of(&wasm), engine.compile(&wasm).unwrap())
}

/// A folder with one entry, of which everything belongs to `owner`.
fn folder_of(owner: u32) -> tempfile::TempDir {
    let keep = tempfile::tempdir().unwrap();
    fs::set_permissions(keep.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let engine = engine();
    let (key, module) = module(&engine, 1);
    let root = keep.path().join("cache");
    let _ = FileSystemCache::open(&root)
        .unwrap()
        .save(key, &engine, &module)
        .unwrap();
    for directory in [
        "",
        "v1",
        "v1/tmp",
        "v1/locks",
        &format!("v1/{}", engine.id()),
    ] {
        let path = root.join(directory);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let chown_all = Command::new("chown")
        .arg("-R")
        .arg(owner.to_string())
        .arg(&root)
        .status();
    assert!(chown_all.unwrap().success());
    keep
}

/// Loads work, and saves are skipped.
fn assert_read_only(root: &Path) {
    let cache = FileSystemCache::open(root).unwrap();
    let engine = engine();
    assert!(!cache.is_writable());
    assert!(cache.load(module(&engine, 1).0, &engine).unwrap().is_some());
    let (key, module) = module(&engine, 2);
    assert_eq!(
        cache.save(key, &engine, &module).unwrap(),
        SaveOutcome::Skipped(SkipReason::ReadOnly)
    );
    assert!(matches!(
        ModuleCache::compile_permit(&cache, key, &engine).unwrap(),
        module_cache_core::permit::CompilePermit::Uncoordinated
    ));
    assert_eq!(cache.stats().errors, 0);
}

#[test]
fn roots_folder_is_read_by_others_and_not_written() {
    if let Some(root) = role::role() {
        return assert_read_only(Path::new(&root));
    }
    need_root();
    let folder = folder_of(0);
    let root = folder.path().join("cache");
    as_user(
        SOMEBODY,
        "roots_folder_is_read_by_others_and_not_written",
        root.to_str().unwrap(),
    );
}

#[test]
fn ones_own_folder_without_the_right_to_write_is_read() {
    if let Some(root) = role::role() {
        return assert_read_only(Path::new(&root));
    }
    need_root();
    let folder = folder_of(SOMEBODY);
    let root = folder.path().join("cache");
    fs::set_permissions(root.join("v1"), fs::Permissions::from_mode(0o555)).unwrap();
    as_user(
        SOMEBODY,
        "ones_own_folder_without_the_right_to_write_is_read",
        root.to_str().unwrap(),
    );
}

#[test]
fn a_folder_of_another_user_is_refused_by_users_and_by_root() {
    let refused = |root: &str| {
        let error = FileSystemCache::open(root).unwrap_err();
        assert!(matches!(error, CacheError::Untrusted { .. }), "{error:?}");
        assert!(
            error.to_string().contains("belongs to user 1001"),
            "{error}"
        );
    };
    if let Some(root) = role::role() {
        return refused(&root);
    }
    need_root();
    let folder = folder_of(SOMEBODY_ELSE);
    let root = folder.path().join("cache");
    refused(root.to_str().unwrap());
    let name = "a_folder_of_another_user_is_refused_by_users_and_by_root";
    as_user(SOMEBODY, name, root.to_str().unwrap());
}

#[test]
fn an_entry_of_another_user_is_a_miss_and_stays() {
    need_root();
    let folder = folder_of(0);
    let engine = engine();
    let (key, _) = module(&engine, 1);
    let root = folder.path().join("cache");
    let entry = root.join(format!("v1/{}/{key}", engine.id()));
    chown(&entry, Some(SOMEBODY), None).unwrap();
    let cache = FileSystemCache::open(&root).unwrap();
    assert!(cache.load(key, &engine).unwrap().is_none());
    assert_eq!(cache.stats().rejected, 1);
    assert!(entry.exists());
}

#[test]
fn root_creates_nothing_below_another_users_directory() {
    need_root();
    let home = tempfile::tempdir().unwrap();
    chown(home.path(), Some(SOMEBODY), None).unwrap();
    let error = FileSystemCache::open(home.path().join(".cache/modules")).unwrap_err();
    assert!(matches!(error, CacheError::Untrusted { .. }), "{error:?}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);

    // A directory of root's in between does not help: the user may move it.
    let between = home.path().join("between");
    fs::create_dir(&between).unwrap();
    assert!(FileSystemCache::open(between.join("cache")).is_err());
    assert_eq!(fs::read_dir(&between).unwrap().count(), 0);
    // Nor does a link to it.
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&between, elsewhere.path().join("link")).unwrap();
    assert!(FileSystemCache::open(elsewhere.path().join("link/cache")).is_err());
    assert_eq!(fs::read_dir(&between).unwrap().count(), 0);
    fs::remove_dir(between).unwrap();

    fs::create_dir(home.path().join("empty")).unwrap();
    chown(home.path().join("empty"), Some(SOMEBODY), None).unwrap();
    assert!(FileSystemCache::open(home.path().join("empty")).is_err());
    assert_eq!(fs::read_dir(home.path().join("empty")).unwrap().count(), 0);
}

#[test]
fn a_folder_on_a_read_only_file_system_is_read() {
    if let Some(root) = role::role() {
        return assert_read_only(&Path::new(&root).join("cache"));
    }
    need_root();
    let folder = folder_of(0);
    on_mount(
        "--bind -o ro",
        folder.path(),
        "a_folder_on_a_read_only_file_system_is_read",
    );
}

#[test]
fn on_a_full_disk_saves_are_skipped_and_what_is_there_still_loads() {
    if let Some(root) = role::role() {
        let root = Path::new(&root).join("cache");
        let cache = FileSystemCache::builder(root).min_free(0).open().unwrap();
        let engine = engine();
        let outcomes: Vec<_> = (0..40)
            .map(|n| {
                let (key, module) = module(&engine, n);
                cache.save(key, &engine, &module).unwrap()
            })
            .collect();
        let stored = outcomes
            .iter()
            .filter(|outcome| outcome.is_stored())
            .count();
        assert!(stored > 0 && stored < 40, "{outcomes:?}");
        assert_eq!(outcomes[39], SaveOutcome::Skipped(SkipReason::NoSpace));
        for (n, outcome) in (0..).zip(outcomes) {
            let found = cache.load(module(&engine, n).0, &engine).unwrap();
            assert_eq!(found.is_some(), outcome.is_stored(), "module {n}");
        }
        assert_eq!(
            fs::read_dir(cache.root().join("v1/tmp")).unwrap().count(),
            0
        );
        assert_eq!(cache.stats().corrupt, 0);
        return;
    }
    need_root();
    on_mount(
        "-t tmpfs -o size=1m,mode=700",
        Path::new("none"),
        "on_a_full_disk_saves_are_skipped_and_what_is_there_still_loads",
    );
}

#[test]
fn a_reserve_that_can_be_kept_by_removing_entries_is() {
    if let Some(root) = role::role() {
        let root = Path::new(&root).join("cache");
        let engine = engine();
        let save = |reserve, n| {
            let options = FileSystemCache::builder(&root).min_free(reserve);
            let cache = options.open().unwrap();
            let (hash, module) = module(&engine, n);
            let outcome = cache.save(hash, &engine, &module).unwrap();
            assert!(outcome.is_stored(), "module {n}: {outcome:?}");
            cache.stats().evictions
        };
        for n in 0..8 {
            assert_eq!(save(0, n), 0);
        }
        let reserve = fs4::available_space(&root).unwrap() + 100_000;
        assert!(save(reserve, 8) >= 1);
        assert!(fs4::available_space(&root).unwrap() >= reserve);
        return;
    }
    need_root();
    // Other programs use every other disk, too.
    on_mount(
        "-t tmpfs -o size=1m,mode=700",
        Path::new("none"),
        "a_reserve_that_can_be_kept_by_removing_entries_is",
    );
}
