//! Which entries a command is about: those of an engine, of some hashes, or all.

use std::fmt;
use std::str::FromStr;

use module_cache::{EntryInfo, ModuleHash};
use serde::Serialize;

use crate::args::{EngineArg, SelectArgs};

/// The entries that were selected, and what selects none.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) entries: Vec<EntryInfo>,
    pub(crate) problems: Vec<Problem>,
}

/// An argument that selects nothing, or not one thing, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    pub(crate) argument: String,
    pub(crate) error: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.argument, self.error)
    }
}

/// The first digits of a module's hash, or all of them.
#[derive(Debug, Clone)]
pub(crate) struct HashPrefix(String);

/// Fewer digits meet by chance.
const LEAST_DIGITS: usize = 8;

impl Selection {
    /// Selects from `entries`.
    pub(crate) fn of(entries: Vec<EntryInfo>, args: &SelectArgs) -> Self {
        let mut problems = Vec::new();
        let mut entries = of_engine(entries, &args.engine);
        if let Some(engine) = &args.engine.engine
            && entries.is_empty()
        {
            problems.push(Problem {
                argument: engine.clone(),
                error: "the cache has nothing of such an engine; see `module-cache size`".into(),
            });
        }
        // One that names the engine wrongly need not be told that its hashes are missing, too.
        if args.hashes.is_empty() || !problems.is_empty() {
            return Self { entries, problems };
        }

        let mut modules = Vec::new();
        for prefix in &args.hashes {
            match prefix.only_one_of(&entries) {
                Ok(module) => modules.push(module),
                Err(error) => problems.push(Problem {
                    argument: prefix.0.clone(),
                    error,
                }),
            }
        }
        entries.retain(|entry| modules.contains(&entry.module));
        Self { entries, problems }
    }
}

/// The entries whose engine is meant.
pub(crate) fn of_engine(mut entries: Vec<EntryInfo>, arg: &EngineArg) -> Vec<EntryInfo> {
    if let Some(engine) = &arg.engine {
        // The folder's name begins with the label.
        entries.retain(|entry| entry.engine.starts_with(engine));
    }
    entries
}

impl HashPrefix {
    /// The one module of `entries` whose hash begins so. It may have an entry for each of many engines.
    fn only_one_of(&self, entries: &[EntryInfo]) -> Result<ModuleHash, String> {
        let mut modules: Vec<_> = entries
            .iter()
            .map(|entry| entry.module)
            .filter(|module| module.to_string().starts_with(&self.0))
            .collect();
        modules.sort_unstable();
        modules.dedup();
        match modules[..] {
            [module] => Ok(module),
            [] => Err("the cache has no such module; see `module-cache ls`".into()),
            _ => Err(format!(
                "the hashes of {} modules begin so; give more digits",
                modules.len()
            )),
        }
    }
}

impl FromStr for HashPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let len = ModuleHash::from_bytes([0; 32]).to_string().len();
        if !(LEAST_DIGITS..=len).contains(&text.len())
            || !text.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(format!(
                "a hash is {len} hexadecimal digits, or the first {LEAST_DIGITS} or more of them"
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}
