//! Wasm that stops a wasmer engine: what that costs, and what it does not.

use module_cache_core::{Compile, ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_wasmer::WasmerEngine;
use wasmer::{FunctionType, Type};

use crate::support::NewEngine;

/// Parameters of two functions, whose types have one hash to wasmer: a CRC, of which such pairs are easy to find.
const COLLIDING: [&str; 2] = [
    "i64 i32 i64 i64 i32 f32 i32 i64 i64 f64 f64 f32 f32 i32 f64 i64 i32 f32 i32 f32",
    "f32 f64 f64 f32 i64 i64 i64 i64 i64 i64 f32 f32 i64 i64 i32 f64 f32 i32 f64 i64",
];

for_each_compiler![types_that_collide_end_one_engine_and_no_entry];

fn hash_of(parameters: &str) -> u32 {
    let types: Vec<Type> = parameters
        .split(' ')
        .map(|ty| match ty {
            "i32" => Type::I32,
            "i64" => Type::I64,
            "f32" => Type::F32,
            _ => Type::F64,
        })
        .collect();
    FunctionType::new(types, []).signature_hash()
}

fn types_that_collide_end_one_engine_and_no_entry(new: NewEngine) {
    assert_eq!(hash_of(COLLIDING[0]), hash_of(COLLIDING[1]));
    let wasm = COLLIDING.map(|parameters| {
        wat::parse_str(format!(
            "(module (func (export \"f\") (param {parameters})))"
        ))
        .unwrap()
    });
    let hashes = [0, 1].map(|n| ModuleHash::of(&wasm[n]));
    let dir = tempfile::tempdir().unwrap();
    let cache = FileSystemCache::open(dir.path().join("cache")).unwrap();
    let fill = |n: usize| {
        let engine = new();
        let module = engine.compile(&wasm[n]).unwrap();
        assert!(cache.save(hashes[n], &engine, &module).unwrap().is_stored());
        engine
    };
    let others = [fill(0), fill(1)];
    let loads = |n: usize, engine: &WasmerEngine| cache.load(hashes[n], engine).unwrap().is_some();

    // By a load, or by a compilation.
    for compiles in [false, true] {
        let stopped = new();
        assert!(loads(0, &stopped));
        if compiles {
            let text = stopped.compile(&wasm[1]).unwrap_err().to_string();
            assert!(text.starts_with("the engine panicked: "), "{text}");
            assert!(text.contains("type signature collision"), "{text}");
        }
        // A miss, as of any entry that an engine refuses; and from then on each is.
        assert!(!loads(1, &stopped));
        assert!(!loads(0, &stopped));
        let text = stopped.compile(&wasm[0]).unwrap_err().to_string();
        assert!(text.starts_with("the engine panicked: "), "{text}");
    }

    for (n, engine) in others.iter().enumerate() {
        assert!(loads(n, engine) && loads(n, &new()));
    }
}
