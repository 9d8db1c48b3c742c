//! Two tiers beside Cranelift alone and wasmtime's own cache: how soon the first request is served, how fast requests are then
//! and after the upgrade, what all of it costs, and how a second start is.
//!
//! Each start is a process of its own. It prints `task<TAB>contender<TAB>nanoseconds`.

use std::any::Any;
use std::convert::Infallible;
use std::env;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use module_cache_bench::{corpus, disk, effort, work};
use module_cache_core::{HashedModule, ModuleCache, Tiers};
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::{ModuleLoader, Tiered, TieredLoader};
use module_cache_memory::SharedCache;
use module_cache_testkit::{TestEngine, wasm};
use module_cache_wasmtime::{EngineBuilder, WasmtimeEngine};
use wasmtime::{
    Cache, CacheConfig, Config, Engine, Module, Result, Strategy, WasmBacktraceDetails,
};

const ALONE: &str = "baseline: Cranelift alone";
const TIERS: &str = "module-cache, tiers";
const WASMTIME: &str = "wasmtime's Cache";
/// What the first request of tiers cannot be faster than.
const WINCH: &str = "baseline: Winch alone";

/// What a child process measures, of which module, and in which folder.
const ROLE: &str = "MODULE_CACHE_BENCH_ROLE";

/// What a request does.
type Request = fn(&Module) -> Result<()>;

/// The last one is nearly all of each JavaScript component.
const MODULES: [(&str, Request); 4] = [
    ("sqlite", |module| work::query(module, 2_000)),
    ("qjs", |module| work::script(module, 2_000)),
    ("esbuild", work::instantiate),
    ("starlingmonkey", work::allocate),
];

fn main() {
    if let Ok(role) = env::var(ROLE) {
        return child(&role);
    }
    handles();
    let mut starts = [ALONE, TIERS, WASMTIME];
    for (module, _) in MODULES {
        for _ in 0..effort::choose(1, 5) {
            for contender in starts {
                let folder = disk::scratch_folder();
                run("cold", contender, module, folder.path());
                for _ in 0..effort::choose(1, 5) {
                    run("warm", contender, module, folder.path());
                }
            }
            for contender in [ALONE, TIERS] {
                run("cpu", contender, module, disk::scratch_folder().path());
            }
            run("first", WINCH, module, disk::scratch_folder().path());
            // To and fro, so that none always follows the same one.
            starts.reverse();
        }
        run("steady", TIERS, module, disk::scratch_folder().path());
    }
}

fn run(what: &str, contender: &str, module: &str, folder: &Path) {
    let mut child = Command::new(env::current_exe().unwrap());
    child.env(
        ROLE,
        format!("{what}\t{contender}\t{module}\t{}", folder.display()),
    );
    assert!(child.status().unwrap().success(), "{child:?} failed");
}

fn child(role: &str) {
    let parts: Vec<_> = role.split('\t').collect();
    let [what, contender, name, folder] = parts[..] else {
        panic!("no role: {role}");
    };
    let (_, request) = MODULES.iter().find(|(known, _)| *known == name).unwrap();
    let start = Start {
        contender,
        name,
        folder: Path::new(folder),
        request: *request,
    };
    match what {
        "cold" => start.cold(),
        "first" => drop(start.first_request("first request, cold")),
        "warm" => start.warm(),
        "cpu" => start.cpu(),
        _ => start.steady(),
    }
}

struct Start<'a> {
    contender: &'a str,
    name: &'a str,
    folder: &'a Path,
    request: Request,
}

/// What serves requests.
enum Server {
    Fixed(Module),
    Tiered {
        handle: Tiered<Module>,
        _loader: Box<dyn Any>,
    },
}

impl Server {
    fn module(&self) -> Module {
        match self {
            Self::Fixed(module) => module.clone(),
            Self::Tiered { handle, .. } => handle.get().as_ref().clone(),
        }
    }

    fn wait_upgraded(&self) {
        if let Self::Tiered { handle, .. } = self {
            handle.wait_upgraded().unwrap();
        }
    }
}

