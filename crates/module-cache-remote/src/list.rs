//! What is in a storage, for whoever copies it elsewhere.

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
        let lister = shared.operator.lister_with(layout::ROOT).recursive(true);
        let mut lister = io_thread::in_time(shared.time_limit, async { Ok(lister.await?) }).await?;
        let mut entries = Vec::new();
        loop {
            let next = async { Ok(lister.try_next().await?) };
            let Some(found) = io_thread::in_time(shared.time_limit, next).await? else {
                return Ok(entries);
            };
            if let Some((engine, hash)) = layout::parse_entry(found.path()) {
                let bytes = found.metadata().content_length();
                entries.push(ListedEntry::new(engine, hash, bytes));
            }
        }
    })
}

/// The whole key of an entry, from its footer; `None` where there is no entry that its name describes.
pub(crate) fn key_of(
    shared: &Arc<Shared>,
    listed: &ListedEntry,
) -> Result<Option<EntryKey>, Failure> {
    let name = format!("{}/{}", listed.engine, listed.hash);
    let path = format!("{}{name}", layout::ROOT);
    let footer = shared.ask("look at an entry", async move |shared| {
        fetch::footer(&shared.operator, &path).await
    })?;
    Ok(footer
        .map(|footer| *footer.key())
        .filter(|key| key.to_string() == name))
}
