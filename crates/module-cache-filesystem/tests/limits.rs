//! The cap, the reserve, and what leaves when.

#[path = "support/modified.rs"]
mod modified;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use module_cache_core::{
    Compile, Engine, ModuleCache, ModuleHash, SaveOutcome, SharedKey, SkipReason, Trust,
};
use module_cache_filesystem::{
    FileSystemCache, FileSystemCacheBuilder, PruneOptions, Verification,
};
use module_cache_testkit::{TestEngine, wasm};

use crate::modified::set_modified;

const BLOCK: u64 = 4096;

struct Folder {
    engine: TestEngine,
    keep: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self {
            engine: TestEngine::new("limits"),
            keep: tempfile::tempdir().unwrap(),
        }
    }

    fn root(&self) -> std::path::PathBuf {
        self.keep.path().join("cache")
    }

    fn open(
        &self,
        options: impl FnOnce(FileSystemCacheBuilder) -> FileSystemCacheBuilder,
    ) -> FileSystemCache {
        options(FileSystemCache::builder(self.root()))
            .open()
            .unwrap()
    }

    fn capped(&self, blocks: u64) -> FileSystemCache {
        self.open(|options| options.max_size(blocks * BLOCK))
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
        ModuleCache::contains(cache, ModuleHash::of(&wasm(n, 1000)), &self.engine).unwrap()
    }

    fn entry(&self, n: u64) -> std::path::PathBuf {
        let key = ModuleHash::of(&wasm(n, 1000));
        self.root().join(format!("v1/{}/{key}", self.engine.id()))
    }

    /// Makes an entry look as if it had been stored, and never used since, so long ago.
    fn age(&self, n: u64, age: Duration) {
        set_modified(&self.entry(n), SystemTime::now() - age);
        // Not removed: it is open, which keeps its name on some systems.
        let hints = self.root().join("v1/hints");
        let len = fs::metadata(&hints).unwrap().len();
        fs::write(hints, vec![0; usize::try_from(len).unwrap()]).unwrap();
    }
}

fn days(n: u64) -> Duration {
    Duration::from_secs(3600 * 24 * n)
}

#[test]
fn a_save_makes_room_by_removing_what_was_used_longest_ago() {
    let folder = Folder::new();
    let cache = folder.capped(10);
    for n in 0..10 {
        assert!(folder.save(&cache, n).is_stored());
    }
    for n in 0..10 {
        folder.age(n, days(if n == 3 { 1 } else { 10 - n }));
    }
    let cache = folder.capped(10);
    assert!(folder.save(&cache, 10).is_stored());
    assert_eq!(cache.usage().unwrap().bytes, 10 * BLOCK);
    assert!(!folder.has(&cache, 0), "the oldest is gone");
    assert!((1..=10).all(|n| folder.has(&cache, n)));
    assert_eq!(cache.stats().evictions, 1);
}

#[test]
fn a_loaded_entry_outlives_one_that_is_not() {
    let folder = Folder::new();
    let cache = folder.capped(10);
    for n in 0..10 {
        assert!(folder.save(&cache, n).is_stored());
    }
    for n in 0..10 {
        folder.age(n, days(10 - n));
    }
    let cache = folder.capped(10);
    assert!(
        cache
            .load(ModuleHash::of(&wasm(0, 1000)), &folder.engine)
            .unwrap()
            .is_some()
    );
    assert!(folder.save(&cache, 10).is_stored());
    assert!(folder.has(&cache, 0));
    assert!(!folder.has(&cache, 1));
}

#[test]
fn a_use_is_remembered_however_entries_are_verified() {
    let ways: [fn(FileSystemCacheBuilder) -> FileSystemCacheBuilder; 2] = [
        |options| options.verification(Verification::Always),
        |options| options.trust(Trust::shared(SharedKey::from_bytes([1; 32]))),
    ];
    for way in ways {
        let folder = Folder::new();
        assert!(folder.save(&folder.open(way), 1).is_stored());
        folder.age(1, days(9));
        let cache = folder.open(way);
        let last_use = || cache.list().unwrap()[0].last_use.unwrap();
        assert!(last_use() < SystemTime::now() - days(8));
        let key = ModuleHash::of(&wasm(1, 1000));
        assert!(cache.load(key, &folder.engine).unwrap().is_some());
        assert!(last_use() > SystemTime::now() - days(1));
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for found in fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        let place = to.join(found.file_name());
        if found.file_type().unwrap().is_dir() {
            copy_folder(&found.path(), &place);
        } else {
            fs::copy(found.path(), place).unwrap();
        }
    }
}

