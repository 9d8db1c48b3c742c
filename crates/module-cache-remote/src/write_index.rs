//! Writing an [index](crate::index) of what a storage has.

use std::sync::Arc;

use module_cache_core::SkipReason;

use crate::failure::Failure;
use crate::index::{LARGEST, Text};
use crate::shared::Shared;
use crate::{layout, list};

/// Lists what the key that signs first has signed, writes that down, and says how many entries it is.
pub(crate) fn write(shared: &Arc<Shared>) -> Result<u64, Failure> {
    if shared.read_only() {
        return Err(Failure::Skipped(SkipReason::ReadOnly));
    }
    if !list::can_list(shared) {
        return Err(Failure::Unlistable);
    }
    let signer = layout::signers(&shared.demands.trust).swap_remove(0);
    let mut text = Text::new();
    for engine in list::engines(shared, vec![signer.clone()])? {
        let mut entries = list::list(shared, vec![signer.clone()], &engine, None)?;
        while let Some(entry) = entries.next_or_failure() {
            text.push(&entry?);
            if text.len() > LARGEST {
                return Err(Failure::LargeIndex(LARGEST));
            }
        }
    }
    let count = text.count;
    shared.ask("write the index", async move |shared| {
        shared
            .write(&layout::index(&signer), text.end().into())
            .await
    })?;
    Ok(count)
}
