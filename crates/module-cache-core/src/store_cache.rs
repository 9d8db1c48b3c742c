//! A cache over any store.

use crate::entry::{has_entry, load_entry, open_entry, save_entry};
use crate::permit::CompilePermit;
use crate::{
    ArtifactEngine, CacheError, EntryKey, EntryStore, FoundModule, ModuleCache, ModuleHash,
    SaveOutcome, SealedEntry,
};

/// The simplest [`ModuleCache`] over an [`EntryStore`], which suffices for most stores. It keeps no live modules.
///
/// ```
/// use module_cache_core::{ArtifactEngine, CacheError, EntryStore, ModuleCache, ModuleHash, StoreCache};
///
/// fn has<E: ArtifactEngine>(store: impl EntryStore, wasm: &[u8], engine: &E) -> Result<bool, CacheError> {
///     StoreCache(store).contains(ModuleHash::of(wasm), engine)
/// }
/// ```
#[derive(Debug, Clone, Default)]
pub struct StoreCache<S>(
    /// The store.
    pub S,
);

#[deny(clippy::missing_trait_methods)]
impl<E: ArtifactEngine, S: EntryStore> ModuleCache<E> for StoreCache<S> {
    fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        Ok(self.find(hash, engine)?.map(|found| found.module))
    }

    fn find(
        &self,
        hash: ModuleHash,
        engine: &E,
    ) -> Result<Option<FoundModule<E::Module>>, CacheError> {
        load_entry(&self.0, hash, engine)
    }

    fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        has_entry(&self.0, hash, engine)
    }

    fn save(
        &self,
        hash: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        save_entry(&self.0, hash, engine, module)
    }

    fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        self.0.delete(&EntryKey::new(hash, *engine.id()))
    }

    fn load_resident(&self, _: ModuleHash, _: &E) -> Option<E::Module> {
        None
    }

    fn compile_permit(&self, hash: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
        self.0.permit(&EntryKey::new(hash, *engine.id()))
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        Some(&self.0)
    }

    fn storages(&self) -> Vec<&dyn EntryStore> {
        vec![&self.0]
    }

    fn load_sealed(
        &self,
        hash: ModuleHash,
        engine: &E,
        entry: SealedEntry<'static>,
    ) -> Result<Option<E::Module>, CacheError> {
        Ok(Some(open_entry(hash, engine, entry)?))
    }

    fn flush(&self) -> Result<(), CacheError> {
        self.0.sync()
    }
}
