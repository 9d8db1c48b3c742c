//! What is in a storage, for whoever copies it elsewhere.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::TryStreamExt;
use module_cache_core::{EntryKey, ListedEntry};

use crate::failure::Failure;
use crate::shared::Shared;
use crate::{fetch, io_thread, layout};

/// Lists all entries. Each page of the answer has the time limit.
pub(crate) fn list(shared: &Arc<Shared>) -> Result<Vec<ListedEntry>, Failure> {
    let shared = Arc::clone(shared);
    io_thread::run_unlimited(async move {
        let mut entries = Vec::new();
        for signer in layout::signers(&shared.demands.trust) {
            let lister = shared.operator.lister_with(&signer).recursive(true);
            let lister = async { Ok(lister.await?) };
            let mut lister = io_thread::in_time(shared.time_limit, lister).await?;
            loop {
                let next = async { Ok(lister.try_next().await?) };
                let Some(found) = io_thread::in_time(shared.time_limit, next).await? else {
                    break;
                };
                if let Some((engine, hash)) = layout::parse_entry(found.path(), &signer) {
                    let bytes = found.metadata().content_length();
                    entries.push(ListedEntry::new(engine, hash, bytes));
                }
            }
        }
        // Of what two keys have signed, one is enough.
        let mut seen = HashSet::new();
        entries.retain(|entry| seen.insert((entry.engine.clone(), entry.hash)));
        Ok(entries)
    })
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
            let footer = fetch::footer(&shared.operator, &path).await?;
            let key = footer.map(|footer| *footer.key());
            if let Some(key) = key.filter(|key| key.to_string() == name) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    })
}
