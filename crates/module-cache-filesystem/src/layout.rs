//! Where everything lies below the root. The tree is drawn in the crate's documentation.

use std::sync::atomic::{AtomicU64, Ordering};

use module_cache_core::{EngineId, EntryKey, ListedEntry, ModuleHash};

use crate::clock;

/// The format of the folder. A version that cannot read it uses a folder of another name.
pub(crate) const VERSION_DIR: &str = "v1";

pub(crate) const TEMPORARY_DIR: &str = "tmp";
pub(crate) const LOCK_DIR: &str = "locks";
pub(crate) const HINTS_FILE: &str = "hints";
pub(crate) const FILES_FILE: &str = "files";
pub(crate) const LEDGER_FILE: &str = "ledger";
pub(crate) const LIMIT_FILE: &str = "limit";

/// Files beside the versions, which tell backup programs and git to pass over the folder.
pub(crate) const MARKERS: [(&str, &str); 2] = [
    (
        "CACHEDIR.TAG",
        "Signature: 8a477f597d28d172789f06886806bc55\n\
         # This directory holds compiled WebAssembly modules, written by module-cache.\n\
         # They are made again when they are missing. See https://bford.info/cachedir/\n",
    ),
    (".gitignore", "*\n"),
];

/// The folder of an engine's entries.
pub(crate) fn engine_dir(engine: &EngineId) -> String {
    engine.to_string()
}

/// The file of an entry in that folder.
pub(crate) fn leaf(key: &EntryKey) -> String {
    key.hash().to_string()
}

/// The file of an entry, below the folder of the version.
pub(crate) fn entry(key: &EntryKey) -> String {
    key.to_string()
}

/// The same, where the engine is known by its folder.
pub(crate) fn entry_of(engine: &str, module: ModuleHash) -> String {
    format!("{engine}/{module}")
}

/// The file of an entry that was listed; `None` where it names the folder of no engine, as only a caller's own can.
pub(crate) fn listed_entry(listed: &ListedEntry) -> Option<String> {
    is_engine_dir(&listed.engine).then(|| entry_of(&listed.engine, listed.hash))
}

/// Whether this is the name of an engine's folder: a label that an engine can have, a dash, and 16 digits.
pub(crate) fn is_engine_dir(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(label, digits)| {
        (1..=EngineId::LABEL_LEN).contains(&label.len())
            && digits.len() == 16
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && label
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
    })
}

/// Whether this is one of the other names in the folder of the version.
pub(crate) fn is_own(name: &str) -> bool {
    [
        TEMPORARY_DIR,
        LOCK_DIR,
        HINTS_FILE,
        FILES_FILE,
        LEDGER_FILE,
        LIMIT_FILE,
    ]
    .contains(&name)
}

/// The lock of a key. Each later generation stands in for one whose holder fell silent.
pub(crate) fn lock(key: &EntryKey, generation: u32) -> String {
    lock_of(&engine_dir(key.engine()), key.hash(), generation)
}

/// The same, where the engine is known by its folder.
pub(crate) fn lock_of(engine: &str, module: ModuleHash, generation: u32) -> String {
    format!("{LOCK_DIR}/{engine}-{module}.{generation}")
}

/// Whether this is a name that [`temporary`] makes, below its folder.
pub(crate) fn is_temporary(name: &str) -> bool {
    let mut parts = name.split('-');
    let mut next = |radix| {
        let part = parts.next().unwrap_or_default();
        !part.is_empty() && part.chars().all(|digit| digit.is_digit(radix))
    };
    next(10) && next(16) && next(10) && next(10) && parts.next().is_none()
}

/// How long the file will be, as the name of a temporary says.
pub(crate) fn temporary_len(name: &str) -> u64 {
    let len = name.rsplit_once('-').and_then(|(_, len)| len.parse().ok());
    len.unwrap_or(0)
}

/// Whether this is a name that [`lock_of`] makes, below its folder.
pub(crate) fn is_lock(name: &str) -> bool {
    let parts = name
        .rsplit_once('.')
        .and_then(|(key, generation)| Some((key.rsplit_once('-')?, generation)));
    parts.is_some_and(|((engine, hash), generation)| {
        is_engine_dir(engine)
            && hash.parse::<ModuleHash>().is_ok()
            && generation.parse::<u32>().is_ok()
    })
}

/// A name for a temporary that no other process or thread picks.
///
/// It says how long the file will be: until its space is taken, that shows nowhere else.
pub(crate) fn temporary(len: u64) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // Process ids repeat between containers that share a folder; times hardly do.
    let time = clock::now().as_nanos();
    format!(
        "{TEMPORARY_DIR}/{}-{time:x}-{count}-{len}",
        std::process::id()
    )
}
