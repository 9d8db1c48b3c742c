//! `module-cache why`: why the code of a file that is stored is not used.

use std::path::Path;

use anyhow::{Context, Result};
use module_cache::backend::ArtifactEngine;
use module_cache::{FileSystemCache, ModuleCache, ModuleHash};
use module_cache_wasmtime::CpuLevel;
use wasmtime::Config;

use crate::args::{EngineName, WhyArgs};
use crate::wasm_file::{Kind, OpenFile, WasmFile};
use crate::{cache_folder, engine, messages, output};

/// Runs the command and returns its exit code: 0 if there is code that the engine can run.
///
/// # Errors
///
/// When the file or the cache folder cannot be read, the settings are no engine's, or nothing can be printed.
pub(crate) fn why(args: &WhyArgs) -> Result<u8> {
    let config = args.engine_config.read()?;
    let Some(folder) = cache_folder::open_existing(&args.cache_dir)? else {
        return Ok(1);
    };
    let file = if args.file == Path::new("-") {
        OpenFile::from_stdin()
    } else {
        OpenFile::open(&args.file)
    };
    let file = file
        .and_then(|file| file.hashed(args.hash, Some(&folder)))
        .with_context(|| args.file.display().to_string())?;
    let is_there = match args.engine.name {
        EngineName::Wasmtime => of_wasmtime(&folder, &file, config)?,
        #[cfg(feature = "wasmer")]
        EngineName::WasmerCranelift => {
            of_wasmer(&folder, &file, wasmer::sys::Cranelift::default())?
        }
        #[cfg(feature = "wasmer-singlepass")]
        EngineName::WasmerSinglepass => {
            of_wasmer(&folder, &file, wasmer::sys::Singlepass::default())?
        }
    };
    output::flush()?;
    Ok(u8::from(!is_there))
}

fn of_wasmtime(folder: &FileSystemCache, file: &WasmFile, config: Option<Config>) -> Result<bool> {
    let builder = engine::builder(CpuLevel::ALL, config);
    match file.kind() {
        Kind::Module => of(folder, file.hash(), &builder.module_engine()?),
        Kind::Component => of(folder, file.hash(), &builder.component_engine()?),
    }
}

#[cfg(feature = "wasmer")]
fn of_wasmer(
    folder: &FileSystemCache,
    file: &WasmFile,
    compiler: impl Into<wasmer::Engine>,
) -> Result<bool> {
    anyhow::ensure!(
        file.kind() == Kind::Module,
        "a component, and wasmer supports only modules"
    );
    let engine = module_cache::WasmerEngine::without_middleware(&compiler.into())?;
    of(folder, file.hash(), &engine)
}

fn of<E: ArtifactEngine>(folder: &FileSystemCache, hash: ModuleHash, engine: &E) -> Result<bool> {
    let found = folder.find(hash, engine)?.map(|found| found.accepted_id);
    let text = match &found {
        Some(Some(level)) => {
            format!("{hash}: there is code of {level}, for programs that accept this level")
        }
        Some(None) => format!("{hash}: there is code of {}", engine.id()),
        None => format!("{hash}: there is no code of {}", engine.id()),
    };
    output::print_line(text.as_bytes())?;
    for (other, reason) in folder.explain_miss(hash, engine)? {
        output::print_line(messages::one_line(&format!("{other}: {reason}")).as_bytes())?;
    }
    Ok(found.is_some())
}
