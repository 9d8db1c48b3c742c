//! OCI registries: what one host pushes another loads, and what lies there and is not an entry is a miss.

use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use module_cache_core::permit::CompilePermit;
use module_cache_core::{EntryStore, HashedModule, ModuleCache, ModuleHash, Trust};
use module_cache_fallback::FallbackExt;
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::{ModuleLoader, Source};
use module_cache_remote::{RemoteCache, RemoteCacheBuilder};
use module_cache_testkit::TestEngine;

use crate::proxy::{Fault, Proxy};
use crate::registry::{MANIFEST, OnDisk, Repository, Scripted, tag_of};
use crate::scene::{Scene, TIME_LIMIT, eventually, key_of};
use crate::servers::{self, Server};

const CHILD: &str = "MODULE_CACHE_TEST_DOCKER";

fn options(uri: &str) -> RemoteCacheBuilder {
    let options = RemoteCache::from_uri(uri, Trust::shared(key_of(1))).unwrap();
    options.time_limit(TIME_LIMIT)
}

fn cache(uri: &str) -> RemoteCache {
    options(uri).build()
}

fn unsigned_cache(uri: &str) -> RemoteCache {
    // SAFETY: nothing of a test engine is executed.
    let trust = unsafe { Trust::unauthenticated() };
    RemoteCache::from_uri(uri, trust).unwrap().build()
}

/// A repository with an entry in it.
fn with_entry(size: usize) -> (Repository, Scene) {
    let (repository, scene) = (Repository::new(), Scene::new(1, size));
    scene.store(&cache(&repository.uri()));
    (repository, scene)
}

/// The only layer of a manifest.
fn layer_of(manifest: &str) -> String {
    let (_, layers) = manifest.split_once(r#""layers":["#).unwrap();
    layers.split_once(']').unwrap().0.to_owned()
}

/// What has the entry's tag is a miss for a fresh cache, which counts it once and replaces it.
#[track_caller]
fn is_refused(repository: &Repository, scene: &Scene, corrupt: bool) {
    let cache = cache(&repository.uri());
    assert!(!scene.loads(&cache));
    let stats = cache.stats();
    let counts = (stats.corrupt, stats.rejected, stats.misses, stats.errors);
    assert_eq!(counts, (u64::from(corrupt), u64::from(!corrupt), 1, 0));
    assert!(!cache.exists(&scene.key()).unwrap());
    scene.store(&cache);
    assert!(scene.loads(&cache));
}

#[test]
fn what_one_host_compiles_another_loads_from_the_registry() {
    let (repository, scene) = (Repository::new(), Scene::new(1, 1_000_000));
    let sources = [(); 2].map(|()| {
        let folder = tempfile::tempdir().unwrap();
        let disk = FileSystemCache::open(folder.path().join("cache")).unwrap();
        let host = disk.with_fallback(cache(&repository.uri()));
        let loader = ModuleLoader::new(scene.engine.clone(), host);
        let loaded = loader.load(&HashedModule::new(&scene.wasm)).unwrap();
        assert!(loaded.module.wasm() == scene.wasm);
        assert_eq!(loader.stats().cache_errors, 0);
        loaded.source
    });
    assert_eq!(sources, [Source::Compiled, Source::Stored]);
    assert_eq!(scene.engine.compiles(), 1);
}

#[test]
fn a_miss_is_one_request_a_small_hit_two_and_a_save_five() {
    let proxy = Proxy::before(servers::registry_address());
    let uri = Repository::at(proxy.address).uri();
    let cache = cache(&uri);
    let [first, second] = [1, 2].map(|n| Scene::new(n, 1000));
    let requests = |what: &dyn Fn()| {
        let before = proxy.requests();
        what();
        proxy.requests() - before
    };
    assert_eq!(requests(&|| assert!(!first.loads(&cache))), 1);
    let permit = || {
        let permit = cache.permit(&first.key()).unwrap();
        assert!(matches!(permit, CompilePermit::Uncoordinated));
    };
    assert_eq!(requests(&permit), 0, "there are no leases to ask for");
    // A look, the blob in two, what all artifacts have in two, the module, and the manifest.
    assert_eq!(requests(&|| first.store(&cache)), 7);
    assert_eq!(requests(&|| second.store(&cache)), 5);
    assert_eq!(requests(&|| assert!(first.loads(&cache))), 2);
}

#[test]
fn a_large_entry_is_one_manifest_and_parts_of_a_blob() {
    let proxy = Proxy::before(servers::registry_address());
    let cache = cache(&Repository::at(proxy.address).uri());
    let scene = Scene::new(1, 10_000_000);
    scene.store(&cache);
    let before = proxy.requests();
    assert!(scene.loads(&cache));
    // The manifest, the end, and five parts.
    assert_eq!(proxy.requests() - before, 7);
}

#[test]
fn an_entry_is_a_valid_artifact_and_a_referrer_of_its_module() {
    let (repository, scene) = with_entry(1000);
    let manifest = repository.parsed(&tag_of(&scene.path()));
    assert_eq!(manifest["schemaVersion"], 2);
    assert_eq!(manifest["mediaType"], MANIFEST);
    let entry = "application/vnd.module-cache.entry.v1";
    assert_eq!(manifest["artifactType"], entry);
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.oci.empty.v1+json"
    );
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["layers"][0]["mediaType"], entry);
    assert_eq!(
        manifest["annotations"]["vnd.module-cache.path"],
        scene.path()
    );
    // Its subject is what the registry has under the name of the module.
    let module = repository.manifest(&scene.hash.to_string());
    let subject = &manifest["subject"];
    assert_eq!(subject["size"], module.len());
    let digest = subject["digest"].as_str().unwrap();
    assert_eq!(repository.manifest(digest), module);
    let module = repository.parsed(digest);
    assert_eq!(
        module["artifactType"],
        "application/vnd.module-cache.module.v1"
    );
    assert_eq!(
        module["annotations"]["vnd.module-cache.blake3"],
        scene.hash.to_string()
    );
}

