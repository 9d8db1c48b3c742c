//! What others do to the folder, or to the process: nothing of it lets unproven code in, lets the cap be exceeded, wedges
//! saves or loses what is good.

#![cfg(target_os = "linux")]

#[path = "support/privileged.rs"]
mod privileged;
#[path = "support/role.rs"]
mod role;
#[path = "support/user.rs"]
mod user;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fs4::FileExt;
use module_cache_core::format::FOOTER_LEN;
use module_cache_core::permit::CompilePermit;
use module_cache_core::{
    Compile, Engine, EntryKey, ModuleCache, ModuleHash, SaveOutcome, SharedKey, SkipReason, Trust,
};
use module_cache_filesystem::{FileSystemCache, FileSystemCacheBuilder, PruneOptions};
use module_cache_testkit::{TestEngine, wasm};
use tempfile::TempDir;

use crate::privileged::{need_root, on_mount};
use crate::user::as_user;

const BLOCK: u64 = 4096;
const SOMEBODY: u32 = 1000;
const SOMEBODY_ELSE: u32 = 1001;

struct Scene {
    engine: TestEngine,
    root: PathBuf,
    _keep: Option<TempDir>,
}

impl Scene {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let scene = Self::at(keep.path());
        Self {
            _keep: Some(keep),
            ..scene
        }
    }

    fn at(folder: &Path) -> Self {
        Self {
            engine: TestEngine::new("neighbours"),
            root: folder.join("cache"),
            _keep: None,
        }
    }

    fn open(&self) -> FileSystemCache {
        self.with(|options| options)
    }

    fn with(
        &self,
        options: impl FnOnce(FileSystemCacheBuilder) -> FileSystemCacheBuilder,
    ) -> FileSystemCache {
        options(FileSystemCache::builder(&self.root))
            .open()
            .unwrap()
    }

    fn save(&self, cache: &FileSystemCache, n: u64) -> SaveOutcome {
        self.save_sized(cache, n, 1000)
    }

    fn save_sized(&self, cache: &FileSystemCache, n: u64, size: usize) -> SaveOutcome {
        let wasm = wasm(n, size);
        let module = self.engine.compile(&wasm).unwrap();
        cache
            .save(ModuleHash::of(&wasm), &self.engine, &module)
            .unwrap()
    }

    fn has(&self, cache: &FileSystemCache, n: u64) -> bool {
        let key = ModuleHash::of(&wasm(n, 1000));
        cache.load(key, &self.engine).unwrap().is_some()
    }

    fn version(&self) -> PathBuf {
        self.root.join("v1")
    }

    fn engine_folder(&self) -> PathBuf {
        self.version().join(self.engine.id().to_string())
    }

    fn entry(&self, n: u64) -> PathBuf {
        let key = ModuleHash::of(&wasm(n, 1000));
        self.engine_folder().join(key.to_string())
    }
}

fn chmod(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Runs the test `name` again as a user, in a folder of that user's.
fn as_somebody(name: &str) {
    need_root();
    let keep = tempfile::tempdir().unwrap();
    chown(keep.path(), Some(SOMEBODY), None).unwrap();
    as_user(SOMEBODY, name, keep.path().to_str().unwrap());
}

// Who controls the folder of an engine.

#[test]
fn nothing_is_loaded_from_or_saved_to_an_engines_folder_that_others_can_write_to() {
    let scene = Scene::new();
    let cache = scene.open();
    assert!(scene.save(&cache, 1).is_stored());
    chmod(scene.engine_folder(), 0o777);
    let cache = scene.open();
    assert!(!scene.has(&cache, 1));
    assert_eq!(
        scene.save(&cache, 2),
        SaveOutcome::Skipped(SkipReason::Occupied)
    );
    assert_eq!(cache.usage().unwrap().entries, 0);
    assert_eq!(
        cache.usage().unwrap().unknown_files,
        [scene.engine_folder()]
    );
    chmod(scene.engine_folder(), 0o700);
    assert!(scene.has(&cache, 1));
    assert_eq!(cache.usage().unwrap().entries, 1);
}

#[test]
fn a_link_in_the_place_of_an_engines_folder_is_not_followed() {
    let scene = Scene::new();
    let cache = scene.open();
    assert!(scene.save(&cache, 1).is_stored());
    let listed = cache.list().unwrap().remove(0);
    let elsewhere = scene.root.join("elsewhere");
    fs::rename(scene.engine_folder(), &elsewhere).unwrap();
    symlink(&elsewhere, scene.engine_folder()).unwrap();
    let cache = scene.open();
    assert!(!scene.has(&cache, 1));
    assert!(cache.list().unwrap().is_empty());
    assert_eq!(cache.usage().unwrap().bytes, 0);
    assert!(cache.get_listed(&listed).unwrap().is_none());
    assert_eq!(cache.remove_listed(&listed).unwrap(), 0);
    assert_eq!(
        scene.save(&cache, 2),
        SaveOutcome::Skipped(SkipReason::Occupied)
    );
    assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 1);
}

