//! What `cargo xtask faults` kills, starves and looks at afterwards: `fault_subject ROOT COMMAND`.
//!
//! What it does to the folder stands between two calls of `getppid`, which nothing else here makes. It ends with 0 if all
//! went well, with 3 if the cache told of a failure, and by a panic if a promise is broken: the engine panics if it is
//! handed a byte that was not proven.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use module_cache_core::{CacheError, Compile, Engine, ModuleCache, ModuleHash, Trust};
use module_cache_filesystem::{FileSystemCache, PruneOptions};
use module_cache_testkit::{TestEngine, TestModule, wasm};

const BLOCK: u64 = 4096;

/// Room for eight modules.
const CAP: u64 = 16 * BLOCK;

const REFUSED: u8 = 3;

/// What `prepare` stores.
const PREPARED: std::ops::Range<u64> = 1..5;

struct Subject {
    cache: FileSystemCache,
    engine: TestEngine,
}

impl Subject {
    fn module(&self, n: u64) -> (ModuleHash, TestModule) {
        // Two blocks with its footer.
        let wasm = wasm(n, 5000);
        (ModuleHash::of(&wasm), self.engine.compile(&wasm).unwrap())
    }

    fn save(&self, n: u64) -> Result<bool, CacheError> {
        let (hash, module) = self.module(n);
        let saved = self.cache.save(hash, &self.engine, &module)?;
        Ok(saved.is_stored())
    }

    /// Whether it is there, as it was saved.
    fn load(&self, n: u64) -> Result<bool, CacheError> {
        let (hash, module) = self.module(n);
        let found = self.cache.load(hash, &self.engine)?;
        if let Some(found) = &found {
            assert_eq!(found.wasm(), module.wasm(), "another module was loaded");
        }
        Ok(found.is_some())
    }

    fn remove(&self, n: u64) -> Result<bool, CacheError> {
        ModuleCache::remove(&self.cache, self.module(n).0, &self.engine)
    }

    fn prune(&self) -> Result<bool, CacheError> {
        let half = PruneOptions {
            max_size: Some(CAP / 4),
            ..PruneOptions::default()
        };
        self.cache.prune(&half).map(|report| report.stuck == 0)
    }

    fn import(&self, bundle: &[u8]) -> Result<bool, CacheError> {
        let report = self.cache.import(&mut &bundle[..], &trust())?;
        Ok(report.refused.is_empty())
    }
}

fn trust() -> Trust {
    // SAFETY: the bundle is this program's own.
    unsafe { Trust::unauthenticated() }
}

fn open(root: &Path) -> Result<Subject, CacheError> {
    Ok(Subject {
        cache: FileSystemCache::builder(root).min_free(0).open()?,
        engine: TestEngine::new("faults"),
    })
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [root, command] = &args[..] else {
        panic!("fault_subject ROOT COMMAND");
    };
    let root = Path::new(root);
    let done = match &command[..] {
        "prepare" => prepare(root, 5),
        "prepare-full" => prepare(root, 9),
        "prepare-damaged" => prepare(root, 5).and_then(|_| damage(root)),
        "check" => check(root, PREPARED),
        "check-but-1" => check(root, 2..5),
        "check-any" => check(root, 0..0),
        "check-after-crash" => {
            let bytes = taken(root);
            assert!(bytes <= CAP, "{bytes} bytes are there after a crash");
            check(root, 0..0)
        }
        operation => {
            let bundle = fs::read(root.join("bundle")).unwrap_or_default();
            marked(|| operate(root, operation, &bundle))
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => REFUSED.into(),
        Err(error) => {
            eprintln!("{error}");
            REFUSED.into()
        }
    }
}

/// Calls `getppid` before and after, for who reads the trace.
fn marked<T>(work: impl FnOnce() -> T) -> T {
    mark();
    let done = work();
    mark();
    done
}

fn mark() {
    #[cfg(unix)]
    let _ = rustix::process::getppid();
}

fn operate(root: &Path, operation: &str, bundle: &[u8]) -> Result<bool, CacheError> {
    let subject = open(root)?;
    match operation {
        "save" => subject.save(100),
        // One after the other, each of which has to make room.
        "saves" => (100..108).try_fold(true, |stored, n| Ok(subject.save(n)? && stored)),
        "load" => subject.load(1),
        "remove" => subject.remove(1),
        "prune" => subject.prune(),
        "import" => subject.import(bundle),
        other => panic!("there is no operation {other}"),
    }
}

fn prepare(root: &Path, end: u64) -> Result<bool, CacheError> {
    let cache = FileSystemCache::builder(root)
        .min_free(0)
        .max_size(CAP)
        .open()?;
    let engine = TestEngine::new("faults");
    let subject = Subject { cache, engine };
    for n in 1..end {
        assert!(subject.save(n)?);
    }
    let mut bundle = Vec::new();
    let elsewhere = open(&root.join("elsewhere"))?;
    assert!(elsewhere.save(50)?);
    elsewhere.cache.export(&|_| true, &trust(), &mut bundle)?;
    fs::write(root.join("bundle"), bundle).unwrap();
    fs::remove_dir_all(root.join("elsewhere")).unwrap();
    Ok(true)
}

/// Flips a bit of module 1.
fn damage(root: &Path) -> Result<bool, CacheError> {
    let subject = open(root)?;
    let (hash, _) = subject.module(1);
    let entry = format!("v1/{}/{hash}", subject.engine.id());
    let entry = root.join(entry);
    let mut bytes = fs::read(&entry).unwrap();
    bytes[100] ^= 1;
    fs::remove_file(&entry).unwrap();
    fs::write(entry, bytes).unwrap();
    Ok(true)
}

/// What the folder takes, with what is being written.
fn taken(root: &Path) -> u64 {
    let version = fs::read_dir(root.join("v1")).unwrap();
    let folders = version.map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.is_dir() && !path.ends_with("locks"));
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    let len = |file: std::io::Result<fs::DirEntry>| file.unwrap().metadata().unwrap().len();
    files.map(|file| len(file).next_multiple_of(BLOCK)).sum()
}

/// Everything that is promised of the folder after whatever happened to it.
fn check(root: &Path, there: std::ops::Range<u64>) -> Result<bool, CacheError> {
    let began = Instant::now();
    let subject = open(root)?;
    for n in there {
        assert!(subject.load(n)?, "module {n} is lost");
    }
    for n in (1..10).chain(50..51).chain(100..108) {
        let _ = subject.load(n)?;
    }
    // From an earlier check of the same folder.
    subject.remove(999)?;
    assert!(subject.save(999)?, "nothing can be stored");
    assert!(subject.load(999)?, "what was just stored is not there");
    let bytes = taken(root);
    assert!(bytes <= CAP, "{bytes} bytes are there");
    let counted = subject.cache.usage()?.bytes;
    let ledger = fs::read(root.join("v1/ledger")).unwrap();
    let total = ledger[16..]
        .first_chunk()
        .map(|total| u64::from_le_bytes(*total));
    assert_eq!(total, Some(counted), "the ledger is wrong");
    let left = fs::read_dir(root.join("v1/tmp")).unwrap().count();
    assert_eq!(left, 0, "something is left in tmp");
    assert!(began.elapsed() < Duration::from_secs(4), "it took too long");
    Ok(true)
}
