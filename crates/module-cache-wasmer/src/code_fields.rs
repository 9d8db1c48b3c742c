//! What code depends on, field by field, as far as wasmer writes it into archives.

use module_cache_core::CodeFields;
use rkyv::rancor;
use rkyv::util::AlignedVec;
use wasmer::sys::{CpuFeature, Features};
use wasmer_compiler::ArtifactBuild;
use wasmer_compiler::serialize::SerializableModule;
use wasmer_types::MetadataHeader;

/// What an archive tells of the engine that compiled it, if this version of wasmer wrote it. Of native artifacts nothing is
/// known.
pub(crate) fn code_fields_of(artifact: &[u8]) -> Option<CodeFields> {
    let mut archive = AlignedVec::<{ MetadataHeader::ALIGN }>::new();
    archive.extend_from_slice(artifact.strip_prefix(ArtifactBuild::MAGIC_HEADER)?);
    let len = MetadataHeader::parse(&archive).ok()?;
    let metadata = archive.get(MetadataHeader::LEN..)?.get(..len)?;
    let module = SerializableModule::archive_from_slice_checked(metadata).ok()?;
    let wasm = rkyv::deserialize::<Features, rancor::Error>(&module.compile_info.features).ok()?;
    let cpu = module.cpu_features.to_native();
    let told = told(|feature| cpu & (1 << feature as u64) != 0, &wasm);
    Some(told.into_iter().collect())
}

/// What archives tell, of an engine or of an archive.
pub(crate) fn told(
    has_cpu_feature: impl Fn(CpuFeature) -> bool,
    wasm: &Features,
) -> Vec<(String, String)> {
    let cpu = CpuFeature::all().iter().map(|feature| {
        let value = has_cpu_feature(feature).to_string();
        (format!("cpu {feature}"), value)
    });
    // `Features { threads: true, simd: true }`
    let wasm = format!("{wasm:?}");
    let wasm = wasm.split(['{', ',', '}']).filter_map(|field| {
        let (name, value) = field.split_once(": ")?;
        Some((format!("wasm {}", name.trim()), value.trim().to_owned()))
    });
    cpu.chain(wasm).collect()
}
