//! Why a load is a miss although code of the same module is stored.

use std::iter;

use module_cache_core::entry::why_unused;
use module_cache_core::{Artifact, ArtifactEngine, CacheError, ModuleHash};

use crate::FileSystemCache;

impl FileSystemCache {
    /// Explains for each entry of a module that `engine` cannot run why: the name of the entry's engine, and how that
    /// differs. A load that misses logs the same as a debug event.
    ///
    /// Lists the folder, and reads those entries as a load would.
    ///
    /// ```
    /// use module_cache_core::{Compile, ModuleCache, ModuleHash};
    /// # use module_cache_filesystem::FileSystemCache;
    /// # use module_cache_testkit::{TestEngine, wasm};
    /// # let folder = tempfile::tempdir()?;
    /// # let cache = FileSystemCache::open(folder.path().join("cache"))?;
    /// let (engine, wasm) = (TestEngine::new("one-1.0"), wasm(1, 100));
    /// let hash = ModuleHash::of(&wasm);
    /// cache.save(hash, &engine, &engine.compile(&wasm)?)?;
    ///
    /// for (engine, reason) in cache.explain_miss(hash, &TestEngine::new("one-2.0"))? {
    ///     assert!(engine.starts_with("one-1.0-"));
    ///     assert_eq!(reason, "it is code of one-1.0, and this engine is one-2.0");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn explain_miss<E: ArtifactEngine>(
        &self,
        hash: ModuleHash,
        engine: &E,
    ) -> Result<Vec<(String, String)>, CacheError> {
        let mut others = self.list()?;
        let ids = iter::once(engine.id()).chain(engine.accepted_ids());
        let used: Vec<_> = ids.map(ToString::to_string).collect();
        others.retain(|entry| entry.hash == hash && !used.contains(&entry.engine));
        others.sort_by(|a, b| a.engine.cmp(&b.engine));
        let mut reasons = Vec::new();
        for listed in others {
            let reason = match self.get_listed(&listed)? {
                None => "it cannot be used".to_owned(),
                Some(entry) => {
                    let id = *entry.key().engine();
                    match entry.into_artifact().and_then(Artifact::into_bytes) {
                        Ok(artifact) => why_unused(engine, &id, &artifact),
                        Err(error) => format!("it cannot be read: {error}"),
                    }
                }
            };
            reasons.push((listed.engine, reason));
        }
        Ok(reasons)
    }

    /// Tells those who debug; costs others one look at what is listened to.
    pub(crate) fn log_miss<E: ArtifactEngine>(&self, hash: ModuleHash, engine: &E) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        for (other, reason) in self.explain_miss(hash, engine).unwrap_or_default() {
            tracing::debug!(%hash, engine = %engine.id(), other, reason, "an entry of another engine is not used");
        }
    }
}
