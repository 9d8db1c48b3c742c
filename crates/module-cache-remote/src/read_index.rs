//! Reading the [indexes](crate::index) of a storage that cannot be listed.

use std::sync::Arc;

use futures_util::TryStreamExt;
use module_cache_core::ListedEntry;

use crate::failure::Failure;
use crate::shared::Shared;
use crate::{index, layout};

/// The entries that the indexes of these signers name.
pub(crate) async fn read(
    shared: &Shared,
    signers: &[String],
) -> Result<Arc<Vec<ListedEntry>>, Failure> {
    if let Some(entries) = shared.index.fresh() {
        return Ok(entries);
    }
    let (mut entries, mut is_there) = (Vec::new(), false);
    for signer in signers {
        match read_text(shared, &layout::index(signer)).await {
            Ok(text) => {
                is_there = true;
                entries.extend(index::parse(&text).ok_or(Failure::BadIndex)?);
            }
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure),
        }
    }
    if !is_there {
        return Err(Failure::NoIndex);
    }
    let entries = Arc::new(entries);
    shared.index.set(Arc::clone(&entries));
    Ok(entries)
}

/// As long as something comes.
async fn read_text(shared: &Shared, path: &str) -> Result<Vec<u8>, Failure> {
    let open = async || Ok(shared.operator.reader(path).await?.into_stream(..).await?);
    let mut stream = shared.request(open).await?;
    let mut text = Vec::new();
    loop {
        let next = async { Ok(stream.try_next().await?) };
        let Some(bytes) = shared.flow.within_limit(next).await? else {
            return Ok(text);
        };
        text.extend(bytes.into_iter().flatten());
        if text.len() as u64 > index::LARGEST {
            return Err(Failure::LargeIndex(index::LARGEST));
        }
    }
}
