//! The warm start of a large program as a whole process, beside the least that a program can do.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use module_cache_bench::comparison::{self, Comparison};
use module_cache_bench::{compiled, disk, generated};

/// Programs of WASI are not in the corpus at this size.
const SIZES: [(&str, usize); 2] = [("1 KB", 1_000), ("14 MB", 14_000_000)];

fn cli(criterion: &mut Criterion) {
    let minimal = Path::new(env!("CARGO_BIN_EXE_map-and-run"));
    let command = minimal.with_file_name("module-cache");
    assert!(
        command.is_file(),
        "there is no {}; run `cargo build --release --package module-cache-cli` first",
        command.display()
    );
    let engine = compiled::engine();
    let folder = disk::scratch_folder();
    for (name, size) in SIZES {
        let wasm = folder.path().join(format!("{size}.wasm"));
        let artifact = folder.path().join(format!("{size}.cwasm"));
        let module = compiled::compile(&engine, name.to_owned(), generated::program(size));
        fs::write(&wasm, &module.wasm).unwrap();
        fs::write(&artifact, &module.artifact).unwrap();
        let run = || {
            let mut run = Command::new(&command);
            let cache = folder.path().join("cache");
            run.arg("run").arg("--cache-dir").arg(cache).arg(&wasm);
            run
        };
        // Compiles and stores; then the file and the entry become old enough to be remembered.
        finish(run());
        thread::sleep(Duration::from_millis(2100));
        finish(run());
        Comparison::new(format!("command, warm start: {name}"))
            .called(
                "baseline: a program that maps the artifact and runs it",
                || {
                    let mut map_and_run = Command::new(minimal);
                    map_and_run.arg(&artifact);
                    finish(map_and_run);
                },
            )
            .called("module-cache run", || finish(run()))
            .run(criterion);
    }
}

/// Runs to the end.
fn finish(mut command: Command) {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    assert!(command.status().unwrap().success(), "{command:?} failed");
}

criterion_group! {
    name = benches;
    config = comparison::criterion();
    targets = cli
}
criterion_main!(benches);