#[test]
fn an_engines_folder_that_was_removed_and_made_again_is_found() {
    let scene = Scene::new();
    let (cache, other) = (scene.open(), scene.open());
    assert!(scene.save(&cache, 1).is_stored());
    assert!(scene.has(&cache, 1));
    let everything = PruneOptions {
        max_size: Some(0),
        ..PruneOptions::default()
    };
    assert_eq!(other.prune(&everything).unwrap().removed, 1);
    assert!(!scene.engine_folder().exists());
    assert!(!scene.has(&cache, 1));
    assert!(scene.save(&other, 1).is_stored());
    assert!(scene.has(&cache, 1));
    // Or moved away, and another put in its place.
    fs::rename(scene.engine_folder(), scene.root.join("old")).unwrap();
    assert!(scene.save(&other, 2).is_stored());
    assert!(scene.has(&cache, 2));
    // What lies in the one that was moved is stored anew.
    fs::rename(scene.engine_folder(), scene.root.join("older")).unwrap();
    assert!(scene.save(&cache, 2).is_stored());
    assert!(scene.entry(2).exists());
}

// The cap.

/// Nor has it the thread that gives the sign of life.
#[test]
fn a_forked_child_gives_up_no_permit_of_its_parent() {
    let scene = Scene::new();
    let (cache, other) = (scene.open(), scene.open());
    let hash = ModuleHash::of(&wasm(1, 1000));
    let permit = ModuleCache::compile_permit(&cache, hash, &scene.engine).unwrap();
    // SAFETY: the child runs code of this thread alone, and ends without returning.
    let child = match unsafe { libc::fork() } {
        0 => {
            drop(permit);
            // SAFETY: nothing of the parent's is run at the end.
            unsafe { libc::_exit(0) }
        }
        child => child,
    };
    let mut status = 0;
    // SAFETY: it is a child of this process, and `status` is writable.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    let asked = ModuleCache::compile_permit(&other, hash, &scene.engine).unwrap();
    assert!(matches!(asked, CompilePermit::Held(_)));
    drop((asked, permit));
    let asked = ModuleCache::compile_permit(&other, hash, &scene.engine).unwrap();
    assert!(matches!(asked, CompilePermit::Exclusive(_)));
}

/// A lock belongs to the open file, which a forked child shares.
#[test]
fn children_that_inherited_the_cache_keep_to_the_cap_together() {
    const CAP: u64 = 100 * BLOCK;
    let scene = Scene::new();
    let cache = scene.with(|options| options.max_size(CAP));
    assert!(scene.save(&cache, 0).is_stored());
    let children: Vec<_> = (1..5_u64)
        .map(|child| {
            // SAFETY: the child runs code of this thread alone, and ends without returning.
            match unsafe { libc::fork() } {
                0 => {
                    for n in 0..300 {
                        let _ = scene.save(&cache, child * 1000 + n);
                    }
                    // SAFETY: nothing of the parent's is run at the end.
                    unsafe { libc::_exit(0) }
                }
                pid => pid,
            }
        })
        .collect();
    let published = || {
        let ledger = File::open(scene.version().join("ledger")).unwrap();
        FileExt::lock(&ledger).unwrap();
        let mut total = [0; 8];
        ledger.read_exact_at(&mut total, 16).unwrap();
        (u64::from_le_bytes(total), cache.usage().unwrap().bytes)
    };
    for child in children {
        let mut status = 0;
        loop {
            let (_, found) = published();
            assert!(found <= CAP, "{found} bytes");
            // SAFETY: it is a child of this process, and `status` is writable.
            match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } {
                0 => thread::sleep(Duration::from_millis(5)),
                ended => break assert_eq!((ended, status), (child, 0)),
            }
        }
    }
    let (total, found) = published();
    assert_eq!(total, found);
    assert!(found > CAP / 2, "{found} bytes");
}

