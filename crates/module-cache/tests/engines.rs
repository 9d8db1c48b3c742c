//! Two engines of equal id: what one keeps in memory is never handed to the other, and what one stored on
//! disk is loaded by the other. With a called export each, for modules and components.

use module_cache::{
    FallbackExt, FileSystemCache, HashedModule, ModuleCache, ModuleLoader, SharedCache,
    backend::{ArtifactEngine, Compile},
    filesystem::PruneOptions,
    loader::Source,
};
use module_cache_wasmtime::{WasmtimeComponentEngine, WasmtimeEngine};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Instance, Module, Store};

const MODULE: &str = r#"(module (func (export "answer") (result i32) i32.const 42))"#;

const COMPONENT: &str = r#"
    (component
        (core module $m (func (export "answer") (result i32) i32.const 42))
        (core instance $i (instantiate $m))
        (func (export "answer") (result s32) (canon lift (core func $i "answer"))))
"#;

fn call_module(engine: &Engine, module: &Module) -> i32 {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[]).unwrap();
    let answer = instance
        .get_typed_func::<(), i32>(&mut store, "answer")
        .unwrap();
    answer.call(&mut store, ()).unwrap()
}

fn call_component(engine: &Engine, component: &Component) -> i32 {
    let mut store = Store::new(engine, ());
    let instance = Linker::new(engine)
        .instantiate(&mut store, component)
        .unwrap();
    let answer = instance
        .get_typed_func::<(), (i32,)>(&mut store, "answer")
        .unwrap();
    answer.call(&mut store, ()).unwrap().0
}

/// What holds for two engines of equal id, whatever their modules are.
fn share_the_disk_and_not_the_memory<E>(
    first: &E,
    second: &E,
    text: &str,
    call: impl Fn(&E, &E::Module) -> i32,
) where
    E: Compile<Module: Send + Sync> + ArtifactEngine + Clone,
{
    assert_eq!(first.id(), second.id());
    assert_ne!(first.instance().id(), second.instance().id());
    let module = HashedModule::new(wat::parse_str(text).unwrap());
    let keep = tempfile::tempdir().unwrap();
    let disk = FileSystemCache::open(keep.path().join("cache")).unwrap();
    let memory = SharedCache::new();
    let cache = (&memory).with_fallback(&disk);

    for (engine, source) in [(first, Source::Compiled), (second, Source::Stored)] {
        assert!(memory.load(module.hash(), engine).unwrap().is_none());
        let loader = ModuleLoader::new(engine.clone(), &cache);
        let loaded = loader.load(&module).unwrap();
        assert_eq!(loaded.source, source);
        assert_eq!(call(engine, &loaded.module), 42);
        let resident = loader.load(&module).unwrap();
        assert_eq!(resident.source, Source::Resident);
        assert_eq!(call(engine, &resident.module), 42);
    }
}

#[test]
fn two_engines_of_equal_id_share_stored_modules_and_no_live_ones() {
    let engine = || WasmtimeEngine::new(&Engine::default()).unwrap();
    share_the_disk_and_not_the_memory(&engine(), &engine(), MODULE, |engine, module| {
        call_module(engine.engine(), module)
    });
}

#[test]
fn two_engines_of_equal_id_share_stored_components_and_no_live_ones() {
    let engine = || WasmtimeComponentEngine::new(&Engine::default()).unwrap();
    share_the_disk_and_not_the_memory(&engine(), &engine(), COMPONENT, |engine, component| {
        call_component(engine.engine(), component)
    });
}

#[test]
fn a_mapped_module_runs_on_after_its_entry_was_pruned() {
    let engine = WasmtimeEngine::new(&Engine::default()).unwrap();
    let keep = tempfile::tempdir().unwrap();
    let cache = FileSystemCache::open(keep.path().join("cache")).unwrap();
    let module = HashedModule::new(wat::parse_str(large(MODULE)).unwrap());
    let compiled = engine.compile(module.wasm()).unwrap();
    let saved = cache.save(module.hash(), &engine, &compiled).unwrap();
    assert!(saved.is_stored());
    let mapped = cache.load(module.hash(), &engine).unwrap().unwrap();
    let nothing = PruneOptions {
        max_size: Some(0),
        ..PruneOptions::default()
    };
    assert_eq!(cache.prune(&nothing).unwrap().removed, 1);
    assert!(cache.load(module.hash(), &engine).unwrap().is_none());
    assert_eq!(call_module(engine.engine(), &mapped), 42);
}

/// Loads what was compiled and saved into one folder, saves it into a second one, and compares the files.
fn copies_are_identical<E: Compile + ArtifactEngine>(engine: &E, text: &str) {
    let keep = tempfile::tempdir().unwrap();
    let open = |name| FileSystemCache::open(keep.path().join(name)).unwrap();
    let module = HashedModule::new(wat::parse_str(text).unwrap());
    let compiled = engine.compile(module.wasm()).unwrap();
    assert!(
        open("a")
            .save(module.hash(), engine, &compiled)
            .unwrap()
            .is_stored()
    );
    let loaded = open("a").load(module.hash(), engine).unwrap().unwrap();
    assert!(
        open("b")
            .save(module.hash(), engine, &loaded)
            .unwrap()
            .is_stored()
    );
    let entry = |name| {
        let path = open(name)
            .root()
            .join(format!("v1/{}/{}", engine.id(), module.hash()));
        std::fs::read(path).unwrap()
    };
    assert_eq!(entry("a"), entry("b"));
}

/// The same program with data enough that its code is mapped from the file.
fn large(text: &str) -> String {
    let data = "x".repeat(200_000);
    let memory = format!(r#"(memory 4) (data (i32.const 0) "{data}") (func (export "answer")"#);
    text.replacen(r#"(func (export "answer")"#, &memory, 1)
}

#[test]
fn a_module_saved_into_a_second_folder_gives_the_same_bytes() {
    let engine = WasmtimeEngine::new(&Engine::default()).unwrap();
    copies_are_identical(&engine, MODULE);
    copies_are_identical(&engine, &large(MODULE));
}

#[test]
fn a_component_saved_into_a_second_folder_gives_the_same_bytes() {
    let engine = WasmtimeComponentEngine::new(&Engine::default()).unwrap();
    copies_are_identical(&engine, COMPONENT);
    copies_are_identical(&engine, &large(COMPONENT));
}
