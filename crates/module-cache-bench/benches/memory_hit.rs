//! A hit in memory, beside bare maps and the caches of others, all of which clone the same modules.

use std::hash::RandomState;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use module_cache_bench::bare_engine::{BareEngine, BareModule};
use module_cache_bench::live_map::{Cached, Contender, Locked};
use module_cache_bench::memory_hit::{Pattern, compare};
use module_cache_bench::pass_through::PassThrough;
use module_cache_bench::{comparison, effort, peers, thread_local_map};
use module_cache_loader::ModuleLoader;
use module_cache_memory::{SharedCache, ThreadLocalCache};

thread_local_map!(
    /// As everybody writes it.
    ThreadLocalMap,
    BareModule,
    RandomState
);
thread_local_map!(
    /// As one writes it who knows that the keys are digests.
    UnhashedThreadLocalMap,
    BareModule,
    PassThrough
);

/// Few modules fall into shards so unevenly that twice the room is not enough.
const ROOM_FOR_AT_LEAST: usize = 1_024;

fn memory_hit(criterion: &mut Criterion) {
    for threads in [1, 2] {
        for entries in effort::choose(&[1_024][..], &[16, 1_024, 100_000]) {
            for pattern in &[Pattern::Uniform, Pattern::Hot, Pattern::Miss] {
                compare(
                    criterion,
                    "memory hit",
                    (threads, *entries, *pattern),
                    &contenders(ROOM_FOR_AT_LEAST.max(2 * entries), *pattern),
                    Arc::new,
                );
            }
        }
    }
}

/// Where there is a capacity, the modules fit into it twice at least: some divide it among shards, and nothing is to
/// be evicted here.
fn contenders(capacity: usize, pattern: Pattern) -> Vec<Contender<BareModule>> {
    let weight = capacity as u64;
    let engine = BareEngine::new();
    let mut contenders: Vec<Contender<BareModule>> = vec![
        ("baseline: thread-local HashMap", Arc::new(ThreadLocalMap)),
        (
            "baseline: thread-local HashMap, keys not hashed",
            Arc::new(UnhashedThreadLocalMap),
        ),
        (
            "module-cache SharedCache",
            Arc::new(Cached(engine.clone(), SharedCache::with_max_weight(weight))),
        ),
        (
            "module-cache ThreadLocalCache",
            Arc::new(Cached(
                engine.clone(),
                ThreadLocalCache::with_max_weight(weight),
            )),
        ),
        (
            "HashMap in an RwLock",
            Arc::new(Locked::<BareModule, PassThrough>::default()),
        ),
        ("papaya", Arc::new(peers::Papaya::default())),
        ("DashMap", Arc::new(peers::Dash::default())),
        ("quick_cache", Arc::new(peers::quick_cache(capacity))),
        ("moka", Arc::new(peers::moka(capacity))),
        ("foyer", Arc::new(peers::foyer(capacity))),
    ];
    // What a loader does on a miss is to compile.
    if pattern != Pattern::Miss {
        let loader = ModuleLoader::new(engine, SharedCache::with_max_weight(weight));
        contenders.push(("module-cache ModuleLoader", Arc::new(loader)));
    }
    contenders
}

criterion_group! {
    name = benches;
    config = comparison::criterion();
    targets = memory_hit
}
criterion_main!(benches);
