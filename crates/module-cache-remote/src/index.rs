//! A list of entries as an object beside them, for who reads a storage that cannot be listed, such as a web server.
//!
//! It is text: a first line, a line `<engine>/<module hash> <bytes>` for each entry, and a last line with their number, by which
//! one that was cut is known. Nothing signs it: what it says wrongly is a miss.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use module_cache_core::{ListedEntry, ModuleHash, SkipReason};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::shared::Shared;
use crate::{layout, list};

/// The largest that is written or read: some 600,000 entries.
const LARGEST: u64 = 64 << 20;

const FIRST_LINE: &str = "module-cache index 1";
const LAST_LINE: &str = "entries: ";

/// For so long, one that was read is not read again: who asks for the engines asks for their entries next.
const FRESH: Duration = Duration::from_mins(1);

/// What was read last, and when.
#[derive(Debug, Default)]
pub(crate) struct Index(Mutex<Option<(Instant, Arc<Vec<ListedEntry>>)>>);

/// Lists what the key that signs first has signed, writes that down, and says how many entries it is.
pub(crate) fn write(shared: &Arc<Shared>) -> Result<u64, Failure> {
    if shared.read_only() {
        return Err(Failure::Skipped(SkipReason::ReadOnly));
    }
    if !list::can_list(shared) {
        return Err(Failure::Unlistable);
    }
    let signer = layout::signers(&shared.demands.trust).swap_remove(0);
    let (mut text, mut count) = (format!("{FIRST_LINE}\n"), 0);
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
    let _ = writeln!(text, "{LAST_LINE}{count}");
    shared.ask("write the index", async move |shared| {
        shared.write(&layout::index(&signer), text.into()).await
    })?;
    Ok(count)
}

/// The entries that the indexes of these signers name.
pub(crate) async fn read(
    shared: &Shared,
    signers: &[String],
) -> Result<Arc<Vec<ListedEntry>>, Failure> {
    if let Some((at, entries)) = &*shared.index.0.lock()
        && at.elapsed() < FRESH
    {
        return Ok(Arc::clone(entries));
    }
    let (mut entries, mut is_there) = (Vec::new(), false);
    for signer in signers {
        match read_text(shared, &layout::index(signer)).await {
            Ok(text) => {
                is_there = true;
                entries.extend(parse(&text).ok_or(Failure::BadIndex)?);
            }
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure),
        }
    }
    if !is_there {
        return Err(Failure::NoIndex);
    }
    let entries = Arc::new(entries);
    *shared.index.0.lock() = Some((Instant::now(), Arc::clone(&entries)));
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
        if text.len() as u64 > LARGEST {
            return Err(Failure::LargeIndex(LARGEST));
        }
    }
}

/// The lines that name an entry; `None` for what is no index, or not all of one.
fn parse(text: &[u8]) -> Option<Vec<ListedEntry>> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.trim_end().lines();
    let count = lines.next_back()?.strip_prefix(LAST_LINE)?.parse();
    let is_whole = lines.next()? == FIRST_LINE && count == Ok(lines.clone().count());
    is_whole.then(|| lines.filter_map(parse_line).collect())
}

fn parse_line(line: &str) -> Option<ListedEntry> {
    let (name, bytes) = line.split_once(' ')?;
    let (engine, hash) = name.split_once('/')?;
    let hash: ModuleHash = hash.parse().ok()?;
    let is_name = !engine.is_empty() && !engine.starts_with('.');
    is_name.then_some(ListedEntry::new(engine, hash, bytes.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_index_or_was_cut_is_none() {
        let hash = ModuleHash::of(b"wasm");
        let whole = format!("{FIRST_LINE}\ne-1/{hash} 7\n../x/{hash} 7\n{LAST_LINE}2\n");
        let entries = parse(whole.as_bytes()).unwrap();
        assert_eq!(entries, [ListedEntry::new("e-1", hash, 7)]);
        for len in 0..whole.len() - 1 {
            assert_eq!(parse(&whole.as_bytes()[..len]), None, "{len}");
        }
        assert_eq!(parse(b"<html>please log in</html>"), None);
        assert_eq!(parse(whole.replace("index 1", "index 2").as_bytes()), None);
    }
}
