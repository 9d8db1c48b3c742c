//! What an operator does with a folder: list, verify and prune it. All of these are safe while programs use the folder.

use std::time::UNIX_EPOCH;

use module_cache_core::{CacheError, EntryStore, InvalidEntry, ListedEntry, SealedEntry};

use crate::file_system_cache::FileSystemCache;
use crate::ledger::LedgerGuard;
use crate::open_entry::{self, Refusal};
use crate::prune::{self, PruneOptions, PruneReport};
use crate::scan::{Listed, Listing};
use crate::usage::Usage;
use crate::verify::{self, VerifyReport};
use crate::{clock, layout};

impl FileSystemCache {
    /// Removes the least recently used entries until the limits hold, and files that dead processes left behind.
    ///
    /// Entries that cannot be removed are passed over, and counted in the report. Loads go on meanwhile, and modules that
    /// are in use stay usable; saves wait, and may be skipped. Only files with names of this crate are deleted. The time is
    /// proportional to the number of entries.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use module_cache_filesystem::{FileSystemCache, PruneOptions};
    /// # let folder = tempfile::tempdir()?;
    /// # let cache = FileSystemCache::open(folder.path().join("cache"))?;
    ///
    /// let report = cache.prune(&PruneOptions {
    ///     max_age: Some(Duration::from_secs(3600 * 30 * 24)),
    ///     ..PruneOptions::default()
    /// })?;
    /// println!("removed {} entries, {} bytes", report.removed, report.removed_bytes);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the folder is not writable, cannot be listed, or stays locked by others. A dry run only needs to list it.
    pub fn prune(&self, options: &PruneOptions) -> Result<PruneReport, CacheError> {
        let folder = &*self.folder;
        let prune = |guard: Option<&mut LedgerGuard<'_>>| {
            let size = options.max_size.map_or_else(|| folder.max_size(), Ok)?;
            let age = options.max_age.or(folder.policy.max_age);
            let (mut report, guard) = match guard {
                Some(guard) => (
                    prune::shrink(folder, guard, size, u64::MAX, age)?,
                    Some(&*guard),
                ),
                None => (prune::dry_run(folder, size, age)?, None),
            };
            report.stale_files = prune::remove_stale_files(&folder.directory, guard)?;
            Ok(report)
        };
        let pruned = if options.dry_run {
            prune(None)
        } else {
            folder.with_ledger(|guard| prune(Some(guard)))
        };
        pruned.map_err(|error| folder.error("prune", "", error))
    }

    /// Counts what is in the folder by listing it. The time is proportional to the number of entries.
    ///
    /// # Errors
    ///
    /// When the folder cannot be listed.
    pub fn usage(&self) -> Result<Usage, CacheError> {
        Ok(Usage::of(&self.listing()?, self.folder.directory.path()))
    }

    /// The entries in the folder, in no particular order. The time is proportional to their number; none is opened.
    ///
    /// The time of the last use is recorded to half a minute; without a record, it is the time at which the entry was
    /// stored.
    ///
    /// # Errors
    ///
    /// When the folder cannot be listed.
    pub fn list(&self) -> Result<Vec<ListedEntry>, CacheError> {
        let hints = self.folder.hints.as_ref();
        let now = clock::now();
        let listed = |entry: Listed| {
            let last_use = UNIX_EPOCH + prune::last_use(hints, &entry, now);
            let mut listed = ListedEntry::new(entry.engine, entry.hash, entry.attributes.size);
            let stored = clock::from_nanoseconds(entry.attributes.modified);
            listed.stored = Some(UNIX_EPOCH + stored);
            listed.last_use = Some(last_use);
            listed
        };
        Ok(self.listing()?.entries.into_iter().map(listed).collect())
    }

    /// Reads one entry that [`list`](Self::list) returned, verified as [`get`](EntryStore::get) does. `None` if it was
    /// removed, or cannot be used.
    ///
    /// ```
    /// use module_cache_core::{Compile, ModuleCache, ModuleHash};
    /// # use module_cache_filesystem::FileSystemCache;
    /// # use module_cache_testkit::{TestEngine, wasm};
    /// # let folder = tempfile::tempdir()?;
    /// # let cache = FileSystemCache::open(folder.path().join("cache"))?;
    /// # let (engine, wasm) = (TestEngine::new("doc"), wasm(1, 100));
    /// let key = ModuleHash::of(&wasm);
    /// cache.save(key, &engine, &engine.compile(&wasm)?)?;
    ///
    /// for listed in cache.list()? {
    ///     if let Some(entry) = cache.get_listed(&listed)? {
    ///         assert_eq!(entry.key().hash(), listed.hash);
    ///         assert_eq!(entry.key().engine().to_string(), listed.engine);
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the folder cannot be read; never because of one bad entry.
    pub fn get_listed(
        &self,
        listed: &ListedEntry,
    ) -> Result<Option<SealedEntry<'static>>, CacheError> {
        let Some(name) = layout::listed_entry(listed) else {
            return Ok(None);
        };
        let folder = &*self.folder;
        let opened = folder.open_listed(&listed.engine, listed.hash);
        let key = opened.map(|opened| {
            let (file, attributes) = opened?;
            let footer = open_entry::footer_of(&file, &attributes)
                .map_err(|error| Refusal::Unreadable { error, attributes })?;
            let key = footer.and_then(|footer| {
                let key = *footer.key();
                if layout::entry(&key) == name {
                    Ok(key)
                } else {
                    Err(InvalidEntry::KeyMismatch(Box::new(key)))
                }
            });
            key.map_err(|reason| Refusal::Invalid { reason, attributes })
        });
        match key {
            Ok(Ok(key)) => self.get(&key),
            Ok(Err(refusal)) => {
                folder.refused(&name, &refusal);
                Ok(None)
            }
            Err(error) => Err(folder.error("read the entry", &name, error)),
        }
    }

    /// Compares every entry with its checksum, on all cores, even if it was verified before. A damaged entry counts as not
    /// verified from then on, in every process, unless this handle cannot write to the folder.
    ///
    /// With `repair`, unusable entries are removed: damaged ones, and those stored in the place of another. Entries signed
    /// with an unknown key, and files of other users, stay. `progress` is called with the length of each entry when it is
    /// done, from several threads.
    ///
    /// ```
    /// use module_cache_filesystem::FileSystemCache;
    /// # let folder = tempfile::tempdir()?;
    /// # let cache = FileSystemCache::open(folder.path().join("cache"))?;
    ///
    /// let report = cache.verify(false, &|_len| ())?;
    /// for fault in &report.faults {
    ///     eprintln!("{fault}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the folder cannot be listed. Faulty entries are in the report.
    pub fn verify(
        &self,
        repair: bool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<VerifyReport, CacheError> {
        Ok(verify::verify(
            &self.folder,
            &self.listing()?,
            repair,
            progress,
        ))
    }

    /// Removes one entry that [`list`](Self::list) returned. Returns how many bytes that freed, in whole blocks of 4 KiB: 0
    /// if the entry was not there any more.
    ///
    /// # Errors
    ///
    /// When the folder is not writable, or stays locked by others.
    pub fn remove_listed(&self, listed: &ListedEntry) -> Result<u64, CacheError> {
        let Some(name) = layout::listed_entry(listed) else {
            return Ok(0);
        };
        self.folder
            .remove(&name, None)
            .map(|freed| freed.unwrap_or(0))
            .map_err(|error| self.folder.error("remove the entry", &name, error))
    }

    fn listing(&self) -> Result<Listing, CacheError> {
        self.folder
            .list()
            .map_err(|error| self.folder.error("list", "", error))
    }
}