#[test]
fn a_wrong_digest_is_a_miss_and_is_replaced() {
    let (repository, scene) = with_entry(1000);
    let tag = tag_of(&scene.path());
    let manifest = repository.manifest(&tag);
    let layer = |tag: &str| layer_of(&repository.manifest(tag));

    // Another module's entry, and what is no entry at all.
    let other = Scene::new(2, 1000);
    other.store(&cache(&repository.uri()));
    let theirs = layer(&tag_of(&other.path()));
    repository.tag(&tag, &manifest.replace(&layer(&tag), &theirs));
    is_refused(&repository, &scene, false);

    let empty = repository.parsed(&scene.hash.to_string())["layers"][0]["digest"].to_string();
    let digest = repository.parsed(&tag)["layers"][0]["digest"].to_string();
    repository.tag(&tag, &manifest.replace(&digest, &empty));
    is_refused(&repository, &scene, true);
}

#[test]
fn a_foreign_artifact_is_a_miss_and_is_replaced() {
    let (repository, scene) = with_entry(1000);
    let tag = tag_of(&scene.path());
    let manifest = repository.manifest(&tag);
    let layer = layer_of(&manifest);
    let size = repository.parsed(&tag)["layers"][0]["size"].to_string();
    let [smaller, larger] = ["1", "1000000000000"].map(|size| format!(r#""size":{size}"#));
    let size = format!(r#""size":{size}"#);
    for (from, to) in [
        ("vnd.module-cache.entry.v1", "vnd.example.v1"),
        (
            r#""artifactType":"application/vnd.module-cache"#,
            r#""artifactType":"application/vnd.example"#,
        ),
        (&*layer, &*format!("{layer},{layer}")),
        (&*size, &*smaller),
        (&*size, &*larger),
        (&*scene.path(), "v1/unsigned/engine/module"),
        ("vnd.module-cache.path", &*"x".repeat(100_000)),
    ] {
        let other = manifest.replace(from, to);
        assert!(other != manifest, "{from}");
        repository.tag(&tag, &other);
        is_refused(&repository, &scene, true);
    }
}

#[test]
fn an_unsigned_artifact_is_a_miss_where_a_key_is_demanded() {
    let (repository, scene) = (Repository::new(), Scene::new(1, 1000));
    scene.store(&unsigned_cache(&repository.uri()));
    let host = cache(&repository.uri());
    assert!(!scene.loads(&host), "it lies in a place of its own");
    assert_eq!(host.stats().misses, 1);

    // The same where a signed one should be.
    let path = scene
        .path()
        .replace(&key_of(1).id().to_string(), "unsigned");
    let manifest = repository.manifest(&tag_of(&path));
    let moved = manifest.replace(&path, &scene.path());
    repository.tag(&tag_of(&scene.path()), &moved);
    is_refused(&repository, &scene, false);
}

#[test]
fn a_changed_byte_on_the_registrys_disk_is_a_miss() {
    let registry = OnDisk::new();
    let uri = registry.repository.uri();
    for (n, at) in (1..).zip([0, 500_000, 999_000]) {
        let scene = Scene::new(n, 1_000_000);
        scene.store(&cache(&uri));
        let manifest = registry.repository.parsed(&tag_of(&scene.path()));
        let digest = manifest["layers"][0]["digest"].as_str().unwrap();
        registry.flip(digest, |_| at);
        let cache = cache(&uri);
        assert!(!scene.loads(&cache), "{at}");
        assert_eq!((cache.stats().corrupt, cache.stats().misses), (1, 1));
        registry.flip(digest, |_| at);
        assert!(scene.loads(&cache));
        registry.flip(digest, |len| len - 1);
        assert!(!scene.loads(&cache), "{at}");
        // The registry has a blob of that name, and keeps it as it is.
        scene.store(&cache);
        assert!(!scene.loads(&cache), "{at}");
    }
}

#[test]
fn what_a_registry_lists_is_what_was_stored_and_can_be_fetched() {
    let (repository, scene) = with_entry(1000);
    let host = cache(&repository.uri());
    let other = Scene::new(2, 1000);
    other.store(&host);
    // Another key's entry of another engine, and what has nothing to do with entries.
    let third = Scene {
        engine: TestEngine::new("another"),
        ..Scene::new(3, 1000)
    };
    third.store(&unsigned_cache(&repository.uri()));
    let manifest = repository.manifest(&tag_of(&scene.path()));
    let foreign = manifest.replace("vnd.module-cache", "vnd.example");
    let third_path = scene
        .path()
        .replace(&scene.hash.to_string(), &third.hash.to_string());
    for tag in [
        "latest",
        "_1",
        &format!("{}-0", scene.hash),
        &tag_of(&third_path),
    ] {
        repository.tag(tag, &foreign);
    }

    let engine = scene.key().engine().to_string();
    assert_eq!(host.engines().unwrap(), [&*engine]);
    let listed = || -> Vec<_> {
        host.list(&engine, None)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let mut expected = [scene.hash, other.hash, third.hash];
    expected.sort_unstable_by_key(|hash| *hash.as_bytes());
    let hashes: Vec<ModuleHash> = listed().iter().map(|entry| entry.hash).collect();
    assert_eq!(hashes, expected);
    let folder = tempfile::tempdir().unwrap();
    let to = FileSystemCache::open(folder.path().join("cache")).unwrap();
    for entry in listed() {
        let fetched = host.promote_listed(&entry, &to).unwrap();
        assert_eq!(fetched.is_some(), entry.hash != third.hash);
    }

    assert!(ModuleCache::remove(&host, other.hash, &other.engine).unwrap());
    assert!(!ModuleCache::remove(&host, other.hash, &other.engine).unwrap());
    assert!(
        !ModuleCache::remove(&host, third.hash, &scene.engine).unwrap(),
        "it is not ours"
    );
    assert!(!other.loads(&host));
    assert!(scene.loads(&host));
    assert_eq!(listed().len(), 2);
}

#[test]
fn a_registry_that_allows_no_deletes_says_so_and_keeps_the_entry() {
    let settings = [
        ("STORAGE_INMEMORY", "{}".as_ref()),
        ("STORAGE_DELETE_ENABLED", "false".as_ref()),
    ];
    let command = |port: &str| servers::registry(port, &settings);
    let server = Server::start_at(servers::free_address(), command);
    let uri = Repository::at(server.address).uri();
    let (host, scene) = (cache(&uri), Scene::new(1, 1000));
    scene.store(&host);
    assert!(ModuleCache::remove(&host, scene.hash, &scene.engine).is_err());
    assert!(scene.loads(&cache(&uri)));
}

#[test]
fn a_repository_that_is_not_there_has_no_entries() {
    let host = cache(&Repository::new().uri());
    assert!(host.engines().unwrap().is_empty());
    assert!(host.list("engine", None).unwrap().next().is_none());
    assert!(!Scene::new(1, 1000).loads(&host));
    assert_eq!(host.stats().errors, 0);
}

#[test]
fn hosts_that_push_the_same_entry_at_once_all_succeed() {
    let (repository, scene) = (Repository::new(), Scene::new(1, 100_000));
    let all = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let cache = cache(&repository.uri());
                all.wait();
                scene.store(&cache);
                assert!(scene.loads(&cache));
            });
        }
    });
    assert!(scene.loads(&cache(&repository.uri())));
}