#[test]
fn a_ledger_that_is_deleted_under_running_programs_lets_none_exceed_the_cap() {
    let scene = Scene::new();
    let caches = [
        scene.with(|options| options.max_size(20 * BLOCK)),
        scene.open(),
    ];
    for (n, cache) in (0..100).zip(caches.iter().cycle()) {
        assert!(scene.save(cache, n).is_stored());
        if n % 10 == 5 {
            fs::remove_file(scene.version().join("ledger")).unwrap();
        }
        let bytes = caches[0].usage().unwrap().bytes;
        assert!(bytes <= 20 * BLOCK, "{bytes} bytes after {n} saves");
    }
}

#[test]
fn what_is_being_written_counts_and_what_a_dead_writer_left_is_removed() {
    let scene = Scene::new();
    let cache = scene.with(|options| options.max_size(10 * BLOCK));
    assert!(scene.save(&cache, 0).is_stored());
    let write = |name: &str, len| {
        let file = File::create(scene.version().join("tmp").join(name)).unwrap();
        file.set_len(len).unwrap();
        file
    };
    drop(write("1-dead-0-0", 100 * BLOCK));
    // Of one that has no space yet, the name tells how much it will take.
    let live = write("2-a11fe-0-24576", 0);
    FileExt::lock(&live).unwrap();
    for n in 1..10 {
        assert!(scene.save(&cache, n).is_stored());
        let bytes = cache.usage().unwrap().bytes;
        assert!(bytes <= 4 * BLOCK, "{bytes} bytes beside what is written");
    }
    assert!(!scene.version().join("tmp/1-dead-0-0").exists());
    assert!(scene.version().join("tmp/2-a11fe-0-24576").exists());
}

#[test]
fn a_part_that_cannot_be_looked_at_makes_nobody_believe_that_there_is_less() {
    let name = "a_part_that_cannot_be_looked_at_makes_nobody_believe_that_there_is_less";
    if let Some(folder) = role::role() {
        let scene = Scene::at(Path::new(&folder));
        let cache = scene.with(|options| options.max_size(10 * BLOCK));
        for n in 0..8 {
            assert!(scene.save(&cache, n).is_stored());
        }
        let other = Scene {
            engine: TestEngine::new("other"),
            ..Scene::at(Path::new(&folder))
        };
        chmod(scene.engine_folder(), 0o000);
        // Two more fit. Then there is a count, which finds those two alone.
        for n in 0..6 {
            assert!(other.save(&cache, n).is_stored());
        }
        chmod(scene.engine_folder(), 0o700);
        let usage = cache.usage().unwrap();
        assert!(usage.bytes <= 10 * BLOCK, "{usage:?}");
        assert!((0..8).all(|n| scene.has(&cache, n)));

        // Where nothing is known from before, saves go on, and count again until all can be looked at.
        chmod(scene.engine_folder(), 0o000);
        fs::remove_file(scene.version().join("ledger")).unwrap();
        for n in 10..16 {
            assert!(other.save(&cache, n).is_stored());
        }
        chmod(scene.engine_folder(), 0o700);
        assert!(other.save(&cache, 16).is_stored());
        let usage = cache.usage().unwrap();
        assert!(usage.bytes <= 10 * BLOCK, "{usage:?}");
        return;
    }
    as_somebody(name);
}

/// Or two large saves at a time would clear the folder, and neither be stored.
#[test]
fn nothing_is_removed_for_a_save_that_has_no_room_all_the_same() {
    let scene = Scene::new();
    let cache = scene.with(|options| options.max_size(10 * BLOCK));
    for n in 0..4 {
        assert!(scene.save(&cache, n).is_stored());
    }
    let live = File::create(scene.version().join("tmp/1-a11fe-0-0")).unwrap();
    live.set_len(6 * BLOCK).unwrap();
    FileExt::lock(&live).unwrap();
    assert_eq!(
        scene.save_sized(&cache, 9, 18_000),
        SaveOutcome::Skipped(SkipReason::NoSpace)
    );
    assert!((0..4).all(|n| scene.has(&cache, n)));
}

