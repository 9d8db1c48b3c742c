//! `docs/performance.md`: for each question of a reader, a table and pictures.

use super::measurements::{Contender, Measurements, Task};
use super::plot::PICTURES;
use super::results::{Unit, number};

/// What a reader asks, and what answers it.
struct Question {
    title: &'static str,
    rows: &'static [Row],
    /// The files of its pictures, without `.svg`.
    pictures: &'static [&'static str],
}

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

const QUESTIONS: [Question; 5] = [
    Question {
        title: "How long does a hit in memory take?",
        rows: &[
            row(
                "`SharedCache`",
                ONE_THREAD,
                "module-cache SharedCache",
                "papaya",
            ),
            row(
                "`ThreadLocalCache`",
                ONE_THREAD,
                "module-cache ThreadLocalCache",
                "HashMap in an RwLock",
            ),
            row(
                "`ModuleLoader::load_with`",
                ONE_THREAD,
                "module-cache ModuleLoader",
                "HashMap in an RwLock",
            ),
            row(
                "`load_with`, two threads load the same module",
                ONE_KEY,
                "module-cache ModuleLoader",
                "HashMap in an RwLock",
            ),
        ],
        pictures: &["memory-hit"],
    },
    Question {
        title: "How long does a load from the folder take?",
        rows: &[
            row(
                "sqlite",
                ("disk hit, verified before", "sqlite"),
                "module-cache, verified",
                "wasmtime",
            ),
            row(
                "esbuild",
                ("disk hit, verified before", "esbuild"),
                "module-cache, verified",
                "wasmtime",
            ),
            row(
                "esbuild, first load after a mount",
                ("disk hit, first this boot", "esbuild"),
                "module-cache",
                "",
            ),
            row(
                "esbuild, with wasmer",
                ("disk hit of wasmer modules", "esbuild"),
                "module-cache",
                "wasmer-wasix",
            ),
            row(
                "from a folder of 100,000 entries, by a test engine",
                ("growth", "hit"),
                "module-cache, 100000",
                "",
            ),
            row(
                "`module-cache run`, warm, 14 MB",
                ("command, warm start", "14 MB"),
                "module-cache",
                "",
            ),
        ],
        pictures: &["disk-hit", "first-disk-hit"],
    },
    Question {
        title: "What does a miss cost in addition to compiling?",
        rows: &[
            row(
                "compiling sqlite through the adapter",
                ("compile", "sqlite, 2 threads"),
                "module-cache",
                "",
            ),
            row("saving esbuild", ("save", "esbuild"), "module-cache", ""),
            row(
                "saving into a folder of 100,000 entries, by a test engine",
                ("growth", "save"),
                "module-cache, 100000",
                "",
            ),
            row(
                "CPU seconds of 512 threads in 8 processes that load esbuild",
                ("herd", "CPU time"),
                "module-cache",
                "wasmtime",
            ),
            row(
                "time to the first request of esbuild, with `TieredLoader`",
                ("first request, cold", "esbuild"),
                "module-cache",
                "wasmtime",
            ),
            row(
                "CPU time of that, until the best module is stored",
                ("CPU time, cold", "esbuild"),
                "module-cache",
                "",
            ),
        ],
        pictures: &[],
    },
    Question {
        title: "How long does a load from a storage on the same machine take?",
        rows: &[row(
            "esbuild, S3, also decompressed, verified and written to a folder",
            ("remote hit", "esbuild, S3"),
            "module-cache, through memory",
            "",
        )],
        pictures: &["remote-hit"],
    },
    Question {
        title: "What share of requests does a memory cache of 1 GB answer?",
        rows: &[],
        pictures: &["eviction"],
    },
];

pub(super) fn page(machine: &str, measurements: &Measurements) -> String {
    let answers = QUESTIONS.map(|question| question.answer(measurements));
    format!(
        "# Performance\n\n\
         The programs that a row compares ran alternately, and each ratio is the median over all rounds of module-cache's time\n\
         divided by the other's. The baseline is the simplest code for the task; the peer is what people use instead. Trust the\n\
         ratios, because times differ between machines. Files were in the page cache. The baseline of a hit in memory hashes each\n\
         key; module-cache uses the key, itself a hash.\n{}\n\
         ## How is it measured?\n\n\
         `cargo xtask bench` measures this and more, on Linux, and writes this page, in half an hour on two idle cores. `cargo\n\
         xtask bench --quick disk_hit` measures one task. Each file in `crates/module-cache-bench/benches` describes its method,\n\
         and `eviction.rs` the generated requests of the last figure. The wasm files are sqlite (0.9 MB), qjs (1.5 MB), resvg\n\
         (4.4 MB) and esbuild (14 MB). This page was measured on:\n\n{machine}",
        answers.concat()
    )
}

impl Question {
    fn answer(&self, measurements: &Measurements) -> String {
        let rows = self.rows.iter().filter_map(|row| row.text(measurements));
        let rows = rows.collect::<String>();
        let mut answer = format!("\n## {}\n", self.title);
        if !rows.is_empty() {
            answer += "\n| | module-cache | × the baseline | × a peer |\n|---|--:|---|---|\n";
            answer += &rows;
        }
        let pictures = PICTURES
            .iter()
            .filter(|picture| self.pictures.contains(&picture.file))
            .map(|picture| format!("\n![{}](performance/{}.svg)\n", picture.title, picture.file));
        answer.extend(pictures);
        answer
    }
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
            page.contains("| saving esbuild | 22.0 µs | 1.10 × write |  |"),
            "{page}"
        );
        assert!(
            page.contains("| 3.00 | 1.50 × one | 0.250 × wasmtime's Cache |"),
            "{page}"
        );
    }

    #[test]
    fn each_picture_answers_one_question() {
        let mut shown: Vec<_> = QUESTIONS.iter().flat_map(|one| one.pictures).collect();
        let mut drawn: Vec<_> = PICTURES.iter().map(|picture| &picture.file).collect();
        shown.sort_unstable();
        drawn.sort_unstable();
        assert_eq!(shown, drawn);
    }
}
