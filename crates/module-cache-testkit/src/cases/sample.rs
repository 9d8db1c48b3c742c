//! One module to cache, and the checks that are made of it everywhere.

use module_cache_core::{
    Artifact, ArtifactEngine, Compile, Engine, EntryKey, EntryStore, ModuleCache, ModuleHash,
    SaveOutcome, SealedEntry, SkipReason,
};

use crate::{TestEngine, TestModule, wasm};

/// Wasm and its key: what goes in, and what must come back.
pub(super) struct Sample {
    pub(super) key: ModuleHash,
    pub(super) wasm: Vec<u8>,
}

impl Sample {
    pub(super) fn small(n: u64) -> Self {
        Self::sized(n, 1000)
    }

    pub(super) fn sized(n: u64, size: usize) -> Self {
        Self::of(wasm(n, size))
    }

    /// The smallest that [`TestEngine`] compiles.
    pub(super) fn smallest() -> Self {
        Self::of(b"\0asm".to_vec())
    }

    pub(super) fn of(wasm: Vec<u8>) -> Self {
        Self {
            key: ModuleHash::of(&wasm),
            wasm,
        }
    }

    /// Samples under the keys that a careless table would confuse: all zero, and all zero but one byte.
    pub(super) fn with_like_keys() -> Vec<Self> {
        let mut keys = vec![[0; 32], [255; 32]];
        keys.extend((0..32).map(|at| {
            let mut key = [0; 32];
            key[at] = 1;
            key
        }));
        (0..)
            .zip(keys)
            .map(|(n, key)| Self {
                key: ModuleHash::from_bytes(key),
                wasm: wasm(n, 100),
            })
            .collect()
    }

    pub(super) fn compile(&self, engine: &TestEngine) -> TestModule {
        engine.compile(&self.wasm).expect("the sample compiles")
    }
}

/// As a module in a cache.
impl Sample {
    /// Saves, whether it is there already or not, and waits until that is done.
    #[track_caller]
    pub(super) fn save(&self, cache: &impl ModuleCache<TestEngine>, engine: &TestEngine) {
        assert_stored_or_already(self.save_in(cache, engine));
    }

    /// Saves what is not there yet.
    #[track_caller]
    pub(super) fn save_new(&self, cache: &impl ModuleCache<TestEngine>, engine: &TestEngine) {
        assert_stored(self.save_in(cache, engine));
    }

    /// Loads, and checks that it is the right module if there is one.
    #[track_caller]
    pub(super) fn load(
        &self,
        cache: &impl ModuleCache<TestEngine>,
        engine: &TestEngine,
    ) -> Option<TestModule> {
        let module = cache
            .load(self.key, engine)
            .expect("loading succeeds, with a module or without");
        self.check(module, engine)
    }

    #[track_caller]
    pub(super) fn load_resident(
        &self,
        cache: &impl ModuleCache<TestEngine>,
        engine: &TestEngine,
    ) -> Option<TestModule> {
        self.check(cache.load_resident(self.key, engine), engine)
    }

    #[track_caller]
    pub(super) fn assert_loads(
        &self,
        cache: &impl ModuleCache<TestEngine>,
        engine: &TestEngine,
    ) -> TestModule {
        self.load(cache, engine)
            .unwrap_or_else(|| panic!("the cache lost {:?}", self.key))
    }

    #[track_caller]
    pub(super) fn assert_misses(&self, cache: &impl ModuleCache<TestEngine>, engine: &TestEngine) {
        let module = self.load(cache, engine);
        assert!(module.is_none(), "the cache has no right to {module:?}");
    }

    #[track_caller]
    fn save_in(&self, cache: &impl ModuleCache<TestEngine>, engine: &TestEngine) -> SaveOutcome {
        let outcome = cache
            .save(self.key, engine, &self.compile(engine))
            .expect("saving succeeds");
        cache.flush().expect("flushing succeeds");
        outcome
    }

