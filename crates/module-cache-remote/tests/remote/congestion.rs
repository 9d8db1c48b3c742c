//! Many hosts, many loads at once, and storages that have too much to do: slow, and never as if there were none.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use module_cache_core::permit::{CompilePermit, PermitOutcome};
use module_cache_core::{Engine, EntryStore, HashedModule, ModuleCache, SaveOutcome, Trust};
use module_cache_fallback::FallbackExt;
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::{ModuleLoader, Source};
use module_cache_remote::opendal::{Operator, services};
use module_cache_remote::{RemoteCache, RemoteCacheBuilder};
use module_cache_testkit::TestEngine;

use crate::operators;
use crate::proxy::{Fault, Proxy};
use crate::registry::Scripted;
use crate::scene::{Scene, builder, eventually, key_of};
use crate::servers;

/// Nothing may come for so long. All of a burst takes longer.
const LIMIT: Duration = Duration::from_secs(1);

fn through(proxy: &Proxy, is_redis: bool, prefix: &str) -> RemoteCacheBuilder {
    if is_redis {
        let uri = format!("redis://{}/0/{prefix}", proxy.address);
        RemoteCache::from_uri(&uri, Trust::shared(key_of(1))).unwrap()
    } else {
        builder(&operators::s3_at(proxy.address, prefix))
    }
}

/// A proxy before one of the servers, and a place of its own behind it.
fn proxy(is_redis: bool) -> (Proxy, bool, String) {
    let server = if is_redis {
        servers::redis_address()
    } else {
        servers::s3_address()
    };
    (Proxy::before(server), is_redis, servers::prefix())
}

fn proxies() -> [(Proxy, bool, String); 2] {
    [false, true].map(proxy)
}

/// A cache behind a proxy, what it has stored, and what it has not.
fn with_one(is_redis: bool) -> (Proxy, RemoteCache, [Scene; 2]) {
    let (proxy, is_redis, prefix) = proxy(is_redis);
    let cache = through(&proxy, is_redis, &prefix);
    let cache = cache.time_limit(LIMIT).build();
    let scenes = [1, 2].map(|n| Scene::new(n, 1000));
    scenes[0].store(&cache);
    (proxy, cache, scenes)
}

#[test]
fn a_burst_on_a_slow_network_is_all_hits() {
    for (proxy, is_redis, prefix) in proxies() {
        let cache = through(&proxy, is_redis, &prefix).build();
        let scenes: Vec<_> = (0..16).map(|n| Scene::new(n, 2_000_000)).collect();
        for scene in &scenes {
            scene.store(&cache);
        }
        let host = through(&proxy, is_redis, &prefix).time_limit(LIMIT).build();
        // 32 MB take four times the limit.
        proxy.set(Some(Fault::Paced(8_000_000)));
        let begun = Instant::now();
        thread::scope(|scope| {
            for scene in &scenes {
                scope.spawn(|| assert!(scene.loads(&host), "redis: {is_redis}"));
            }
        });
        assert!(begun.elapsed() > 2 * LIMIT);
        assert_eq!(host.remote_stats().outages, 0);
        assert_eq!((host.stats().hits, host.stats().errors), (16, 0));
    }
}

#[test]
fn an_entry_that_takes_longer_than_the_limit_is_loaded_and_stored() {
    for (proxy, is_redis, prefix) in proxies() {
        let cache = through(&proxy, is_redis, &prefix).time_limit(LIMIT).build();
        let scene = Scene::new(1, 12_000_000);
        scene.store(&cache);
        proxy.set(Some(Fault::Paced(4_000_000)));
        assert!(scene.loads(&cache), "redis: {is_redis}");
    }
}

#[test]
fn one_request_at_a_time_is_slow_and_enough() {
    let (proxy, is_redis, prefix) = proxy(false);
    let scene = Scene::new(1, 40_000_000);
    scene.store(&through(&proxy, is_redis, &prefix).build());
    proxy.set(Some(Fault::Paced(8_000_000)));
    let one = through(&proxy, is_redis, &prefix)
        .concurrency(1)
        .time_limit(LIMIT)
        .build();
    assert!(scene.loads(&one));
}

