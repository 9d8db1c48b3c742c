//! What `cargo xtask fleet` runs: hosts that share a storage, in virtual time.
//!
//! `fleet check SEEDS` makes small fleets with random failures and checks what is promised of them; `fleet check-one SEED`
//! repeats one. `fleet report` prints a row for each of the large scenarios, and when hosts were served.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a model counts in floating point"
)]

mod host;
mod storage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use host::{CORES, Loaded, Module};
use storage::{Failing, How, Model, Storage};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// What may be added to what compiling takes by a storage that works badly: two terms of a lease, a time limit for a look, a
/// request for a lease, another look, and as much for answers that come late.
const BOUND: Duration = Duration::from_secs(30);

/// A fleet and what happens to it.
#[derive(Debug, Clone)]
struct Scenario {
    name: String,
    storage: Model,
    hosts: usize,
    modules: usize,
    /// How many of these each host wants.
    wanted: usize,
    /// Over how long the hosts start.
    starts: Duration,
    /// Of a hundred hosts, so many die in the first half minute.
    deaths: f64,
    median_compile: f64,
    /// Nothing that is compiled is small enough to be stored.
    too_large: bool,
}

/// What came of it.
struct Outcome {
    loads: Vec<Vec<Loaded>>,
    /// When each host had all that it wanted, since it started.
    served: Vec<Duration>,
    finished: Vec<Duration>,
    compilations: usize,
    distinct: usize,
    requests: u64,
    refused: u64,
    bytes: u64,
    dollars: f64,
    /// Bounds without sharing, and with the best of sharing.
    alone: Duration,
    oracle: Duration,
}

fn s3(partitions: usize) -> Model {
    Model {
        name: "s3",
        latency: Duration::from_millis(25),
        reads: 5500.0,
        writes: 3500.0,
        partitions,
        bandwidth: 100e9,
        link: 125e6,
        one_by_one: None,
        dollars_per_1000_reads: 0.0004,
        dollars_per_1000_writes: 0.005,
        failures: Vec::new(),
    }
}

/// One server with a network of 10 Gb/s.
fn redis() -> Model {
    Model {
        name: "redis",
        latency: Duration::from_micros(300),
        reads: 1e9,
        writes: 1e9,
        partitions: 1,
        bandwidth: 1.25e9,
        one_by_one: Some(Duration::from_micros(10)),
        dollars_per_1000_reads: 0.0,
        dollars_per_1000_writes: 0.0,
        ..s3(1)
    }
}

fn simulate(scenario: &Scenario, seed: u64) -> Outcome {
    module_cache_remote::simulation::simulate_on_this_thread();
    // What clients draw for their pauses comes from here, too.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(fleet(scenario, seed))
}

async fn fleet(scenario: &Scenario, seed: u64) -> Outcome {
    let mut random = fastrand::Rng::with_seed(seed);
    let modules: Arc<Vec<_>> = Arc::new(
        (0..scenario.modules)
            .map(|n| {
                // Most modules are small, and some are not.
                let factor = (0.8 * normal(&mut random)).exp();
                let seconds = (scenario.median_compile * factor).clamp(0.05, 60.0);
                Module::new(n, Duration::from_secs_f64(seconds), &mut random)
            })
            .collect(),
    );
    let storage = Storage::new(scenario.storage.clone(), random.u64(..));
    let begun = Instant::now();
    let mut hosts = JoinSet::new();
    let mut alone = Duration::ZERO;
    for n in 0..scenario.hosts {
        let mut wanted: Vec<_> = (0..scenario.modules).collect();
        random.shuffle(&mut wanted);
        wanted.truncate(scenario.wanted);
        let starts = scenario.starts.mul_f64(n as f64 / scenario.hosts as f64);
        let dies = (random.f64() * 100.0 < scenario.deaths)
            .then(|| begun + starts + Duration::from_secs_f64(30.0 * random.f64()));
        let (storage, modules) = (Arc::clone(&storage), Arc::clone(&modules));
        let (seed, too_large) = (random.u64(..), scenario.too_large);
        alone = alone.max(starts + host::alone(&modules, &wanted, seed));
        hosts.spawn(async move {
            sleep(starts).await;
            let started = Instant::now();
            let loads = host::run(storage, modules, wanted, seed, dies, too_large).await;
            let alive = dies.is_none_or(|dies| dies > Instant::now());
            (
                n,
                alive.then(|| (loads, started.elapsed(), begun.elapsed())),
            )
        });
    }
    let mut done = BTreeMap::new();
    while let Some(host) = hosts.join_next().await {
        let (n, host) = host.unwrap();
        done.extend(host.map(|host| (n, host)));
    }
    let mut outcome = Outcome {
        loads: Vec::new(),
        served: Vec::new(),
        finished: Vec::new(),
        compilations: 0,
        distinct: 0,
        requests: storage.counts().reads + storage.counts().writes,
        refused: storage.counts().refused,
        bytes: storage.counts().bytes,
        dollars: storage.dollars(),
        alone,
        oracle: Duration::ZERO,
    };
    let mut compiled = vec![0; scenario.modules];
    for (loads, served, finished) in done.into_values() {
        for loaded in loads.iter().filter(|loaded| loaded.compiled) {
            compiled[loaded.module] += 1;
        }
        outcome.loads.push(loads);
        outcome.served.push(served);
        outcome.finished.push(finished);
    }
    outcome.compilations = compiled.iter().sum();
    outcome.distinct = compiled.iter().filter(|count| **count > 0).count();
    outcome.oracle = oracle(scenario, &modules);
    outcome
}

