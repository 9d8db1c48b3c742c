//! Caches and stores behind references and smart pointers are caches and stores, with every method.

use std::error::Error;
use std::sync::Arc;

use crate::entry::Promotion;
use crate::permit::CompilePermit;
use crate::{
    CacheError, Engine, EngineId, EntryKey, EntryStore, FoundModule, ModuleCache, ModuleHash,
    SaveOutcome, SealedEntry,
};

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        // A default method that is not forwarded would silently lose what the pointee does.
        #[deny(clippy::missing_trait_methods)]
        impl<E: Engine, C: ModuleCache<E> + ?Sized> ModuleCache<E> for $pointer {
            fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
                (**self).load(hash, engine)
            }

            fn find(
                &self,
                hash: ModuleHash,
                engine: &E,
            ) -> Result<Option<FoundModule<E::Module>>, CacheError> {
                (**self).find(hash, engine)
            }

            fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
                (**self).contains(hash, engine)
            }

            fn save(
                &self,
                hash: ModuleHash,
                engine: &E,
                module: &E::Module,
            ) -> Result<SaveOutcome, CacheError> {
                (**self).save(hash, engine, module)
            }

            fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
                (**self).remove(hash, engine)
            }

            fn load_resident(&self, hash: ModuleHash, engine: &E) -> Option<E::Module> {
                (**self).load_resident(hash, engine)
            }

            fn compile_permit(&self, hash: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
                (**self).compile_permit(hash, engine)
            }

            fn entries(&self) -> Option<&dyn EntryStore> {
                (**self).entries()
            }

            fn storages(&self) -> Vec<&dyn EntryStore> {
                (**self).storages()
            }

            fn load_sealed(
                &self,
                hash: ModuleHash,
                engine: &E,
                entry: SealedEntry<'static>,
            ) -> Result<Option<E::Module>, CacheError> {
                (**self).load_sealed(hash, engine, entry)
            }

            fn flush(&self) -> Result<(), CacheError> {
                (**self).flush()
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<C: EntryStore + ?Sized> EntryStore for $pointer {
            fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
                (**self).get(key)
            }

            fn get_first(
                &self,
                key: &EntryKey,
                accepted: &[EngineId],
            ) -> Result<Option<SealedEntry<'static>>, CacheError> {
                (**self).get_first(key, accepted)
            }

            fn promote(
                &self,
                key: &EntryKey,
                accepted: &[EngineId],
                to: &dyn EntryStore,
            ) -> Result<Option<Promotion>, CacheError> {
                (**self).promote(key, accepted, to)
            }

            fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
                (**self).put(key, entry)
            }

            fn exists(&self, key: &EntryKey) -> Result<bool, CacheError> {
                (**self).exists(key)
            }

            fn delete(&self, key: &EntryKey) -> Result<bool, CacheError> {
                (**self).delete(key)
            }

            fn permit(&self, key: &EntryKey) -> Result<CompilePermit, CacheError> {
                (**self).permit(key)
            }

            fn rejected(&self, key: &EntryKey, reason: &(dyn Error + 'static)) {
                (**self).rejected(key, reason);
            }

            fn offer(&self, key: &EntryKey, from: &dyn EntryStore) {
                (**self).offer(key, from);
            }

            fn handle(&self) -> Option<Box<dyn EntryStore + Send + Sync>> {
                (**self).handle()
            }

            fn sync(&self) -> Result<(), CacheError> {
                (**self).sync()
            }
        }
    )*};
}

forward!(&C, Box<C>, Arc<C>);
