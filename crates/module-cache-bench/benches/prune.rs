//! What a prune costs for each entry that it removes, of many and of few.
//!
//! Filling a folder takes longer than emptying it, so every round has one prune, where criterion would have
//! ten. It prints `task<TAB>folder<TAB>nanoseconds`.

use module_cache_bench::effort;
use module_cache_bench::folder::Folder;

fn main() {
    let sizes = effort::choose(&[10, 10_000][..], &[10, 1_000, 100_000]);
    let folders: Vec<_> = sizes
        .iter()
        .map(|entries| (entries - 1, Folder::new(*entries)))
        .collect();
    for _ in 0..effort::choose(3, 7) {
        for (removed, folder) in &folders {
            let took = folder.time_prune(&folder.open());
            println!(
                "growth: prune, for each entry removed\t{}\t{}",
                folder.name(),
                took.as_nanos() / u128::from(*removed)
            );
        }
    }
}
