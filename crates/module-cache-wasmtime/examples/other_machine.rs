//! What `cargo xtask emulate` asks about a folder that a machine of another architecture filled: `other_machine FOLDER WAT`.
//!
//! Prints `miss`, or what the module's `answer` returns and whether its code is mapped. The engine has the configuration
//! of the command where its wasmtime has the same features, and accepts what is compiled for each CPU level that this machine
//! has.

use std::error::Error;
use std::{env, fs};

use module_cache_core::{ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_wasmtime::{CpuLevel, EngineBuilder};
use wasmtime::{Config, Instance, Store, WasmBacktraceDetails};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [folder, wat] = &arguments[..] else {
        return Err("two arguments, please: a folder and a .wat file".into());
    };
    let mut config = Config::new();
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    let levels = CpuLevel::ALL.iter();
    let engine = levels
        .fold(EngineBuilder::new(&config), |builder, level| {
            builder.accept(*level)
        })
        .module_engine()?;
    let cache = FileSystemCache::open(folder)?;
    let hash = ModuleHash::of(&wat::parse_file(wat)?);
    let Some(module) = cache.load(hash, &engine)? else {
        println!("miss");
        return Ok(());
    };
    let mut store = Store::new(engine.engine(), ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let answer = instance.get_typed_func::<(), i32>(&mut store, "answer")?;
    let answer = answer.call(&mut store, ())?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    let is_mapped = maps.contains(&hash.to_string());
    println!("{answer}, {}", if is_mapped { "mapped" } else { "copied" });
    Ok(())
}
