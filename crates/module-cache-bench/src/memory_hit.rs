//! Hits and misses in memory, at one thread and at two at once: the same for bare modules and wasmer's.

use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use module_cache_core::ModuleHash;

use crate::comparison::Comparison;
use crate::live_map::Contender;
use crate::random::{RngExt, seeded};
use crate::thread_group::ThreadGroup;

/// Which keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// All that are there, each as often as any other.
    Uniform,
    /// One that is there.
    Hot,
    /// None that is there.
    Miss,
}

/// Compares what is in `contenders`, filled with so many modules that `make` makes.
pub fn compare<M: Clone + Send + Sync + 'static>(
    criterion: &mut Criterion,
    section: &str,
    (threads, entries, pattern): (usize, usize, Pattern),
    contenders: &[Contender<M>],
    make: impl Fn(u64) -> M,
) {
    let entries = entries as u64;
    let modules: Arc<[_]> = (0..entries).map(|n| (key(n), make(n))).collect();
    let keys: Arc<[_]> = keys(pattern, entries).into();
    let group = ThreadGroup::new(threads);
    let threads = if threads == 1 {
        "1 thread"
    } else {
        "2 threads"
    };
    let pattern = match pattern {
        Pattern::Uniform => "uniform",
        Pattern::Hot => "one hot key",
        Pattern::Miss => "misses",
    };
    let mut task = Comparison::new(format!(
        "{section}: {threads}, {pattern}, {entries} entries"
    ));
    for (name, map) in contenders {
        let (filled, of) = (map.clone(), modules.clone());
        group.time(move || {
            filled.fill(&of);
            Duration::ZERO
        });
        let (map, keys, group) = (map.clone(), keys.clone(), &group);
        task = task.measured(*name, move |count| {
            let (map, keys) = (map.clone(), keys.clone());
            group.time(move || map.time(&keys, count))
        });
    }
    task.run(criterion);
}

fn key(n: u64) -> ModuleHash {
    ModuleHash::of(&n.to_le_bytes())
}

/// The order of the keys, laid out one after the other, so that what is measured is the map.
fn keys(pattern: Pattern, entries: u64) -> Vec<ModuleHash> {
    let mut random = seeded(entries);
    let length = (4 * entries).clamp(1 << 10, 1 << 17);
    (0..length)
        .map(|_| {
            let n = random.random_range(0..entries);
            key(match pattern {
                Pattern::Uniform => n,
                Pattern::Hot => 0,
                Pattern::Miss => entries + n,
            })
        })
        .collect()
}
