//! What a folder costs as it grows: opening it, a hit and a save must not depend on how many entries there
//! are. So the baseline is the smallest folder.

use criterion::{Criterion, criterion_group, criterion_main};
use module_cache_bench::comparison::{self, Comparison};
use module_cache_bench::effort;
use module_cache_bench::folder::Folder;

fn growth(criterion: &mut Criterion) {
    let sizes = effort::choose(&[10, 10_000][..], &[10, 1_000, 100_000]);
    let folders: Vec<_> = sizes.iter().map(|entries| Folder::new(*entries)).collect();
    let mut open = Comparison::new("growth: open");
    let mut hit = Comparison::new("growth: hit");
    let mut save = Comparison::new("growth: save");
    for folder in &folders {
        open = open.called(folder.name(), || folder.open());
        let cache = folder.open();
        hit = hit.called(folder.name(), move || folder.load(&cache));
        let cache = folder.open();
        save = save.measured(folder.name(), move |count| {
            (0..count).map(|_| folder.time_save(&cache)).sum()
        });
    }
    for task in [open, hit, save] {
        task.run(criterion);
    }
}

criterion_group! {
    name = benches;
    config = comparison::criterion();
    targets = growth
}
criterion_main!(benches);
