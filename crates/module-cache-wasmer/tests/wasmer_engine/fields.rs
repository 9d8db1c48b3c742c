//! What differs between two engines is named.

use module_cache_core::entry::why_unused;
use module_cache_core::{ArtifactEngine, Engine};
use module_cache_wasmer::WasmerEngine;
use wasmer::sys::{CpuFeature, Cranelift, EngineBuilder, Features, Target, Triple};

use crate::configurations::{WITH_OTHER_CODE, engine};
use crate::support::{SMALL, artifact, compile_entry, cranelift, singlepass, wasm};

#[test]
fn what_code_tells_is_what_its_engine_says() {
    for engine in [cranelift(), singlepass()] {
        let told = engine.code_fields_of(&compile_entry(&engine, &wasm(SMALL)));
        assert!(!told.is_empty());
        for line in told.to_string().lines() {
            let here = engine.code_fields().to_string();
            assert!(here.lines().any(|known| known == line), "{line}");
        }
    }
}

#[test]
fn a_feature_of_cpu_or_wasm_and_another_compiler_are_named() {
    let mut without = CpuFeature::set();
    without.insert(CpuFeature::SSE2);
    let target = Target::new(Triple::host(), without);
    let other_cpu = EngineBuilder::new(Cranelift::new()).set_target(Some(target));
    let mut features = Features::new();
    features
        .relaxed_simd(true)
        .exceptions(true)
        .wide_arithmetic(true);
    let other_wasm = |threads| {
        let mut features = features.clone();
        features.threads(threads);
        EngineBuilder::new(Cranelift::new()).set_features(Some(features))
    };
    assert_eq!(why_not(&other_wasm(true).into()), None);
    let why = why_not(&other_wasm(false).into()).unwrap();
    assert_eq!(why, "wasm threads is false, and true here");
    if cfg!(target_arch = "x86_64") {
        let why = why_not(&other_cpu.into()).unwrap();
        assert!(why.contains("cpu sse3 is false, and true here"), "{why}");
        assert!(!why.contains("cpu sse2 ") && !why.contains("wasm"), "{why}");
    }
    let why = why_not(singlepass().engine()).unwrap();
    let version = wasmer_types::VERSION;
    let labels = format!(
        "it is code of wasmer-{version}-singlepass, and this engine is wasmer-{version}-cranelift"
    );
    assert!(why.starts_with(&labels), "{why}");
}

/// Why code of an engine is of no use to one of the default configuration, if it is of another id.
fn why_not(other: &wasmer::Engine) -> Option<String> {
    let (here, other) = (cranelift(), engine(other, None));
    let entry = compile_entry(&other, &wasm(SMALL));
    (here.id() != other.id()).then(|| why_unused(&here, other.id(), artifact(&entry)))
}

#[test]
fn what_no_code_tells_is_not_named() {
    let named = WasmerEngine::with_middleware(cranelift().engine(), "mine").unwrap();
    let entry = compile_entry(&named, &wasm(SMALL));
    let why = why_unused(&cranelift(), named.id(), artifact(&entry));
    assert!(
        why.starts_with("all that the code tells is as here"),
        "{why}"
    );
    // Nothing is told by an engine whose id was computed elsewhere.
    // SAFETY: it is the id of this engine.
    let loading = unsafe { WasmerEngine::with_id(named.engine(), *named.id()) };
    assert!(loading.code_fields().is_empty());
}

#[test]
fn of_other_bytes_nothing_is_known() {
    let engine = cranelift();
    let entry = compile_entry(&engine, &wasm(SMALL));
    let whole = artifact(&entry);
    for len in (0..whole.len()).step_by(97) {
        assert!(engine.code_fields_of(&whole[..len]).is_empty(), "{len}");
    }
    // Wherever a bit is wrong, this ends.
    for at in (0..whole.len()).step_by(31) {
        let mut damaged = whole.to_vec();
        damaged[at] ^= 0x80;
        engine.code_fields_of(&damaged);
    }
    assert!(engine.code_fields_of(b"\x7fELF").is_empty());
}

#[test]
fn every_configuration_says_something_else() {
    let mut seen = Vec::new();
    for (name, middleware, new) in WITH_OTHER_CODE {
        let engine = engine(&new(), *middleware);
        let fields = (engine.id().label().to_owned(), engine.code_fields());
        assert!(!seen.contains(&fields), "{name}");
        seen.push(fields);
    }
}
