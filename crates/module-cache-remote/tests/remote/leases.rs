//! Leases between hosts that are slow, or cut off from the storage.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use module_cache_core::permit::{CompilePermit, PermitOutcome};
use module_cache_core::{EntryStore, ModuleCache, Trust};
use module_cache_remote::{RemoteCache, RemoteCacheBuilder};

use crate::operators;
use crate::proxy::{Fault, Proxy};
use crate::scene::{Scene, key_of};
use crate::servers;

const TERM: Duration = Duration::from_secs(2);

/// A host that reaches the storage at an address.
type Host = fn(SocketAddr, &str) -> RemoteCacheBuilder;

fn s3(address: SocketAddr, prefix: &str) -> RemoteCacheBuilder {
    RemoteCache::builder(operators::s3_at(address, prefix), Trust::shared(key_of(1)))
}

fn redis(address: SocketAddr, prefix: &str) -> RemoteCacheBuilder {
    let uri = format!("redis://{address}/0/{prefix}");
    RemoteCache::from_uri(&uri, Trust::shared(key_of(1))).unwrap()
}

fn ask(cache: &RemoteCache, scene: &Scene) -> CompilePermit {
    cache.permit(&scene.key()).unwrap()
}

/// Waits for the holder of a permit that somebody else has.
fn outlast(permit: CompilePermit) -> PermitOutcome {
    match permit {
        CompilePermit::Held(wait) => wait.wait(Duration::from_secs(1)),
        permit => panic!("the permit is held, and the answer is {permit:?}"),
    }
}

#[test]
fn those_who_wait_find_what_was_uploaded() {
    for (host, server) in [
        (s3 as Host, servers::s3_address()),
        (redis, servers::redis_address()),
    ] {
        let (proxy, prefix) = (Proxy::before(server), servers::prefix());
        let scene = Scene::new(1, 1000);
        let slow = host(proxy.address, &prefix).build();
        let permit = ask(&slow, &scene);
        assert!(matches!(permit, CompilePermit::Exclusive(_)));
        proxy.set(Some(Fault::Delayed(Duration::from_millis(200))));
        let saved = slow.save(scene.hash, &scene.engine, &scene.module());
        assert!(saved.unwrap().is_stored());
        // The upload has hardly begun.
        drop(permit);

        let other = host(server, &prefix).build();
        outlast(ask(&other, &scene));
        assert!(scene.loads(&other));
    }
}

#[test]
fn closing_a_cache_gives_its_leases_back() {
    let prefix = servers::prefix();
    let host = || s3(servers::s3_address(), &prefix).build();
    let scene = Scene::new(1, 1000);
    let cache = host();
    drop(ask(&cache, &scene));
    drop(cache);
    let begun = Instant::now();
    assert!(matches!(ask(&host(), &scene), CompilePermit::Exclusive(_)));
    // It was not taken over from the dead.
    assert!(begun.elapsed() < Duration::from_secs(9));
}

#[test]
fn a_host_that_is_cut_off_loses_its_lease_to_one_of_those_who_wait() {
    for (host, server) in [
        (s3 as Host, servers::s3_address()),
        (redis, servers::redis_address()),
    ] {
        let (proxy, prefix) = (Proxy::before(server), servers::prefix());
        let scene = Scene::new(1, 1000);
        let lost = host(proxy.address, &prefix)
            .lease_term(TERM)
            .time_limit(TERM)
            .build();
        let permit = ask(&lost, &scene);
        assert!(matches!(permit, CompilePermit::Exclusive(_)));
        proxy.set(Some(Fault::BlackHole));

        let leaders: usize = thread::scope(|scope| {
            let waiters: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let cache = host(server, &prefix).lease_term(TERM).build();
                        lead_or_wait(&cache, &scene)
                    })
                })
                .collect();
            // It comes back while somebody else has the lease, and does no harm.
            thread::sleep(3 * TERM / 2);
            proxy.set(None);
            drop(permit);
            waiters
                .into_iter()
                .map(|waiter| usize::from(waiter.join().unwrap()))
                .sum()
        });
        assert_eq!(leaders, 1);
    }
}

/// As a loader does: compiles and saves if it has the permit, or else waits until somebody else has. Says whether
/// it compiled.
fn lead_or_wait(cache: &RemoteCache, scene: &Scene) -> bool {
    let begun = Instant::now();
    loop {
        let permit = match ask(cache, scene) {
            CompilePermit::Exclusive(permit) => Some(permit),
            CompilePermit::Held(wait) => {
                wait.wait(TERM);
                None
            }
            CompilePermit::Uncoordinated => panic!("the storage works"),
        };
        assert!(
            begun.elapsed() > TERM / 4,
            "the lease of a host that was alive a moment ago was given away"
        );
        if scene.loads(cache) {
            return false;
        }
        if permit.is_some() {
            // Longer than the one that was cut off needs to come back.
            thread::sleep(TERM);
            scene.store(cache);
            return true;
        }
    }
}

#[test]
fn a_lease_that_never_ends_is_not_waited_for_for_ever() {
    let (prefix, scene) = (servers::prefix(), Scene::new(1, 1000));
    let term = Duration::from_secs(2);
    let host = || {
        redis(servers::redis_address(), &prefix)
            .lease_term(term)
            .build()
    };
    let (hanging, other) = (host(), host());
    let permit = ask(&hanging, &scene);
    assert!(matches!(permit, CompilePermit::Exclusive(_)));

    let begun = Instant::now();
    outlast(ask(&other, &scene));
    // Three times what was expected, and two terms.
    let patience = 3 * Duration::from_secs(1) + 2 * term;
    assert!(begun.elapsed() >= patience, "{:?}", begun.elapsed());
    assert!(begun.elapsed() < 3 * patience, "{:?}", begun.elapsed());
    assert!(matches!(ask(&other, &scene), CompilePermit::Uncoordinated));
    assert_eq!(other.stats().errors, 1);
    // The storage works as before.
    assert!(!scene.loads(&other));
    assert_eq!(other.remote_stats().outages, 0);
}