    #[track_caller]
    fn check(&self, module: Option<TestModule>, engine: &TestEngine) -> Option<TestModule> {
        if let Some(module) = &module {
            assert!(
                module.wasm() == self.wasm,
                "the cache returned another module: {module:?}"
            );
            assert_eq!(
                module.instance(),
                engine.instance().id(),
                "the cache returned the live module of another engine object"
            );
        }
        module
    }
}

/// As an entry in a store.
impl Sample {
    pub(super) fn entry_key(&self, engine: &TestEngine) -> EntryKey {
        EntryKey::new(self.key, *engine.id())
    }

    pub(super) fn entry(&self, engine: &TestEngine) -> SealedEntry<'static> {
        // SAFETY: the artifact comes from `serialize` on the engine whose id is in the key.
        unsafe { SealedEntry::from_artifact(self.entry_key(engine), self.artifact(engine)) }
    }

    pub(super) fn artifact(&self, engine: &TestEngine) -> Vec<u8> {
        let module = self.compile(engine);
        let artifact = engine.serialize(&module).expect("the sample serializes");
        artifact.into_owned()
    }

    /// Puts, whether it is there already or not, and waits until that is done.
    #[track_caller]
    pub(super) fn put(&self, store: &(impl EntryStore + ?Sized), engine: &TestEngine) {
        assert_stored_or_already(self.put_in(store, engine));
    }

    /// Puts what is not there yet.
    #[track_caller]
    pub(super) fn put_new(&self, store: &(impl EntryStore + ?Sized), engine: &TestEngine) {
        assert_stored(self.put_in(store, engine));
    }

    /// Gets, and checks that it is the right entry, byte for byte, if there is one.
    #[track_caller]
    pub(super) fn get(
        &self,
        store: &(impl EntryStore + ?Sized),
        engine: &TestEngine,
    ) -> Option<SealedEntry<'static>> {
        let entry = store
            .get(&self.entry_key(engine))
            .expect("getting succeeds, with an entry or without")?;
        self.assert_is(&entry, engine);
        Some(entry)
    }

    #[track_caller]
    pub(super) fn assert_is(&self, entry: &SealedEntry<'_>, engine: &TestEngine) {
        assert_eq!(
            *entry.key(),
            self.entry_key(engine),
            "an entry of another key"
        );
        let expected = self.entry(engine);
        assert_eq!(entry.len(), expected.len(), "an entry of another length");
        assert!(
            artifact(entry) == artifact(&expected),
            "an entry of other bytes"
        );
    }

    #[track_caller]
    pub(super) fn assert_has(
        &self,
        store: &(impl EntryStore + ?Sized),
        engine: &TestEngine,
    ) -> SealedEntry<'static> {
        self.get(store, engine)
            .unwrap_or_else(|| panic!("the store lost {}", self.entry_key(engine)))
    }

    #[track_caller]
    pub(super) fn assert_has_not(&self, store: &(impl EntryStore + ?Sized), engine: &TestEngine) {
        let entry = self.get(store, engine);
        assert!(entry.is_none(), "the store has no right to {entry:?}");
    }

    #[track_caller]
    fn put_in(&self, store: &(impl EntryStore + ?Sized), engine: &TestEngine) -> SaveOutcome {
        let outcome = store
            .put(&self.entry_key(engine), &self.entry(engine))
            .expect("putting succeeds");
        store.sync().expect("flushing succeeds");
        outcome
    }
}

#[track_caller]
pub(super) fn assert_stored(outcome: SaveOutcome) {
    assert!(outcome.is_stored(), "not stored: {outcome:?}");
}

/// What a second save may answer.
#[track_caller]
fn assert_stored_or_already(outcome: SaveOutcome) {
    assert!(
        outcome.is_stored() || outcome == SaveOutcome::Skipped(SkipReason::AlreadyStored),
        "neither stored nor stored already: {outcome:?}"
    );
}

fn artifact(entry: &SealedEntry<'_>) -> Vec<u8> {
    let artifact = entry.to_memory().and_then(SealedEntry::into_artifact);
    let bytes = artifact.and_then(Artifact::into_bytes);
    bytes.expect("an entry that was got is unchanged")
}
