//! The identity of a wasmer engine: all that its code depends on.
//!
//! Of an artifact that it loads, wasmer checks the magic, the version of the metadata, and that the
//! engine's target has the CPU features which the code was compiled for. The rest is for the id to say:
//! `identity.md` has all fields, and where each was read.

use std::fmt::Debug;
use std::iter;

use module_cache_core::{CodeFields, EngineError, EngineId};
use rkyv::Serialize;
use rkyv::api::high::HighSerializer;
use rkyv::rancor;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use wasmer::sys::{Architecture, Artifact, CpuFeature, Features, Target, Tunables};
use wasmer::{MemoryType, TableType, Type};
use wasmer_compiler::ArtifactCreate as _;
use wasmer_types::MetadataHeader;

use crate::CpuLevel;
use crate::catch_panic::catch_panic;
use crate::code_fields::told;

/// What code of an engine depends on.
pub(crate) struct Identity {
    compiler: String,
    /// The engine's, with the CPU features that its artifacts say to need.
    target: Target,
    /// The CPU features that make other code.
    counted: Vec<CpuFeature>,
    wasm_features: Features,
    /// But for the [`CPU_FEATURES`].
    fields: Vec<(&'static str, String)>,
}

const CPU_FEATURES: &str = "cpu features";
const WASM_FEATURES: &str = "wasm features";

impl Identity {
    /// That of code which `engine` compiles, whose middleware, if it has any, is called `middleware`.
    ///
    /// # Errors
    ///
    /// When the engine cannot tell enough about its code for it to be stored.
    pub(crate) fn of(
        engine: &wasmer::Engine,
        middleware: Option<&str>,
    ) -> Result<Self, EngineError> {
        // The engine's lock may be poisoned.
        catch_panic(|| compute(engine, middleware))?
    }

    /// The id of code for the target of this engine with the CPU features of `target`.
    pub(crate) fn id_for(&self, target: &Target) -> EngineId {
        let counted = self.counted.iter();
        let cpu_features: Vec<_> = counted
            .filter(|feature| target.cpu_features().contains(**feature))
            .map(ToString::to_string)
            .collect();
        // The label counts as a field.
        let label = format!("wasmer-{}-{}", wasmer_types::VERSION, self.compiler);
        let id = EngineId::builder(&label).field(CPU_FEATURES, cpu_features.join(","));
        let fields = self.fields.iter();
        fields
            .fold(id, |id, (name, value)| id.field(name, value))
            .build()
    }

    /// The id of code that this engine would compile for a level, if an engine for `target` runs that on this machine.
    pub(crate) fn id_at(&self, level: CpuLevel, target: &Target) -> Option<EngineId> {
        let wanted = level.target();
        // The compiler whose code for each level is proven to be right (`identity.md`).
        let runs = self.compiler == "cranelift"
            && wanted.triple().architecture == target.triple().architecture
            && target.cpu_features().is_superset(*wanted.cpu_features())
            && CpuFeature::for_host().is_superset(*wanted.cpu_features());
        runs.then(|| self.id_for(&wanted))
    }

    /// Whether it is an artifact for the CPU features of this engine.
    pub(crate) fn is_for_own_cpu(&self, artifact: &Artifact) -> bool {
        *self.target.cpu_features() == artifact.cpu_features()
    }