#[test]
fn what_is_no_entry_is_removed_and_was_never_counted() {
    let scene = Scene::new();
    let cache = scene.with(|options| options.max_size(10 * BLOCK));
    for n in 0..8 {
        assert!(scene.save(&cache, n).is_stored());
    }
    let hash = ModuleHash::of(&wasm(100, 1000));
    for _ in 0..6 {
        let mut mkfifo = Command::new("mkfifo");
        assert!(mkfifo.arg(scene.entry(100)).status().unwrap().success());
        assert!(ModuleCache::remove(&cache, hash, &scene.engine).unwrap());
    }
    for n in 8..12 {
        assert!(scene.save(&cache, n).is_stored());
        let bytes = cache.usage().unwrap().bytes;
        assert!(bytes <= 10 * BLOCK, "{bytes} bytes");
    }
}

#[test]
fn without_the_right_to_write_a_save_is_skipped() {
    let name = "without_the_right_to_write_a_save_is_skipped";
    if let Some(folder) = role::role() {
        let scene = Scene::at(Path::new(&folder));
        let cache = scene.open();
        assert!(scene.save(&cache, 1).is_stored());
        for folder in [scene.engine_folder(), scene.version().join("tmp")] {
            chmod(&folder, 0o500);
            assert_eq!(
                scene.save(&cache, 2),
                SaveOutcome::Skipped(SkipReason::ReadOnly)
            );
            chmod(&folder, 0o700);
        }
        assert!(scene.save(&cache, 2).is_stored());
        return;
    }
    as_somebody(name);
}

#[test]
fn a_reserve_is_not_paid_for_with_entries_that_are_in_use() {
    let name = "a_reserve_is_not_paid_for_with_entries_that_are_in_use";
    if let Some(folder) = role::role() {
        let scene = Scene::at(Path::new(&folder));
        let cache = scene.with(|options| options.min_free(0));
        for n in 0..8 {
            assert!(scene.save_sized(&cache, n, 50_000).is_stored());
        }
        let in_use: Vec<_> = fs::read_dir(scene.engine_folder())
            .unwrap()
            .map(|entry| File::open(entry.unwrap().path()).unwrap())
            .collect();
        let reserve = fs4::available_space(&scene.root).unwrap() + 50_000;
        for n in 8..20 {
            // Each as by a program of its own.
            let cache = scene.with(|options| options.min_free(reserve));
            assert_eq!(
                scene.save_sized(&cache, n, 50_000),
                SaveOutcome::Skipped(SkipReason::NoSpace)
            );
        }
        assert_eq!(cache.usage().unwrap().entries, 7);
        drop(in_use);
        return;
    }
    need_root();
    on_mount("-t tmpfs -o size=1m,mode=700", Path::new("none"), name);
}

// The limit is the folder's.

#[test]
fn a_limit_that_one_program_named_is_kept_by_those_that_name_none() {
    let scene = Scene::new();
    assert_eq!(scene.open().max_size().unwrap(), 10 << 30);
    let server = scene.with(|options| options.max_size(100 << 30));
    let command = scene.open();
    assert_eq!(command.max_size().unwrap(), 100 << 30);
    scene.with(|options| options.max_size(4 * BLOCK));
    assert_eq!(server.max_size().unwrap(), 4 * BLOCK);
    for n in 0..8 {
        assert!(scene.save(&server, n).is_stored());
        assert!(scene.save(&command, 100 + n).is_stored());
        assert!(server.usage().unwrap().bytes <= 4 * BLOCK);
    }
    // One that reads sets nothing.
    scene.with(|options| options.max_size(1).read_only());
    assert_eq!(server.max_size().unwrap(), 4 * BLOCK);
}

