//! What compiled code depends on, field by field: an id is a digest, which does not show people why two ids differ.

use std::fmt;

/// What compiled code depends on: names and values, for people to read. No decision is based on it.
///
/// Characters that cannot be printed are escaped, because the values may be untrusted.
///
/// ```
/// use module_cache_core::CodeFields;
///
/// let here: CodeFields = [("target", "x86_64"), ("fuel", "off")].into_iter().collect();
/// let there: CodeFields = [("target", "x86_64"), ("fuel", "on")].into_iter().collect();
/// assert_eq!(here.to_string(), "target: x86_64\nfuel: off\n");
/// assert_eq!(there.differences(&here), ["fuel is on, and off here"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeFields(Vec<(String, String)>);

impl CodeFields {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How these fields, of stored code, differ from those of an engine here. A field that only one side has is not a
    /// difference.
    pub fn differences(&self, here: &Self) -> Vec<String> {
        let differs = |(name, there): &(String, String)| {
            let (_, here) = here.0.iter().find(|(known, _)| known == name)?;
            (there != here).then(|| format!("{name} is {there}, and {here} here"))
        };
        self.0.iter().filter_map(differs).collect()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for CodeFields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let shown = |text: String| text.escape_debug().to_string();
        let fields = fields.into_iter();
        Self(
            fields
                .map(|(name, value)| (shown(name.into()), shown(value.into())))
                .collect(),
        )
    }
}

/// One field a line.
impl fmt::Display for CodeFields {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            writeln!(out, "{name}: {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_one_side_tells_is_no_difference() {
        let there: CodeFields = [("fuel", "on"), ("salt", "1")].into_iter().collect();
        let here: CodeFields = [("cpu", "any"), ("fuel", "off")].into_iter().collect();
        assert_eq!(there.differences(&here), ["fuel is on, and off here"]);
        assert_eq!(here.differences(&there), ["fuel is off, and on here"]);
        assert!(there.differences(&CodeFields::default()).is_empty());
    }
}
