//! Where everything lies below the operator's root.
//!
//! ```text
//! v1/<signer>/<engine label>-<16 hex of its digest>/<module hash>           sealed entries
//! v1/<signer>/leases/<engine label>-<16 hex of its digest>/<module hash>    who compiles at the moment
//! v1/<signer>/index                                                         what there is, if somebody wrote it down
//! ```
//!
//! The signer is the name of a key, or `unsigned`: groups with other keys do not replace each other's entries, nor wait for
//! each other.

use module_cache_core::{EntryKey, KeyId, ModuleHash, Trust};

/// The folder of this format. A version that cannot read it uses another.
pub(crate) const ROOT: &str = "v1/";

/// Nothing is here: a place to ask for when all that matters is the answer.
pub(crate) const PROBE: &str = "v1/probe";

/// The folder of what one key signs, or of what no key does.
pub(crate) fn signer(key: Option<KeyId>) -> String {
    match key {
        Some(key) => format!("{ROOT}{key}/"),
        None => format!("{ROOT}unsigned/"),
    }
}

/// The folders in which acceptable entries are, that of the key which signs first.
pub(crate) fn signers(trust: &Trust) -> Vec<String> {
    let unsigned = (!trust.is_signed()).then_some(None);
    let keys = trust.key_ids().map(Some);
    keys.chain(unsigned).map(signer).collect()
}

/// The object of an entry.
pub(crate) fn entry(key: &EntryKey, by: Option<KeyId>) -> String {
    format!("{}{key}", signer(by))
}

/// The objects that may be an acceptable entry.
pub(crate) fn entries(key: &EntryKey, trust: &Trust) -> Vec<String> {
    let mut paths = signers(trust);
    for path in &mut paths {
        path.push_str(&key.to_string());
    }
    paths
}

/// The object of the lease on a key, among those who sign so.
pub(crate) fn lease(key: &EntryKey, by: Option<KeyId>) -> String {
    format!("{}leases/{key}", signer(by))
}

/// The list of what a signer has signed, where somebody has written one.
pub(crate) fn index(signer: &str) -> String {
    format!("{signer}index")
}

/// The engine's folder that is called so in the folder of a signer, if it is one.
pub(crate) fn parse_engine<'a>(path: &'a str, signer: &str) -> Option<&'a str> {
    let engine = path.strip_prefix(signer)?.strip_suffix('/')?;
    (engine != "leases" && !engine.is_empty() && !engine.contains('/')).then_some(engine)
}

/// The engine's folder and the module of what is called so in the folder of a signer, if it is an entry.
pub(crate) fn parse_entry<'a>(path: &'a str, signer: &str) -> Option<(&'a str, ModuleHash)> {
    let (engine, module) = path.strip_prefix(signer)?.split_once('/')?;
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
        let by = signer(None);
        let found = (engine.as_str(), module);
        assert_eq!(parse_entry(&entry(&key, None), &by), Some(found));
        for other in [
            lease(&key, None),
            PROBE.to_owned(),
            "v1/".to_owned(),
            "v2/x".to_owned(),
        ] {
            assert_eq!(parse_entry(&other, &by), None, "{other}");
        }
    }
}
