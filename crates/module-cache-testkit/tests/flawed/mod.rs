//! A cache or store with one thing wrong with it.

use std::error::Error;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use module_cache_core::format::strip_footer;
use module_cache_core::permit::{CompilePermit, PermitOutcome};
use module_cache_core::{
    ArtifactEngine, CacheError, Compile, Engine, EngineId, EntryKey, EntryStore, FoundModule,
    ModuleCache, ModuleHash, SaveOutcome, SealedEntry, SkipReason,
};
use module_cache_testkit::{ReferenceStore, TestEngine, TestModule};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    AcceptsKeyMismatch,
    AlwaysContains,
    CutsShort,
    DamagesBytes,
    ErrsOnMiss,
    FlushFails,
    ForgetsWhenReopened,
    GoneWhilePut,
    HidesAcceptedIds,
    HidesEntries,
    HidesResident,
    IgnoresAcceptedIds,
    IgnoresEngine,
    IgnoresInstance,
    IgnoresModule,
    KeepsHundred,
    MixesUpThreads,
    OnePermitForAll,
    OpensNothing,
    PermitsAll,
    PermitsNothing,
    PermitsOnce,
    PermitsPerHandle,
    PermitsWithoutWaiting,
    PretendsToSave,
    RefusesLarge,
    RefusesSmall,
    RejectionDeletes,
    RejectionIsError,
    RemovesNothing,
    RemoveSaysNo,
    SavesNothing,
    SavesOnce,
    SerializesNeedlessly,
    StoresUnderOwnId,
    ThreadBound,
    TruncatesKeys,
}

/// Works as what it wraps does, but for its flaw.
#[derive(Debug)]
pub(crate) struct Flawed<C> {
    flaw: Flaw,
    inner: C,
    home: ThreadId,
    calls: AtomicUsize,
    permitted: Arc<AtomicBool>,
    /// Gives permits of this handle alone.
    own: ReferenceStore,
    /// Takes the place of engines that should be told apart.
    stand_in: TestEngine,
}