impl Start<'_> {
    fn cold(&self) {
        let server = self.first_request("first request, cold");
        // Before the upgrade, if there is one.
        self.requests("requests just after", &server, Duration::from_millis(300));
        server.wait_upgraded();
    }

    fn warm(&self) {
        self.first_request("first request, second start");
    }

    fn cpu(&self) {
        let wasm = corpus::wasm(self.name);
        let before = cpu_time();
        self.serve(wasm).wait_upgraded();
        self.print("CPU time, cold", cpu_time().saturating_sub(before));
    }

    /// Requests to a module that was upgraded, and to one of an engine alone, in turn.
    fn steady(&self) {
        let tiered = self.serve(corpus::wasm(self.name));
        tiered.wait_upgraded();
        let alone = Start {
            contender: ALONE,
            ..*self
        };
        let fixed = alone.serve(corpus::wasm(self.name));
        let time = effort::choose(Duration::from_millis(100), Duration::from_millis(400));
        for _ in 0..effort::choose(3, 21) {
            alone.requests("requests after the upgrade", &fixed, time);
            self.requests("requests after the upgrade", &tiered, time);
        }
    }

    fn first_request(&self, task: &str) -> Server {
        let wasm = corpus::wasm(self.name);
        let began = Instant::now();
        let server = self.serve(wasm);
        (self.request)(&server.module()).unwrap();
        self.print(task, began.elapsed());
        server
    }

    /// The mean of as many requests as fit into the time.
    fn requests(&self, task: &str, server: &Server, time: Duration) {
        let (began, mut count) = (Instant::now(), 0);
        while began.elapsed() < time {
            (self.request)(&server.module()).unwrap();
            count += 1;
        }
        self.print(task, began.elapsed() / count);
    }

    fn print(&self, task: &str, took: Duration) {
        println!(
            "{task}: {}\t{}\t{}",
            self.name,
            self.contender,
            took.as_nanos()
        );
    }

    fn serve(&self, wasm: Vec<u8>) -> Server {
        let folder = || FileSystemCache::open(self.folder.join("cache")).unwrap();
        let module = Arc::new(HashedModule::new(wasm));
        match self.contender {
            ALONE => {
                let engine = EngineBuilder::new(&config()).module_engine().unwrap();
                let loader = ModuleLoader::new(engine, folder());
                Server::Fixed(loader.load(&module).unwrap().module)
            }
            TIERS => {
                let tiers = EngineBuilder::new(&config()).module_tiers().unwrap();
                let loader = TieredLoader::new(tiers, folder());
                let prepare = |_, _: &WasmtimeEngine, module| Ok::<_, Infallible>(module);
                let loaded = loader.load(&module, prepare).unwrap();
                Server::Tiered {
                    handle: loaded.module,
                    _loader: Box::new(loader),
                }
            }
            WINCH => {
                let mut config = config();
                let engine = Engine::new(config.strategy(Strategy::Winch)).unwrap();
                Server::Fixed(Module::from_binary(&engine, module.wasm()).unwrap())
            }
            _ => {
                let mut options = CacheConfig::new();
                options.with_directory(self.folder.join("wasmtime"));
                let mut config = config();
                config.cache(Some(Cache::new(options).unwrap()));
                let engine = Engine::new(&config).unwrap();
                Server::Fixed(Module::from_binary(&engine, module.wasm()).unwrap())
            }
        }
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// Of all threads of this process, in steps of 10 ms.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name of the program, which may have spaces.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

/// The newest of a handle beside a hit in memory.
fn handles() {
    const TIMES: u32 = 1_000_000;
    let tiers = Tiers::pair(TestEngine::new("fast"), TestEngine::new("best")).unwrap();
    let engine = tiers.best().clone();
    let loader = TieredLoader::new(tiers, SharedCache::new());
    let module = Arc::new(HashedModule::new(wasm(1, 1000)));
    let loaded = loader.load(&module, |_, _: &TestEngine, module| {
        Ok::<_, Infallible>(module)
    });
    let handle = loaded.unwrap().module;
    handle.wait_upgraded().unwrap();
    for threads in [1, 2] {
        for _ in 0..effort::choose(5, 21) {
            let task = format!("the newest of a handle: {threads} threads");
            let of_all = |one: &(dyn Fn() + Sync)| {
                let began = Instant::now();
                thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| (0..TIMES).for_each(|_| one()));
                    }
                });
                began.elapsed().as_nanos() / u128::from(TIMES)
            };
            let hit = of_all(&|| {
                let found = loader.cache().load_resident(module.hash(), &engine);
                black_box(found.unwrap());
            });
            let get = of_all(&|| drop(black_box(handle.get())));
            println!("{task}\tbaseline: SharedCache\t{hit}");
            println!("{task}\tmodule-cache, Tiered::get\t{get}");
        }
    }
}
