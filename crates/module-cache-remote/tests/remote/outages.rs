//! Servers and networks that fail: one bounded delay, then misses at full speed until they recover.

use std::time::{Duration, Instant};

use crate::operators;
use crate::proxy::{FORBIDDEN, Fault, Proxy};
use crate::scene::{Scene, TIME_LIMIT, builder, eventually, key_of};
use crate::servers;
use module_cache_core::permit::CompilePermit;
use module_cache_core::{EntryStore, ModuleCache, SaveOutcome, SkipReason, Trust};
use module_cache_remote::opendal::{Operator, services};
use module_cache_remote::{RemoteCache, RemoteCacheBuilder};

/// The time limit, and what a busy machine adds.
const BOUND: Duration = Duration::from_secs(10);

/// A cache behind a proxy, with one module in it.
struct Behind {
    proxy: Proxy,
    cache: RemoteCache,
    scene: Scene,
}

impl Behind {
    fn s3(size: usize) -> Self {
        let proxy = Proxy::before(servers::s3_address());
        let operator = operators::s3_at(proxy.address, &servers::prefix());
        Self::new(proxy, builder(&operator), size)
    }

    fn redis(size: usize) -> Self {
        let proxy = Proxy::before(servers::redis_address());
        let uri = format!("redis://{}/0/{}", proxy.address, servers::prefix());
        let options = RemoteCache::from_uri(&uri, Trust::shared(key_of(1))).unwrap();
        Self::new(proxy, options.time_limit(TIME_LIMIT), size)
    }

    fn oci(size: usize) -> Self {
        let proxy = Proxy::before(servers::registry_address());
        let uri = format!("oci://{}/{}", proxy.address, servers::prefix());
        let options = RemoteCache::from_uri(&uri, Trust::shared(key_of(1))).unwrap();
        Self::new(proxy, options.time_limit(TIME_LIMIT), size)
    }

    fn new(proxy: Proxy, options: RemoteCacheBuilder, size: usize) -> Self {
        let cache = options.build();
        let scene = Scene::new(1, size);
        scene.store(&cache);
        assert!(scene.loads(&cache));
        Self {
            proxy,
            cache,
            scene,
        }
    }

