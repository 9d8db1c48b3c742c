//! Whatever stands in the place of an entry: it is a miss, it is never executed, the program never hangs,
//! and only what is proven to be damaged is deleted.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use module_cache_core::format::FOOTER_LEN;
use module_cache_core::{
    Compile, Engine, EntryKey, ListedEntry, ModuleCache, ModuleHash, SaveOutcome, SharedKey,
    SkipReason, Trust,
};
use module_cache_filesystem::{FileSystemCache, PruneOptions, Verification};
use module_cache_testkit::{TestEngine, wasm};

/// A folder with one stored module, whose engine panics if it is ever given anything but proven code.
struct Folder {
    engine: TestEngine,
    wasm: Vec<u8>,
    root: PathBuf,
    _keep: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let folder = Self {
            engine: TestEngine::new("test"),
            wasm: wasm(1, 5000),
            root: keep.path().join("cache"),
            _keep: keep,
        };
        assert!(folder.store().is_stored());
        folder
    }

    fn cache(&self) -> FileSystemCache {
        FileSystemCache::open(&self.root).unwrap()
    }

    fn store(&self) -> SaveOutcome {
        let module = self.engine.compile(&self.wasm).unwrap();
        self.cache()
            .save(self.key(), &self.engine, &module)
            .unwrap()
    }

    fn key(&self) -> ModuleHash {
        ModuleHash::of(&self.wasm)
    }

    fn entry(&self) -> PathBuf {
        self.entry_of(&self.engine, self.key())
    }

    fn entry_of(&self, engine: &TestEngine, hash: ModuleHash) -> PathBuf {
        self.root.join(format!("v1/{}/{hash}", engine.id()))
    }

    /// Puts other bytes in the place of the entry, as a disk, a restored backup or a mistake would.
    fn overwrite(&self, bytes: &[u8]) {
        fs::remove_file(self.entry()).ok();
        fs::write(self.entry(), bytes).unwrap();
        fs::set_permissions(self.entry(), fs::Permissions::from_mode(0o444)).unwrap();
    }

    /// Loads, expecting a miss, and says whether the file was removed.
    fn misses(&self, what: &str) -> bool {
        let cache = self.cache();
        let loaded = cache.load(self.key(), &self.engine);
        assert!(matches!(loaded, Ok(None)), "{what}: {loaded:?}");
        let stats = cache.stats();
        assert_eq!(stats.corrupt + stats.rejected, 1, "{what}: {stats:?}");
        let removed = self.entry().symlink_metadata().is_err();
        assert_eq!(
            removed,
            stats.corrupt == 1,
            "{what}: only what is corrupt is removed"
        );
        removed
    }

    /// The next save makes it good again.
    fn heals(&self, what: &str) {
        assert!(self.store().is_stored(), "{what}");
        assert!(
            self.cache()
                .load(self.key(), &self.engine)
                .unwrap()
                .is_some(),
            "{what}"
        );
    }
}

#[test]
fn an_entry_truncated_anywhere_is_removed() {
    let folder = Folder::new();
    let whole = fs::read(folder.entry()).unwrap();
    for sixteenth in 0..16 {
        let what = format!("{sixteenth}/16 of the entry");
        folder.overwrite(&whole[..whole.len() * sixteenth / 16]);
        assert!(folder.misses(&what));
        folder.heals(&what);
    }
}

#[test]
fn a_flipped_bit_in_any_byte_of_the_footer_is_a_miss() {
    let folder = Folder::new();
    let whole = fs::read(folder.entry()).unwrap();
    for at in whole.len() - FOOTER_LEN..whole.len() {
        let what = format!("bit {} of byte {at}", at % 8);
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        folder.overwrite(&flipped);
        folder.misses(&what);
        folder.heals(&what);
    }
}

#[test]
fn a_flipped_bit_in_the_artifact_is_removed() {
    let folder = Folder::new();
    let whole = fs::read(folder.entry()).unwrap();
    for place in 0..64 {
        let at = (whole.len() - FOOTER_LEN) * place / 64;
        let what = format!("byte {at} of the artifact");
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (place % 8);
        folder.overwrite(&flipped);
        assert!(folder.misses(&what));
        folder.heals(&what);
    }
}

