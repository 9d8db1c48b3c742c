//! What was seen of a file through one mount says nothing under another, and what a layer or a damaged disk gives is not
//! believed. These tests mount images of their own, in a namespace of their own, as root.

#![cfg(target_os = "linux")]

#[path = "support/privileged.rs"]
mod privileged;
#[path = "support/role.rs"]
mod role;

use std::fs::{self, File};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use module_cache_core::{
    Artifact, Compile, Engine, EntryKey, EntryStore, ModuleCache, ModuleHash, Trust,
};
use module_cache_filesystem::{FileSystemCache, PruneOptions};
use module_cache_testkit::{TestEngine, TestModule, wasm};

use crate::privileged::{need_root, on_mount};

/// Of the file systems that are made here.
const BLOCK: u64 = 4096;

/// Larger than what is read in one call, so that it would be mapped.
const SIZE: usize = 1 << 20;

fn run(program: &str, args: &[&Path]) {
    let output = Command::new(program).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}");
}

/// Runs `test` in the child that has a tmpfs to itself, or starts that child.
fn with_scratch(name: &str, test: impl FnOnce(&Path)) {
    if let Some(root) = role::role() {
        return test(Path::new(&root));
    }
    need_root();
    on_mount("-t tmpfs -o size=256m,mode=700", Path::new("none"), name);
}

/// An image of an ext4 file system, its device, which is the same each time, and where it is mounted.
struct Image {
    file: PathBuf,
    device: PathBuf,
    mounted: PathBuf,
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mounted).output();
        let _ = Command::new("losetup").arg("-d").arg(&self.device).output();
    }
}

impl Image {
    fn new(scratch: &Path) -> Self {
        Self::at(scratch, scratch.join("mounted"))
    }