    /// The fault costs one bounded load, then none, and is over when it is.
    fn endures(&self, fault: Fault) {
        let (cache, scene) = (&self.cache, &self.scene);
        let before = (cache.stats(), cache.remote_stats());
        self.proxy.set(Some(fault));
        let begun = Instant::now();
        assert!(!scene.loads(cache), "{fault:?}");
        assert!(begun.elapsed() < TIME_LIMIT + BOUND, "{fault:?}");

        let requests = self.proxy.requests();
        let begun = Instant::now();
        for _ in 0..1000 {
            assert!(!scene.loads(cache), "{fault:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{fault:?}");
        // A probe and its repetitions, not a thousand loads.
        assert!(self.proxy.requests() < requests + 20, "{fault:?}");
        assert!(!cache.exists(&scene.key()).unwrap());
        assert_eq!(
            cache
                .save(scene.hash, &scene.engine, &scene.module())
                .unwrap(),
            SaveOutcome::Skipped(SkipReason::Unreachable)
        );
        let permit = cache.permit(&scene.key()).unwrap();
        assert!(matches!(permit, CompilePermit::Uncoordinated));
        assert!(cache.delete(&scene.key()).is_err());
        assert!(cache.try_get(&scene.key()).is_err());

        let after = (cache.stats(), cache.remote_stats());
        assert_eq!(after.0.misses, before.0.misses + 1001);
        assert_eq!(after.0.errors, before.0.errors + 1);
        assert_eq!(after.1.outages, before.1.outages + 1);
        assert!(after.1.short_circuited >= before.1.short_circuited + 1000);

        self.proxy.set(None);
        eventually(&format!("used again after {fault:?}"), || {
            scene.loads(cache)
        });
    }
}

#[test]
fn s3_that_closes_connections_costs_one_bounded_delay() {
    Behind::s3(1000).endures(Fault::Closed);
}

#[test]
fn s3_that_never_answers_costs_one_bounded_delay() {
    Behind::s3(1000).endures(Fault::BlackHole);
}

#[test]
fn s3_that_is_cut_off_in_a_header_or_a_body_costs_one_bounded_delay() {
    let behind = Behind::s3(1_000_000);
    behind.endures(Fault::Cut(20));
    // More than the headers.
    behind.endures(Fault::Cut(2000));
}

#[test]
fn s3_that_is_slow_costs_one_bounded_delay() {
    Behind::s3(1000).endures(Fault::Delayed(Duration::from_secs(5)));
}

#[test]
fn s3_that_answers_500_is_asked_again_and_costs_one_bounded_delay() {
    let behind = Behind::s3(1000);
    behind.endures(Fault::Answer(
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ));
    assert!(behind.cache.remote_stats().retries >= 2);
}

#[test]
fn s3_that_refuses_everything_costs_one_bounded_delay() {
    Behind::s3(1000).endures(Fault::Answer(FORBIDDEN));
}

#[test]
fn s3_that_answers_garbage_costs_one_bounded_delay() {
    Behind::s3(1000).endures(Fault::Answer(b"\0\x01\x02 what is this?\r\n\r\n"));
}

#[test]
fn redis_that_fails_in_any_way_costs_one_bounded_delay() {
    let behind = Behind::redis(1_000_000);
    for fault in [
        Fault::Closed,
        Fault::BlackHole,
        Fault::Cut(5),
        Fault::Delayed(Duration::from_secs(5)),
        Fault::Answer(b"-ERR something is wrong\r\n"),
        Fault::Answer(b"HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        behind.endures(fault);
    }
}

#[test]
fn a_registry_that_fails_in_any_way_costs_one_bounded_delay() {
    let behind = Behind::oci(1_000_000);
    for fault in [
        Fault::Closed,
        Fault::BlackHole,
        Fault::Cut(20),
        Fault::Cut(2000),
        Fault::Delayed(Duration::from_secs(5)),
        Fault::Answer(FORBIDDEN),
        Fault::Answer(
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ),
        Fault::Answer(b"\0\x01\x02 what is this?\r\n\r\n"),
    ] {
        behind.endures(fault);
    }
}

#[test]
fn a_server_that_is_not_there_costs_one_bounded_delay() {
    let operator = operators::s3_at(servers::free_address(), "nowhere");
    let (cache, scene) = (builder(&operator).build(), Scene::new(1, 1000));
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(!scene.loads(&cache));
    }
    assert!(begun.elapsed() < TIME_LIMIT + BOUND);
    assert_eq!(cache.stats().errors, 1);
    assert!(cache.remote_stats().short_circuited >= 99);
}

#[test]
fn a_captive_portal_is_found_out() {
    for behind in [Behind::s3(1000), Behind::oci(1000)] {
        behind.proxy.set(Some(Fault::Answer(
            b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nETag: \"1\"\r\nConnection: close\r\n\r\nplease log in",
        )));
        for _ in 0..100 {
            assert!(!behind.scene.loads(&behind.cache));
        }
        assert_eq!(behind.cache.remote_stats().outages, 1);
        assert!(behind.cache.stats().corrupt <= 3);
        assert!(behind.cache.remote_stats().short_circuited >= 97);
        behind.proxy.set(None);
        eventually("the storage is used again", || {
            behind.scene.loads(&behind.cache)
        });
    }
}

#[test]
fn a_save_returns_at_once_and_what_does_not_fit_is_dropped_and_counted() {
    let proxy = Proxy::before(servers::s3_address());
    let operator = operators::s3_at(proxy.address, &servers::prefix());
    let cache = builder(&operator)
        .queue(2, 1 << 20)
        .flush_limit(Duration::from_millis(100))
        .build();
    proxy.set(Some(Fault::BlackHole));
    let begun = Instant::now();
    let outcomes: Vec<_> = (0..4)
        .map(|n| {
            let scene = Scene::new(n, 1000);
            cache
                .save(scene.hash, &scene.engine, &scene.module())
                .unwrap()
        })
        .collect();
    assert!(begun.elapsed() < TIME_LIMIT, "a save waited for the server");
    assert!(outcomes[..2].iter().all(|outcome| outcome.is_stored()));
    for outcome in &outcomes[2..] {
        assert_eq!(*outcome, SaveOutcome::Skipped(SkipReason::Overloaded));
    }
    assert_eq!(cache.remote_stats().dropped_uploads, 2);
    assert_eq!(cache.stats().skipped, 2);

    // Dropping waits for what is under way, and not for ever.
    let begun = Instant::now();
    let shared = cache.clone();
    drop(cache);
    drop(shared);
    assert!(begun.elapsed() < TIME_LIMIT);
}

#[test]
fn a_storage_that_may_not_be_written_to_is_read() {
    let behind = Behind::s3(1000);
    let (cache, other) = (&behind.cache, Scene::new(2, 1000));
    behind.proxy.set(Some(Fault::ReadOnly));
    let save = || {
        cache
            .save(other.hash, &other.engine, &other.module())
            .unwrap()
    };
    assert!(save().is_stored(), "it was queued");
    assert!(cache.sync().is_err());
    assert_eq!(save(), SaveOutcome::Skipped(SkipReason::ReadOnly));
    let permit = cache.permit(&other.key()).unwrap();
    assert!(matches!(permit, CompilePermit::Uncoordinated));
    assert!(behind.scene.loads(cache));
    assert_eq!(cache.remote_stats().outages, 0);
}

#[test]
fn a_flush_tells_that_an_upload_failed() {
    let proxy = Proxy::before(servers::s3_address());
    let operator = operators::s3_at(proxy.address, &servers::prefix());
    let cache = builder(&operator).build();
    proxy.set(Some(Fault::Closed));
    let scene = Scene::new(1, 1000);
    let outcome = cache
        .save(scene.hash, &scene.engine, &scene.module())
        .unwrap();
    assert!(outcome.is_stored(), "it was queued");
    let begun = Instant::now();
    assert!(cache.sync().is_err());
    assert!(begun.elapsed() < BOUND);
    assert_eq!(cache.remote_stats().failed_uploads, 1);
    assert!(cache.sync().is_ok(), "it was told once");
}

#[test]
fn who_only_reads_removes_nothing() {
    let operator = Operator::new(services::Memory::default()).unwrap();
    let scene = Scene::new(1, 1000);
    scene.store(&builder(&operator).build());
    let reader = builder(&operator).read_only().build();
    assert!(reader.delete(&scene.key()).is_err());
    assert!(scene.loads(&reader));
    assert!(builder(&operator).build().delete(&scene.key()).unwrap());
}
