//! Six processes as six hosts, each with a folder of its own, that share one storage and want one cold module.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::operators;
use crate::proxy::{Fault, Proxy};
use crate::scene::{Scene, eventually, key_of};
use crate::servers;
use module_cache_core::permit::CompilePermit;
use module_cache_core::{EntryStore, HashedModule, Trust};
use module_cache_fallback::FallbackExt;
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::{ModuleLoader, Source};
use module_cache_remote::{RemoteCache, RemoteCacheBuilder};
use module_cache_testkit::{TestEngine, wasm};

const HOSTS: usize = 6;
const MANY_HOSTS: u64 = 24;
const MANY_MODULES: u64 = 40;
const TERM: Duration = Duration::from_secs(6);

/// What a child is told: its role, the storage, and a folder where all meet.
const ROLE: &str = "MODULE_CACHE_TEST_ROLE";
const STORAGE: &str = "MODULE_CACHE_TEST_STORAGE";
const FOLDER: &str = "MODULE_CACHE_TEST_FOLDER";

#[test]
fn six_hosts_on_s3_compile_a_cold_module_once() {
    once("six_hosts_on_s3_compile_a_cold_module_once", s3);
}

#[test]
fn six_hosts_on_redis_compile_a_cold_module_once() {
    once("six_hosts_on_redis_compile_a_cold_module_once", redis);
}

#[test]
fn a_host_on_s3_that_dies_while_it_compiles_delays_the_others_by_one_term() {
    with_a_death(
        "a_host_on_s3_that_dies_while_it_compiles_delays_the_others_by_one_term",
        s3,
    );
}

#[test]
fn a_host_on_redis_that_dies_while_it_compiles_delays_the_others_by_one_term() {
    with_a_death(
        "a_host_on_redis_that_dies_while_it_compiles_delays_the_others_by_one_term",
        redis,
    );
}

#[test]
fn twenty_four_hosts_behind_a_slow_network_that_fails_compile_forty_modules_once() {
    let test = "twenty_four_hosts_behind_a_slow_network_that_fails_compile_forty_modules_once";
    if act_if_child() {
        return;
    }
    let (s3, redis) = (
        Proxy::before(servers::s3_address()),
        Proxy::before(servers::redis_address()),
    );
    for (proxy, storage) in [
        (
            &redis,
            format!("redis://{}/0/{}", redis.address, servers::prefix()),
        ),
        (&s3, format!("s3 {} {}", s3.address, servers::prefix())),
    ] {
        proxy.set(Some(Fault::Paced(100_000_000)));
        let meeting = Meeting::new(test, storage);
        let hosts: Vec<_> = (0..MANY_HOSTS)
            .map(|_| meeting.start("load-many"))
            .collect();
        meeting.begin(hosts.len());
        // Connections break for a moment, while all work.
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(500));
            proxy.set(Some(Fault::Cut(1000)));
            thread::sleep(Duration::from_millis(20));
            proxy.set(Some(Fault::Paced(100_000_000)));
        }
        let compiled: u64 = meeting
            .notes(hosts)
            .iter()
            .map(|note| note.parse::<u64>().unwrap())
            .sum();
        let without = MANY_HOSTS * MANY_MODULES;
        assert!(
            compiled >= MANY_MODULES && compiled < without / 4,
            "{compiled} of {without}"
        );
    }
}

/// A storage, as a child is told of it.
fn s3() -> String {
    format!("s3 {} {}", servers::s3_address(), servers::prefix())
}

fn redis() -> String {
    operators::redis()
}

fn once(test: &str, storage: fn() -> String) {
    if act_if_child() {
        return;
    }
    let meeting = Meeting::new(test, storage());
    let hosts: Vec<_> = (0..HOSTS).map(|_| meeting.start("load")).collect();
    meeting.begin(HOSTS);
    assert_eq!(meeting.sources(hosts), ["compiled: 1", "stored: 5"]);
}

fn with_a_death(test: &str, storage: fn() -> String) {
    if act_if_child() {
        return;
    }
    let meeting = Meeting::new(test, storage());
    let mut dead = meeting.start("hold");
    eventually("the holder has the lease", || {
        meeting.folder.path().join("held").exists()
    });
    let hosts: Vec<_> = (0..HOSTS - 1).map(|_| meeting.start("load")).collect();
    meeting.begin(HOSTS - 1);
    dead.kill().unwrap();
    dead.wait().unwrap();
    assert_eq!(meeting.sources(hosts), ["compiled: 1", "stored: 4"]);
}

