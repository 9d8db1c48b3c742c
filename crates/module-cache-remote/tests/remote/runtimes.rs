//! All calls work from a plain thread and inside of every kind of runtime.

use crate::operators;
use crate::scene::{Scene, builder, key_of};
use module_cache_core::EntryStore;
use module_cache_core::Trust;
use module_cache_core::permit::CompilePermit;
use module_cache_remote::RemoteCache;
use module_cache_remote::opendal::{Operator, services};
use tokio::runtime::Builder;

/// Every call, and the drop of the last handle.
fn exercise(operator: &Operator, n: u64) {
    let cache = builder(operator).build();
    let scene = Scene::new(n, 200_000);
    assert!(!scene.loads(&cache));
    let permit = cache.permit(&scene.key()).unwrap();
    assert!(matches!(permit, CompilePermit::Exclusive(_)));
    scene.store(&cache);
    drop(permit);
    assert!(scene.loads(&cache));
    assert!(cache.exists(&scene.key()).unwrap());
    assert!(cache.delete(&scene.key()).unwrap());
    assert!(!scene.loads(&cache));
    drop(cache);
}

#[test]
fn a_plain_thread_and_both_kinds_of_runtime_can_use_one_storage() {
    let s3 = operators::s3();
    let uri = operators::redis();
    exercise(&s3, 1);
    Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async { exercise(&s3, 2) });
    let workers = Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    workers.block_on(async {
        let tasks: Vec<_> = (3..6)
            .map(|n| {
                let s3 = s3.clone();
                tokio::spawn(async move { exercise(&s3, n) })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    // A runtime that ends takes nothing with it.
    drop(workers);
    exercise(&s3, 6);

    // Without leases, which memory has not.
    let memory = Operator::new(services::Memory::default()).unwrap();
    let permit = builder(&memory).build().permit(&Scene::new(1, 100).key());
    assert!(matches!(permit.unwrap(), CompilePermit::Uncoordinated));
    let cache = RemoteCache::from_uri(&uri, Trust::shared(key_of(1)))
        .unwrap()
        .build();
    Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async {
            let permit = cache.permit(&Scene::new(1, 100).key()).unwrap();
            assert!(matches!(permit, CompilePermit::Exclusive(_)));
        });
}

#[test]
fn all_caches_of_a_process_share_one_thread() {
    let s3 = operators::s3();
    let caches: Vec<_> = (0..8).map(|_| builder(&s3).build()).collect();
    for (n, cache) in (0..).zip(&caches) {
        assert!(!Scene::new(n, 100).loads(cache));
    }
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    assert_eq!(
        names
            .filter(|name| name.trim() == "module-cache-io")
            .count(),
        1
    );
}
