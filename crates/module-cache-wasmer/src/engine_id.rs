//! The identity of a wasmer engine: all that its code depends on.
//!
//! Of an artifact that it loads, wasmer checks the magic, the version of the metadata, and that the
//! engine's target has the CPU features which the code was compiled for. The rest is for the id to say:
//!
//! | field | why |
//! |---|---|
//! | wasmer's version | code calls its runtime through tables and offsets that any release may change |
//! | metadata version | how an artifact is laid out; a patched wasmer may change it alone |
//! | archive layout | it follows Cargo features of rkyv, which any crate of a program can turn on |
//! | compiler | which one, its optimization level and those of its options that change code |
//! | artifact format | rkyv or native: another linker, and other symbols |
//! | target | wasmer does not check it |
//! | CPU features | exactly these, so that no machine is kept on the code of a lesser one |
//! | wasm features | what is refused when compiled must not come from a cache |
//! | tunables | how memories and tables are guarded decides which bounds checks the code has |
//! | middlewares | how many there are, which is all that can be seen of them |
//! | middleware | the name that the embedder gives them |
//!
//! Not in it, because code does not depend on them: the number of threads, the verifier, perf maps,
//! debuggers and callbacks.

use std::fmt::Debug;

use module_cache_core::{EngineError, EngineId};
use rkyv::Serialize;
use rkyv::api::high::HighSerializer;
use rkyv::rancor;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use wasmer::sys::Tunables;
use wasmer::{MemoryType, TableType, Type};
use wasmer_types::MetadataHeader;

use crate::catch_panic::catch_panic;

type Archiver<'a> = HighSerializer<AlignedVec, ArenaHandle<'a>, rancor::Error>;

/// The id of code that `engine` compiles, whose middleware, if it has any, is called `middleware`.
///
/// # Errors
///
/// When the engine cannot tell enough about its code for it to be stored.
pub(crate) fn engine_id(
    engine: &wasmer::Engine,
    middleware: Option<&str>,
) -> Result<EngineId, EngineError> {
    // The engine's lock may be poisoned.
    catch_panic(|| compute(engine, middleware))?
}

fn compute(engine: &wasmer::Engine, middleware: Option<&str>) -> Result<EngineId, EngineError> {
    if !engine.is_sys() {
        return Err(EngineError::refused(
            "the engine does not make native code, so its modules cannot be stored",
        ));
    }
    let engine = engine.as_sys();
    let target = engine.target();
    // A module does not tell what it was compiled for beyond "not this machine", so `serialize` could not
    // refuse one of a third machine.
    if !target.is_native() {
        return Err(EngineError::refused(
            "the engine compiles for another machine; use one that compiles for this one",
        ));
    }
    let inner = engine.inner();
    let compiler = inner.compiler().map_err(|_| {
        EngineError::refused("the engine has no compiler and cannot compute its id; use `with_id`")
    })?;
    let middlewares = compiler.get_middlewares().len();
    if middlewares > 0 && middleware.is_none() {
        return Err(EngineError::refused(
            "the engine has middleware, which changes its code; name it, using `with_middleware`",
        ));
    }
    let cpu_features: Vec<String> = target
        .cpu_features()
        .iter()
        .map(|feature| feature.to_string())
        .collect();
    // The label counts as a field.
    let label = format!("wasmer-{}-{}", wasmer_types::VERSION, compiler.name());
    let fields = [
        (
            "metadata version",
            MetadataHeader::CURRENT_VERSION.to_string(),
        ),
        ("archive layout", archived(&(1_usize, 2_u8, 3_u64))?),
        ("compiler", compiler.deterministic_id()),
        ("artifact format", compiler.artifact_format()),
        ("target", target.triple().to_string()),
        ("cpu features", cpu_features.join(",")),
        ("wasm features", format!("{:?}", inner.features())),
        ("tunables", format!("{:?}", styles(engine.tunables()))),
        ("middlewares", middlewares.to_string()),
        ("middleware", middleware.unwrap_or_default().to_owned()),
    ];
    let id = EngineId::builder(&label);
    Ok(fields
        .iter()
        .fold(id, |id, (name, value)| id.field(name, value))
        .build())
}

/// What rkyv makes of a sample. The bytes show whether it aligns numbers, in which order it writes their bytes, and
/// how wide a `usize` is: in wasmer's archives it is the same.
fn archived(sample: &impl for<'a> Serialize<Archiver<'a>>) -> Result<String, EngineError> {
    let bytes = rkyv::to_bytes::<rancor::Error>(sample)
        .map_err(|error| EngineError::new("cannot archive a sample", error))?;
    Ok(format!("{bytes:02x?}"))
}

/// How memories and tables are guarded, asked for by examples of what tunables go by.
///
/// Tunables may answer otherwise for other memories. That is no danger: the artifact says what its code
/// was compiled for, and wasmer guards the memories of an instance accordingly.
fn styles(tunables: &dyn Tunables) -> impl Debug {
    let memories = [
        MemoryType::new(1, None, false),
        MemoryType::new(1, Some(1), false),
        MemoryType::new(1, Some(1), true),
    ];
    (
        memories.map(|memory| tunables.memory_style(&memory)),
        tunables.table_style(&TableType::new(Type::FuncRef, 1, None)),
    )
}

#[cfg(test)]
mod tests {
    use rkyv::rend::{u16_be, u16_le, u32_be, u32_le, u64_be, u64_le};

    use super::*;

    /// Aligned or not is for `cargo xtask layouts` to show: it takes another build.
    #[test]
    fn each_width_and_byte_order_of_archives_makes_another_sample() {
        macro_rules! samples {
            ($($width:ident $long:ident),*) => {
                [$(archived(&($width::from_native(1), 2_u8, $long::from_native(3))).unwrap()),*]
            };
        }
        let samples = samples![
            u16_le u64_le, u32_le u64_le, u64_le u64_le, u16_be u64_be, u32_be u64_be, u64_be u64_be
        ];
        for (at, sample) in samples.iter().enumerate() {
            assert!(!samples[..at].contains(sample), "{sample}");
        }
        assert!(samples.contains(&archived(&(1_usize, 2_u8, 3_u64)).unwrap()));
    }
}
