//! What it costs to compile for more than one kind of CPU: the time to compile, load and run the code of each level, and
//! to make an engine that accepts them all.
//!
//! Prints lines of task, contender and nanoseconds, which `cargo xtask bench` reads.

use std::time::Instant;

use module_cache_bench::{corpus, disk, effort};
use module_cache_core::{Compile, ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_wasmtime::{CpuLevel, EngineBuilder, WasmtimeEngine};
use wasmtime::{Config, Linker, Memory, Module, Result, Store, Val};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{DirPerms, FilePerms, WasiCtxBuilder};

/// With the name of what is compiled for this very CPU, which none of the levels can beat.
const LEVELS: [(&str, Option<CpuLevel>); 4] = [
    ("baseline: this CPU", None),
    ("module-cache, x86-64-v3", Some(CpuLevel::X86_64V3)),
    ("module-cache, x86-64-v2", Some(CpuLevel::X86_64V2)),
    ("module-cache, x86-64", Some(CpuLevel::X86_64)),
];

/// The modules, and work that each does. esbuild is written for JavaScript, and does none here.
type Work = fn(&WasmtimeEngine, &Module) -> Result<()>;
const MODULES: [(&str, Option<Work>); 4] = [
    ("sqlite", Some(query)),
    ("qjs", Some(script)),
    ("resvg", Some(draw)),
    ("esbuild", None),
];

fn main() {
    let host = || {
        let builder = EngineBuilder::new(Config::new);
        let levels = CpuLevel::ALL.iter();
        levels.fold(builder, |builder, level| builder.accept(*level))
    };
    for _ in 0..effort::choose(5, 21) {
        timed(
            "make an engine: all levels",
            "baseline: accepts none",
            || EngineBuilder::new(Config::new).module_engine().unwrap(),
        );
        timed("make an engine: all levels", "module-cache", || {
            host().module_engine().unwrap()
        });
    }
    for (name, work) in MODULES {
        let hash = ModuleHash::of(name.as_bytes());
        let wasm = corpus::wasm(name);
        let mut folders = LEVELS.map(|(level, cpu)| {
            let folder = disk::scratch_folder();
            let cache = FileSystemCache::open(folder.path().join("cache")).unwrap();
            (level, cpu, folder, cache)
        });
        for round in 0..effort::choose(1, 3) {
            for (level, cpu, _, cache) in &folders {
                let builder = EngineBuilder::new(Config::new);
                let task = format!("compile for a level: {name}");
                let saved = if let Some(cpu) = cpu {
                    let engine = builder.cpu(*cpu).module_precompiler(None).unwrap();
                    let code = timed(&task, level, || engine.compile(&wasm).unwrap());
                    cache.save(hash, &engine, &code)
                } else {
                    let engine = builder.module_engine().unwrap();
                    let module = timed(&task, level, || engine.compile(&wasm).unwrap());
                    cache.save(hash, &engine, &module)
                };
                assert_eq!(saved.unwrap().is_stored(), round == 0);
            }
            folders.reverse();
        }
        let engine = host().module_engine().unwrap();
        for round in 0..effort::choose(4, 22) {
            for (level, _, _, cache) in &folders {
                let load = || cache.load(hash, &engine).unwrap().unwrap();
                // The first hashes the entry.
                if round == 0 {
                    load();
                    continue;
                }
                let module = timed(&format!("load code of a level: {name}"), level, load);
                if let Some(work) = work {
                    timed(&format!("run code of a level: {name}"), level, || {
                        work(&engine, &module).unwrap();
                    });
                }
            }
            // To and fro, so that none always follows the same one.
            folders.reverse();
        }
    }
}

fn timed<T>(task: &str, contender: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let outcome = work();
    println!("{task}\t{contender}\t{}", began.elapsed().as_nanos());
    outcome
}

/// A query over half a million rows that are made as it goes.
fn query(engine: &WasmtimeEngine, module: &Module) -> Result<()> {
    const QUERY: &[u8] =
        b"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 500000) \
        SELECT count(*), sum(x * x % 7), max(printf('%x', x)) FROM n WHERE x % 3 <> 0\0";
    let mut store = Store::new(engine.engine(), ());
    let mut linker = Linker::new(engine.engine());
    let ty = module
        .imports()
        .find_map(|import| import.ty().memory().cloned());
    let memory = Memory::new(&mut store, ty.expect("it imports its memory"))?;
    linker.define(&store, "env", "memory", memory)?;
    // It asks for the time and the like.
    linker.define_unknown_imports_as_default_values(&mut store, module)?;
    let instance = linker.instantiate(&mut store, module)?;
    let call = |store: &mut Store<()>, name: &str, arguments: &[i32]| -> Result<i32> {
        let function = instance.get_func(&mut *store, name).expect(name);
        let arguments: Vec<_> = arguments.iter().map(|n| Val::I32(*n)).collect();
        let mut results = vec![Val::I32(0); function.ty(&*store).results().len()];
        function.call(store, &arguments, &mut results)?;
        Ok(results.first().map_or(0, Val::unwrap_i32))
    };
    call(&mut store, "__wasm_call_ctors", &[])?;
    call(&mut store, "sqlite3_initialize", &[])?;
    let room = call(&mut store, "sqlite3_malloc", &[4096])?;
    let (name, text) = (room + 64, room + 128);
    for (at, bytes) in [(name, b":memory:\0".as_slice()), (text, QUERY)] {
        memory.write(&mut store, usize::try_from(at)?, bytes)?;
    }
    let made = |store: &Store<()>| -> Result<i32> {
        let mut pointer = [0; 4];
        memory.read(store, usize::try_from(room)?, &mut pointer)?;
        Ok(i32::from_le_bytes(pointer))
    };
    // To be read, written and created.
    call(&mut store, "sqlite3_open_v2", &[name, room, 6, 0])?;
    let database = made(&store)?;
    call(
        &mut store,
        "sqlite3_prepare_v2",
        &[database, text, -1, room, 0],
    )?;
    let statement = made(&store)?;
    let stepped = call(&mut store, "sqlite3_step", &[statement])?;
    assert_eq!(stepped, 100, "there is a row");
    Ok(())
}

/// Numbers, strings and objects in JavaScript.
fn script(engine: &WasmtimeEngine, module: &Module) -> Result<()> {
    const SCRIPT: &str = "let m = {}; let s = 0; for (let i = 0; i < 300000; i++) { const k = 'k' + i % 1000; \
        m[k] = (m[k] || 0) + Math.sqrt(i) * 1.5; s += Math.floor(m[k]) } \
        const t = JSON.stringify(m); if (JSON.parse(t).k1 !== m.k1 || !(s > 0)) throw 1;";
    let mut store = Store::new(
        engine.engine(),
        WasiCtxBuilder::new().inherit_stderr().build_p1(),
    );
    let instance = linker(engine)?.instantiate(&mut store, module)?;
    instance
        .get_typed_func::<(), ()>(&mut store, "_initialize")?
        .call(&mut store, ())?;
    let malloc = instance.get_typed_func::<u32, u32>(&mut store, "malloc")?;
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let arguments = ["qjs", "-e", SCRIPT];
    let pointers = malloc.call(&mut store, 16)?;
    for (n, argument) in (0..).zip(arguments) {
        let len = u32::try_from(argument.len()).unwrap();
        let text = malloc.call(&mut store, len + 1)?;
        memory.write(&mut store, text as usize, argument.as_bytes())?;
        memory.write(&mut store, (text + len) as usize, &[0])?;
        memory.write(&mut store, (pointers + 4 * n) as usize, &text.to_le_bytes())?;
    }
    let init = instance.get_typed_func::<(u32, u32), u32>(&mut store, "qjs_init_argv")?;
    assert_eq!(init.call(&mut store, (3, pointers))?, 0);
    Ok(())
}

/// Gradients, strokes and a blur.
fn draw(engine: &WasmtimeEngine, module: &Module) -> Result<()> {
    let shapes: Vec<_> = (0..10)
        .map(|n| {
            format!(
                "<path d='M{} {} C{} 0 {} 800 {} {}' stroke='url(#g)' stroke-width='7' fill='none' filter='url(#f)'/>",
                n * 80,
                n % 50,
                n * 60,
                800 - n * 20,
                n * 40,
                700 - n * 20
            )
        })
        .collect();
    let svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='800' height='800'><defs><linearGradient id='g'>\
         <stop offset='0' stop-color='red'/><stop offset='1' stop-color='blue'/></linearGradient>\
         <filter id='f'><feGaussianBlur stdDeviation='3'/></filter></defs>{}</svg>",
        shapes.concat()
    );
    let folder = disk::scratch_folder();
    std::fs::write(folder.path().join("in.svg"), svg).unwrap();
    let said = MemoryOutputPipe::new(1 << 16);
    let mut wasi = WasiCtxBuilder::new();
    wasi.args(&["resvg", "in.svg", "out.png"])
        .stderr(said.clone())
        .preopened_dir(folder.path(), ".", DirPerms::all(), FilePerms::all())?;
    let mut store = Store::new(engine.engine(), wasi.build_p1());
    let instance = linker(engine)?.instantiate(&mut store, module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    let ended = start.call(&mut store, ());
    let drawn = folder.path().join("out.png").metadata();
    assert!(
        drawn.is_ok_and(|png| png.len() > 1000),
        "{ended:?}: {:?}",
        said.contents()
    );
    Ok(())
}

fn linker(engine: &WasmtimeEngine) -> Result<Linker<WasiP1Ctx>> {
    let mut linker = Linker::new(engine.engine());
    p1::add_to_linker_sync(&mut linker, |wasi| wasi)?;
    Ok(linker)
}
