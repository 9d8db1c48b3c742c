//! Running a program to its end: a preview 1 module or a component, with WASI and nothing else.

use anyhow::{Result, bail};
use wasmtime::component::{Component, ResourceTable};
use wasmtime::{Module, Store, Trap, WasmBacktrace};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::bindings::sync::CommandPre;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::engine::Code;
use crate::output::StdoutClosed;

/// How a program ended.
#[derive(Debug)]
pub(crate) enum End {
    /// By itself.
    Exit(u8),
    /// By doing what WebAssembly does not allow; what and where.
    Trap(String),
}

/// Runs a program.
///
/// # Errors
///
/// When it is no program, needs what is not there, or writes to a standard output that was closed.
pub(crate) fn run(code: &Code, mut wasi: WasiCtxBuilder) -> Result<End> {
    let outcome = match code {
        Code::Module(module) => {
            if module.get_export("_start").is_none() {
                bail!("a library, not a program: it exports no `_start`");
            }
            run_module(module, wasi.build_p1())
        }
        Code::Component(component) => {
            let is_run = |name: &str| name.starts_with("wasi:cli/run@0.2.");
            let ty = component.component_type();
            if !ty.exports(component.engine()).any(|(name, _)| is_run(name)) {
                bail!("a library, not a program: it exports no `wasi:cli/run@0.2`");
            }
            run_component(component, wasi.build())
        }
    };
    match outcome {
        Ok(code) => Ok(End::Exit(code)),
        Err(error) => end_by(&error),
    }
}

fn run_module(module: &Module, wasi: WasiP1Ctx) -> wasmtime::Result<u8> {
    let mut linker = wasmtime::Linker::new(module.engine());
    wasmtime_wasi::p1::add_to_linker_sync(&mut linker, |wasi| wasi)?;
    // wasmtime's own takes codes of 126 and above for errors. WASI does not, nor do other runtimes.
    linker.allow_shadowing(true);
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "proc_exit",
        |code: i32| -> wasmtime::Result<()> { Err(I32Exit(code).into()) },
    )?;
    let mut store = Store::new(module.engine(), wasi);
    let instance = linker.instantiate(&mut store, module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    start.call(&mut store, ())?;
    Ok(0)
}

fn run_component(component: &Component, wasi: WasiCtx) -> wasmtime::Result<u8> {
    let mut linker = wasmtime::component::Linker::new(component.engine());
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    let host = Host {
        wasi,
        table: ResourceTable::new(),
    };
    let mut store = Store::new(component.engine(), host);
    let command = CommandPre::new(linker.instantiate_pre(component)?)?.instantiate(&mut store)?;
    let outcome = command.wasi_cli_run().call_run(&mut store)?;
    Ok(u8::from(outcome.is_err()))
}

/// What a component's store holds.
struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

fn end_by(error: &wasmtime::Error) -> Result<End> {
    if let Some(I32Exit(code)) = error.downcast_ref() {
        // As for native programs, what the system reports is the lowest byte.
        return Ok(End::Exit(code.to_le_bytes()[0]));
    }
    if error.is::<StdoutClosed>() {
        return Err(StdoutClosed.into());
    }
    let text = without_backtrace(error);
    if !error.is::<Trap>() {
        bail!("cannot be run: {text}");
    }
    let innermost = error
        .downcast_ref::<WasmBacktrace>()
        .and_then(|backtrace| backtrace.frames().first()?.func_name());
    Ok(End::Trap(match innermost {
        Some(function) => format!("trapped in `{function}`: {text}"),
        None => format!("trapped: {text}"),
    }))
}

/// The causes, but for the list of calls, which takes many lines.
fn without_backtrace(error: &wasmtime::Error) -> String {
    let backtrace = error
        .downcast_ref::<WasmBacktrace>()
        .map(ToString::to_string);
    let causes = error.chain().map(ToString::to_string);
    let causes: Vec<_> = causes
        .filter(|cause| Some(cause) != backtrace.as_ref())
        .collect();
    causes.join(": ")
}
