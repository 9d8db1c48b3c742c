//! Why an engine does not use an entry of another id.

use crate::{ArtifactEngine, EngineId};

/// Explains why `engine` does not use code that is stored under the id `other`, by the id's label and the code's fields.
pub fn why_unused<E: ArtifactEngine>(engine: &E, other: &EngineId, artifact: &[u8]) -> String {
    let own = engine.id().label();
    let mut reasons = Vec::new();
    if other.label() != own {
        reasons.push(format!(
            "it is code of {}, and this engine is {own}",
            other.label()
        ));
    }
    let (there, here) = (engine.code_fields_of(artifact), engine.code_fields());
    let is_told = !there.is_empty() && !here.is_empty();
    if is_told {
        reasons.extend(there.differences(&here));
    }
    let mut accepted = engine.accepted_ids().iter();
    if other.label() != own && accepted.any(|id| id.label() == other.label()) {
        // What is of another CPU only would be accepted.
        reasons.push(
            "code of that name is accepted from an engine of these settings and salt".to_owned(),
        );
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