#[test]
fn a_storage_that_takes_no_writes_is_read() {
    for (answer, is_redis) in [
        (
            &b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"[..],
            true,
        ),
        (b"-NOREPLICAS Not enough good replicas to write.\r\n", true),
        (b"-ERR Protocol error: invalid bulk length\r\n", true),
        (
            b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            false,
        ),
    ] {
        let (proxy, cache, [old, new]) = with_one(is_redis);
        proxy.set(Some(Fault::Refused("remote", answer)));
        let saved = cache.save(new.hash, &new.engine, &new.module());
        assert!(saved.unwrap().is_stored(), "it was queued");
        assert!(cache.sync().is_err());
        assert!(old.loads(&cache), "reads were shut off");
        assert_eq!(cache.remote_stats().outages, 0);
    }
}

#[test]
fn an_entry_that_is_removed_while_it_comes_is_a_miss() {
    for (proxy, is_redis, prefix) in proxies() {
        let cache = through(&proxy, is_redis, &prefix).build();
        let scene = Scene::new(1, 20_000_000);
        scene.store(&cache);
        let direct = if is_redis {
            let uri = format!("redis://{}/0/{prefix}", servers::redis_address());
            RemoteCache::from_uri(&uri, Trust::shared(key_of(1)))
                .unwrap()
                .build()
        } else {
            builder(&operators::s3_at(servers::s3_address(), &prefix)).build()
        };
        proxy.set(Some(Fault::Paced(20_000_000)));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(200));
                assert!(direct.delete(&scene.key()).unwrap());
            });
            assert!(
                cache.try_get(&scene.key()).unwrap().is_none(),
                "redis: {is_redis}"
            );
        });
        assert_eq!(cache.remote_stats().outages, 0);
    }
}

#[test]
fn options_without_measure_are_as_good_as_large_ones() {
    let operator = operators::s3_at(servers::s3_address(), &servers::prefix());
    let cache = builder(&operator)
        .time_limit(Duration::MAX)
        .lease_term(Duration::MAX)
        .concurrency(usize::MAX)
        .build();
    let scene = Scene::new(1, 1000);
    let permit = cache.permit(&scene.key()).unwrap();
    assert!(matches!(permit, CompilePermit::Exclusive(_)));
    scene.store(&cache);
    assert!(scene.loads(&cache));
}

#[test]
fn a_storage_that_gives_no_leases_is_read_and_written() {
    const SLOW_DOWN: &[u8] =
        b"HTTP/1.1 503 Slow Down\r\nContent-Length: 86\r\nConnection: close\r\n\r\n\
        <?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>";
    for (answer, is_redis) in [
        (SLOW_DOWN, false),
        (
            b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            false,
        ),
        (
            b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            true,
        ),
        (b"-NOPERM this user has no permissions\r\n", true),
    ] {
        let (proxy, cache, [old, new]) = with_one(is_redis);
        proxy.set(Some(Fault::Refused("leases", answer)));
        let permit = cache.permit(&new.key()).unwrap();
        assert!(matches!(permit, CompilePermit::Uncoordinated));
        assert!(old.loads(&cache), "reads were shut off");
        new.store(&cache);
        assert!(new.loads(&cache));
        let stats = cache.remote_stats();
        assert_eq!((stats.outages, stats.failed_leases), (0, 1));
        if answer == SLOW_DOWN {
            // The next one may be given.
            continue;
        }
        // None is asked for in the meantime.
        let requests = proxy.requests();
        let permit = cache.permit(&new.key()).unwrap();
        assert!(matches!(permit, CompilePermit::Uncoordinated));
        assert_eq!(proxy.requests(), requests);
    }
}

