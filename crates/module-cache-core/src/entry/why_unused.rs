//! Why an engine does not use an entry of another id.

use crate::{ArtifactEngine, EngineId};

/// Explains why `engine` does not use code that is stored under the id `other`, by the id's label and the code's fields.
pub fn why_unused<E: ArtifactEngine>(engine: &E, other: &EngineId, artifact: &[u8]) -> String {
    let (label, own) = (other.label(), engine.id().label());
    let mut reasons = Vec::new();
    if label != own {
        let mut accepted = engine.accepted_ids().iter();
        let accepts = if accepted.any(|id| id.label() == label) {
            ", which accepts such code of the same settings and salt only"
        } else if label.starts_with(own) {
            ", which does not accept such code"
        } else {
            ""
        };
        reasons.push(format!(
            "it is code of {label}, and this engine is {own}{accepts}"
        ));
    }
    let (there, here) = (engine.code_fields_of(artifact), engine.code_fields());
    let is_told = !there.is_empty() && !here.is_empty();
    if is_told {
        reasons.extend(there.differences(&here));
    }
    if !reasons.is_empty() {
        return reasons.join("; ");
    }
    let text = if is_told {
        "all that the code tells is as here, so what differs is a salt, or what else only the id covers"
    } else if here.is_empty() {
        "the engine does not list what its code depends on"
    } else {
        "the code does not tell what it depends on"
    };
    text.to_owned()
}