/// When the last host would be served if each module was compiled once, all at a time and each on a host that has nothing
/// else to do, and fetched with two requests when it is there.
fn oracle(scenario: &Scenario, modules: &[Module]) -> Duration {
    let model = &scenario.storage;
    let bytes = |module: &Module| module.compile.as_secs_f64() * 100_000.0;
    let total: f64 = modules.iter().map(bytes).sum();
    let share = scenario.wanted as f64 / scenario.modules as f64;
    let longest = modules
        .iter()
        .map(|module| module.compile.as_secs_f64())
        .fold(0.0, f64::max);
    let compile = modules
        .iter()
        .map(|module| module.compile.as_secs_f64())
        .sum::<f64>()
        / (scenario.hosts * CORES) as f64;
    let loads = (scenario.hosts * scenario.wanted) as f64;
    let reads = 2.0 * loads / model.reads / model.partitions as f64;
    let network = total * share * scenario.hosts as f64 / model.bandwidth;
    let one_by_one = model
        .one_by_one
        .map_or(0.0, |each| 2.0 * loads * each.as_secs_f64());
    let link = total * share / model.link;
    let fetch = reads.max(network).max(one_by_one).max(link);
    scenario
        .starts
        .max(Duration::from_secs_f64(longest.max(compile).max(fetch)))
}

/// A number of the standard normal distribution, as the sum of twelve.
fn normal(random: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}

impl Outcome {
    fn last(&self) -> Duration {
        self.finished.iter().copied().max().unwrap_or_default()
    }

    fn row(&self, scenario: &Scenario) -> String {
        let loads: usize = self.loads.iter().map(Vec::len).sum();
        format!(
            "| {} | {} | {:.0} s | {:.0} s | {:.0} s | {:.2} | {:.1} | {:.1} | {:.0} GB | {:.2} |",
            scenario.name,
            scenario.hosts,
            self.last().as_secs_f64(),
            self.oracle.as_secs_f64(),
            self.alone.as_secs_f64(),
            self.compilations as f64 / self.distinct.max(1) as f64,
            self.requests as f64 / loads.max(1) as f64,
            100.0 * self.refused as f64 / self.requests.max(1) as f64,
            self.bytes as f64 / 1e9,
            self.dollars,
        )
    }
}

/// The scenarios of the page: a large fleet, and one of a tenth of it where much is refused.
fn scenarios(hosts: usize) -> Vec<Scenario> {
    let failing = |from, until, how| Failing {
        from: Duration::from_secs(from),
        until: Duration::from_secs(until),
        how,
    };
    let cold = Scenario {
        name: "S3, 16 partitions".into(),
        storage: s3(16),
        hosts,
        modules: 500,
        wanted: 50,
        starts: Duration::ZERO,
        deaths: 0.0,
        median_compile: 6.0,
        too_large: false,
    };
    let with = |name: &str, failures: Vec<Failing>| {
        let mut scenario = cold.clone();
        name.clone_into(&mut scenario.name);
        scenario.storage.failures = failures;
        scenario.hosts = hosts / 10;
        scenario
    };
    let mut all = vec![
        cold.clone(),
        Scenario {
            name: "S3, one partition".into(),
            storage: s3(1),
            hosts: hosts / 10,
            ..cold.clone()
        },
        Scenario {
            name: "S3, one partition, started over 10 min".into(),
            storage: s3(1),
            starts: Duration::from_mins(10),
            ..cold.clone()
        },
        Scenario {
            name: "Redis, 10 Gb/s".into(),
            storage: redis(),
            hosts: hosts / 10,
            ..cold.clone()
        },
        Scenario {
            name: "one in a hundred hosts dies".into(),
            deaths: 1.0,
            hosts: hosts / 10,
            ..cold.clone()
        },
    ];
    all.extend([
        with(
            "refuses all connections",
            vec![failing(0, 100_000, How::Refuses)],
        ),
        with("hangs", vec![failing(0, 100_000, How::Hangs)]),
        with("hangs from 5 s to 30 s", vec![failing(5, 30, How::Hangs)]),
        with(
            "answers one in five with an error",
            vec![failing(0, 100_000, How::Errors(20))],
        ),
        with(
            "is twenty times as slow",
            vec![failing(0, 100_000, How::Slow(20))],
        ),
        with("gives no leases", vec![failing(0, 100_000, How::NoLeases)]),
        with("is read-only", vec![failing(0, 100_000, How::ReadOnly)]),
        with(
            "loses everything after 20 s",
            vec![failing(20, 21, How::Loses)],
        ),
    ]);
    all
}