#[test]
fn a_copy_of_the_folder_remembers_when_entries_were_used() {
    let folder = Folder::new();
    let cache = folder.open(|options| options);
    assert!(folder.save(&cache, 1).is_stored());
    let used = cache.list().unwrap()[0].last_use.unwrap();
    std::thread::sleep(Duration::from_millis(2100));
    let copy = folder.keep.path().join("copy");
    copy_folder(&folder.root(), &copy);
    let copied = FileSystemCache::open(copy).unwrap().list().unwrap();
    assert!(copied[0].stored > Some(used), "the copy itself is newer");
    assert_eq!(copied[0].last_use, Some(used));
}

#[test]
fn an_entry_that_is_being_compiled_goes_last() {
    let folder = Folder::new();
    let cache = folder.open(|options| options);
    for n in 0..3 {
        assert!(folder.save(&cache, n).is_stored());
        folder.age(n, days(9 - n));
    }
    let cache = folder.open(|options| options);
    let oldest = ModuleHash::of(&wasm(0, 1000));
    let permit = ModuleCache::compile_permit(&cache, oldest, &folder.engine).unwrap();
    let one_block = PruneOptions {
        max_size: Some(BLOCK),
        ..PruneOptions::default()
    };
    assert_eq!(cache.prune(&one_block).unwrap().removed, 2);
    drop(permit);
    assert!(folder.has(&cache, 0));
}

#[test]
fn an_empty_file_in_the_place_of_an_entry_is_pruned_like_one() {
    let folder = Folder::new();
    let cache = folder.open(|options| options);
    assert!(folder.save(&cache, 1).is_stored());
    fs::remove_file(folder.entry(1)).unwrap();
    fs::write(folder.entry(1), "").unwrap();
    let nothing = PruneOptions {
        max_size: Some(0),
        ..PruneOptions::default()
    };
    assert_eq!(cache.prune(&nothing).unwrap().removed, 1);
    assert!(!folder.entry(1).exists());
}

#[test]
fn a_dry_run_needs_no_right_to_write() {
    let folder = Folder::new();
    assert!(folder.save(&folder.open(|options| options), 1).is_stored());
    let cache = folder.open(FileSystemCacheBuilder::read_only);
    let options = PruneOptions {
        max_size: Some(0),
        ..PruneOptions::default()
    };
    assert!(cache.prune(&options).is_err());
    let dry = PruneOptions {
        dry_run: true,
        ..options
    };
    assert_eq!(cache.prune(&dry).unwrap().removed, 1);
    assert!(folder.has(&cache, 1));
}

#[test]
fn room_is_made_down_to_nine_tenths() {
    let folder = Folder::new();
    let cache = folder.capped(100);
    for n in 0..101 {
        assert!(folder.save(&cache, n).is_stored());
    }
    assert_eq!(cache.usage().unwrap().entries, 91);
    assert_eq!(cache.stats().evictions, 10);
}

#[test]
fn a_module_larger_than_the_cap_is_not_stored_and_removes_nothing() {
    let folder = Folder::new();
    let cache = folder.capped(4);
    assert!(folder.save(&cache, 1).is_stored());
    let outcome = folder.save_sized(&cache, 2, 5 * 4096);
    assert_eq!(outcome, SaveOutcome::Skipped(SkipReason::TooLarge));
    assert_eq!(cache.stats().skipped, 1);
    assert!(folder.has(&cache, 1));
}

#[test]
fn a_reserve_that_cannot_be_kept_skips_the_save_and_removes_nothing() {
    let folder = Folder::new();
    let cache = folder.open(|options| options);
    assert!(folder.save(&cache, 1).is_stored());
    let cache = folder.open(|options| options.min_free(u64::MAX / 2));
    assert_eq!(
        folder.save(&cache, 2),
        SaveOutcome::Skipped(SkipReason::NoSpace)
    );
    assert!(folder.has(&cache, 1));
}