#[test]
fn a_limit_that_cannot_be_read_removes_nothing() {
    let scene = Scene::new();
    let cache = scene.with(|options| options.max_size(100 << 30));
    assert!(scene.save(&cache, 1).is_stored());
    let limit = scene.version().join("limit");
    for damage in [
        "",
        "12",
        "much\n",
        "-1\n",
        "99999999999999999999999999999999999\n",
    ] {
        fs::remove_file(&limit).unwrap();
        fs::write(&limit, damage).unwrap();
        let wasm = wasm(2, 1000);
        let module = scene.engine.compile(&wasm).unwrap();
        let error = cache.save(ModuleHash::of(&wasm), &scene.engine, &module);
        assert!(error.is_err(), "{damage}");
        assert!(cache.prune(&PruneOptions::default()).is_err());
        assert!(scene.has(&cache, 1));
    }
    let cache = scene.with(|options| options.max_size(10 * BLOCK));
    assert!(scene.save(&cache, 2).is_stored());
}

// Nothing wedges saves.

#[test]
fn what_cannot_be_removed_is_passed_over() {
    if let Some(folder) = role::role() {
        let scene = Scene::at(Path::new(&folder));
        let cache = scene.with(|options| options.max_size(10 * BLOCK));
        for n in 0..5 {
            assert!(scene.save(&cache, n).is_stored());
        }
        // As entries are that were made immutable, or lie in another user's folder.
        chmod(scene.engine_folder(), 0o555);
        let other = Scene {
            engine: TestEngine::new("other"),
            ..Scene::at(Path::new(&folder))
        };
        for n in 0..20 {
            assert!(other.save(&cache, n).is_stored(), "{n}");
            assert!(cache.usage().unwrap().bytes <= 10 * BLOCK);
        }
        assert!((0..5).all(|n| scene.has(&cache, n)));
        let everything = PruneOptions {
            max_size: Some(0),
            ..PruneOptions::default()
        };
        let report = cache.prune(&everything).unwrap();
        assert_eq!((report.stuck, report.kept), (5, 5), "{report:?}");
        assert!(cache.stats().errors >= 5);
        return;
    }
    as_somebody("what_cannot_be_removed_is_passed_over");
}

#[test]
fn nothing_leaves_for_an_entry_that_has_no_room_beside_what_cannot_be_removed() {
    if let Some(folder) = role::role() {
        let scene = Scene::at(Path::new(&folder));
        let cache = scene.with(|options| options.max_size(10 * BLOCK));
        let other = Scene {
            engine: TestEngine::new("other"),
            ..Scene::at(Path::new(&folder))
        };
        let save = |scene: &Scene, n, blocks: usize| {
            let wasm = wasm(n, blocks * 4096 - 1000);
            let module = scene.engine.compile(&wasm).unwrap();
            let saved = cache.save(ModuleHash::of(&wasm), &scene.engine, &module);
            saved.unwrap().is_stored()
        };
        let kept = || (1..3).filter(|&n| save_is_there(&other, &cache, n)).count();
        let save_small = || (1..3).for_each(|n| assert!(save(&other, n, 1)));
        // What was used longer ago than what cannot be removed may be lost once, before that is known.
        save_small();
        assert!(save(&scene, 0, 7));
        chmod(scene.engine_folder(), 0o555);
        assert!(!save(&other, 9, 4));
        save_small();
        assert!(!save(&other, 9, 4));
        assert_eq!(kept(), 2);
        // What has room beside it is stored.
        assert!(save(&other, 9, 2));
        assert!(cache.usage().unwrap().bytes <= 10 * BLOCK);
        // And when it can be removed it is.
        chmod(scene.engine_folder(), 0o755);
        assert!(save(&other, 10, 4));
        return;
    }
    as_somebody("nothing_leaves_for_an_entry_that_has_no_room_beside_what_cannot_be_removed");
}

fn save_is_there(scene: &Scene, cache: &FileSystemCache, n: u64) -> bool {
    let hash = ModuleHash::of(&wasm(n, 4096 - 1000));
    cache.contains(hash, &scene.engine).unwrap()
}