/// A small fleet in which anything may happen.
fn small(seed: u64) -> Scenario {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut storage = if random.bool() { s3(1) } else { redis() };
    // Few requests in a second are many for a small fleet.
    if random.u8(..4) == 0 {
        storage.reads = random.f64() * 50.0 + 1.0;
        storage.writes = random.f64() * 50.0 + 1.0;
    }
    for _ in 0..random.usize(..3) {
        let from = Duration::from_millis(random.u64(..30_000));
        storage.failures.push(Failing {
            from,
            until: from + Duration::from_millis(random.u64(..60_000)),
            how: match random.u8(..7) {
                0 => How::Refuses,
                1 => How::Hangs,
                2 => How::Errors(random.u8(1..100)),
                3 => How::ReadOnly,
                4 => How::NoLeases,
                5 => How::Slow(random.u32(2..200)),
                _ => How::Loses,
            },
        });
    }
    let modules = random.usize(1..6);
    Scenario {
        name: format!("seed {seed}"),
        storage,
        hosts: random.usize(1..40),
        modules,
        // As many as there are cores: nobody waits for one.
        wanted: modules.min(CORES),
        starts: Duration::from_millis(random.u64(..10_000)),
        deaths: f64::from(random.u8(..3)) * 15.0,
        median_compile: 0.2 + 10.0 * random.f64(),
        too_large: random.u8(..8) == 0,
    }
}

/// What a small fleet breaks of what is promised.
fn broken(seed: u64) -> Option<String> {
    let scenario = small(seed);
    let outcome = simulate(&scenario, seed);
    let model = &scenario.storage;
    // A second run gives the same, or a failure could not be looked at.
    let again = simulate(&scenario, seed);
    if (again.requests, again.last()) != (outcome.requests, outcome.last()) {
        return Some(format!("{scenario:#?}\nit is another one each time"));
    }
    for loaded in outcome.loads.iter().flatten() {
        // What a wait may take, and then compiling; two waits, and as many looks as there are, where each is refused for a
        // while.
        let most = if is_throttled(model) {
            loaded.compile * 7 + BOUND * 3
        } else {
            loaded.compile * 4 + BOUND
        };
        if loaded.took > most {
            return Some(format!("{scenario:#?}\n{loaded:?} took more than {most:?}"));
        }
    }
    let works = model.failures.is_empty()
        && !scenario.too_large
        && !is_throttled(model)
        && scenario.deaths == 0.0;
    if works && outcome.compilations != outcome.distinct {
        let Outcome {
            compilations,
            distinct,
            ..
        } = outcome;
        return Some(format!(
            "{scenario:#?}\n{compilations} compilations of {distinct} modules"
        ));
    }
    None
}

fn is_throttled(model: &Model) -> bool {
    model.reads < 100.0
}

fn check(seeds: std::ops::Range<u64>) -> bool {
    let mut failed = 0;
    for seed in seeds {
        if let Some(what) = broken(seed) {
            failed += 1;
            println!("seed {seed}: {what}");
        }
    }
    println!("{failed} broken");
    failed == 0
}

fn report(hosts: usize, named: &str) {
    for scenario in scenarios(hosts) {
        if !scenario.name.contains(named) {
            continue;
        }
        let outcome = simulate(&scenario, 1);
        println!("{}", outcome.row(&scenario));
        let mut finished = outcome.finished.clone();
        finished.sort_unstable();
        let curve: Vec<_> = (0..=100)
            .filter_map(|percent| finished.get(percent * finished.len().saturating_sub(1) / 100))
            .map(|time| format!("{:.2}", time.as_secs_f64()))
            .collect();
        println!("curve\t{}\t{}", scenario.name, curve.join("\t"));
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let fine = match arguments[..] {
        ["check", seeds] => check(0..seeds.parse().unwrap()),
        ["check-one", seed] => {
            let seed = seed.parse().unwrap();
            check(seed..seed + 1)
        }
        ["report", hosts] => {
            report(hosts.parse().unwrap(), "");
            true
        }
        ["report", hosts, named] => {
            report(hosts.parse().unwrap(), named);
            true
        }
        _ => panic!("fleet check SEEDS, fleet check-one SEED, or fleet report HOSTS [NAME]"),
    };
    std::process::exit(i32::from(!fine));
}
