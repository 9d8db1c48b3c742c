//! Where everything lies below the operator's root.
//!
//! ```text
//! v1/<engine label>-<16 hex of its digest>/<module hash>           sealed entries
//! v1/leases/<engine label>-<16 hex of its digest>/<module hash>    who compiles at the moment
//! ```

use module_cache_core::{EntryKey, ModuleHash};

/// The folder of this format. A version that cannot read it uses another.
pub(crate) const ROOT: &str = "v1/";

/// Nothing is here: a place to ask for when all that matters is the answer.
pub(crate) const PROBE: &str = "v1/probe";

/// The object of an entry.
pub(crate) fn entry(key: &EntryKey) -> String {
    format!("{ROOT}{key}")
}

/// The object of the lease on a key.
pub(crate) fn lease(key: &EntryKey) -> String {
    format!("{ROOT}leases/{key}")
}

/// The engine's folder and the module of what is called so, if it is an entry.
pub(crate) fn parse_entry(path: &str) -> Option<(&str, ModuleHash)> {
    let (engine, module) = path.strip_prefix(ROOT)?.split_once('/')?;
    // A lease has one part more.
    Some((engine, module.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use module_cache_core::EngineId;

    use super::*;

    #[test]
    fn an_entry_is_told_from_a_lease_by_its_name() {
        let module = ModuleHash::of(b"wasm");
        let key = EntryKey::new(module, EngineId::builder("Engine 1.0").build());
        let engine = key.engine().to_string();
        assert_eq!(parse_entry(&entry(&key)), Some((engine.as_str(), module)));
        for other in [
            lease(&key),
            PROBE.to_owned(),
            "v1/".to_owned(),
            "v2/x".to_owned(),
        ] {
            assert_eq!(parse_entry(&other), None, "{other}");
        }
    }
}