#[test]
fn a_registry_that_is_restarted_is_used_again() {
    let mut registry = OnDisk::new();
    let (cache, scene) = (cache(&registry.repository.uri()), Scene::new(1, 1000));
    scene.store(&cache);
    registry.stop();
    assert!(!scene.loads(&cache));
    assert_eq!(cache.remote_stats().outages, 1);
    registry.start();
    eventually("the registry is used again", || scene.loads(&cache));
    let other = Scene::new(2, 1000);
    other.store(&cache);
    assert!(other.loads(&cache));
}

#[test]
fn a_registry_that_has_too_much_to_do_is_asked_again() {
    let proxy = Proxy::before(servers::registry_address());
    let (cache, scene) = (
        cache(&Repository::at(proxy.address).uri()),
        Scene::new(1, 1000),
    );
    scene.store(&cache);
    proxy.set(Some(Fault::Answer(
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )));
    thread::scope(|scope| {
        let load = scope.spawn(|| scene.loads(&cache));
        eventually("it was asked again", || cache.remote_stats().throttled > 1);
        proxy.set(None);
        assert!(load.join().unwrap());
    });
    assert_eq!(cache.remote_stats().outages, 0);
}

#[test]
fn credentials_come_from_the_uri_or_from_docker_login_and_are_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let (users, docker) = (
        folder.path().join("users"),
        folder.path().join("config.json"),
    );
    // `hidden@/1` of `me`.
    let line = "me:$2b$05$abcdefghijklmnopqrstuugOTm.tIl1/DNeTIQZssOxvEgphEBBea\n";
    std::fs::write(&users, line).unwrap();
    let name = "credentials_come_from_the_uri_or_from_docker_login_and_are_not_told";
    if let Ok(uri) = std::env::var(CHILD) {
        assert!(Scene::new(1, 1000).loads(&cache(&uri)));
        return;
    }
    let settings = [
        ("STORAGE_INMEMORY", "{}".as_ref()),
        ("AUTH_HTPASSWD_REALM", "test".as_ref()),
        ("AUTH_HTPASSWD_PATH", users.as_os_str()),
    ];
    let command = |port: &str| servers::registry(port, &settings);
    let server = Server::start_at(servers::free_address(), command);
    let address = server.address;
    let scene = Scene::new(1, 1000);
    let with = |user: &str| cache(&format!("oci://{user}{address}/modules"));
    let host = with("me:hidden%40%2F1@");
    scene.store(&host);
    assert!(scene.loads(&with("me:hidden%40%2F1@")));
    for user in ["", "me:hidden@"] {
        let host = with(user);
        assert!(!scene.loads(&host));
        assert_eq!(host.remote_stats().outages, 1);
        let error = with(user).try_get(&scene.key()).unwrap_err();
        let text = format!("{error} {error:?} {host:?}");
        assert!(
            text.contains("refused") && !text.contains("hidden"),
            "{text}"
        );
    }
    // `me:hidden@/1` as `docker login` writes it.
    let login = format!(r#"{{"auths":{{"{address}":{{"auth":"bWU6aGlkZGVuQC8x"}}}}}}"#);
    std::fs::write(docker, login).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("oci::{name}")])
        .env(CHILD, format!("oci://{address}/modules"))
        .env("DOCKER_CONFIG", folder.path())
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_token_is_fetched_when_the_registry_asks_for_one_and_again_when_it_expires() {
    let (tokens, left) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let registry = Scripted::new(move |address, asked| {
        if asked.line.contains("/token") {
            let is_me = asked.header("authorization") == "Basic bWU6aGlkZGVu";
            assert!(
                is_me && asked.line.contains("scope=repository"),
                "{}",
                asked.line
            );
            left.store(2, Ordering::SeqCst);
            let token = tokens.fetch_add(1, Ordering::SeqCst) + 1;
            return (
                "200 OK".into(),
                format!(r#"{{"token":"{token}"}}"#).into_bytes(),
            );
        }
        let valid = format!("Bearer {}", tokens.load(Ordering::SeqCst));
        if asked.header("authorization") == valid && left.load(Ordering::SeqCst) > 0 {
            left.fetch_sub(1, Ordering::SeqCst);
            return ("404 Not Found".into(), b"{}".to_vec());
        }
        let realm = format!(r#"Bearer realm="http://{address}/token",service="test""#);
        let head = format!("401 Unauthorized\r\nWWW-Authenticate: {realm}");
        (head, b"{}".to_vec())
    });
    let host = cache(&registry.uri().replace("oci://", "oci://me:hidden@"));
    for n in 0..4 {
        assert!(!Scene::new(n, 1000).loads(&host));
    }
    assert_eq!(host.stats().errors, 0);
    assert_eq!(registry.count("/token"), 2);
    assert_eq!(registry.count("/manifests/"), 4 + 2);
}

#[test]
fn a_registry_that_lies_about_lengths_is_a_miss_after_little_of_it() {
    let (repository, scene) = with_entry(1000);
    let manifest = repository.manifest(&tag_of(&scene.path())).into_bytes();
    let huge = vec![b' '; 100 << 20];
    // A manifest that does not end, and a blob where a part of one was asked for.
    for (manifest, blobs) in [(huge.clone(), 0), (manifest, 1)] {
        let huge = huge.clone();
        let registry = Scripted::new(move |_, asked| {
            let is_blob = asked.line.contains("/blobs/");
            let body = if is_blob { &huge } else { &manifest };
            ("200 OK".into(), body.clone())
        });
        let proxy = Proxy::before(registry.address);
        let host = cache(&Repository::at(proxy.address).uri());
        assert!(!scene.loads(&host));
        assert_eq!(host.stats().misses, 1);
        assert_eq!(registry.count("/blobs/"), blobs);
        assert!(proxy.answered_bytes() < 10 << 20);
    }
}

#[test]
fn a_list_goes_on_where_the_registry_says_and_one_that_does_not_end_is_an_error() {
    let scenes = [1, 2].map(|n| Scene::new(n, 1000));
    let tags = scenes.each_ref().map(|scene| tag_of(&scene.path()));
    let list = |tags: &[&str]| format!(r#"{{"name":"team/modules","tags":{tags:?}}}"#).into_bytes();
    let pages = [list(&["latest", "", "ä", &tags[0]]), list(&[&tags[1]])];
    let more = "200 OK\r\nLink: </v2/team/modules/tags/list?next=1>; rel=\"next\"";
    let registry = Scripted::new(move |_, asked| {
        if asked.line.contains("next=1") {
            ("200 OK".into(), pages[1].clone())
        } else {
            (more.into(), pages[0].clone())
        }
    });
    let engine = scenes[0].key().engine().to_string();
    let host = cache(&registry.uri());
    let listed: Vec<_> = host
        .list(&engine, None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(listed.len(), 2);
    assert_eq!(registry.count("tags/list"), 2);

    let endless = Scripted::new(move |_, _| {
        let tags: Vec<_> = (0..100_000).map(|n| n.to_string()).collect();
        let tags: Vec<_> = tags.iter().map(String::as_str).collect();
        (more.into(), list(&tags))
    });
    let host = options(&endless.uri())
        .time_limit(Duration::from_secs(20))
        .build();
    let mut listed = host.list(&engine, None).unwrap();
    assert!(listed.next().unwrap().is_err());
    assert!(endless.count("tags/list") < 20);
}

#[test]
fn a_uri_of_no_repository_is_an_error() {
    for uri in [
        "oci://registry.example",
        "oci://registry.example/UPPER",
        "oci://registry.example/modules:tag",
        "oci:///modules",
        "oci://registry.example/modules?plain_http=1",
        "oci://registry.example/modules?unknown=1",
    ] {
        assert!(
            RemoteCache::from_uri(uri, Trust::shared(key_of(1))).is_err(),
            "{uri}"
        );
    }
    for uri in [
        "oci://registry.example/team/wasm_modules",
        "oci://registry/modules?plain_http=true&read_only=true",
        "oci://[::1]:5000/modules",
    ] {
        let _ = options(uri);
    }
}

#[test]
fn an_upload_that_panics_in_the_client_is_not_taken_for_one() {
    let registry = Scripted::new(|_, asked| {
        if asked.line.starts_with("POST") {
            return ("202 Accepted\r\nLocation: http://[".into(), Vec::new());
        }
        ("404 Not Found".into(), b"{}".to_vec())
    });
    let host = cache(&registry.uri());
    let scene = Scene::new(1, 1000);
    let saved = host.save(scene.hash, &scene.engine, &scene.module());
    assert!(saved.unwrap().is_stored());
    assert!(ModuleCache::<TestEngine>::flush(&host).is_err());
    assert_eq!(host.remote_stats().failed_uploads, 1);
}