impl<C> Flawed<C> {
    pub(crate) fn new(flaw: Flaw, inner: C) -> Self {
        Self {
            flaw,
            inner,
            home: thread::current().id(),
            calls: AtomicUsize::new(0),
            permitted: Arc::default(),
            own: ReferenceStore::new(),
            stand_in: TestEngine::new("conformance"),
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn is_away(&self) -> bool {
        thread::current().id() != self.home
    }

    fn count(&self) -> usize {
        self.calls.fetch_add(1, Ordering::SeqCst)
    }

    fn hash(&self, hash: ModuleHash) -> ModuleHash {
        let mut bytes = *hash.as_bytes();
        match self.flaw {
            Flaw::IgnoresModule => bytes.fill(7),
            Flaw::TruncatesKeys => bytes[8..].fill(0),
            // By the Thue–Morse sequence, which has no period that threads one after the other could fall in with.
            Flaw::MixesUpThreads if self.is_away() && self.count().count_ones() % 2 == 0 => {
                bytes.fill(7);
            }
            _ => {}
        }
        ModuleHash::from_bytes(bytes)
    }

    fn engine<'a>(&'a self, engine: &'a TestEngine) -> &'a TestEngine {
        match self.flaw {
            Flaw::IgnoresEngine => &self.stand_in,
            Flaw::IgnoresInstance if engine.id() == self.stand_in.id() => &self.stand_in,
            _ => engine,
        }
    }

    fn entry_key(&self, key: &EntryKey) -> EntryKey {
        let engine = match self.flaw {
            Flaw::IgnoresEngine => EngineId::from_parts("any", [0; 32]),
            _ => *key.engine(),
        };
        EntryKey::new(self.hash(key.hash()), engine)
    }

    /// What comes of saving `len` bytes, where they do not get to the inner cache.
    fn refuses(&self, len: u64, contained: bool) -> Option<SaveOutcome> {
        let refused = match self.flaw {
            Flaw::SavesNothing => return Some(SaveOutcome::Stored { bytes: len }),
            Flaw::RefusesLarge => len > 1_000_000,
            Flaw::RefusesSmall => len < 80,
            Flaw::KeepsHundred => self.count() >= 100,
            Flaw::SavesOnce => contained,
            _ => false,
        };
        refused.then_some(SaveOutcome::Skipped(SkipReason::NoSpace))
    }

    fn permit(
        &self,
        key: &EntryKey,
        inner: impl FnOnce() -> Result<CompilePermit, CacheError>,
    ) -> Result<CompilePermit, CacheError> {
        match self.flaw {
            Flaw::PermitsNothing => Ok(CompilePermit::Uncoordinated),
            Flaw::PermitsAll => Ok(CompilePermit::exclusive(())),
            Flaw::PermitsPerHandle => self.own.permit(key),
            Flaw::OnePermitForAll | Flaw::PermitsOnce | Flaw::PermitsWithoutWaiting => {
                Ok(if self.permitted.swap(true, Ordering::SeqCst) {
                    CompilePermit::held(|_| PermitOutcome::Unknown)
                } else if self.has(Flaw::PermitsOnce) {
                    CompilePermit::exclusive(())
                } else {
                    CompilePermit::exclusive(Release(self.permitted.clone()))
                })
            }
            _ => inner(),
        }
    }
}

impl<C: ModuleCache<TestEngine>> ModuleCache<TestEngine> for Flawed<C> {
    fn load(
        &self,
        hash: ModuleHash,
        engine: &TestEngine,
    ) -> Result<Option<TestModule>, CacheError> {
        Ok(self.find(hash, engine)?.map(|found| found.module))
    }

    fn find(
        &self,
        hash: ModuleHash,
        engine: &TestEngine,
    ) -> Result<Option<FoundModule<TestModule>>, CacheError> {
        if self.has(Flaw::ThreadBound) && self.is_away() {
            return Ok(None);
        }
        let before = engine.deserializes();
        let found = self.inner.find(self.hash(hash), self.engine(engine))?;
        let rejected = found.is_none() && engine.deserializes() > before;
        match self.flaw {
            Flaw::ErrsOnMiss if found.is_none() => Err(failure()),
            Flaw::RejectionIsError if rejected => Err(failure()),
            Flaw::RejectionDeletes if rejected => {
                self.inner.remove(hash, engine)?;
                Ok(None)
            }
            Flaw::HidesAcceptedIds => Ok(found.map(|found| FoundModule::own(found.module))),
            _ => Ok(found),
        }
    }

    fn contains(&self, hash: ModuleHash, engine: &TestEngine) -> Result<bool, CacheError> {
        Ok(self.has(Flaw::AlwaysContains)
            || self.inner.contains(self.hash(hash), self.engine(engine))?)
    }

    fn save(
        &self,
        hash: ModuleHash,
        engine: &TestEngine,
        module: &TestModule,
    ) -> Result<SaveOutcome, CacheError> {
        let (hash, engine) = (self.hash(hash), self.engine(engine));
        if self.has(Flaw::SerializesNeedlessly) {
            engine.serialize(module)?;
        }
        let bytes = module.weight();
        if self.has(Flaw::StoresUnderOwnId) && module.code_id() != engine.id() {
            return self
                .inner
                .save(hash, engine, &engine.compile(module.wasm())?);
        }
        if let Some(outcome) = self.refuses(bytes, self.inner.contains(hash, engine)?) {
            return Ok(outcome);
        }
        match self.inner.save(hash, engine, module) {
            Err(_) if self.has(Flaw::PretendsToSave) => Ok(SaveOutcome::Stored { bytes }),
            outcome => outcome,
        }
    }

    fn remove(&self, hash: ModuleHash, engine: &TestEngine) -> Result<bool, CacheError> {
        let (hash, engine) = (self.hash(hash), self.engine(engine));
        match self.flaw {
            Flaw::RemovesNothing => self.inner.contains(hash, engine),
            Flaw::RemoveSaysNo => self.inner.remove(hash, engine).map(|_| false),
            _ => self.inner.remove(hash, engine),
        }
    }

    fn load_resident(&self, hash: ModuleHash, engine: &TestEngine) -> Option<TestModule> {
        if self.has(Flaw::HidesResident) {
            return None;
        }
        self.inner
            .load_resident(self.hash(hash), self.engine(engine))
    }

    fn compile_permit(
        &self,
        hash: ModuleHash,
        engine: &TestEngine,
    ) -> Result<CompilePermit, CacheError> {
        self.permit(&EntryKey::new(hash, *engine.id()), || {
            self.inner.compile_permit(hash, engine)
        })
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        match self.flaw {
            Flaw::HidesEntries => None,
            _ => self.inner.entries(),
        }
    }

    fn load_sealed(
        &self,
        hash: ModuleHash,
        engine: &TestEngine,
        entry: SealedEntry<'static>,
    ) -> Result<Option<TestModule>, CacheError> {
        match self.flaw {
            Flaw::OpensNothing => Ok(None),
            _ => self.inner.load_sealed(hash, engine, entry),
        }
    }

    fn flush(&self) -> Result<(), CacheError> {
        match self.flaw {
            Flaw::FlushFails => Err(failure()),
            _ => self.inner.flush(),
        }
    }
}

impl<S: EntryStore> EntryStore for Flawed<S> {
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        let Some(entry) = self.inner.get(&self.entry_key(key))? else {
            return match self.flaw {
                Flaw::ErrsOnMiss => Err(failure()),
                _ => Ok(None),
            };
        };
        let mut artifact = artifact(&entry);
        match self.flaw {
            Flaw::CutsShort => artifact.truncate(artifact.len() / 2),
            Flaw::DamagesBytes => *artifact.last_mut().unwrap() ^= 1,
            _ => {}
        }
        Ok(Some(relabelled(*key, artifact)))
    }

    fn get_first(
        &self,
        key: &EntryKey,
        accepted: &[EngineId],
    ) -> Result<Option<SealedEntry<'static>>, CacheError> {
        let ids = iter::once(key.engine()).chain(accepted);
        for id in ids.take_while(|id| *id == key.engine() || !self.has(Flaw::IgnoresAcceptedIds)) {
            if let Some(entry) = self.get(&EntryKey::new(key.hash(), *id))? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        if entry.key() != key && !self.has(Flaw::AcceptsKeyMismatch) {
            return Err(failure());
        }
        let key = self.entry_key(key);
        let len = artifact(entry).len() as u64;
        if let Some(outcome) = self.refuses(len, self.inner.exists(&key)?) {
            return Ok(outcome);
        }
        if self.has(Flaw::GoneWhilePut) {
            self.inner.delete(&key)?;
            thread::sleep(Duration::from_millis(5));
        }
        self.inner.put(&key, &relabelled(key, artifact(entry)))
    }

    fn exists(&self, key: &EntryKey) -> Result<bool, CacheError> {
        Ok(self.has(Flaw::AlwaysContains) || self.inner.exists(&self.entry_key(key))?)
    }

    fn delete(&self, key: &EntryKey) -> Result<bool, CacheError> {
        let key = self.entry_key(key);
        match self.flaw {
            Flaw::RemovesNothing => self.inner.exists(&key),
            Flaw::RemoveSaysNo => self.inner.delete(&key).map(|_| false),
            _ => self.inner.delete(&key),
        }
    }

    fn permit(&self, key: &EntryKey) -> Result<CompilePermit, CacheError> {
        self.permit(key, || self.inner.permit(key))
    }

    fn rejected(&self, key: &EntryKey, reason: &(dyn Error + 'static)) {
        match self.flaw {
            Flaw::RejectionDeletes => drop(self.inner.delete(key)),
            _ => self.inner.rejected(key, reason),
        }
    }

    fn sync(&self) -> Result<(), CacheError> {
        match self.flaw {
            Flaw::FlushFails => Err(failure()),
            _ => self.inner.sync(),
        }
    }
}

struct Release(Arc<AtomicBool>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn artifact(entry: &SealedEntry<'_>) -> Vec<u8> {
    let mut stored = Vec::new();
    entry
        .write_to(&ReferenceStore::trust(), &mut stored)
        .unwrap();
    strip_footer(&stored).to_vec()
}

/// An entry that says of any bytes that they belong to any key.
fn relabelled(key: EntryKey, artifact: Vec<u8>) -> SealedEntry<'static> {
    // SAFETY: that the artifact belongs to the key is promised for the sake of engines that execute it.
    // The only engine in these tests is `TestEngine`, which executes nothing and checks every artifact with
    // safe code; that it does is what is tested here.
    unsafe { SealedEntry::from_artifact(key, artifact) }
}

fn failure() -> CacheError {
    CacheError::backend("flawed cache", "work", "it has a flaw")
}
