//! A list of entries as an object beside them, for who reads a storage that cannot be listed, such as a web server.
//!
//! It is text: a first line, a line `<engine>/<module hash> <bytes>` for each entry, and a last line with their number, by which
//! one that was cut is known. Nothing signs it: what it says wrongly is a miss.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use module_cache_core::{ListedEntry, ModuleHash};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The largest that is written or read: some 600,000 entries.
pub(crate) const LARGEST: u64 = 64 << 20;

const FIRST_LINE: &str = "module-cache index 1";
const LAST_LINE: &str = "entries: ";

/// For so long, one that was read is not read again: who asks for the engines asks for their entries next.
const FRESH: Duration = Duration::from_mins(1);

/// What was read last, and when.
#[derive(Debug, Default)]
pub(crate) struct Index(Mutex<Option<(Instant, Arc<Vec<ListedEntry>>)>>);

impl Index {
    pub(crate) fn fresh(&self) -> Option<Arc<Vec<ListedEntry>>> {
        let known = self.0.lock();
        let (at, entries) = known.as_ref()?;
        (at.elapsed() < FRESH).then(|| Arc::clone(entries))
    }

    pub(crate) fn set(&self, entries: Arc<Vec<ListedEntry>>) {
        *self.0.lock() = Some((Instant::now(), entries));
    }
}

/// The text of an index, as it is written.
#[derive(Debug)]
pub(crate) struct Text {
    text: String,
    pub(crate) count: u64,
}

impl Text {
    pub(crate) fn new() -> Self {
        Self {
            text: format!("{FIRST_LINE}\n"),
            count: 0,
        }
    }

    pub(crate) fn push(&mut self, entry: &ListedEntry) {
        let _ = writeln!(self.text, "{}/{} {}", entry.engine, entry.hash, entry.bytes);
        self.count += 1;
    }

    pub(crate) fn len(&self) -> u64 {
        self.text.len() as u64
    }

    pub(crate) fn end(mut self) -> String {
        let _ = writeln!(self.text, "{LAST_LINE}{}", self.count);
        self.text
    }
}

/// The lines that name an entry; `None` for what is no index, or not all of one.
pub(crate) fn parse(text: &[u8]) -> Option<Vec<ListedEntry>> {
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