#[test]
fn a_storage_that_has_too_much_to_do_is_asked_again() {
    const TOO_MANY: &[u8] =
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (proxy, is_redis, prefix) = proxy(false);
    let cache = through(&proxy, is_redis, &prefix).build();
    let scene = Scene::new(1, 1000);
    scene.store(&cache);
    proxy.set(Some(Fault::Answer(TOO_MANY)));
    thread::scope(|scope| {
        scope.spawn(|| {
            eventually("it is throttled", || cache.remote_stats().throttled > 0);
            proxy.set(None);
        });
        assert!(scene.loads(&cache));
    });
    assert_eq!(cache.remote_stats().outages, 0);
}

/// Hosts with a compiler each, which load modules at the same time; and how many each compiled.
fn load_at_once(
    hosts: usize,
    scenes: &[Scene],
    host: impl Fn() -> RemoteCache + Sync,
) -> Vec<usize> {
    let start = Barrier::new(hosts);
    thread::scope(|scope| {
        let hosts: Vec<_> = (0..hosts)
            .map(|_| {
                scope.spawn(|| {
                    let engine: TestEngine = scenes[0].engine.clone();
                    let loader = ModuleLoader::new(engine, host());
                    let loader = loader.with_max_compiles(1.try_into().unwrap());
                    start.wait();
                    thread::scope(|scope| {
                        let loads: Vec<_> = scenes
                            .iter()
                            .map(|scene| {
                                scope.spawn(|| {
                                    let loaded = loader.load(&HashedModule::new(&scene.wasm));
                                    loaded.is_ok_and(|loaded| loaded.source == Source::Compiled)
                                })
                            })
                            .collect();
                        let compiled = loads.into_iter().filter_map(|load| load.join().ok());
                        compiled.filter(|compiled| *compiled).count()
                    })
                })
            })
            .collect();
        hosts.into_iter().map(|host| host.join().unwrap()).collect()
    })
}

#[test]
fn nobody_queues_up_for_what_will_not_be_stored() {
    let (proxy, is_redis, prefix) = proxy(true);
    let scene = Scene::new(1, 100_000);
    scene.engine.set_compile_time(Duration::from_secs(1));
    let begun = Instant::now();
    let compiled = load_at_once(6, std::slice::from_ref(&scene), || {
        through(&proxy, is_redis, &prefix)
            .max_entry_size(1000)
            .build()
    });
    assert_eq!(compiled, [1; 6]);
    // Those who waited for the first compile at the same time.
    assert!(
        begun.elapsed() < Duration::from_millis(3500),
        "{:?}",
        begun.elapsed()
    );
    // Whoever comes later does not wait either.
    let late = through(&proxy, is_redis, &prefix).build();
    let permit = late.permit(&scene.key()).unwrap();
    assert!(matches!(permit, CompilePermit::Uncoordinated));
}

#[test]
fn nobody_queues_up_for_what_does_not_compile() {
    for (proxy, is_redis, prefix) in proxies() {
        let scene = Scene::new(1, 1000);
        let host = || through(&proxy, is_redis, &prefix).build();
        let (holder, other) = (host(), host());
        let CompilePermit::Exclusive(guard) = holder.permit(&scene.key()).unwrap() else {
            panic!("the storage gives leases");
        };
        let CompilePermit::Held(wait) = other.permit(&scene.key()).unwrap() else {
            panic!("somebody has it");
        };
        guard.release(PermitOutcome::Failed);
        assert_eq!(wait.wait(Duration::from_secs(1)), PermitOutcome::Failed);
    }
}

#[test]
fn hosts_that_load_the_same_modules_share_the_work() {
    let (proxy, is_redis, prefix) = proxy(true);
    let scenes: Vec<_> = (0..12).map(|n| Scene::new(n, 10_000)).collect();
    for scene in &scenes {
        scene.engine.set_compile_time(Duration::from_millis(200));
    }
    let compiled = load_at_once(3, &scenes, || through(&proxy, is_redis, &prefix).build());
    assert_eq!(compiled.iter().sum::<usize>(), 12, "{compiled:?}");
    assert!(compiled.iter().all(|&count| count >= 2), "{compiled:?}");
}

