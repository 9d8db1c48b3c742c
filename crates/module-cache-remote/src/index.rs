//! A list of entries as an object beside them, for who reads a storage that cannot be listed, such as a web server.
//!
//! It is text, a line for each entry: `<engine>/<module hash> <bytes>`. Nothing signs it: what it says wrongly is a miss.

use std::fmt::Write;
use std::sync::Arc;

use futures_util::TryStreamExt;
use module_cache_core::{ListedEntry, ModuleHash, SkipReason};

use crate::failure::Failure;
use crate::shared::Shared;
use crate::{layout, list};

/// The largest that is written or read: some 600,000 entries.
const LARGEST: u64 = 64 << 20;

/// Lists what the key that signs first has signed, writes that down, and says how many entries it is.
pub(crate) fn write(shared: &Arc<Shared>) -> Result<u64, Failure> {
    if shared.read_only() {
        return Err(Failure::Skipped(SkipReason::ReadOnly));
    }
    if !list::can_list(shared) {
        return Err(Failure::Unlistable);
    }
    let signer = layout::signers(&shared.demands.trust).swap_remove(0);
    let (mut text, mut count) = (String::new(), 0);
    for engine in list::engines(shared, vec![signer.clone()])? {
        let mut entries = list::list(shared, vec![signer.clone()], &engine, None)?;
        while let Some(entry) = entries.next_or_failure() {
            let entry = entry?;
            let _ = writeln!(text, "{}/{} {}", entry.engine, entry.hash, entry.bytes);
            count += 1;
            if text.len() as u64 > LARGEST {
                return Err(Failure::LargeIndex(LARGEST));
            }
        }
    }
    shared.ask("write the index", async move |shared| {
        let write = async || {
            let text = text.clone();
            let written = shared.operator.write(&layout::index(&signer), text).await;
            Ok(written.map(drop)?)
        };
        shared.request(write).await
    })?;
    Ok(count)
}

/// The entries that the indexes of these signers name.
pub(crate) async fn read(shared: &Shared, signers: &[String]) -> Result<Vec<ListedEntry>, Failure> {
    let (mut entries, mut is_there) = (Vec::new(), false);
    for signer in signers {
        if let Some(text) = read_text(shared, signer).await? {
            is_there = true;
            entries.extend(parse(&text));
        }
    }
    is_there.then_some(entries).ok_or(Failure::NoIndex)
}

async fn read_text(shared: &Shared, signer: &str) -> Result<Option<Vec<u8>>, Failure> {
    let path = layout::index(signer);
    let read = async || {
        let reader = shared.operator.reader(&path).await?;
        let mut stream = reader.into_stream(..).await?;
        let mut text = Vec::new();
        while let Some(bytes) = stream.try_next().await? {
            shared.flow.came();
            text.extend(bytes.into_iter().flatten());
            if text.len() as u64 > LARGEST {
                return Err(Failure::LargeIndex(LARGEST));
            }
        }
        Ok(text)
    };
    match shared.request(read).await {
        Ok(text) => Ok(Some(text)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The lines that name an entry.
fn parse(text: &[u8]) -> Vec<ListedEntry> {
    let lines = text.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| parse_line(std::str::from_utf8(line).ok()?))
        .collect()
}

fn parse_line(line: &str) -> Option<ListedEntry> {
    let (name, bytes) = line.trim_end().split_once(' ')?;
    let (engine, hash) = name.split_once('/')?;
    let hash: ModuleHash = hash.parse().ok()?;
    let is_name = !engine.is_empty() && !engine.starts_with('.');
    is_name.then_some(ListedEntry::new(engine, hash, bytes.parse().ok()?))
}