    /// All of it, with the fields of [`told`] in place of those that have the same in one.
    pub(crate) fn code_fields(&self) -> CodeFields {
        let fields = self.fields.iter();
        fields
            .filter(|(name, _)| *name != WASM_FEATURES)
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .chain(told(
                |feature| self.target.cpu_features().contains(feature),
                &self.wasm_features,
            ))
            .collect()
    }
}

type Archiver<'a> = HighSerializer<AlignedVec, ArenaHandle<'a>, rancor::Error>;

fn compute(engine: &wasmer::Engine, middleware: Option<&str>) -> Result<Identity, EngineError> {
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
    // Before wasmer's lock is held: tunables are the embedder's code.
    let tunables = styles(engine.tunables());
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
    let used = compiler.get_cpu_features_used(target.cpu_features());
    let mut counted = CpuFeature::all();
    // What Singlepass says it uses is all that its code differs by on x86-64. On ARM it looks at NEON, and does not
    // say so. Cranelift and LLVM say that they use all.
    if compiler.name() == "singlepass" && target.triple().architecture == Architecture::X86_64 {
        counted = compiler.get_cpu_features_used(&counted);
    }
    let wasm_features = inner.features();
    let fields = vec![
        (
            "metadata version",
            MetadataHeader::CURRENT_VERSION.to_string(),
        ),
        ("archive layout", archived(&(1_usize, 2_u8, 3_u64))?),
        ("compiler", compiler.deterministic_id()),
        ("artifact format", compiler.artifact_format()),
        ("target", target.triple().to_string()),
        (WASM_FEATURES, format!("{wasm_features:?}")),
        ("tunables", tunables),
        ("middlewares", middlewares.to_string()),
        ("middleware", middleware.unwrap_or_default().to_owned()),
    ];
    Ok(Identity {
        compiler: compiler.name().to_owned(),
        target: Target::new(target.triple().clone(), used),
        counted: counted.iter().collect(),
        wasm_features: wasm_features.clone(),
        fields,
    })
}

/// What rkyv makes of a sample. The bytes show whether it aligns numbers, in which order it writes their bytes, and
/// how wide a `usize` is: in wasmer's archives it is the same.
fn archived(sample: &impl for<'a> Serialize<Archiver<'a>>) -> Result<String, EngineError> {
    let bytes = rkyv::to_bytes::<rancor::Error>(sample)
        .map_err(|error| EngineError::new("cannot archive a sample", error))?;
    Ok(format!("{bytes:02x?}"))
}

/// How memories and tables are guarded, asked for by samples of what tunables go by: minima and maxima of 0 and of all
/// powers of two that a memory or table can have, with and without a maximum, shared, and of each type.
///
/// Tunables that change their answer between two of these sizes, or for one size alone, look like others that do not. Code
/// that they would guard otherwise is refused when it is loaded ([`deserialize`](module_cache_core::ArtifactEngine::deserialize)).
fn styles(tunables: &dyn Tunables) -> String {
    const PAGES: u32 = 17;
    let memory = |minimum, maximum, shared| {
        tunables.memory_style(&MemoryType::new(minimum, maximum, shared))
    };
    let mut styles = vec![
        changes("memory of", PAGES, |size| memory(size, None, false)),
        changes("memory up to", PAGES, |size| memory(0, Some(size), false)),
        changes("fixed memory of", PAGES, |size| {
            memory(size, Some(size), false)
        }),
        changes("shared memory up to", PAGES, |size| {
            memory(0, Some(size), true)
        }),
        changes("fixed shared memory of", PAGES, |size| {
            memory(size, Some(size), true)
        }),
    ];
    for ty in [Type::FuncRef, Type::ExternRef, Type::ExceptionRef] {
        let table = |minimum, maximum| tunables.table_style(&TableType::new(ty, minimum, maximum));
        styles.extend([
            changes(&format!("{ty} table of"), u32::BITS, |size| {
                table(size, None)
            }),
            changes(&format!("{ty} table up to"), u32::BITS, |size| {
                table(0, Some(size))
            }),
            changes(&format!("fixed {ty} table of"), u32::BITS, |size| {
                table(size, Some(size))
            }),
        ]);
    }
    styles.join("; ")
}

/// What `style` answers for 0 and that many powers of two, from the first on and wherever it is another.
fn changes<S: Debug + PartialEq>(what: &str, powers: u32, style: impl Fn(u32) -> S) -> String {
    let mut changes = vec![what.to_owned()];
    let mut last = None;
    for size in iter::once(0).chain((0..powers).map(|power| 1 << power)) {
        // Tunables may refuse what no module of their program has.
        let style = catch_panic(|| style(size)).map_err(|error| error.to_string());
        if last.as_ref() != Some(&style) {
            changes.push(format!("{size}: {style:?}"));
            last = Some(style);
        }
    }
    changes.join(" ")
}

#[cfg(test)]
mod tests {
    use rkyv::rend::{u16_be, u16_le, u32_be, u32_le, u64_be, u64_le};

    use super::*;

    #[test]
    #[cfg(all(feature = "cranelift", target_arch = "x86_64"))]
    fn no_level_of_a_compiler_that_is_not_known_is_accepted() {
        let engine = wasmer::Engine::from(wasmer::sys::Cranelift::new());
        let target = engine.as_sys().target();
        let mut identity = Identity::of(&engine, None).unwrap();
        assert!(identity.id_at(CpuLevel::X86_64V2, target).is_some());
        "llvm".clone_into(&mut identity.compiler);
        assert!(identity.id_at(CpuLevel::X86_64V2, target).is_none());
    }

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