#[test]
fn another_users_folder_with_an_engines_name_wedges_nothing() {
    const NAME: &str = "other-0123456789abcdef";
    if let Some(folder) = role::role() {
        let scene = Scene::at(Path::new(&folder));
        let cache = scene.with(|options| options.max_size(4 * BLOCK));
        for n in 0..20 {
            assert!(scene.save(&cache, n).is_stored(), "{n}");
        }
        let usage = cache.usage().unwrap();
        assert_eq!(usage.unknown_files, [scene.version().join(NAME)]);
        assert!(cache.prune(&PruneOptions::default()).is_ok());
        return;
    }
    need_root();
    let keep = tempfile::tempdir().unwrap();
    let theirs = keep.path().join("cache/v1").join(NAME);
    fs::create_dir_all(theirs.join("below")).unwrap();
    for path in ["", "cache", "cache/v1"] {
        let path = keep.path().join(path);
        chown(&path, Some(SOMEBODY), None).unwrap();
        chmod(&path, 0o755);
    }
    chown(&theirs, Some(SOMEBODY_ELSE), None).unwrap();
    chmod(&theirs, 0o700);
    let name = "another_users_folder_with_an_engines_name_wedges_nothing";
    as_user(SOMEBODY, name, keep.path().to_str().unwrap());
}

#[test]
fn a_folder_can_be_counted_while_it_is_pruned() {
    let scene = Scene::new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let cache = scene.open();
            let everything = PruneOptions {
                max_size: Some(0),
                ..PruneOptions::default()
            };
            let _ended = SetAtEnd(&done);
            for n in 0..300 {
                assert!(scene.save(&cache, n).is_stored());
                cache.prune(&everything).unwrap();
            }
        });
        let cache = scene.open();
        while !done.load(Ordering::Relaxed) {
            let usage = cache.usage().unwrap();
            assert!(usage.unknown_files.is_empty(), "{usage:?}");
        }
    });
}

// Others read, and no more.

#[test]
fn a_folder_that_everybody_may_read_gives_nobody_a_lock() {
    let name = "a_folder_that_everybody_may_read_gives_nobody_a_lock";
    if let Some(folder) = role::role() {
        let scene = Scene::at(Path::new(&folder));
        let cache = scene.open();
        assert!(!cache.is_writable());
        assert!(scene.has(&cache, 1) && scene.has(&cache, 2));
        for name in ["ledger", "hints", "tmp", "locks"] {
            let denied = File::open(scene.version().join(name)).map(drop);
            let denied = denied.and_then(|()| fs::read_dir(scene.version().join(name)).map(drop));
            assert!(denied.is_err(), "{name}");
        }
        return;
    }
    need_root();
    let keep = tempfile::tempdir().unwrap();
    chmod(keep.path(), 0o755);
    // Folders above it that are missing are made for others, too.
    let below = keep.path().join("deep/below");
    let scene = Scene::at(&below);
    drop(scene.with(FileSystemCacheBuilder::world_readable));
    chmod(&scene.root, 0o700);
    chmod(scene.version(), 0o700);
    let save = |cache: &FileSystemCache, n| {
        let hash = ModuleHash::of(&wasm(n, 1000));
        drop(ModuleCache::compile_permit(cache, hash, &scene.engine).unwrap());
        assert!(scene.save(cache, n).is_stored());
    };
    // Before and after.
    save(&scene.open(), 1);
    let cache = scene.with(FileSystemCacheBuilder::world_readable);
    fs::rename(scene.engine_folder(), scene.root.join("away")).unwrap();
    save(&scene.open(), 2);
    assert_eq!(mode(scene.engine_folder()), 0o755);
    save(&cache, 1);
    as_user(SOMEBODY, name, below.to_str().unwrap());
}

#[test]
fn locks_that_others_could_take_are_taken_from_them() {
    let scene = Scene::new();
    let cache = scene.open();
    let hash = ModuleHash::of(&wasm(1, 1000));
    let permit = || drop(ModuleCache::compile_permit(&cache, hash, &scene.engine).unwrap());
    permit();
    assert!(scene.save(&cache, 1).is_stored());
    let mut chmod = Command::new("chmod");
    let status = chmod.arg("-R").arg("go+rX").arg(&scene.root).status();
    assert!(status.unwrap().success());
    permit();
    assert!(scene.save(&cache, 2).is_stored());
    assert_eq!(mode(scene.version().join("ledger")), 0o600);
    for lock in fs::read_dir(scene.version().join("locks")).unwrap() {
        assert_eq!(mode(lock.unwrap().path()), 0o600);
    }
}

