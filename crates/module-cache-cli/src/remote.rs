//! A storage that machines share, and how it stands behind the cache folder.

use anyhow::Result;
use module_cache::{
    ArtifactEngine, CacheError, CompilePermit, EntryKey, EntryStore, FallbackCache, ModuleCache,
    ModuleHash, SaveOutcome, SealedEntry, SkipReason, load_entry, open_entry, put_entry,
};
#[cfg(feature = "remote")]
use {
    crate::signing_key,
    anyhow::{Context, anyhow},
    module_cache::RemoteCache,
};

use crate::args::RemoteArgs;
use crate::reporting_cache::ReportingCache;

/// The cache of a command: what it does not have is looked for in the remote storage, and kept.
pub(crate) type Tiers = FallbackCache<ReportingCache, Remote>;

/// A remote storage, or none. Where there is none it has nothing and takes nothing.
#[derive(Debug)]
pub(crate) struct Remote {
    store: Option<Box<dyn EntryStore + Send + Sync>>,
}

impl Remote {
    pub(crate) fn none() -> Self {
        Self { store: None }
    }

    /// The storage that was asked for, if any. Nothing is asked of it yet, so that it works is not sure.
    ///
    /// # Errors
    ///
    /// When its name is wrong, or the key cannot be had.
    pub(crate) fn open(args: &RemoteArgs) -> Result<Self> {
        #[cfg(feature = "remote")]
        if args.uri()?.is_some() {
            return Ok(Self {
                store: Some(Box::new(connect(args)?)),
            });
        }
        // In a build without, a name is wrong.
        #[cfg(not(feature = "remote"))]
        args.uri()?;
        Ok(Self::none())
    }

    pub(crate) fn is_none(&self) -> bool {
        self.store.is_none()
    }

    /// Waits for what is on its way there. What failed was told when it did.
    pub(crate) fn settle(&self) {
        if let Some(store) = &self.store {
            let _ = store.flush();
        }
    }
}

/// The storage that was asked for. Nothing is asked of it yet.
///
/// # Errors
///
/// When none is named or its name is wrong, or the key cannot be had.
#[cfg(feature = "remote")]
pub(crate) fn connect(args: &RemoteArgs) -> Result<RemoteCache> {
    let uri = args.uri()?.context("no remote storage is named")?;
    let trust = signing_key::trust(&args.trust)?;
    // The rest of the name may be a secret.
    let builder = RemoteCache::from_uri(uri.as_str(), trust).map_err(|error| {
        anyhow!(
            "{:#}; see `module-cache run --help` for how storages are named",
            anyhow::Error::from(error)
        )
        .context(format!("the {} storage", uri.scheme()))
    })?;
    Ok(builder.build())
}

#[deny(clippy::missing_trait_methods)]
impl<E: ArtifactEngine> ModuleCache<E> for Remote {
    fn load(&self, key: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        match &self.store {
            Some(store) => load_entry(store, key, engine),
            None => Ok(None),
        }
    }

    fn contains(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        match &self.store {
            Some(store) => store.contains(&EntryKey::new(key, *engine.id())),
            None => Ok(false),
        }
    }

    /// The upload looks whether it is there, later.
    fn save(
        &self,
        key: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        match &self.store {
            Some(store) => put_entry(store, key, engine, module),
            None => Ok(SaveOutcome::Skipped(SkipReason::Absent)),
        }
    }

    fn remove(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        match &self.store {
            Some(store) => store.remove(&EntryKey::new(key, *engine.id())),
            None => Ok(false),
        }
    }

    fn load_resident(&self, _: ModuleHash, _: &E) -> Option<E::Module> {
        None
    }

    fn compile_permit(&self, key: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
        match &self.store {
            Some(store) => store.compile_permit(&EntryKey::new(key, *engine.id())),
            None => Ok(CompilePermit::Uncoordinated),
        }
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        let store: &dyn EntryStore = self.store.as_deref()?;
        Some(store)
    }

    fn load_sealed(
        &self,
        key: ModuleHash,
        engine: &E,
        entry: SealedEntry<'static>,
    ) -> Result<Option<E::Module>, CacheError> {
        Ok(Some(open_entry(key, engine, entry)?))
    }

    fn flush(&self) -> Result<(), CacheError> {
        self.store.as_ref().map_or(Ok(()), EntryStore::flush)
    }
}