#[test]
fn a_damaged_entry_that_stays_is_not_there_for_a_save() {
    let folder = Folder::new();
    let mut bytes = fs::read(folder.entry()).unwrap();
    bytes[100] ^= 1;
    folder.overwrite(&bytes);
    let cache = FileSystemCache::builder(&folder.root)
        .read_only()
        .open()
        .unwrap();
    let load = || cache.load(folder.key(), &folder.engine).unwrap();
    assert!(load().is_none() && load().is_none());
    let module = folder.engine.compile(&folder.wasm).unwrap();
    assert_eq!(
        cache.save(folder.key(), &folder.engine, &module).unwrap(),
        SaveOutcome::Skipped(SkipReason::ReadOnly)
    );
    assert!(folder.misses("a handle that can remove it"));
    folder.heals("a handle that can remove it");
    assert!(load().is_some());
}

#[test]
fn a_bit_flipped_behind_the_memory_of_an_earlier_verification_is_found() {
    let folder = Folder::new();
    let whole = fs::read(folder.entry()).unwrap();
    // Old enough to be remembered as verified.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert!(
        folder
            .cache()
            .load(folder.key(), &folder.engine)
            .unwrap()
            .is_some()
    );

    let modified = fs::metadata(folder.entry()).unwrap().modified().unwrap();
    fs::set_permissions(folder.entry(), fs::Permissions::from_mode(0o644)).unwrap();
    let mut flipped = whole;
    flipped[100] ^= 1;
    // The same inode, size and time of modification.
    fs::write(folder.entry(), flipped).unwrap();
    fs::File::options()
        .write(true)
        .open(folder.entry())
        .unwrap()
        .set_modified(modified)
        .unwrap();
    fs::set_permissions(folder.entry(), fs::Permissions::from_mode(0o444)).unwrap();
    assert!(folder.misses("a flipped bit"));
}

#[test]
fn verify_checks_entries_also_where_the_limit_cannot_be_read() {
    let folder = Folder::new();
    let cache = folder.cache();
    let limit = folder.root.join("v1/limit");
    let _ = fs::remove_file(&limit);
    fs::create_dir(&limit).unwrap();
    assert!(cache.verify(false, &|_| ()).unwrap().faults.is_empty());

    let mut flipped = fs::read(folder.entry()).unwrap();
    flipped[100] ^= 1;
    folder.overwrite(&flipped);
    let faults = cache.verify(false, &|_| ()).unwrap().faults;
    assert!(faults[0].reason.contains("corrupt entry"), "{faults:?}");
}

#[test]
fn an_entry_of_another_module_or_engine_in_its_place_stays_and_is_never_loaded() {
    let folder = Folder::new();
    let other_wasm = wasm(2, 5000);
    let other_engine = TestEngine::new("other");
    for (engine, wasm) in [(&folder.engine, &other_wasm), (&other_engine, &folder.wasm)] {
        let key = ModuleHash::of(wasm);
        let _ = folder
            .cache()
            .save(key, engine, &engine.compile(wasm).unwrap())
            .unwrap();
        fs::rename(folder.entry_of(engine, key), folder.entry()).unwrap();
        assert!(!folder.misses("an entry of something else"));
        folder.heals("an entry of something else");
    }
}

