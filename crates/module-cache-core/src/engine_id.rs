//! What compiled code depends on, as a digest and a label for people.

use std::fmt;
use std::hash::{Hash, Hasher};

/// Identifies the stored code that an engine can run: equal ids mean interchangeable code.
///
/// The 32-byte digest covers everything that compiled code depends on: the engine and its version, the
/// compiler and its flags, the artifact format, the target and its CPU features, the wasm features,
/// whether it is a module or a component, tunables, and a salt of the caller. The label is for people (it
/// names folders and appears in listings) and takes no part in comparisons.
///
/// ```
/// use module_cache_core::EngineId;
///
/// let id = |cpu: &str| EngineId::builder("example-1.0").field("cpu", cpu).build();
/// assert_eq!(id("sse4"), id("sse4"));
/// assert_ne!(id("sse4"), id("avx2"));
/// assert_eq!(id("avx2").label(), "example-1.0");
/// ```
#[derive(Clone, Copy)]
pub struct EngineId {
    digest: [u8; 32],
    label: [u8; Self::LABEL_LEN],
}

impl EngineId {
    /// The longest label, in bytes. Longer ones are cut.
    pub const LABEL_LEN: usize = 48;

    /// Starts an id. The label counts as its first field.
    ///
    /// A label keeps lower-case ASCII letters, digits, `.`, `_` and `-`; upper case becomes lower case, and every other
    /// character becomes `-`.
    pub fn builder(label: &str) -> EngineIdBuilder {
        let builder = EngineIdBuilder {
            hasher: blake3::Hasher::new_derive_key("module-cache 2026 engine id v1"),
            label: clean_label(label),
        };
        builder.field("label", label)
    }

    /// An id from its parts, as a footer or a message holds them.
    pub fn from_parts(label: &str, digest: [u8; 32]) -> Self {
        Self {
            digest,
            label: clean_label(label),
        }
    }

    /// The digest of everything that compiled code depends on.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The name for people, at most [`LABEL_LEN`](Self::LABEL_LEN) bytes; never empty.
    pub fn label(&self) -> &str {
        let len = self
            .label
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(Self::LABEL_LEN);
        std::str::from_utf8(&self.label[..len]).unwrap_or_else(|_| unreachable!("labels are ASCII"))
    }
}

impl PartialEq for EngineId {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for EngineId {}

impl Hash for EngineId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// The label, a dash, and the first 16 digits of the digest: enough to tell engines apart.
impl fmt::Display for EngineId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-", self.label())?;
        out.write_str(&blake3::Hash::from_bytes(self.digest).to_hex()[..16])
    }
}

impl fmt::Debug for EngineId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "EngineId({self})")
    }
}

/// Collects the fields of an [`EngineId`]; created by [`EngineId::builder`].
///
/// The name and the length of each field are part of the digest, and so is the order of fields.
#[derive(Debug, Clone)]
pub struct EngineIdBuilder {
    hasher: blake3::Hasher,
    label: [u8; EngineId::LABEL_LEN],
}

impl EngineIdBuilder {
    /// Adds a named value.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), value.as_ref()] {
            self.hasher.update(&(part.len() as u64).to_le_bytes());
            self.hasher.update(part);
        }
        self
    }

    /// The finished id.
    pub fn build(self) -> EngineId {
        EngineId {
            digest: *self.hasher.finalize().as_bytes(),
            label: self.label,
        }
    }
}

fn clean_label(label: &str) -> [u8; EngineId::LABEL_LEN] {
    let label = if label.is_empty() { "engine" } else { label };
    let mut cleaned = [0; EngineId::LABEL_LEN];
    for (to, from) in cleaned.iter_mut().zip(label.chars()) {
        let from = from.to_ascii_lowercase();
        // A folder is named after it: no dot in front, nothing that a shell or a file system minds.
        *to = match from {
            'a'..='z' | '0'..='9' | '.' | '_' => from as u8,
            _ => b'-',
        };
    }
    if cleaned[0] == b'.' {
        cleaned[0] = b'-';
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_never_changes() {
        let id = EngineId::builder("Golden 1.0")
            .field("cpu", "avx2")
            .field("flags", blake3::hash(&[7]).as_bytes())
            .build();
        assert_eq!(id.to_string(), "golden-1.0-f92439541059af92");
    }

    #[test]
    fn fields_cannot_run_into_each_other() {
        let id = |name, value| EngineId::builder("e").field(name, value).build();
        assert_ne!(id("ab", "c"), id("a", "bc"));
        assert_ne!(
            EngineId::builder("e").field("a", "").field("b", "").build(),
            EngineId::builder("e").field("a", "b").build()
        );
    }

    #[test]
    fn a_label_is_fit_for_a_folder_name() {
        for (label, expected) in [
            ("", "engine"),
            ("../Ünïcode", "-.--n-code"),
            ("a/b\0c", "a-b-c"),
        ] {
            assert_eq!(EngineId::builder(label).build().label(), expected);
        }
        assert_eq!(
            EngineId::builder(&"x".repeat(99)).build().label(),
            "x".repeat(48)
        );
    }

    #[test]
    fn labels_that_are_cleaned_alike_are_still_two_engines() {
        assert_ne!(
            EngineId::builder("A").build(),
            EngineId::builder("a").build()
        );
    }
}
