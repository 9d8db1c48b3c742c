//! `module-cache run`: runs a WASI program, compiled at most once.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use module_cache::{
    FallbackExt, FileSystemCache, ModuleHash,
    backend::{EngineId, EntryKey},
    loader::Loaded,
};
use module_cache_wasmtime::CpuLevel;
use wasmtime_wasi::{DirPerms, FilePerms, WasiCtxBuilder};

use crate::args::{MappedDir, RunArgs, Variable};
use crate::engine::{Code, Engine};
use crate::guest_stdout::GuestStdout;
use crate::hash_function::HashFunction;
use crate::program::{self, End};
use crate::remote::{self, Layers};
use crate::tiered::{self, Behind};
use crate::wasm_file::{OpenFile, WasmFile};
use crate::{cache_folder, messages, output, saved};

/// What programs are known by in the cache.
const HASH: HashFunction = HashFunction::Blake3;

/// What a shell shows for a program that aborted.
const CODE_OF_TRAP: u8 = 128 + 6;

/// Runs the command and returns its exit code, which is the program's.
///
/// # Errors
///
/// When the program cannot be run.
pub(crate) fn run(args: &RunArgs, started: Instant) -> Result<u8> {
    let (path, _) = args.program();
    let (name, file) = if path == Path::new("-") {
        ("standard input".to_owned(), OpenFile::from_stdin())
    } else {
        (path.display().to_string(), OpenFile::open(path))
    };
    let file = file.with_context(|| name.clone())?;
    let wasi = wasi(args)?;

    let cache = Arc::new(cache(args)?);
    let file = file
        .hashed(HASH, cache.primary().as_ref())
        .with_context(|| name.clone())?;
    let hash = file.hash();
    let (id, loaded, behind) = load(args, &cache, file).with_context(|| name.clone())?;
    let key = EntryKey::new(hash, id);
    if !args.tiered {
        warn_of(saved::problem(&cache, &key, &loaded.saved), &name, &cache);
    }

    let end = program::run(&loaded.module, wasi);
    let flushed = output::flush();
    if args.timing {
        print_timing(&loaded, hash, started.elapsed());
    }
    if args.tiered {
        let key = match behind.map(Behind::finish) {
            Some(Ok(best)) => EntryKey::new(hash, best),
            Some(Err(error)) => {
                let error = messages::with_causes(&error);
                messages::warning(format_args!(
                    "{name} was not compiled by the optimizing compiler: {error}"
                ));
                key
            }
            None => key,
        };
        // Dropping the cache waits for uploads, once the thread that compiled has let go of it.
        let patience = Instant::now() + Duration::from_secs(1);
        while Arc::strong_count(&cache) > 1 && Instant::now() < patience {
            thread::yield_now();
        }
        warn_of(saved::missing(&cache, &key), &name, &cache);
    }
    match end.with_context(|| name.clone())? {
        End::Exit(code) => flushed.map(|()| code),
        End::Trap(what) => {
            messages::error(format_args!("{name}: {what}"));
            Ok(CODE_OF_TRAP)
        }
    }
}

/// Warns of a module that is not in the cache folder.
fn warn_of(problem: Option<String>, name: &str, cache: &Layers) {
    if let Some(problem) = problem {
        let again = if cache.fallback().is_none() {
            "compiles"
        } else {
            "fetches or compiles"
        };
        messages::warning(format_args!(
            "{name} could not be stored, and its next run {again} it again: {problem}"
        ));
    }
}

/// The code of the program, the engine whose it is, and what is compiled behind it.
fn load(
    args: &RunArgs,
    cache: &Arc<Layers>,
    file: WasmFile,
) -> Result<(EngineId, Loaded<Arc<Code>>, Option<Behind>)> {
    if args.tiered {
        let folder = cache.primary().as_ref();
        let stores = folder.is_some_and(FileSystemCache::is_writable) || cache.fallback().is_some();
        let (id, loaded, behind) = tiered::load(cache, file, stores)?;
        return Ok((id, loaded, stores.then_some(behind)));
    }
    let (id, loaded) = Engine::new(cache, CpuLevel::ALL, None).load(&file)?;
    Ok((id, loaded.map(Arc::new), None))
}

/// The cache that was asked for. One that cannot be used costs time, not the run; one that cannot be named
/// so is an error.
fn cache(args: &RunArgs) -> Result<Layers> {
    if args.no_cache {
        return Ok(None.with_fallback(None));
    }
    let storage = remote::open(&args.remote)?;
    let origins = remote::origins(&args.remote)?;
    let folder = cache_folder::open(&args.cache_dir, origins).map_err(|error| {
        messages::warning(format_args!("{error:#}; running without the cache"));
    });
    Ok(folder.ok().with_fallback(storage))
}

/// All that the program gets from outside.
fn wasi(args: &RunArgs) -> Result<WasiCtxBuilder> {
    let (path, program_args) = args.program();
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdin()
        .inherit_stderr()
        .stdout(GuestStdout)
        .allow_blocking_current_thread(true);
    wasi.arg(
        path.file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy(),
    );
    for arg in program_args {
        let text = arg.to_str().with_context(|| {
            format!(
                "the argument {} is not UTF-8, which WASI requires",
                arg.display()
            )
        })?;
        wasi.arg(text);
    }
    for (name, value) in environment(&args.env) {
        wasi.env(name, value);
    }
    for MappedDir { host, guest } in &args.dirs {
        wasi.preopened_dir(host, guest, DirPerms::all(), FilePerms::all())
            .map_err(|error| anyhow::Error::from_boxed(error.into()))
            .with_context(|| format!("cannot open {} of --dir", host.display()))?;
    }
    Ok(wasi)
}

/// The variables and their values. Of those given twice the last counts: C programs would see the first.
fn environment(variables: &[Variable]) -> Vec<(&str, String)> {
    let mut environment: Vec<(&str, String)> = Vec::new();
    for Variable { name, value } in variables {
        let value = value
            .clone()
            .or_else(|| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()));
        environment.retain(|(known, _)| known != name);
        environment.extend(value.map(|value| (name.as_str(), value)));
    }
    environment
}

/// The line that `run --help` documents.
fn print_timing(loaded: &Loaded<Arc<Code>>, hash: ModuleHash, total: Duration) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    messages::line(format_args!(
        "{} {hash} load {:.3} ms total {:.3} ms",
        loaded.source,
        milliseconds(loaded.elapsed),
        milliseconds(total),
    ));
}