    fn at(scratch: &Path, mounted: PathBuf) -> Self {
        let file = scratch.join("image");
        fs::create_dir(&mounted).unwrap();
        File::create(&file).unwrap().set_len(64 << 20).unwrap();
        let block = BLOCK.to_string();
        let options: [&Path; 6] = [
            "-q".as_ref(),
            "-F".as_ref(),
            "-b".as_ref(),
            block.as_ref(),
            "-O".as_ref(),
            "metadata_csum".as_ref(),
        ];
        run("mkfs.ext4", &[&options[..], &[&*file]].concat());
        let mut losetup = Command::new("losetup");
        let device = losetup
            .args(["--find", "--show"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(device.status.success(), "{device:?}");
        let device = String::from_utf8(device.stdout).unwrap().trim().into();
        let image = Self {
            file,
            device,
            mounted,
        };
        image.mount();
        image
    }

    fn mount(&self) {
        run("mount", &[&self.device, &self.mounted]);
    }

    fn unmount(&self) {
        run("umount", &[&self.mounted]);
    }

    /// Where these bytes stand in the image.
    fn find(&self, bytes: &[u8]) -> u64 {
        let image = fs::read(&self.file).unwrap();
        let mut found = image
            .windows(bytes.len())
            .enumerate()
            .filter(|(_, window)| *window == bytes);
        let (at, _) = found.next().expect("the bytes are in the image");
        assert!(found.next().is_none(), "they are in it once");
        at as u64
    }

    /// Changes a bit of the inode of this number, which its checksum shows.
    fn damage_inode(&self, inode: u64) {
        let mut debugfs = Command::new("debugfs");
        let place = debugfs
            .arg("-R")
            .arg(format!("imap <{inode}>"))
            .arg(&self.file)
            .output();
        let place = String::from_utf8(place.unwrap().stdout).unwrap();
        // "located at block 68, offset 0x0b00"
        let number = |mark: &str, radix| {
            let (_, rest) = place.split_once(mark).unwrap();
            let end = rest
                .find(|c: char| !c.is_digit(radix))
                .unwrap_or(rest.len());
            u64::from_str_radix(&rest[..end], radix).unwrap()
        };
        let at = number("at block ", 10) * BLOCK + number("offset 0x", 16);
        self.flip(at + 0x10);
    }

    /// Changes a bit as a failing disk does, or another system: no attribute of a file shows it.
    fn flip(&self, at: u64) {
        let image = File::options()
            .read(true)
            .write(true)
            .open(&self.file)
            .unwrap();
        let mut byte = [0];
        image.read_exact_at(&mut byte, at).unwrap();
        image.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }
}

fn module(engine: &TestEngine, n: u64) -> (ModuleHash, TestModule) {
    let wasm = wasm(n, SIZE);
    (ModuleHash::of(&wasm), engine.compile(&wasm).unwrap())
}

/// The file of an entry.
fn entry_in(root: &Path, engine: &TestEngine, hash: ModuleHash) -> PathBuf {
    let folder = root.join("v1").join(engine.id().to_string());
    folder.join(hash.to_string())
}

/// The next read of a file, or of its first bytes, does not come from memory.
fn read_from_disk_again(file: &Path, len: Option<NonZeroU64>) {
    let open = File::open(file).unwrap();
    rustix::fs::fadvise(&open, 0, len, rustix::fs::Advice::DontNeed).unwrap();
}

/// What was just written is not remembered.
fn let_it_settle() {
    thread::sleep(Duration::from_millis(2100));
}

#[test]
fn that_an_entry_was_verified_is_forgotten_when_its_file_system_is_unmounted() {
    let name = "that_an_entry_was_verified_is_forgotten_when_its_file_system_is_unmounted";
    with_scratch(name, |scratch| {
        let image = Image::new(scratch);
        let engine = TestEngine::new("mounts");
        let (hash, module) = module(&engine, 1);
        let root = image.mounted.join("cache");
        let cache = FileSystemCache::open(&root).unwrap();
        assert!(cache.save(hash, &engine, &module).unwrap().is_stored());
        let_it_settle();
        assert!(cache.load(hash, &engine).unwrap().is_some());
        drop(cache);
        image.unmount();
        image.flip(image.find(&module.wasm()[1000..1100]));
        image.mount();
        let cache = FileSystemCache::open(&root).unwrap();
        // The engine panics if it is handed a damaged byte.
        assert!(cache.load(hash, &engine).unwrap().is_none());
        assert_eq!(cache.stats().corrupt, 1);
        drop(cache);
        image.unmount();
    });
}

/// The cache's folder stays mounted meanwhile.
#[test]
fn a_file_system_in_the_place_of_an_engines_folder_is_one_of_its_own() {
    let name = "a_file_system_in_the_place_of_an_engines_folder_is_one_of_its_own";
    with_scratch(name, |scratch| {
        let engine = TestEngine::new("mounts");
        let (hash, module) = module(&engine, 1);
        let root = scratch.join("cache");
        FileSystemCache::open(&root).unwrap();
        let mounted = root.join("v1").join(engine.id().to_string());
        let image = Image::at(scratch, mounted);
        fs::copy(
            store_elsewhere(scratch, &engine, hash, &module),
            image.mounted.join(hash.to_string()),
        )
        .unwrap();
        let_it_settle();
        let load = || {
            FileSystemCache::open(&root)
                .unwrap()
                .load(hash, &engine)
                .unwrap()
        };
        assert!(load().is_some() && load().is_some());
        image.unmount();
        image.flip(image.find(&module.wasm()[1000..1100]));
        image.mount();
        assert!(load().is_none());
    });
}

/// The file of an entry in another folder.
fn store_elsewhere(
    scratch: &Path,
    engine: &TestEngine,
    hash: ModuleHash,
    module: &TestModule,
) -> PathBuf {
    let cache = FileSystemCache::open(scratch.join("elsewhere")).unwrap();
    assert!(cache.save(hash, engine, module).unwrap().is_stored());
    entry_in(cache.root(), engine, hash)
}

#[test]
fn the_hash_of_a_file_is_that_of_the_image_that_is_mounted_now() {
    with_scratch(
        "the_hash_of_a_file_is_that_of_the_image_that_is_mounted_now",
        |scratch| {
            let image = Image::new(scratch);
            let path = image.mounted.join("module.wasm");
            let mut wasm = wasm(1, SIZE);
            fs::write(&path, &wasm).unwrap();
            let cache = FileSystemCache::open(scratch.join("cache")).unwrap();
            let_it_settle();
            assert_eq!(cache.hash_of_file(&path).unwrap(), ModuleHash::of(&wasm));
            image.unmount();
            // The same device, inode, size and times.
            image.flip(image.find(&wasm[1000..1100]));
            wasm[1000] ^= 1;
            image.mount();
            assert_eq!(cache.hash_of_file(&path).unwrap(), ModuleHash::of(&wasm));
            image.unmount();
        },
    );
}

#[test]
fn what_cannot_be_read_is_a_miss_and_kills_nobody() {
    with_scratch(
        "what_cannot_be_read_is_a_miss_and_kills_nobody",
        |scratch| {
            // All behind the bad sector is bad, too, or is still in memory: with the footer, which says that all is well.
            for bad in [None, NonZeroU64::new(SIZE as u64)] {
                what_cannot_be_read(scratch, bad);
            }
        },
    );
}

fn what_cannot_be_read(scratch: &Path, bad: Option<NonZeroU64>) {
    let image = Image::new(scratch);
    let engine = TestEngine::new("mounts");
    let (hash, module) = module(&engine, 1);
    let root = image.mounted.join("cache");
    let cache = FileSystemCache::open(&root).unwrap();
    assert!(cache.save(hash, &engine, &module).unwrap().is_stored());
    run("sync", &[]);
    let entry = entry_in(&root, &engine, hash);
    let at = image.find(&module.wasm()[SIZE / 2..SIZE / 2 + 100]);
    // Behind what is left of the image, its device has bad sectors.
    let file = File::options().write(true).open(&image.file).unwrap();
    file.set_len(at & !4095).unwrap();
    read_from_disk_again(&entry, bad);

    assert!(cache.load(hash, &engine).unwrap().is_none());
    assert_eq!((cache.stats().rejected, cache.stats().corrupt), (1, 0));
    let report = cache.verify(true, &|_| ()).unwrap();
    assert_eq!(report.faults.len(), 1, "{report:?}");
    assert!(!report.faults[0].removed, "{report:?}");
    assert!(cache.save(hash, &engine, &module).unwrap().is_stored());
    assert!(cache.load(hash, &engine).unwrap().is_some());
    drop(cache);
    run("umount", &["-l".as_ref(), &image.mounted]);
    fs::remove_dir(&image.mounted).unwrap();
}

#[test]
fn what_a_disk_damaged_is_not_used_once_verify_has_found_it() {
    with_scratch(
        "what_a_disk_damaged_is_not_used_once_verify_has_found_it",
        |scratch| {
            let image = Image::new(scratch);
            let engine = TestEngine::new("mounts");
            let (hash, module) = module(&engine, 1);
            let cache = FileSystemCache::open(image.mounted.join("cache")).unwrap();
            assert!(cache.save(hash, &engine, &module).unwrap().is_stored());
            run("sync", &[]);
            let_it_settle();
            assert!(cache.load(hash, &engine).unwrap().is_some());

            image.flip(image.find(&module.wasm()[SIZE / 2..SIZE / 2 + 100]));
            let entry = entry_in(cache.root(), &engine, hash);
            read_from_disk_again(&entry, None);
            let reading = FileSystemCache::builder(cache.root()).read_only();
            let report = reading.open().unwrap().verify(false, &|_| ()).unwrap();
            let reason = &report.faults[0].reason;
            assert!(reason.contains("may still use it"), "{reason}");
            // A table of hints that only the other process has still says that all is well.
            let other = FileSystemCache::open(cache.root()).unwrap();
            fs::remove_file(cache.root().join("v1/hints")).unwrap();
            let report = FileSystemCache::open(cache.root())
                .unwrap()
                .verify(false, &|_| ())
                .unwrap();
            assert_eq!(report.faults.len(), 1, "{report:?}");
            assert!(!report.faults[0].reason.contains("may still use it"));
            assert!(entry.exists());
            assert!(other.load(hash, &engine).unwrap().is_none());
            assert_eq!(other.stats().corrupt, 1);

            assert!(cache.save(hash, &engine, &module).unwrap().is_stored());
            assert!(cache.load(hash, &engine).unwrap().is_some());
            drop((cache, other));
            image.unmount();
        },
    );
}

/// Its file can neither be opened nor looked at, nor removed.
#[test]
fn an_entry_whose_inode_is_damaged_stops_nobody() {
    with_scratch("an_entry_whose_inode_is_damaged_stops_nobody", |scratch| {
        let image = Image::new(scratch);
        let engine = TestEngine::new("mounts");
        let root = image.mounted.join("cache");
        let cache = FileSystemCache::open(&root).unwrap();
        let modules: Vec<_> = (0..4).map(|n| module(&engine, n)).collect();
        for (hash, module) in &modules[..3] {
            assert!(cache.save(*hash, &engine, module).unwrap().is_stored());
        }
        let (damaged, _) = &modules[0];
        let folder = root.join("v1").join(engine.id().to_string());
        let inode = fs::metadata(folder.join(damaged.to_string()))
            .unwrap()
            .ino();
        let mut bundle = Vec::new();
        // SAFETY: the bundle is this test's own.
        let trust = unsafe { Trust::unauthenticated() };
        cache.export(&|_| true, &trust, &mut bundle).unwrap();
        cache.remove(modules[1].0, &engine).unwrap();
        drop(cache);
        image.unmount();
        image.damage_inode(inode);
        image.mount();

        let cache = FileSystemCache::open(&root).unwrap();
        let has = |n: usize| cache.load(modules[n].0, &engine).unwrap().is_some();
        assert!(!has(0) && has(2));
        let (hash, module) = &modules[3];
        assert!(cache.save(*hash, &engine, module).unwrap().is_stored());
        let report = cache.import(&mut &bundle[..], &trust).unwrap();
        assert_eq!((report.stored, report.present), (1, 1), "{report:?}");
        assert_eq!(report.refused.len(), 1, "{report:?}");
        assert!(has(1) && has(3));
        let report = cache.verify(true, &|_| ()).unwrap();
        assert_eq!((report.entries, report.faults.len()), (3, 1), "{report:?}");
        cache.prune(&PruneOptions::default()).unwrap();
    });
}

/// Whether an engine would map the entry.
fn is_mapped(cache: &FileSystemCache, key: &EntryKey) -> bool {
    let entry = cache.get(key).unwrap().expect("it is there");
    matches!(entry.into_artifact().unwrap(), Artifact::File { .. })
}

#[test]
fn on_an_overlay_what_was_stored_there_is_mapped_and_what_lies_below_is_copied() {
    let name = "on_an_overlay_what_was_stored_there_is_mapped_and_what_lies_below_is_copied";
    with_scratch(name, |scratch| {
        let [lower, upper, work, merged] =
            ["lower", "upper", "work", "merged"].map(|name| scratch.join(name));
        for directory in [&lower, &upper, &work, &merged] {
            fs::create_dir(directory).unwrap();
        }
        // Its files then have other devices than its folders.
        let none: &Path = "none".as_ref();
        run("mount", &["-t".as_ref(), "tmpfs".as_ref(), none, &lower]);
        let engine = TestEngine::new("mounts");
        let key = |hash| EntryKey::new(hash, *engine.id());
        let save = |cache: &FileSystemCache, n| {
            let (hash, module) = module(&engine, n);
            assert!(cache.save(hash, &engine, &module).unwrap().is_stored());
            key(hash)
        };
        let below = FileSystemCache::open(lower.join("cache")).unwrap();
        let old = save(&below, 1);
        assert!(is_mapped(&below, &old), "a tmpfs is a local file system");
        drop(below);

        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let overlay: [&Path; 6] = [
            "-t".as_ref(),
            "overlay".as_ref(),
            "overlay".as_ref(),
            "-o".as_ref(),
            options.as_ref(),
            &merged,
        ];
        run("mount", &overlay);
        let cache = FileSystemCache::open(merged.join("cache")).unwrap();
        let new = save(&cache, 2);
        let_it_settle();
        for _ in 0..2 {
            assert!(!is_mapped(&cache, &old));
            assert!(is_mapped(&cache, &new));
            assert!(cache.load(old.hash(), &engine).unwrap().is_some());
            assert!(cache.load(new.hash(), &engine).unwrap().is_some());
        }
        // Nothing tells the layers apart in a mount that did not see it written.
        drop(cache);
        run("umount", &[&merged]);
        run("mount", &overlay);
        let cache = FileSystemCache::open(merged.join("cache")).unwrap();
        assert!(!is_mapped(&cache, &new));
        assert!(cache.load(new.hash(), &engine).unwrap().is_some());
    });
}

/// What a program serves may change without a trace.
#[test]
fn on_a_file_system_that_a_program_serves_every_load_is_copied() {
    let name = "on_a_file_system_that_a_program_serves_every_load_is_copied";
    with_scratch(name, |scratch| {
        let [source, mounted] = ["source", "mounted"].map(|name| scratch.join(name));
        for directory in [&source, &mounted] {
            fs::create_dir(directory).unwrap();
        }
        run("bindfs", &[&source, &mounted]);
        let engine = TestEngine::new("mounts");
        let (hash, module) = module(&engine, 1);
        let key = EntryKey::new(hash, *engine.id());
        let cache = FileSystemCache::open(mounted.join("cache")).unwrap();
        assert!(cache.save(hash, &engine, &module).unwrap().is_stored());
        let_it_settle();
        for _ in 0..2 {
            assert!(!is_mapped(&cache, &key));
            assert!(cache.load(hash, &engine).unwrap().is_some());
        }
        let path = scratch.join("module.wasm");
        fs::write(&path, module.wasm()).unwrap();
        assert_eq!(cache.hash_of_file(&path).unwrap(), hash);
        drop(cache);
        run("umount", &[&mounted]);
    });
}

#[test]
fn where_a_file_system_tells_no_size_entries_are_stored() {
    let name = "where_a_file_system_tells_no_size_entries_are_stored";
    with_scratch(name, |scratch| {
        let mounted = scratch.join("ramfs");
        fs::create_dir(&mounted).unwrap();
        let options = ["-t", "ramfs", "none"].map(Path::new);
        run("mount", &[&options[..], &[&mounted]].concat());
        let engine = TestEngine::new("ramfs");
        let (hash, module) = module(&engine, 1);
        let cache = FileSystemCache::open(mounted.join("cache")).unwrap();
        assert!(cache.save(hash, &engine, &module).unwrap().is_stored());
        assert!(cache.load(hash, &engine).unwrap().is_some());
        drop(cache);
        run("umount", &[&mounted]);
    });
}

/// As in a sandbox without `/proc`, and on systems that do not tell boots apart.
#[test]
fn without_a_boot_id_eviction_follows_use_and_a_restart_counts_anew() {
    let name = "without_a_boot_id_eviction_follows_use_and_a_restart_counts_anew";
    eviction_follows_use_and_a_restart_counts_anew(name, |boot_id| assert!(!boot_id.exists()));
}

#[test]
fn an_empty_boot_id_is_none() {
    let empty = |boot_id: &Path| fs::write(boot_id, "").unwrap();
    eviction_follows_use_and_a_restart_counts_anew("an_empty_boot_id_is_none", empty);
}

fn eviction_follows_use_and_a_restart_counts_anew(name: &str, hide: fn(&Path)) {
    with_scratch(name, |scratch| {
        // This process has not asked yet.
        let random = Path::new("/proc/sys/kernel/random");
        let options = ["-t", "tmpfs", "none"].map(Path::new);
        run("mount", &[&options[..], &[random]].concat());
        hide(&random.join("boot_id"));
        let root = scratch.join("cache");
        let capped = |blocks| {
            let options = FileSystemCache::builder(&root).max_size(blocks * BLOCK);
            options.open().unwrap()
        };
        let open = || capped(10);
        let engine = TestEngine::new("no boot");
        let module = |n| engine.compile(&wasm(n, 1000)).unwrap();
        let hash = |n| ModuleHash::of(&wasm(n, 1000));
        let save = |n| open().save(hash(n), &engine, &module(n)).unwrap();
        let has = |n| ModuleCache::contains(&open(), hash(n), &engine).unwrap();
        let entry = |n| root.join(format!("v1/{}/{}", engine.id(), hash(n)));
        for n in 0..10 {
            assert!(save(n).is_stored());
            let age = Duration::from_secs(86_400 * (10 - n));
            let file = File::open(entry(n)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        fs::remove_file(root.join("v1/hints")).unwrap();
        assert!(open().load(hash(0), &engine).unwrap().is_some());
        assert!(save(10).is_stored());
        assert!(has(0), "it was used just now");
        assert!(!has(1), "it was used longest ago");

        // What a crash does to a total: more is there than was counted.
        for n in 20..35 {
            fs::copy(entry(10), entry(n)).unwrap();
        }
        let after = capped(20);
        assert!(
            after
                .save(hash(11), &engine, &module(11))
                .unwrap()
                .is_stored()
        );
        assert!(after.usage().unwrap().bytes <= 20 * BLOCK);
    });
}
