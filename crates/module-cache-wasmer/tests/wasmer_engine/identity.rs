//! Ids: different wherever the code would be, and equal wherever it can be shared.

use std::str::FromStr;

use module_cache_core::format::strip_footer;
use module_cache_core::{Artifact, Compile, Engine, EngineId};
use module_cache_wasmer::WasmerEngine;
use wasmer::sys::{CpuFeature, EngineBuilder, NativeEngineExt, Singlepass, Triple};

use crate::configurations::{self, WITH_EQUAL_CODE, WITH_OTHER_CODE, cranelift, metered, target};
use crate::support::{NewEngine, SMALL, at, compile_entry, letter, load_artifact, wasm};

for_each_compiler![equal_engines_have_equal_ids, a_clone_is_the_same_engine];

fn equal_engines_have_equal_ids(new: NewEngine) {
    let (one, other) = (new(), new());
    assert_eq!(one.id(), other.id());
    assert_ne!(one.instance().id(), other.instance().id());
}

fn a_clone_is_the_same_engine(new: NewEngine) {
    let engine = new();
    let clone = engine.clone();
    assert_eq!(clone.id(), engine.id());
    assert_eq!(clone.instance().id(), engine.instance().id());
    let module = engine.compile(&wasm(SMALL)).unwrap();
    assert_eq!(at(&clone, &module, 5), letter(5));
}

#[test]
fn what_changes_no_code_changes_no_id() {
    for (name, new, like) in WITH_EQUAL_CODE {
        assert_eq!(id(&new()), id(&like()), "{name}");
    }
}

#[test]
fn what_changes_code_changes_the_id() {
    let ids: Vec<_> = WITH_OTHER_CODE
        .iter()
        .map(|(name, middleware, new)| (name, configurations::engine(&new(), *middleware)))
        .collect();
    for (at, (one, first)) in ids.iter().enumerate() {
        for (other, second) in &ids[..at] {
            assert_ne!(first.id(), second.id(), "{one} and {other}");
        }
    }
}

#[test]
fn a_name_and_what_it_names_are_part_of_the_id() {
    let named =
        |engine: &wasmer::Engine, name| *WasmerEngine::with_middleware(engine, name).unwrap().id();
    let (plain, metered) = (cranelift(|_| ()), metered());
    assert_eq!(named(&metered, "a"), named(&self::metered(), "a"));
    assert_ne!(named(&metered, "a"), named(&metered, "b"));
    assert_ne!(named(&metered, "a"), named(&plain, "a"));
    assert_ne!(named(&plain, "a"), id(&plain));
}

#[test]
fn an_engine_that_says_too_little_is_refused_with_what_to_do() {
    let elsewhere = if cfg!(target_arch = "x86_64") {
        "aarch64-unknown-linux-gnu"
    } else {
        "x86_64-unknown-linux-gnu"
    };
    let elsewhere = target(Triple::from_str(elsewhere).unwrap(), &[CpuFeature::SSE2]);
    for (engine, advice) in [
        (metered(), "`with_middleware`"),
        (wasmer::Engine::headless(), "`with_id`"),
        (elsewhere, "use one that compiles for this one"),
    ] {
        let error = WasmerEngine::without_middleware(&engine).unwrap_err();
        assert!(error.to_string().contains(advice), "{error}");
    }
    let error = WasmerEngine::with_middleware(&metered(), "").unwrap_err();
    assert!(error.to_string().contains("empty name"), "{error}");
}

#[test]
fn an_engine_shows_its_id_to_people() {
    for (engine, compiler) in [
        (cranelift(|_| ()), "cranelift"),
        (EngineBuilder::new(Singlepass::new()).into(), "singlepass"),
    ] {
        let engine = WasmerEngine::without_middleware(&engine).unwrap();
        let shown = format!("{engine:?}");
        assert_eq!(shown, format!("WasmerEngine({})", engine.id()));
        let label = engine.id().label();
        let version = label
            .strip_prefix("wasmer-7.")
            .and_then(|rest| rest.strip_suffix(&format!("-{compiler}")));
        assert!(version.is_some(), "{label}");
    }
}