#[test]
fn a_link_in_its_place_is_not_followed() {
    let folder = Folder::new();
    let elsewhere = folder.root.join("elsewhere");
    fs::rename(folder.entry(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, folder.entry()).unwrap();
    assert!(!folder.misses("a link to a good entry"));
    assert_eq!(folder.store(), SaveOutcome::Skipped(SkipReason::Occupied));
}

#[test]
fn a_directory_a_pipe_or_a_socket_in_its_place_is_a_miss_at_once_and_stays() {
    let make: [fn(&Path); 3] = [
        |path| fs::create_dir(path).unwrap(),
        |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
    ];
    for make in make {
        let folder = Folder::new();
        fs::remove_file(folder.entry()).unwrap();
        // The path of a socket must be short.
        let short = tempfile::tempdir_in("/tmp").unwrap();
        make(&short.path().join("x"));
        fs::rename(short.path().join("x"), folder.entry()).unwrap();
        assert!(!folder.misses("a special file"));
        assert_eq!(folder.store(), SaveOutcome::Skipped(SkipReason::Occupied));
        assert!(folder.entry().symlink_metadata().is_ok());
    }
}

#[test]
fn an_entry_that_others_can_write_to_is_not_believed() {
    let folder = Folder::new();
    fs::set_permissions(folder.entry(), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(!folder.misses("an entry of mode 666"));
    folder.heals("an entry of mode 666");
}

/// Ends the file in a footer that says that its content is so long.
fn enlarge(file: &fs::File, footer: &mut [u8], len: u64) {
    for at in [16, 24] {
        footer[at..at + 8].copy_from_slice(&len.to_le_bytes());
    }
    let (fields, checksum) = footer.split_at_mut(FOOTER_LEN - 32);
    checksum.copy_from_slice(&blake3::derive_key("module-cache 2026 footer v1", fields));
    let manifest = len.div_ceil(1 << 20) * 72;
    std::os::unix::fs::FileExt::write_all_at(file, footer, len + manifest).unwrap();
}

#[test]
fn a_signed_entry_that_claims_to_be_enormous_is_not_read() {
    let folder = Folder::new();
    let file = fs::File::create(folder.root.join("enormous")).unwrap();
    // A hole of four terabytes takes no space, and a footer that fits it takes no key to write.
    let whole = fs::read(folder.entry()).unwrap();
    let (len, footer) = (4_u64 << 40, &whole[whole.len() - FOOTER_LEN..]);
    let mut footer = footer.to_vec();
    let key = SharedKey::from_bytes([1; 32]);
    footer[10] = 1;
    let id: Vec<u8> = (0..32)
        .step_by(2)
        .map(|at| u8::from_str_radix(&key.id().to_string()[at..at + 2], 16).unwrap())
        .collect();
    footer[176..192].copy_from_slice(&id);
    enlarge(&file, &mut footer, len);
    fs::set_permissions(
        folder.root.join("enormous"),
        fs::Permissions::from_mode(0o444),
    )
    .unwrap();
    fs::rename(folder.root.join("enormous"), folder.entry()).unwrap();

    let cache = FileSystemCache::builder(&folder.root)
        .trust(Trust::shared(key))
        .open()
        .unwrap();
    assert!(cache.load(folder.key(), &folder.engine).unwrap().is_none());
    assert_eq!(cache.stats().rejected, 1);
}

/// Nor does it end the process that there is no memory for what it claims to be.
#[test]
fn an_unsigned_entry_that_claims_to_be_enormous_is_a_miss() {
    let folder = Folder::new();
    let whole = fs::read(folder.entry()).unwrap();
    // The largest file that any file system here takes is far larger than a cache may become.
    let len = 15_u64 << 40;
    let mut footer = whole[whole.len() - FOOTER_LEN..].to_vec();
    fs::remove_file(folder.entry()).unwrap();
    let file = fs::File::create(folder.entry()).unwrap();
    enlarge(&file, &mut footer, len);
    fs::set_permissions(folder.entry(), fs::Permissions::from_mode(0o444)).unwrap();
    assert!(!folder.misses("an enormous entry"));
    let report = folder.cache().verify(true, &|_| ()).unwrap();
    assert_eq!(report.faults.len(), 1, "{report:?}");
    folder.heals("an enormous entry");
}

#[test]
fn an_entry_that_the_engine_refuses_stays_unless_it_was_damaged_meanwhile() {
    let folder = Folder::new();
    let cache = folder.cache();
    folder.engine.reject_artifacts(true);
    assert!(cache.load(folder.key(), &folder.engine).unwrap().is_none());
    assert_eq!(cache.stats().rejected, 1);
    folder.engine.reject_artifacts(false);
    assert!(cache.load(folder.key(), &folder.engine).unwrap().is_some());
}

#[test]
fn what_was_listed_is_read_as_a_load_reads_it() {
    let folder = Folder::new();
    let listed = |cache: &FileSystemCache| {
        let [listed] = &cache.list().unwrap()[..] else {
            panic!("one entry is there");
        };
        listed.clone()
    };
    let cache = folder.cache();
    let entry = cache.get_listed(&listed(&cache)).unwrap().unwrap();
    assert_eq!(
        entry.key(),
        &EntryKey::new(folder.key(), *folder.engine.id())
    );
    let whole = fs::read(folder.entry()).unwrap();
    assert_eq!(entry.len(), whole.len() as u64);

    // One of another module, whole and good, is not what the list named.
    let other = folder.entry_of(&folder.engine, ModuleHash::of(b"other"));
    fs::rename(folder.entry(), &other).unwrap();
    let moved = listed(&cache);
    assert!(folder.store().is_stored());
    assert!(cache.get_listed(&moved).unwrap().is_none());
    assert_eq!(cache.stats().rejected, 1);
    fs::remove_file(other).unwrap();

    let mut flipped = whole.clone();
    flipped[0] ^= 1;
    for damaged in [&flipped, &whole[..whole.len() - 1].to_vec()] {
        folder.overwrite(damaged);
        let cache = folder.cache();
        let damaged = listed(&cache);
        assert!(cache.get_listed(&damaged).unwrap().is_none());
        assert_eq!(cache.stats().corrupt, 1);
        assert!(cache.list().unwrap().is_empty(), "it is removed");
        assert!(cache.get_listed(&damaged).unwrap().is_none(), "it is gone");
    }
}

#[test]
fn a_module_loaded_and_saved_into_a_second_folder_gives_the_same_bytes() {
    let folder = Folder::new();
    let second = tempfile::tempdir().unwrap();
    let copy = FileSystemCache::builder(second.path().join("cache"))
        .verification(Verification::Always)
        .open()
        .unwrap();
    let module = folder
        .cache()
        .load(folder.key(), &folder.engine)
        .unwrap()
        .unwrap();
    let _ = copy.save(folder.key(), &folder.engine, &module).unwrap();
    let name = folder
        .entry()
        .strip_prefix(&folder.root)
        .unwrap()
        .to_owned();
    assert_eq!(
        fs::read(folder.entry()).unwrap(),
        fs::read(copy.root().join(name)).unwrap()
    );
}

/// A folder that no engine can have, as its name is longer than their labels, is none of the cache's.
#[test]
fn what_lies_in_a_folder_of_too_long_a_name_is_unknown_and_stays() {
    let folder = Folder::new();
    let cache = folder.cache();
    let long = cache
        .root()
        .join("v1")
        .join(format!("{}-0123456789abcdef", "a".repeat(200)));
    fs::create_dir(&long).unwrap();
    let file = long.join(ModuleHash::of(b"x").to_string());
    fs::write(&file, "somebody's").unwrap();
    assert_eq!(cache.usage().unwrap().unknown_files, [long]);
    let everything = PruneOptions {
        max_size: Some(0),
        ..PruneOptions::default()
    };
    assert_eq!(cache.prune(&everything).unwrap().removed, 1);
    assert!(file.exists());
}

#[test]
fn a_listed_entry_of_no_engine_names_no_file() {
    let folder = Folder::new();
    let cache = folder.cache();
    let hash = ModuleHash::of(b"x");
    let outside = folder.cache().root().join(hash.to_string());
    fs::write(&outside, "somebody's").unwrap();
    let absolute = outside.parent().unwrap().to_str().unwrap();
    for engine in ["..", "../..", absolute, "Foreign", ""] {
        let listed = ListedEntry::new(engine, hash, 0);
        assert_eq!(cache.remove_listed(&listed).unwrap(), 0);
        assert!(cache.get_listed(&listed).unwrap().is_none());
    }
    assert!(outside.exists());
}

#[test]
fn each_entry_that_is_removed_frees_its_own_bytes() {
    let folder = Folder::new();
    let cache = folder.cache();
    let other = folder.entry_of(&folder.engine, ModuleHash::of(b"other"));
    fs::copy(folder.entry(), other).unwrap();
    for listed in cache.list().unwrap() {
        assert!(cache.remove_listed(&listed).unwrap() >= 4096);
        assert_eq!(cache.remove_listed(&listed).unwrap(), 0);
    }
}