#[test]
fn pruning_reaches_the_size_and_the_age_it_is_told() {
    let folder = Folder::new();
    let cache = folder.open(|options| options);
    for n in 0..10 {
        assert!(folder.save(&cache, n).is_stored());
    }
    for n in 0..10 {
        folder.age(n, days(n));
    }
    let cache = folder.open(|options| options);
    let by_age = PruneOptions {
        max_age: Some(days(6)),
        ..PruneOptions::default()
    };
    let dry = cache
        .prune(&PruneOptions {
            dry_run: true,
            ..by_age
        })
        .unwrap();
    assert_eq!((dry.removed, dry.kept), (4, 6));
    assert_eq!(
        cache.usage().unwrap().entries,
        10,
        "a dry run removes nothing"
    );
    assert_eq!(cache.prune(&by_age).unwrap(), dry);
    assert_eq!(cache.usage().unwrap().entries, 6);

    let by_size = PruneOptions {
        max_size: Some(2 * BLOCK),
        ..PruneOptions::default()
    };
    let report = cache.prune(&by_size).unwrap();
    assert_eq!(
        (report.removed, report.kept, report.kept_bytes),
        (4, 2, 2 * BLOCK)
    );
    assert!(folder.has(&cache, 0) && folder.has(&cache, 1));
}

#[test]
fn a_use_in_the_future_does_not_protect_an_entry_for_ever() {
    let folder = Folder::new();
    let cache = folder.open(|options| options);
    for n in 0..3 {
        assert!(folder.save(&cache, n).is_stored());
    }
    for n in 1..3 {
        folder.age(n, days(1));
    }
    set_modified(&folder.entry(0), SystemTime::now() + days(1000));
    let cache = folder.open(|options| options);
    let used = cache
        .list()
        .unwrap()
        .into_iter()
        .filter_map(|entry| entry.last_use)
        .max()
        .unwrap();
    assert!(used <= SystemTime::now(), "{used:?}");
}

#[test]
fn pruning_leaves_what_it_did_not_make_and_says_so() {
    let folder = Folder::new();
    let cache = folder.open(|options| options);
    assert!(folder.save(&cache, 1).is_stored());
    let version = cache.root().join("v1");
    let engine = format!("{}", folder.engine.id());
    let strangers = [
        "notes.txt".to_owned(),
        "Engine-0123456789ABCDEF".to_owned(),
        format!("{engine}/readme"),
        format!("{engine}/{}", "A".repeat(64)),
    ];
    for name in &strangers {
        fs::write(version.join(name), "precious").unwrap();
    }
    fs::create_dir(version.join("tools-0123456789abcdef")).unwrap();
    let nothing = PruneOptions {
        max_size: Some(0),
        ..PruneOptions::default()
    };
    let report = cache.prune(&nothing).unwrap();
    let mut unknown_files = report.unknown_files.clone();
    unknown_files.sort();
    let mut expected: Vec<_> = strangers.iter().map(|name| version.join(name)).collect();
    expected.sort();
    assert_eq!(unknown_files, expected);
    assert!(expected.iter().all(|path| path.exists()));
    assert_eq!(report.removed, 1);
    assert!(
        !version.join("tools-0123456789abcdef").exists(),
        "an empty engine folder goes"
    );
}

#[test]
fn pruning_clears_what_dead_processes_left_and_nothing_that_is_in_use() {
    let folder = Folder::new();
    let cache = folder.open(|options| options);
    assert!(folder.save(&cache, 1).is_stored());
    let make = |name: &str, age: Duration| {
        let path = cache.root().join("v1").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        path
    };
    let lock = |n| {
        let hash = ModuleHash::of(&wasm(n, 1000));
        format!("locks/{}-{hash}.0", folder.engine.id())
    };
    let (old, new) = (Duration::from_secs(2 * 60), Duration::ZERO);
    let gone = [make("tmp/1-dead-0-0", old), make(&lock(1), old)];
    let kept = [
        make("tmp/2-a11fe-0-0", old),
        make(&lock(2), new),
        // Whoever made these, it was not this crate.
        make("tmp/notes", old),
        make("locks/readme", old),
    ];
    // What is being written is locked by its writer.
    let writer = fs::File::open(&kept[0]).unwrap();
    fs4::FileExt::lock(&writer).unwrap();
    assert_eq!(
        cache.prune(&PruneOptions::default()).unwrap().stale_files,
        2
    );
    assert!(
        gone.iter()
            .all(|path: &std::path::PathBuf| !Path::exists(path))
    );
    assert!(kept.iter().all(|path| path.exists()));
    assert!(folder.has(&cache, 1));
}

#[test]
fn what_is_deleted_behind_our_back_is_noticed_by_the_next_count() {
    let folder = Folder::new();
    let cache = folder.capped(10);
    for n in 0..10 {
        assert!(folder.save(&cache, n).is_stored());
    }
    for n in 0..8 {
        fs::remove_file(folder.entry(n)).unwrap();
    }
    for n in 20..28 {
        assert!(folder.save(&cache, n).is_stored());
    }
    assert_eq!(cache.usage().unwrap().entries, 10, "nothing had to leave");
}
