//! The cache as its users see it: a hit, or a miss if the storage does not work.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use module_cache_core::entry::{Promotion, has_entry, load_entry, open_entry, put_entry};
use module_cache_core::permit::CompilePermit;
use module_cache_core::{
    ArtifactEngine, CacheError, CacheStats, EngineId, EntryKey, EntryStore, FoundModule,
    ListedEntry, ModuleCache, ModuleHash, SaveOutcome, SealedEntry, Trust,
};
use opendal::Operator;

use crate::builder::RemoteCacheBuilder;
use crate::failure::Failure;
use crate::list::RemoteEntries;
use crate::shared::Shared;
use crate::stats::RemoteStats;
use crate::{backfill, io_thread, layout, list, write_index};

/// A cache of modules on object storage, Redis, or any other service of [`OpenDAL`](opendal).
///
/// Handles are cheap to clone. All calls can be made from any thread, inside of an async runtime or not; they block while
/// one thread, which all remote caches of the process share, does the I/O.
///
/// - **Load**: the end of the entry is fetched first, and refused if it is of another key or its signature is not accepted;
///   then the rest, several pieces at a time. Each frame is verified when it arrives, then decompressed, on all cores, and
///   written to its place: in memory, or in the file of a folder in front of this cache. Entries of other ids that the
///   engine [accepts](module_cache_core::Engine::accepted_ids) are requested at the same time.
/// - **Save**: the entry is put in a bounded queue and uploaded in the background.
///   [`flush`](ModuleCache::flush) waits for it, and so does dropping the last handle, up to a limit.
/// - **Failures**: every call has a time limit, and repeats requests that failed for a transient reason. After the first
///   failure, the storage is not used, so that loads are misses without delay, until a probe in the background succeeds.
///   All of this is counted, and each outage is logged once.
///
/// To serve many loads, put it behind a folder: `memory.with_fallback(disk).with_fallback(remote)`.
///
/// # Leases
///
/// Hosts that share the storage compile a module once: [`compile_permit`](ModuleCache::compile_permit) takes a lease there,
/// which lasts until the compiled module is uploaded, and for which others wait. A holder that dies delays them by one
/// [term](RemoteCacheBuilder::lease_term). Leases need a service with conditional writes (S3, GCS, Azure Blob), or Redis;
/// on others, each host compiles on its own.
///
/// # Trust
///
/// Anybody who can write an unsigned entry can run code in every host that loads it, so entries are signed: with the secret
/// half of a pair of keys, whose public half suffices to read (feature `ed25519`), or with one key that the hosts share.
/// Unsigned entries need an `unsafe` call. Each key has its own folder in the storage.
#[derive(Clone)]
pub struct RemoteCache {
    handle: Arc<Handle>,
}

impl RemoteCacheBuilder {
    /// The cache. Nothing is asked of the storage yet.
    pub fn build(self) -> RemoteCache {
        RemoteCache::with_options(self)
    }
}

/// Makes services known by their names, and brings an HTTP client, where no other one was chosen for the process.
pub(crate) fn install_default() {
    #[cfg(feature = "_http-client")]
    crate::http_client::install_default();
    opendal::install_default();
}

/// Waits for uploads when the last clone is dropped.
struct Handle {
    shared: Arc<Shared>,
    flush_limit: Duration,
}

impl RemoteCache {
    /// A cache with default options.
    pub fn new(operator: Operator, trust: Trust) -> Self {
        Self::builder(operator, trust).build()
    }

    /// Options for a cache on a storage that the caller created.
    pub fn builder(operator: Operator, trust: Trust) -> RemoteCacheBuilder {
        RemoteCacheBuilder::new(operator, trust)
    }

    fn with_options(options: RemoteCacheBuilder) -> Self {
        install_default();
        let flush_limit = options.flush_limit;
        Self {
            handle: Arc::new(Handle {
                shared: Arc::new(Shared::new(options)),
                flush_limit,
            }),
        }
    }

