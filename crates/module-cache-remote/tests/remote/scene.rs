//! A module, the engine it is of, and caches to put it in.

use std::time::{Duration, Instant};

use module_cache_core::{Compile, Engine, EntryKey, ModuleCache, ModuleHash, SharedKey, Trust};
use module_cache_remote::opendal::Operator;
use module_cache_remote::{RemoteCache, RemoteCacheBuilder};
use module_cache_testkit::{TestEngine, TestModule, wasm};

/// What the caches of these tests wait at most. Long enough for a busy machine.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(3);

pub(crate) fn key_of(byte: u8) -> SharedKey {
    SharedKey::from_bytes([byte; 32])
}

pub(crate) fn builder(operator: &Operator) -> RemoteCacheBuilder {
    RemoteCache::builder(operator.clone(), Trust::shared(key_of(1))).time_limit(TIME_LIMIT)
}

/// One module of a test engine.
pub(crate) struct Scene {
    pub(crate) engine: TestEngine,
    pub(crate) wasm: Vec<u8>,
    pub(crate) hash: ModuleHash,
}

impl Scene {
    pub(crate) fn new(n: u64, size: usize) -> Self {
        let wasm = wasm(n, size);
        Self {
            engine: TestEngine::new("remote"),
            hash: ModuleHash::of(&wasm),
            wasm,
        }
    }

    pub(crate) fn key(&self) -> EntryKey {
        EntryKey::new(self.hash, *self.engine.id())
    }

    pub(crate) fn path(&self) -> String {
        format!("v1/{}/{}", key_of(1).id(), self.key())
    }

    pub(crate) fn module(&self) -> TestModule {
        self.engine.compile(&self.wasm).unwrap()
    }

    /// Stores the module and waits for that.
    pub(crate) fn store(&self, cache: &RemoteCache) {
        let outcome = cache.save(self.hash, &self.engine, &self.module()).unwrap();
        assert!(outcome.is_stored(), "{outcome:?}");
        ModuleCache::<TestEngine>::flush(cache).unwrap();
    }

    /// Loads the module, which is the right one if there is one.
    #[track_caller]
    pub(crate) fn loads(&self, cache: &impl ModuleCache<TestEngine>) -> bool {
        match cache.load(self.hash, &self.engine).unwrap() {
            Some(module) => {
                assert!(module.wasm() == self.wasm, "another module was loaded");
                true
            }
            None => false,
        }
    }
}

/// Tries until it is so, for as long as anybody would wait.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
