//! `docs/performance.md`: one table and five pictures.

use super::measurements::{Contender, Measurements, Task};
use super::plot::PICTURES;
use super::results::{Unit, number};

/// A line of the table.
struct Row {
    what: &'static str,
    /// Its section, and what the name of its case begins with.
    task: (&'static str, &'static str),
    /// What the contenders' names begin with.
    ours: &'static str,
    peer: &'static str,
}

const fn row(
    what: &'static str,
    task: (&'static str, &'static str),
    ours: &'static str,
    peer: &'static str,
) -> Row {
    Row {
        what,
        task,
        ours,
        peer,
    }
}

const ONE_THREAD: (&str, &str) = ("memory hit", "1 thread, uniform, 1024 entries");
const ONE_KEY: (&str, &str) = ("memory hit", "2 threads, one hot key, 1024 entries");

const TABLE: [Row; 17] = [
    row(
        "A module that is alive",
        ONE_THREAD,
        "module-cache SharedCache",
        "papaya",
    ),
    row(
        "The same, each thread with its own",
        ONE_THREAD,
        "module-cache ThreadLocalCache",
        "RwLock",
    ),
    row(
        "The same, by `ModuleLoader::load_with`",
        ONE_THREAD,
        "module-cache ModuleLoader",
        "RwLock",
    ),
    row(
        "The same, two threads want one module",
        ONE_KEY,
        "module-cache ModuleLoader",
        "RwLock",
    ),
    row(
        "From disk: sqlite",
        ("disk hit, verified before", "sqlite"),
        "module-cache, verified",
        "wasmtime",
    ),
    row(
        "From disk: esbuild",
        ("disk hit, verified before", "esbuild"),
        "module-cache, verified",
        "wasmtime",
    ),
    row(
        "From disk, first this boot: esbuild",
        ("disk hit, first this boot", "esbuild"),
        "module-cache",
        "",
    ),
    row(
        "From disk, wasmer: esbuild",
        ("disk hit of wasmer modules", "esbuild"),
        "module-cache",
        "wasmer-wasix",
    ),
    row(
        "First request of a cold start, in two tiers: esbuild",
        ("first request, cold", "esbuild"),
        "module-cache",
        "wasmtime",
    ),
    row(
        "CPU time of a cold start, in two tiers: esbuild",
        ("CPU time, cold", "esbuild"),
        "module-cache",
        "",
    ),
    row("Saved: esbuild", ("save", "esbuild"), "module-cache", ""),
    row(
        "Compiled through the adapter: sqlite",
        ("compile", "sqlite, 2 threads"),
        "module-cache",
        "",
    ),
    row(
        "CPU seconds of 512 threads in 8 processes that want esbuild",
        ("herd", "CPU time"),
        "module-cache",
        "wasmtime",
    ),
    row(
        "From S3: esbuild",
        ("remote hit", "esbuild, S3"),
        "module-cache",
        "",
    ),
    row(
        "From a folder of 100,000 entries",
        ("growth", "hit"),
        "module-cache, 100000",
        "",
    ),
    row(
        "Saved into one",
        ("growth", "save"),
        "module-cache, 100000",
        "",
    ),
    row(
        "`module-cache run`, warm, 14 MB",
        ("command, warm start", "14 MB"),
        "module-cache",
        "",
    ),
];

pub(super) fn page(machine: &str, measurements: &Measurements) -> String {
    let rows: String = TABLE
        .iter()
        .filter_map(|row| row.text(measurements))
        .collect();
    let pictures = PICTURES.iter().map(|picture| {
        let (title, file) = (picture.title, picture.file);
        format!("\n## {title}\n\n![{title}](performance/{file}.svg)\n")
    });
    let pictures: Vec<_> = pictures.collect();
    format!(
        "# Performance\n\n\
         What a load costs, beside what nobody can beat (the baseline) and beside what people use instead. All \
         contenders of a line took turns in one run, a ratio is the median of those of the rounds, and everything on disk \
         was in the page cache. Machines differ and are noisy: trust the ratios, and not the times.\n\n\
         | | module-cache | × the baseline | × a peer |\n|---|--:|---|---|\n{rows}{}\n\
         ## Reproduce it\n\n\
         `cargo xtask bench` measures all of this and more, on Linux, prints every contender of every task, and writes \
         this page: half an hour on two quiet cores. `cargo xtask bench --quick disk_hit` takes a look at one thing; \
         what each measures, and how, is said where it begins in `crates/module-cache-bench/benches`. This page was \
         written on:\n\n{machine}",
        pictures.concat()
    )
}

impl Row {
    fn text(&self, measurements: &Measurements) -> Option<String> {
        let (section, case) = self.task;
        let mut tasks = measurements.tasks();
        let task = tasks.find(|task| task.section == section && task.case.starts_with(case))?;
        let named = |name: &str| {
            let mut all = task.contenders.iter();
            all.find(|one| !name.is_empty() && one.name.starts_with(name))
        };
        let ours = named(self.ours)?;
        let value = Unit::of(task).text(ours.value());
        let baseline = task.baseline().map(|one| beside(ours, one));
        let peer = named(self.peer).map(|one| beside(ours, one));
        Some(format!(
            "| {} | {value} | {} | {} |\n",
            self.what,
            baseline.unwrap_or_default(),
            peer.unwrap_or_default()
        ))
    }
}

fn beside(ours: &Contender, other: &Contender) -> String {
    let name = Task::plain(&other.name);
    format!("{} × {name}", number(ours.ratio(other).median))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_both_ratios() {
        let lines = "save: esbuild\tbaseline: write\t20000\nsave: esbuild\tmodule-cache\t22000\n\
                     herd: CPU time, s\tbaseline: one\t2\nherd: CPU time, s\tmodule-cache\t3\n\
                     herd: CPU time, s\twasmtime's Cache\t12\n";
        let page = page("- here\n", &Measurements::printed(lines).unwrap());
        assert!(
            page.contains("| Saved: esbuild | 22.0 µs | 1.10 × write |  |"),
            "{page}"
        );
        assert!(
            page.contains("| 3.00 | 1.50 × one | 0.250 × wasmtime's Cache |"),
            "{page}"
        );
    }
}