#[test]
fn a_wait_takes_few_requests() {
    let (proxy, is_redis, prefix) = proxy(true);
    let scene = Scene::new(1, 1000);
    let holder = through(&proxy, is_redis, &prefix).build();
    let waiter = Proxy::before(servers::redis_address());
    let other = through(&waiter, is_redis, &prefix).build();
    let permit = holder.permit(&scene.key()).unwrap();
    let CompilePermit::Held(wait) = other.permit(&scene.key()).unwrap() else {
        panic!("somebody has it");
    };
    let asked = waiter.requests();
    thread::scope(|scope| {
        let waits = scope.spawn(|| wait.wait(Duration::from_secs(4)));
        thread::sleep(Duration::from_secs(4));
        drop(permit);
        waits.join().unwrap();
    });
    let requests = waiter.requests() - asked;
    assert!(requests <= 10, "{requests} requests in four seconds");
}

#[test]
fn a_lease_outlives_a_renewal_that_is_lost() {
    for (proxy, is_redis, prefix) in proxies() {
        let term = Duration::from_secs(4);
        let scene = Scene::new(1, 1000);
        let holder = through(&proxy, is_redis, &prefix).lease_term(term).build();
        let permit = holder.permit(&scene.key()).unwrap();
        let direct = if is_redis {
            Proxy::before(servers::redis_address())
        } else {
            Proxy::before(servers::s3_address())
        };
        let other = through(&direct, is_redis, &prefix).lease_term(term).build();
        // The first renewal falls into this.
        thread::sleep(term / 4);
        proxy.set(Some(Fault::BlackHole));
        thread::sleep(term / 4);
        proxy.set(Some(Fault::Closed));
        thread::sleep(term / 20);
        proxy.set(None);
        let CompilePermit::Held(wait) = other.permit(&scene.key()).unwrap() else {
            panic!("somebody has it");
        };
        let begun = Instant::now();
        let ended = thread::scope(|scope| {
            let waits = scope.spawn(|| {
                wait.wait(Duration::from_secs(10));
                begun.elapsed()
            });
            thread::sleep(3 * term / 2);
            drop(permit);
            waits.join().unwrap()
        });
        assert!(
            ended >= 3 * term / 2,
            "it was taken for dead after {ended:?}"
        );
        assert_eq!(other.remote_stats().takeovers, 0);
    }
}

