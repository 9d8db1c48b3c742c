//! Many threads of many processes that ask for one cold module at the same moment: how often it is compiled,
//! what that costs in all, and how long the last one waits.
//!
//! Each round begins with one thread of one process, and then has the herd. It prints
//! `task<TAB>contender<TAB>value`.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use module_cache_bench::{compiled, corpus, disk, effort};
use module_cache_core::HashedModule;
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::ModuleLoader;
use wasmtime::{Cache, CacheConfig, Engine, Module};

/// What a process of the herd is told: which cache, where, and how many threads.
const ROLE: &str = "MODULE_CACHE_BENCH_ROLE";

fn main() {
    if let Ok(role) = env::var(ROLE) {
        return ask(&role);
    }
    let module = effort::choose("resvg", "esbuild");
    for _ in 0..effort::choose(3, 5) {
        for (name, cache, processes, threads) in [
            ("baseline: one process of 1 thread", "ours", 1, 1),
            ("module-cache, 8 processes of 64 threads", "ours", 8, 64),
            (
                "wasmtime's Cache, 8 processes of 1 thread",
                "wasmtime",
                8,
                1,
            ),
        ] {
            let outcome = herd(cache, processes, threads, module);
            let task = |name| format!("herd: {name} ({module})");
            println!("{}\t{name}\t{}", task("compilations"), outcome.compiled);
            println!(
                "{}\t{name}\t{:.3}",
                task("CPU time of all, s"),
                outcome.cpu.as_secs_f64()
            );
            println!(
                "{}\t{name}\t{:.3}",
                task("slowest answer, s"),
                outcome.slowest.as_secs_f64()
            );
        }
    }
}

/// What became of it.
#[derive(Default)]
struct Outcome {
    compiled: u64,
    cpu: Duration,
    slowest: Duration,
}

/// Sends them all off at once, to an empty cache.
fn herd(cache: &str, processes: usize, threads: usize, module: &str) -> Outcome {
    let folder = disk::scratch_folder();
    let role = format!("{cache} {threads} {module} {}", folder.path().display());
    let before = cpu_of_ended_children();
    let mut children: Vec<_> = (0..processes).map(|_| Member::start(&role)).collect();
    children.iter_mut().for_each(Member::wait_until_ready);
    children.iter_mut().for_each(Member::go);
    let mut outcome = Outcome::default();
    for child in children {
        let (compiled, slowest) = child.answer();
        outcome.compiled += compiled;
        outcome.slowest = outcome.slowest.max(slowest);
    }
    outcome.cpu = cpu_of_ended_children().saturating_sub(before);
    outcome
}

/// A process of the herd, seen from outside.
struct Member {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Member {
    fn start(role: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn wait_until_ready(&mut self) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }

    fn go(&mut self) {
        drop(self.child.stdin.take());
    }

    /// How many modules it compiled, and how long its slowest thread waited.
    fn answer(mut self) -> (u64, Duration) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(self.child.wait().unwrap().success());
        let (compiled, slowest) = line.trim().split_once(' ').unwrap();
        let slowest = Duration::from_micros(slowest.parse().unwrap());
        (compiled.parse().unwrap(), slowest)
    }
}

/// As a process of the herd.
fn ask(role: &str) {
    let [cache, threads, module, folder] = role.splitn(4, ' ').collect::<Vec<_>>()[..] else {
        panic!("{role:?} is no role");
    };
    let (threads, wasm) = (threads.parse().unwrap(), corpus::wasm(module));
    let (slowest, compiled) = match cache {
        "ours" => ask_ours(Path::new(folder), threads, &wasm),
        "wasmtime" => ask_wasmtime(Path::new(folder), threads, &wasm),
        _ => panic!("there is no cache {cache:?}"),
    };
    println!("{compiled} {}", slowest.as_micros());
}

fn ask_ours(folder: &Path, threads: usize, wasm: &[u8]) -> (Duration, u64) {
    let cache = FileSystemCache::open(folder.join("cache")).unwrap();
    let loader = ModuleLoader::new(compiled::engine(), cache);
    let module = HashedModule::new(wasm);
    let slowest = all_at_once(threads, || {
        loader.load(&module).unwrap();
    });
    assert_eq!(loader.stats().cache_errors, 0);
    (slowest, loader.stats().compiled)
}

fn ask_wasmtime(folder: &Path, threads: usize, wasm: &[u8]) -> (Duration, u64) {
    let mut options = CacheConfig::new();
    options.with_directory(folder.join("wasmtime"));
    let cache = Cache::new(options).unwrap();
    let mut config = compiled::config();
    config.cache(Some(cache.clone()));
    let engine = Engine::new(&config).unwrap();
    let slowest = all_at_once(threads, || {
        Module::new(&engine, wasm).unwrap();
    });
    (slowest, cache.cache_misses() as u64)
}

/// Says that this process is ready, waits for the others, and returns how long the slowest thread took.
fn all_at_once(threads: usize, load: impl Fn() + Sync) -> Duration {
    println!("ready");
    io::stdout().flush().unwrap();
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    let took = thread::scope(|scope| {
        let timed = || {
            let began = Instant::now();
            load();
            began.elapsed()
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(timed)).collect();
        let took = threads.into_iter().map(|thread| thread.join().unwrap());
        took.max()
    });
    took.unwrap()
}

/// By what Linux tells of this process, in hundredths of a second.
fn cpu_of_ended_children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<_> = fields.split(' ').collect();
    // `cutime` and `cstime`, counted from the field after the name.
    let ticks: u64 = fields[13..15]
        .iter()
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(10 * ticks)
}
