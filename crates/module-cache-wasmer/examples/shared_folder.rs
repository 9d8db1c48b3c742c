//! Runs a module from a folder that programs share, and prints whether it was there: `hit` or `miss`.
//!
//! `cargo xtask layouts` builds this program twice, with wasmer's archives laid out differently, and runs both on one
//! folder.

use std::error::Error;

use module_cache_core::{Compile, ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_wasmer::WasmerEngine;
use wasmer::sys::Singlepass;
use wasmer::{Instance, Store, TypedFunction, imports};

const WASM: &str = r#"(module
    (memory (export "memory") 1)
    (table 2 funcref)
    (elem (i32.const 0) $double $square)
    (type $unary (func (param i64) (result i64)))
    (func $double (type $unary) (i64.add (local.get 0) (local.get 0)))
    (func $square (type $unary) (i64.mul (local.get 0) (local.get 0)))
    (data (i32.const 8) "\2a")
    (func (export "run") (param i32) (result i64)
        (call_indirect (type $unary) (i64.load (i32.const 8)) (local.get 0))))"#;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("name a folder")?;
    let cache = FileSystemCache::open(folder)?;
    let engine = WasmerEngine::without_middleware(&Singlepass::new().into())?;
    let wasm = wat::parse_str(WASM)?;
    let hash = ModuleHash::of(&wasm);
    let (module, found) = if let Some(module) = cache.load(hash, &engine)? {
        (module, "hit")
    } else {
        let module = engine.compile(&wasm)?;
        let outcome = cache.save(hash, &engine, &module)?;
        assert!(outcome.is_stored(), "{outcome:?}");
        (module, "miss")
    };
    let mut store = Store::new(engine.engine().clone());
    let instance = Instance::new(&mut store, &module, &imports! {})?;
    let run: TypedFunction<i32, i64> = instance.exports.get_typed_function(&store, "run")?;
    for (function, expected) in [(0, 84), (1, 42 * 42)] {
        assert_eq!(run.call(&mut store, function)?, expected);
    }
    println!("{found}");
    Ok(())
}
