//! `map-and-run FILE`: the least that a program can do to run precompiled code. It maps the artifact and
//! runs its `_start` under WASI, and is the baseline of `module-cache run`.

use std::env;
use std::fs::File;

use module_cache_bench::compiled;
use wasmtime::{Engine, Linker, Module, Result, Store};
use wasmtime_wasi::{WasiCtxBuilder, p1};

fn main() -> Result<()> {
    let artifact = env::args_os().nth(1).expect("no artifact was named");
    let engine = Engine::new(&compiled::config())?;
    // SAFETY: the benchmark that runs this has written what `serialize` of such an engine returned, and
    // nobody changes it.
    let module = unsafe { Module::deserialize_open_file(&engine, File::open(artifact)?) }?;
    let mut linker = Linker::new(&engine);
    p1::add_to_linker_sync(&mut linker, |wasi| wasi)?;
    let wasi = WasiCtxBuilder::new().inherit_stdio().build_p1();
    let mut store = Store::new(&engine, wasi);
    let instance = linker.instantiate(&mut store, &module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    start.call(&mut store, ())
}
