//! The environment variables that this command reads, where its options do not say.

use std::env;
use std::ffi::OsString;

/// The cache folder.
pub(crate) const CACHE_DIR: &str = "MODULE_CACHE_DIR";

/// The URI of a remote storage. One with a password is better kept here: everybody can see command lines.
pub(crate) const REMOTE: &str = "MODULE_CACHE_REMOTE";

/// The key that entries are signed with, itself.
pub(crate) const SIGNING_KEY: &str = "MODULE_CACHE_SIGNING_KEY";

/// The variable's value. An empty one counts as not set.
pub(crate) fn get(variable: &str) -> Option<OsString> {
    env::var_os(variable).filter(|value| !value.is_empty())
}