/// The id of a key is in every entry that it signed, so anybody can write a footer with it.
#[test]
fn a_large_entry_that_nobody_signed_takes_no_memory() {
    let name = "a_large_entry_that_nobody_signed_takes_no_memory";
    let trust = || Trust::shared(SharedKey::from_bytes([1; 32]));
    if let Some(folder) = role::role() {
        let scene = Scene::at(Path::new(&folder));
        let cache = scene.with(|options| options.trust(trust()));
        assert!(!scene.has(&cache, 1));
        assert_eq!(cache.stats().errors, 0, "there was no memory for it");
        assert!(!scene.entry(1).exists());
        return;
    }
    let keep = tempfile::tempdir().unwrap();
    let scene = Scene::at(keep.path());
    let cache = scene.with(|options| options.trust(trust()));
    assert!(scene.save(&cache, 1).is_stored());
    let whole = fs::read(scene.entry(1)).unwrap();
    let len = 600_u64 << 20;
    let mut footer = whole[whole.len() - FOOTER_LEN..].to_vec();
    for at in [16, 24] {
        footer[at..at + 8].copy_from_slice(&len.to_le_bytes());
    }
    let (fields, checksum) = footer.split_at_mut(FOOTER_LEN - 32);
    checksum.copy_from_slice(&blake3::derive_key("module-cache 2026 footer v1", fields));
    fs::remove_file(scene.entry(1)).unwrap();
    let file = File::create(scene.entry(1)).unwrap();
    file.write_all_at(&footer, len + len.div_ceil(1 << 20) * 72)
        .unwrap();
    let status = Command::new("sh")
        .args([
            "-c",
            r#"ulimit -v 500000 && exec "$0" --exact "$1" --test-threads=1"#,
        ])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(role::ROLE, keep.path())
        .status();
    assert!(status.unwrap().success());
}

/// The entry that a listing named may have been replaced since.
#[test]
fn a_good_entry_is_not_removed_for_the_one_that_was_there_before() {
    let scene = Scene::new();
    let cache = scene.open();
    let done = AtomicBool::new(false);
    assert!(scene.save(&cache, 1).is_stored());
    let good = fs::read(scene.entry(1)).unwrap();
    let key = EntryKey::new(ModuleHash::of(&wasm(1, 1000)), *scene.engine.id());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let cache = scene.open();
                while !done.load(Ordering::Relaxed) {
                    cache.verify(true, &|_| ()).unwrap();
                    drop(cache.load(key.hash(), &scene.engine).unwrap());
                }
            });
        }
        let _ended = SetAtEnd(&done);
        for _ in 0..300 {
            // Damaged for a moment, then good: what is good stays.
            let damaged = scene.engine_folder().join("damaged");
            fs::write(&damaged, &good[..good.len() - 1]).unwrap();
            chmod(&damaged, 0o444);
            fs::rename(&damaged, scene.entry(1)).unwrap();
            assert!(scene.save(&cache, 1).is_stored());
            thread::yield_now();
            assert!(scene.has(&cache, 1));
        }
    });
}

/// Ends the other threads, also when a check failed.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn whatever_the_umask_the_folder_is_its_users_alone() {
    let name = "whatever_the_umask_the_folder_is_its_users_alone";
    if let Some(folder) = role::role() {
        let scene = Scene::at(Path::new(&folder));
        let cache = scene.open();
        let hash = ModuleHash::of(&wasm(1, 1000));
        drop(ModuleCache::compile_permit(&cache, hash, &scene.engine).unwrap());
        assert!(scene.save(&cache, 1).is_stored());
        assert!(scene.has(&scene.open(), 1));
        let version = scene.version();
        for folder in [
            &scene.root,
            &version,
            &scene.engine_folder(),
            &version.join("tmp"),
        ] {
            assert_eq!(mode(folder), 0o700, "{}", folder.display());
        }
        for file in ["ledger", "hints"] {
            assert_eq!(mode(version.join(file)), 0o600, "{file}");
        }
        assert_eq!(mode(scene.entry(1)), 0o444);
        assert_eq!(mode(scene.root.join("CACHEDIR.TAG")) & 0o022, 0);
        return;
    }
    for umask in ["000", "022", "077"] {
        let keep = tempfile::tempdir().unwrap();
        let script = format!(r#"umask {umask} && exec "$0" --exact "$1" --test-threads=1"#);
        let status = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(role::ROLE, keep.path())
            .status();
        assert!(status.unwrap().success(), "{umask}");
    }
}