    /// Like [`EntryStore::get`], but a storage that does not work is an error rather than a miss.
    ///
    /// # Errors
    ///
    /// When the storage does not work, or has failed recently.
    pub fn try_get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        self.admitted("load the entry")?;
        self.shared()
            .get(key, &[])
            .map_err(|failure| failure.into_cache_error("load the entry"))
    }

    /// Like [`EntryStore::put`], but waits for the upload and returns its outcome. An entry that is already there is not
    /// uploaded again.
    ///
    /// # Errors
    ///
    /// When the storage does not work, or the entry is in a file that cannot be read.
    pub fn put_now(&self, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        self.shared()
            .put_now(entry)
            .map_err(|failure| failure.into_cache_error("store the entry"))
    }

    /// The engines of which the storage may have entries, by the names that [`list`](Self::list) takes.
    ///
    /// # Errors
    ///
    /// When the storage does not work, or cannot be listed and has no [index](Self::write_index): Redis, memcached and
    /// plain HTTP cannot be listed.
    pub fn engines(&self) -> Result<Vec<String>, CacheError> {
        self.admitted("list the engines")?;
        let signers = self.signers();
        list::engines(self.shared(), signers)
            .map_err(|failure| failure.into_cache_error("list the engines"))
    }

    /// Writes an index beside the entries of the key that signs first: [`list`](Self::list) and [`engines`](Self::engines)
    /// of caches that reach them over plain HTTP read it. Returns how many entries it names.
    ///
    /// # Errors
    ///
    /// When the storage does not work or cannot be listed, when this cache does not write, or the index would be larger
    /// than 64 MiB.
    pub fn write_index(&self) -> Result<u64, CacheError> {
        self.admitted("write the index")?;
        write_index::write(self.shared())
            .map_err(|failure| failure.into_cache_error("write the index"))
    }

    /// The entries of an engine by their names, in the order of their hashes, listed as the iterator advances. `behind` is
    /// the last module of an earlier list, to continue after it.
    ///
    /// # Errors
    ///
    /// When the storage has failed recently. A later error is the last item.
    pub fn list(
        &self,
        engine: &str,
        behind: Option<ModuleHash>,
    ) -> Result<RemoteEntries, CacheError> {
        self.admitted("list the entries")?;
        let entries = list::list(self.shared(), self.signers(), engine, behind);
        entries.map_err(|failure| failure.into_cache_error("list the entries"))
    }

    /// Puts an entry that was listed into another store, as [`promote`](EntryStore::promote) does, but does not return an
    /// entry that the other store did not keep. `None` if it was removed, or cannot be used.
    ///
    /// # Errors
    ///
    /// When the storage does not work, or has failed recently.
    pub fn promote_listed(
        &self,
        listed: &ListedEntry,
        to: &dyn EntryStore,
    ) -> Result<Option<Promotion>, CacheError> {
        self.admitted("load the entry")?;
        let promoted = match list::key_of(self.shared(), listed) {
            Ok(Some(key)) => self.shared().promote_only(&key, to),
            Ok(None) => Ok(None),
            Err(failure) => Err(failure),
        };
        promoted.map_err(|failure| failure.into_cache_error("load the entry"))
    }

    /// What this handle and its clones have done so far. Damaged entries are replaced, not deleted; `skipped` and `errors`
    /// count the effects of the storage's failures.
    pub fn stats(&self) -> CacheStats {
        self.shared().counters.snapshot()
    }

    /// Statistics that only a remote cache has.
    pub fn remote_stats(&self) -> RemoteStats {
        self.shared().remote_stats()
    }

    /// What was found, if the storage may be asked, counted as a hit or a miss.
    fn counted<T>(
        &self,
        get: impl FnOnce(&Arc<Shared>) -> Result<Option<T>, Failure>,
    ) -> Option<T> {
        let shared = self.shared();
        // A failure was counted and logged.
        let found = shared
            .admit()
            .then(|| get(shared))
            .and_then(|got| got.unwrap_or(None));
        match &found {
            Some(_) => shared.counters.hit(),
            None => shared.counters.miss(),
        }
        found
    }

    fn signers(&self) -> Vec<String> {
        layout::signers(&self.shared().demands.trust)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    fn admitted(&self, operation: &'static str) -> Result<(), CacheError> {
        if self.shared().admit() {
            Ok(())
        } else {
            Err(Failure::Rests.into_cache_error(operation))
        }
    }
}

impl<E: ArtifactEngine> ModuleCache<E> for RemoteCache {
    fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        Ok(self.find(hash, engine)?.map(|found| found.module))
    }

    fn find(
        &self,
        hash: ModuleHash,
        engine: &E,
    ) -> Result<Option<FoundModule<E::Module>>, CacheError> {
        load_entry(self, hash, engine)
    }

    fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        has_entry(self, hash, engine)
    }

    /// Does not ask whether the module is there: the upload does, later.
    fn save(
        &self,
        hash: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        put_entry(self, hash, engine, module)
    }

    fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        self.delete(&EntryKey::new(hash, *engine.id()))
    }

    fn compile_permit(&self, hash: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
        self.permit(&EntryKey::new(hash, *engine.id()))
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        Some(self)
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
        self.sync()
    }
}

impl EntryStore for RemoteCache {
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        self.get_first(key, &[])
    }

    fn get_first(
        &self,
        key: &EntryKey,
        accepted: &[EngineId],
    ) -> Result<Option<SealedEntry<'static>>, CacheError> {
        Ok(self.counted(|shared| shared.get(key, accepted)))
    }

    fn promote(
        &self,
        key: &EntryKey,
        accepted: &[EngineId],
        to: &dyn EntryStore,
    ) -> Result<Option<Promotion>, CacheError> {
        Ok(self.counted(|shared| shared.promote(key, accepted, to)))
    }

    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        if key != entry.key() {
            let reason = "it is the entry of another key";
            return Err(CacheError::backend(
                "remote storage",
                "store the entry",
                reason,
            ));
        }
        self.shared().put(entry).map_err(|failure| {
            self.shared().counters.error();
            failure.into_cache_error("store the entry")
        })
    }

    fn exists(&self, key: &EntryKey) -> Result<bool, CacheError> {
        Ok(self.shared().admit() && self.shared().contains(key).unwrap_or(false))
    }

    fn delete(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.admitted("remove the entry")?;
        self.shared()
            .remove(key)
            .map_err(|failure| failure.into_cache_error("remove the entry"))
    }

    fn permit(&self, key: &EntryKey) -> Result<CompilePermit, CacheError> {
        Ok(self.shared().permit(key))
    }

    fn rejected(&self, key: &EntryKey, reason: &(dyn Error + 'static)) {
        self.shared().counters.reject();
        self.shared().warn_of_entry(key, &reason);
    }

    fn offer(&self, key: &EntryKey, from: &dyn EntryStore) {
        backfill::offer(self.shared(), key, from);
    }

    fn sync(&self) -> Result<(), CacheError> {
        self.shared()
            .flush()
            .map_err(|failure| failure.into_cache_error("upload an entry"))
    }
}

impl fmt::Debug for RemoteCache {
    /// Without the storage's own account of itself, which has secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.shared().operator.info();
        out.debug_struct("RemoteCache")
            .field("service", &info.scheme())
            .field("root", &info.root())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.shared.uploads.is_idle() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let idle = io_thread::run(self.flush_limit, async move {
            shared.uploads.idle().await;
            Ok(())
        });
        if idle.is_err() {
            tracing::warn!(limit = ?self.flush_limit, "not everything was uploaded before the cache was closed");
        }
    }
}