#[test]
fn a_record_that_somebody_removed_is_a_lost_lease_and_no_error() {
    let prefix = servers::prefix();
    let operator = operators::s3_at(servers::s3_address(), &prefix);
    let scene = Scene::new(1, 1000);
    let term = Duration::from_millis(600);
    let holder = builder(&operator).lease_term(term).build();
    let permit = holder.permit(&scene.key()).unwrap();
    let path = scene.path().replacen(
        &key_of(1).id().to_string(),
        &format!("{}/leases", key_of(1).id()),
        1,
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    assert!(runtime.block_on(operator.exists(&path)).unwrap());
    runtime.block_on(operator.delete(&path)).unwrap();
    thread::sleep(2 * term);
    drop(permit);
    assert_eq!(holder.remote_stats().failed_leases, 0);
    let again = builder(&operator).build().permit(&scene.key()).unwrap();
    assert!(matches!(again, CompilePermit::Exclusive(_)));
}

#[test]
fn behind_a_folder_hits_and_misses_are_counted() {
    let operator = Operator::new(services::Memory::default()).unwrap();
    let (there, missing) = (Scene::new(1, 1000), Scene::new(2, 1000));
    there.store(&builder(&operator).build());
    let folder = tempfile::tempdir().unwrap();
    let disk = FileSystemCache::open(folder.path().join("cache")).unwrap();
    let cache = disk.with_fallback(builder(&operator).build());
    assert!(there.loads(&cache) && !missing.loads(&cache) && there.loads(&cache));
    let stats = cache.fallback().stats();
    assert_eq!((stats.hits, stats.misses), (1, 1));
}

#[test]
fn a_save_that_waits_for_room_loses_nothing_and_a_flush_tells_what_was_dropped() {
    let prefix = servers::prefix();
    let operator = operators::s3_at(servers::s3_address(), &prefix);
    let scenes: Vec<_> = (0..40).map(|n| Scene::new(n, 1000)).collect();
    let save = |cache: &RemoteCache, scene: &Scene| {
        cache
            .save(scene.hash, &scene.engine, &scene.module())
            .unwrap()
    };
    let patient = builder(&operator).queue(2, 1 << 20).wait_for_room().build();
    for scene in &scenes {
        assert!(save(&patient, scene).is_stored());
    }
    ModuleCache::<TestEngine>::flush(&patient).unwrap();
    assert!(scenes.iter().all(|scene| scene.loads(&patient)));

    let hasty = builder(&operators::s3_at(servers::s3_address(), &servers::prefix()));
    let hasty = hasty.queue(2, 1 << 20).build();
    let outcomes: Vec<_> = scenes.iter().map(|scene| save(&hasty, scene)).collect();
    assert!(
        outcomes
            .iter()
            .any(|outcome| matches!(outcome, SaveOutcome::Skipped(_)))
    );
    assert!(ModuleCache::<TestEngine>::flush(&hasty).is_err());
    assert_eq!(scenes[0].engine.id(), scenes[1].engine.id());
}

#[test]
fn a_cache_that_is_read_only_writes_nothing_and_asks_for_no_lease() {
    let operator = Operator::new(services::Memory::default()).unwrap();
    let cache = builder(&operator).read_only().build();
    let scene = Scene::new(1, 1000);
    let saved = cache
        .save(scene.hash, &scene.engine, &scene.module())
        .unwrap();
    assert!(!saved.is_stored());
    let permit = cache.permit(&scene.key()).unwrap();
    assert!(matches!(permit, CompilePermit::Uncoordinated));
}

#[test]
fn many_small_entries_on_a_very_slow_network_are_all_hits() {
    let (proxy, is_redis, prefix) = proxy(false);
    let scenes: Vec<_> = (0..40).map(|n| Scene::new(n, 50_000)).collect();
    let cache = through(&proxy, is_redis, &prefix).build();
    for scene in &scenes {
        scene.store(&cache);
    }
    let host = through(&proxy, is_redis, &prefix).time_limit(LIMIT).build();
    // 2 MB take five times the limit, and so does each, if all are asked for at once.
    proxy.set(Some(Fault::Paced(400_000)));
    let begun = Instant::now();
    thread::scope(|scope| {
        for scene in &scenes {
            scope.spawn(|| assert!(scene.loads(&host)));
        }
    });
    assert!(begun.elapsed() > 4 * LIMIT);
    assert_eq!((host.stats().hits, host.stats().errors), (40, 0));
}

#[test]
fn a_storage_whose_writes_hang_is_waited_for_once_and_is_read() {
    let storage = Scripted::new(|_, asked| {
        if asked.line.starts_with("PUT") {
            thread::sleep(Duration::from_mins(1));
        }
        ("404 Not Found".into(), Vec::new())
    });
    let operator = operators::s3_at(storage.address, &servers::prefix());
    let cache = builder(&operator).time_limit(LIMIT).build();
    let begun = Instant::now();
    for scene in (0..12).map(|n| Scene::new(n, 1000)) {
        let saved = cache.save(scene.hash, &scene.engine, &scene.module());
        assert!(saved.is_ok());
    }
    assert!(ModuleCache::<TestEngine>::flush(&cache).is_err());
    // Four are written at a time, and those behind them are not.
    assert!(begun.elapsed() < 9 * LIMIT, "{:?}", begun.elapsed());
    let stats = cache.remote_stats();
    assert_eq!((stats.failed_uploads, stats.outages), (4, 0));
    assert!(!Scene::new(99, 1000).loads(&cache));
    assert_eq!(cache.stats().misses, 1);
}