/// Where the parent and its children leave each other notes.
struct Meeting {
    test: String,
    storage: String,
    folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// A fleet at a time is enough for one machine.
static ALONE: Mutex<()> = Mutex::new(());

impl Meeting {
    fn new(test: &str, storage: String) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        for name in ["ready", "done"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self {
            test: test.to_owned(),
            storage,
            folder,
            _alone: alone,
        }
    }

    fn start(&self, role: &str) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("fleet::{}", self.test), "--nocapture"])
            .env(ROLE, role)
            .env(STORAGE, &self.storage)
            .env(FOLDER, self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn begin(&self, hosts: usize) {
        eventually("all hosts are ready", || {
            fs::read_dir(self.folder.path().join("ready"))
                .unwrap()
                .count()
                == hosts
        });
        fs::write(self.folder.path().join("go"), "").unwrap();
    }

    /// What the hosts noted in the end.
    fn notes(&self, hosts: Vec<Child>) -> Vec<String> {
        for mut host in hosts {
            assert!(host.wait().unwrap().success());
        }
        fs::read_dir(self.folder.path().join("done"))
            .unwrap()
            .map(|note| fs::read_to_string(note.unwrap().path()).unwrap())
            .collect()
    }

    /// How many of the hosts had the module from where.
    fn sources(&self, hosts: Vec<Child>) -> [String; 2] {
        let notes = self.notes(hosts);
        ["compiled", "stored"].map(|source| {
            let count = notes.iter().filter(|note| *note == source).count();
            format!("{source}: {count}")
        })
    }
}

/// Does what a child is for, and says whether this is one.
fn act_if_child() -> bool {
    let Ok(role) = std::env::var(ROLE) else {
        return false;
    };
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let remote = options(&std::env::var(STORAGE).unwrap()).build();
    if role == "load-many" {
        load_many(&folder, remote);
        return true;
    }
    let scene = Scene::new(1, 1_000_000);
    if role == "hold" {
        let permit = remote.permit(&scene.key()).unwrap();
        assert!(matches!(permit, CompilePermit::Exclusive(_)));
        fs::write(folder.join("held"), "").unwrap();
        // Longer than the test takes; it is killed.
        thread::sleep(Duration::from_mins(2));
    }
    load(&folder, remote, &scene);
    true
}

fn options(storage: &str) -> RemoteCacheBuilder {
    let trust = Trust::shared(key_of(1));
    let options = match storage.split(' ').collect::<Vec<_>>()[..] {
        ["s3", address, prefix] => {
            RemoteCache::builder(operators::s3_at(address.parse().unwrap(), prefix), trust)
        }
        _ => RemoteCache::from_uri(storage, trust).unwrap(),
    };
    // Six processes and a server share two cores here.
    options.lease_term(TERM).time_limit(Duration::from_secs(20))
}

/// One host that wants the module.
fn load(folder: &Path, remote: RemoteCache, scene: &Scene) {
    let name = std::process::id().to_string();
    let disk = FileSystemCache::open(folder.join(format!("host-{name}"))).unwrap();
    let engine: TestEngine = scene.engine.clone();
    engine.set_compile_time(Duration::from_secs(1));
    let loader = ModuleLoader::new(engine, disk.with_fallback(remote));
    fs::write(folder.join("ready").join(&name), "").unwrap();
    eventually("the parent says go", || folder.join("go").exists());
    let loaded = loader.load(&HashedModule::new(&scene.wasm)).unwrap();
    assert!(loaded.module.wasm() == scene.wasm);
    assert_eq!(loader.stats().cache_errors, 0);
    assert_ne!(loaded.source, Source::Resident);
    fs::write(folder.join("done").join(name), loaded.source.to_string()).unwrap();
}

/// One host that wants many modules, each in its own order.
fn load_many(folder: &Path, remote: RemoteCache) {
    let name = std::process::id();
    let disk = FileSystemCache::open(folder.join(format!("host-{name}"))).unwrap();
    let engine = TestEngine::new("remote");
    engine.set_compile_time(Duration::from_millis(300));
    let loader = ModuleLoader::new(engine, disk.with_fallback(remote));
    fs::write(folder.join("ready").join(name.to_string()), "").unwrap();
    eventually("the parent says go", || folder.join("go").exists());
    let compiled = (0..MANY_MODULES)
        .filter(|n| {
            // 13 has no divisor with 40.
            let n = (n * 13 + u64::from(name)) % MANY_MODULES;
            let wasm = wasm(n, 100_000);
            let loaded = loader.load(&HashedModule::new(&wasm)).unwrap();
            assert!(loaded.module.wasm() == wasm);
            loaded.source == Source::Compiled
        })
        .count();
    fs::write(
        folder.join("done").join(name.to_string()),
        compiled.to_string(),
    )
    .unwrap();
}
