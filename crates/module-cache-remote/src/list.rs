//! What is in a storage, for whoever copies it elsewhere: one engine after the other, in pages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::TryStreamExt;
use module_cache_core::{CacheError, EntryKey, ListedEntry, ModuleHash};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::shared::Shared;
use crate::{fetch, io_thread, layout, read_index};

/// How many entries wait to be taken.
const PAGE: usize = 1000;

/// The entries of one engine, asked for page by page as they are taken; from
/// [`RemoteCache::list`](crate::RemoteCache::list).
///
/// It ends with the first error.
#[derive(Debug)]
pub struct RemoteEntries(mpsc::Receiver<Result<ListedEntry, Failure>>);

impl Iterator for RemoteEntries {
    type Item = Result<ListedEntry, CacheError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_or_failure()?;
        Some(next.map_err(|failure| failure.into_cache_error("list the entries")))
    }
}

impl RemoteEntries {
    pub(crate) fn next_or_failure(&mut self) -> Option<Result<ListedEntry, Failure>> {
        io_thread::block_on(self.0.recv())
    }
}

/// The engines of which these signers may have entries, in the order of their names.
pub(crate) fn engines(shared: &Arc<Shared>, signers: Vec<String>) -> Result<Vec<String>, Failure> {
    shared.ask("list the engines", async move |shared| {
        let mut engines = BTreeSet::new();
        if !can_list(&shared) {
            let entries = read_index::read(&shared, &signers).await?;
            engines.extend(entries.iter().map(|entry| entry.engine.clone()));
            return Ok(engines.into_iter().collect());
        }
        for signer in signers {
            let list = async || Ok(shared.operator.lister(&signer).await?);
            let mut lister = shared.request(list).await?;
            while let Some(found) = step(&shared, &mut lister).await? {
                engines.extend(layout::parse_engine(found.path(), &signer).map(str::to_owned));
            }
        }
        Ok(engines.into_iter().collect())
    })
}

/// Whether the storage tells what it has. If not, there may be an index.
pub(crate) fn can_list(shared: &Shared) -> bool {
    shared.operator.info().capability().list
}

/// The entries of an engine behind a module.
pub(crate) fn list(
    shared: &Arc<Shared>,
    signers: Vec<String>,
    engine: &str,
    behind: Option<ModuleHash>,
) -> Result<RemoteEntries, Failure> {
    let (send, entries) = mpsc::channel(PAGE);
    let (shared, engine) = (Arc::clone(shared), engine.to_owned());
    io_thread::spawn(async move {
        if let Err(failure) = send_all(&shared, signers, &engine, behind, &send).await {
            shared.failed("list the entries", &failure);
            let _ = send.send(Err(failure)).await;
        }
    })?;
    Ok(RemoteEntries(entries))
}

async fn send_all(
    shared: &Shared,
    signers: Vec<String>,
    engine: &str,
    behind: Option<ModuleHash>,
    to: &mpsc::Sender<Result<ListedEntry, Failure>>,
) -> Result<(), Failure> {
    let in_order = signers.len() == 1 && shared.operator.info().capability().list_with_start_after;
    let is_behind =
        |hash: ModuleHash| behind.is_none_or(|behind| hash.as_bytes() > behind.as_bytes());
    // What comes in no order, or from several keys, of which one is enough for an entry.
    let mut sorted = BTreeMap::new();
    if !can_list(shared) {
        for entry in read_index::read(shared, &signers).await?.iter() {
            if entry.engine == engine && is_behind(entry.hash) {
                let entry = entry.clone();
                sorted.entry(*entry.hash.as_bytes()).or_insert(entry);
            }
        }
        send_sorted(sorted, to).await;
        return Ok(());
    }
    for signer in signers {
        let folder = format!("{signer}{engine}/");
        let list = async || {
            let mut lister = shared.operator.lister_with(&folder);
            if let Some(behind) = behind.filter(|_| in_order) {
                lister = lister.start_after(&format!("{folder}{behind}"));
            }
            Ok(lister.await?)
        };
        let mut lister = shared.request(list).await?;
        while let Some(found) = step(shared, &mut lister).await? {
            let Some((engine, hash)) = layout::parse_entry(found.path(), &signer) else {
                continue;
            };
            if !is_behind(hash) {
                continue;
            }
            let entry = ListedEntry::new(engine, hash, found.metadata().content_length());
            if !in_order {
                sorted.entry(*hash.as_bytes()).or_insert(entry);
            } else if to.send(Ok(entry)).await.is_err() {
                return Ok(());
            }
        }
    }
    send_sorted(sorted, to).await;
    Ok(())
}

async fn send_sorted(
    sorted: BTreeMap<[u8; 32], ListedEntry>,
    to: &mpsc::Sender<Result<ListedEntry, Failure>>,
) {
    for entry in sorted.into_values() {
        if to.send(Ok(entry)).await.is_err() {
            return;
        }
    }
}

/// How many time limits a step takes at most: some services answer it with many requests.
const STEP_LIMITS: u32 = 12;

async fn step(
    shared: &Shared,
    lister: &mut opendal::Lister,
) -> Result<Option<opendal::Entry>, Failure> {
    let next = async { Ok(lister.try_next().await?) };
    io_thread::in_time(shared.time_limit * STEP_LIMITS, next).await
}

/// The whole key of an entry, from its footer; `None` where there is no entry that its name describes.
pub(crate) fn key_of(
    shared: &Arc<Shared>,
    listed: &ListedEntry,
) -> Result<Option<EntryKey>, Failure> {
    let name = format!("{}/{}", listed.engine, listed.hash);
    shared.ask("look at an entry", async move |shared| {
        for signer in layout::signers(&shared.demands.trust) {
            let path = format!("{signer}{name}");
            let look = || fetch::footer(&shared.operator, &path, &shared.flow);
            let key = shared.request(look).await?.map(|footer| *footer.key());
            if let Some(key) = key.filter(|key| key.to_string() == name) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    })
}
