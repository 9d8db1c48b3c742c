//! Hosts with many small modules, and those with an engine for each plugin: what real modules take, and that a memory
//! cache neither leaks nor fills the process.

#![cfg(target_os = "linux")]

#[path = "support/role.rs"]
mod role;

use std::fs::{self, File};
use std::process::Command;

use module_cache::{HashedModule, ModuleLoader, SharedCache, in_memory, loader::Source};
use module_cache_wasmtime::WasmtimeEngine;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wasmtime::{Engine, Instance, Store};

/// Does `work` in a process of its own, where nothing else takes memory or opens files.
fn alone(test: &str, work: impl FnOnce()) {
    if role::role().is_some() {
        return work();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(role::ROLE, "alone")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    print!("{text}");
    assert!(child.status.success(), "{child:?}");
}

/// A plugin of a few functions, with data.
fn plugin(n: usize) -> HashedModule<'static> {
    let text = format!(
        r#"(module
            (memory (export "memory") 2)
            (data (i32.const 0) "plugin number {n}")
            (func (export "sum") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
            (func (export "number") (result i32) (i32.const {n})))"#
    );
    HashedModule::new(wat::parse_str(text).unwrap())
}

type Loader = ModuleLoader<WasmtimeEngine, SharedCache<WasmtimeEngine>>;

fn loader(engine: &Engine, cache: &SharedCache<WasmtimeEngine>) -> Loader {
    ModuleLoader::new(WasmtimeEngine::new(engine).unwrap(), cache.clone())
}

fn load_and_call(loader: &Loader, n: usize) -> Source {
    let loaded = loader.load(&plugin(n)).unwrap();
    let mut store = Store::new(loader.engine().engine(), ());
    let instance = Instance::new(&mut store, &loaded.module, &[]).unwrap();
    let number = instance.get_typed_func::<(), i32>(&mut store, "number");
    let number = number.unwrap().call(&mut store, ()).unwrap();
    assert_eq!(usize::try_from(number).unwrap(), n);
    loaded.source
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// In bytes.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn an_engine_for_each_plugin_leaves_neither_memory_nor_descriptors() {
    let name = "an_engine_for_each_plugin_leaves_neither_memory_nor_descriptors";
    alone(name, || {
        let count = std::env::var("MODULE_CACHE_TEST_PLUGINS");
        let count = count.map_or(400, |count| count.parse().unwrap());
        let cache = in_memory();
        let mut before = (0, 0);
        for n in 0..count {
            let loader = loader(&Engine::default(), &cache);
            assert_eq!(load_and_call(&loader, n), Source::Compiled);
            assert_eq!(load_and_call(&loader, n), Source::Resident);
            assert_eq!(cache.len(), 1);
            drop(loader);
            assert_eq!((cache.len(), cache.descriptors()), (0, 0));
            if n == count / 4 {
                before = (descriptors(), resident());
            }
        }
        let after = (descriptors(), resident());
        println!(
            "descriptors and bytes, after {} plugins {before:?}, after {count} {after:?}",
            count / 4
        );
        assert!(after.0 <= before.0 + 2);
        assert!(after.1 <= before.1 + (16 << 20));
    });
}

#[test]
fn small_modules_weigh_what_they_take() {
    alone("small_modules_weigh_what_they_take", || {
        const MODULES: usize = 1000;
        let (engine, cache) = (Engine::default(), in_memory());
        let loader = loader(&engine, &cache);
        load_and_call(&loader, MODULES);
        let (before, weight) = (resident(), cache.weight());
        for n in 0..MODULES {
            load_and_call(&loader, n);
        }
        let taken = (resident() - before) / MODULES;
        let weight = usize::try_from(cache.weight() - weight).unwrap() / MODULES;
        println!("a small module takes {taken} bytes and weighs {weight}");
        assert!(weight > taken / 2 && weight < taken * 2);
    });
}

#[test]
fn where_few_files_may_be_open_modules_leave_some_to_others() {
    alone(
        "where_few_files_may_be_open_modules_leave_some_to_others",
        || {
            let limit = Rlimit {
                current: Some(200),
                ..getrlimit(Resource::Nofile)
            };
            setrlimit(Resource::Nofile, limit).unwrap();
            let (engine, cache) = (Engine::default(), in_memory());
            let loader = loader(&engine, &cache);
            for n in 0..400 {
                load_and_call(&loader, n);
                File::open("/proc/self/stat").unwrap();
            }
            assert!(cache.descriptors() <= 100);
        },
    );
}