fn id(engine: &wasmer::Engine) -> EngineId {
    *WasmerEngine::without_middleware(engine).unwrap().id()
}

/// Compiles a program that counts bits and zeros and rounds, for which CPUs have instructions.
#[cfg(target_arch = "x86_64")]
#[test]
fn singlepass_makes_the_same_code_whatever_cpu_features_are_not_in_its_id() {
    use module_cache_core::ArtifactEngine;

    let wasm = wat::parse_str(
        r#"(module (func (export "f") (param i64 f64) (result i64)
            (i64.popcnt (i64.add (i64.clz (local.get 0)) (i64.ctz (local.get 0))))
            (i64.trunc_sat_f64_s (f64.nearest (local.get 1))) i64.add))"#,
    )
    .unwrap();
    let code = |features: &[CpuFeature]| {
        let engine = WasmerEngine::without_middleware(&configurations::singlepass_for(features));
        let engine = engine.unwrap();
        let module = engine.compile(&wasm).unwrap();
        let artifact = engine.serialize(&module).unwrap().into_owned();
        (*engine.id(), artifact)
    };
    let least = code(&[CpuFeature::SSE42]);
    for feature in CpuFeature::set().complement() {
        let (id, artifact) = code(&[CpuFeature::SSE42, feature]);
        assert!(
            id != least.0 || artifact == least.1,
            "{feature} changes code and no id"
        );
    }
}

#[test]
fn tunables_that_panic_at_a_sample_stop_no_engine() {
    let picky = configurations::guarded(1 << 16, |memory| {
        assert!(!memory.shared, "no shared memories here");
        false
    });
    let engine = configurations::engine(&picky, None);
    let wasm = wat::parse_str("(module (memory 1))").unwrap();
    assert!(engine.compile(&wasm).is_ok());
}

#[test]
fn code_that_tunables_would_guard_otherwise_is_refused() {
    let between = configurations::guarded(1 << 16, |memory| memory.minimum == wasmer::Pages(700));
    let pair = configurations::guarded(1 << 16, |memory| {
        memory.minimum == wasmer::Pages(1) && memory.maximum == Some(wasmer::Pages(2))
    });
    let plain = configurations::engine(&cranelift(|_| ()), None);
    let wasm = |memory: &str| {
        let text = format!(
            "(module {memory}
               (func (export \"at\") (param i32) (result i32) (i32.load8_u (local.get 0))))"
        );
        wat::parse_str(text).unwrap()
    };
    for (tunables, memory) in [(&between, "(memory 700)"), (&pair, "(memory 1 2)")] {
        let special = configurations::engine(tunables, None);
        assert_eq!(special.id(), plain.id());
        for (one, other) in [(&special, &plain), (&plain, &special)] {
            for memory in [
                memory,
                &memory.replace("(memory", "(import \"h\" \"m\" (memory"),
            ] {
                let closed = if memory.contains("import") { ")" } else { "" };
                let artifact = compile_entry(one, &wasm(&format!("{memory}{closed}")));
                let artifact = || Artifact::Bytes(strip_footer(&artifact).to_vec());
                let error = load_artifact(other, artifact()).unwrap_err();
                assert!(error.to_string().contains("tunables"), "{error}");
                assert!(load_artifact(one, artifact()).is_ok());
            }
            // Memories of which both say the same.
            let artifact = compile_entry(one, &wasm("(memory 3) (data (i32.const 7) \"h\")"));
            let artifact = Artifact::Bytes(strip_footer(&artifact).to_vec());
            let module = load_artifact(other, artifact).unwrap();
            assert_eq!(at(other, &module, 7), letter(7));
        }
    }
}
