//! Work for modules of the corpus.

#![expect(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "where the corpus does not do its work, there is nothing to measure"
)]

use wasmtime::{Engine, Linker, Memory, Module, Result, Store, Val};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{DirPerms, FilePerms, WasiCtxBuilder};

use crate::disk;

/// A query of sqlite over so many rows, which are made as it goes.
pub fn query(module: &Module, rows: u32) -> Result<()> {
    let query = format!(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {rows}) \
        SELECT count(*), sum(x * x % 7), max(printf('%x', x)) FROM n WHERE x % 3 <> 0\0"
    );
    let mut store = Store::new(module.engine(), ());
    let mut linker = Linker::new(module.engine());
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
    for (at, bytes) in [(name, b":memory:\0".as_slice()), (text, query.as_bytes())] {
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

/// Numbers, strings and objects in JavaScript, so many times, by qjs.
pub fn script(module: &Module, times: u32) -> Result<()> {
    let script = format!(
        "let m = {{}}; let s = 0; for (let i = 0; i < {times}; i++) {{ const k = 'k' + i % 1000; \
        m[k] = (m[k] || 0) + Math.sqrt(i) * 1.5; s += Math.floor(m[k]) }} \
        const t = JSON.stringify(m); if (JSON.parse(t).k1 !== m.k1 || !(s > 0)) throw 1;"
    );
    let mut store = Store::new(
        module.engine(),
        WasiCtxBuilder::new().inherit_stderr().build_p1(),
    );
    let instance = linker(module.engine())?.instantiate(&mut store, module)?;
    instance
        .get_typed_func::<(), ()>(&mut store, "_initialize")?
        .call(&mut store, ())?;
    let malloc = instance.get_typed_func::<u32, u32>(&mut store, "malloc")?;
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let arguments = ["qjs", "-e", &script];
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

/// Gradients, strokes and a blur, drawn by resvg.
pub fn draw(module: &Module) -> Result<()> {
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
    let mut store = Store::new(module.engine(), wasi.build_p1());
    let instance = linker(module.engine())?.instantiate(&mut store, module)?;
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

fn linker(engine: &Engine) -> Result<Linker<WasiP1Ctx>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |wasi| wasi)?;
    Ok(linker)
}

/// An instance of the engine of JavaScript components, and memory for one value.
pub fn allocate(module: &Module) -> Result<()> {
    let mut linker = Linker::new(module.engine());
    let mut store = Store::new(module.engine(), ());
    linker.define_unknown_imports_as_default_values(&mut store, module)?;
    let instance = linker.instantiate(&mut store, module)?;
    let realloc =
        instance.get_typed_func::<(u32, u32, u32, u32), u32>(&mut store, "cabi_realloc_adapter")?;
    assert_ne!(realloc.call(&mut store, (0, 0, 8, 64))?, 0);
    Ok(())
}

/// An instance of esbuild, which does no work without JavaScript around it.
pub fn instantiate(module: &Module) -> Result<()> {
    let mut linker = Linker::new(module.engine());
    linker.define_unknown_imports_as_traps(module)?;
    let mut store = Store::new(module.engine(), ());
    let instance = linker.instantiate(&mut store, module)?;
    let stack = instance.get_typed_func::<(), i32>(&mut store, "getsp")?;
    stack.call(&mut store, ())?;
    Ok(())
}
