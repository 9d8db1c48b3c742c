//! Which entries a command is about: those of an engine, of some hashes, or all.

use std::fmt;
use std::str::FromStr;

use module_cache::{ModuleHash, backend::ListedEntry};
use serde::Serialize;

use crate::args::{EngineArg, SelectArgs};

/// The entries that were selected, and what selects none.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) entries: Vec<ListedEntry>,
    pub(crate) problems: Vec<Problem>,
}

/// A place that can list what it has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Folder,
    #[cfg(feature = "remote")]
    Remote,
}

impl Place {
    /// What to say where the place has nothing of an engine.
    fn no_engine(self) -> &'static str {
        match self {
            Self::Folder => "the cache has no entries of such an engine; see `module-cache size`",
            #[cfg(feature = "remote")]
            Self::Remote => "the remote storage has no entries of such an engine",
        }
    }

    /// What to say where the place does not have a module.
    fn no_module(self) -> &'static str {
        match self {
            Self::Folder => "the cache has no such module; see `module-cache ls`",
            #[cfg(feature = "remote")]
            Self::Remote => "the remote storage has no such module",
        }
    }
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
    /// Selects from `entries`, which are all that the place has.
    pub(crate) fn of(place: Place, entries: Vec<ListedEntry>, args: &SelectArgs) -> Self {
        let mut problems = Vec::new();
        let mut entries = of_engine(entries, &args.engine);
        if let Some(engine) = &args.engine.engine
            && entries.is_empty()
        {
            problems.push(Problem {
                argument: engine.clone(),
                error: place.no_engine().into(),
            });
        }
        // One that names the engine wrongly need not be told that its hashes are missing, too.
        if args.hashes.is_empty() || !problems.is_empty() {
            return Self { entries, problems };
        }

        let mut modules = Vec::new();
        for prefix in &args.hashes {
            match prefix.only_one_of(place, &entries) {
                Ok(module) => modules.push(module),
                Err(error) => problems.push(Problem {
                    argument: prefix.0.clone(),
                    error,
                }),
            }
        }
        entries.retain(|entry| modules.contains(&entry.hash));
        Self { entries, problems }
    }
}

/// The entries whose engine is meant.
pub(crate) fn of_engine(mut entries: Vec<ListedEntry>, arg: &EngineArg) -> Vec<ListedEntry> {
    entries.retain(|entry| arg.means(&entry.engine));
    entries
}

impl EngineArg {
    /// Whether the engine whose folder has this name is meant.
    pub(crate) fn means(&self, folder: &str) -> bool {
        let meant = self.engine.as_ref();
        meant.is_none_or(|engine| is_meant(folder, engine))
    }
}

/// Whether `arg` means the engine whose folder has this name: it is the beginning of it, with the version
/// or without.
fn is_meant(folder: &str, arg: &str) -> bool {
    folder.starts_with(arg) || without_version(folder).is_some_and(|name| name.starts_with(arg))
}

/// A folder's name as `compile --engine` would have it: `wasmer-cranelift-…` of `wasmer-7.4.2-cranelift-…`.
fn without_version(folder: &str) -> Option<String> {
    let (engine, rest) = folder.split_once('-')?;
    let (version, rest) = rest.split_once('-')?;
    version
        .starts_with(|first: char| first.is_ascii_digit())
        .then(|| format!("{engine}-{rest}"))
}

#[cfg(feature = "remote")]
impl SelectArgs {
    /// Whether a module with this hash may be one of those that are named.
    pub(crate) fn may_mean(&self, module: &ModuleHash) -> bool {
        let prefixes = &self.hashes;
        prefixes.is_empty() || prefixes.iter().any(|prefix| prefix.begins(module))
    }
}

impl HashPrefix {
    fn begins(&self, module: &ModuleHash) -> bool {
        module.to_string().starts_with(&self.0)
    }

    /// The one module of `entries` whose hash begins so. It may have an entry for each of many engines.
    fn only_one_of(&self, place: Place, entries: &[ListedEntry]) -> Result<ModuleHash, String> {
        let mut modules: Vec<_> = entries
            .iter()
            .map(|entry| entry.hash)
            .filter(|module| self.begins(module))
            .collect();
        modules.sort_unstable();
        modules.dedup();
        match modules[..] {
            [module] => Ok(module),
            [] => Err(place.no_module().into()),
            _ => Err(format!(
                "the hashes of {} modules begin with these digits; give more",
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
