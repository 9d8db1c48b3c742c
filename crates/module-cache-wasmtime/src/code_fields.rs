//! What wasmtime writes into each artifact about the engine that made it, by wasmtime's own names.

use module_cache_core::CodeFields;
use serde::Deserialize;
use wasmtime_environ::wasmparser::WasmFeatures;
use wasmtime_environ::{FlagValue, Tunables};

/// As wasmtime writes it (`engine/serialization.rs`, of wasmtime 36 to 50).
#[derive(Deserialize)]
struct Metadata<'a> {
    target: String,
    #[serde(borrow)]
    shared_flags: Vec<(&'a str, FlagValue<'a>)>,
    #[serde(borrow)]
    isa_flags: Vec<(&'a str, FlagValue<'a>)>,
    tunables: Tunables,
    features: u64,
}

/// Those of wasmtime take a tenth of this.
const LONGEST: usize = 16 << 10;

/// Reads the [section](crate::accepted::engine_section) of an artifact: its format, the module version with its length, and
/// the metadata. Of a version that is not that of the section `own`, the metadata may have other fields, and is not read.
pub(crate) fn code_fields(section: &[u8], own: &[u8]) -> CodeFields {
    let Some((version, metadata)) = split(section).filter(|_| section.len() <= LONGEST) else {
        return CodeFields::default();
    };
    let mut fields = vec![(
        "module version".to_owned(),
        String::from_utf8_lossy(version).into_owned(),
    )];
    if split(own).is_some_and(|(own, _)| own == version) {
        fields.extend(metadata_fields(metadata).unwrap_or_default());
    }
    fields.into_iter().collect()
}

fn split(section: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[_format, version_len], rest) = section.split_first_chunk()?;
    rest.split_at_checked(version_len.into())
}

fn metadata_fields(metadata: &[u8]) -> Option<Vec<(String, String)>> {
    let metadata: Metadata<'_> = postcard::from_bytes(metadata).ok()?;
    let field = |name: &str, value: String| (name.to_owned(), value);
    let mut fields = vec![field("target", metadata.target)];
    let flags = metadata.shared_flags.iter().chain(&metadata.isa_flags);
    fields.extend(flags.map(|(name, value)| field(name, value.to_string())));
    fields.extend(debug_fields(&format!("{:#?}", metadata.tunables)));
    let features = WasmFeatures::from_bits_truncate(metadata.features);
    for (name, flag) in WasmFeatures::all().iter_names() {
        let value = features.contains(flag).to_string();
        fields.push((format!("wasm {}", name.to_lowercase()), value));
    }
    Some(fields)
}

/// The fields of a struct, from what `{:#?}` makes of it: each begins a line that is indented once, and may take more.
fn debug_fields(text: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("    ")) {
        match (
            line.starts_with([' ', '}', ')', ']']),
            line.split_once(": "),
        ) {
            (false, Some((name, value))) => fields.push((name.to_owned(), value.to_owned())),
            _ => {
                if let Some((_, value)) = fields.last_mut() {
                    value.push_str(line.trim());
                }
            }
        }
    }
    for (_, value) in &mut fields {
        *value = value.replace(",)", ")").replace(",]", "]");
        *value = value.trim_end_matches(',').to_owned();
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_take_several_lines_are_one_value() {
        #[derive(Debug)]
        struct Sample {
            #[expect(dead_code, reason = "read by Debug")]
            flag: bool,
            #[expect(dead_code, reason = "read by Debug")]
            inner: Option<Vec<u8>>,
        }
        let sample = Sample {
            flag: true,
            inner: Some(vec![1, 2]),
        };
        let fields = debug_fields(&format!("{sample:#?}"));
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(fields, [("flag", "true"), ("inner", "Some([1,2])")]);
    }

    #[test]
    fn of_what_is_no_section_nothing_is_known() {
        for bytes in [&b""[..], b"\0", b"\0\xff1"] {
            assert!(code_fields(bytes, bytes).is_empty());
        }
        assert_eq!(
            code_fields(b"\0\x011?", b"\0\x011?").to_string(),
            "module version: 1\n"
        );
    }
}
