//! Who compiles, who waits, and what a load costs when something fails.

mod support;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use futures_util::future::join_all;
use js_sys::Object;
use module_cache_core::{HashedModule, ModuleCache};
use module_cache_loader::{LoadError, Source};
use module_cache_memory::{InMemoryCache, in_memory};
use module_cache_testkit::{FailingCache, Fault, Method, Observed};
use module_cache_web::{Wasm, WebEngine, WebModuleLoader};
use support::{answer_of, hashed, key, streamed, wasm};
use wasm_bindgen_test::wasm_bindgen_test;

fn loader() -> WebModuleLoader<InMemoryCache<WebEngine>> {
    WebModuleLoader::new(in_memory())
}

/// A `fetch` that must not be called.
fn never() -> std::future::Ready<Result<Wasm, Infallible>> {
    panic!("the wasm is not needed")
}

#[wasm_bindgen_test]
async fn the_second_load_gives_the_same_module_without_compiling() {
    let loader = loader();
    let first = loader.load(&hashed(42)).await.unwrap();
    assert_eq!(first.source, Source::Compiled);
    assert_eq!(answer_of(&first.module), 42);
    let second = loader.load_with(key(42), never).await.unwrap();
    assert_eq!(second.source, Source::Resident);
    assert!(Object::is(&second.module, &first.module));
    let stats = loader.stats();
    assert_eq!((stats.compiled, stats.resident, stats.failed), (1, 1, 0));
}

#[wasm_bindgen_test]
async fn a_module_may_come_as_a_response() {
    let loader = loader();
    let fetch = || ready(Ok::<_, Infallible>(streamed(9)));
    let loaded = loader.load_with(key(9), fetch).await.unwrap();
    assert_eq!(answer_of(&loaded.module), 9);
    assert!(loader.cache().contains(key(9), &WebEngine).unwrap());
}

#[wasm_bindgen_test]
async fn loads_at_the_same_time_share_one_compilation() {
    let loader = loader();
    let module = hashed(1);
    let loads = (0..8).map(|_| loader.load(&module));
    let loaded: Vec<_> = join_all(loads)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    for load in &loaded {
        assert_eq!(load.source, Source::Compiled);
        assert!(Object::is(&load.module, &loaded[0].module));
    }
    let stats = loader.stats();
    assert_eq!((stats.compiled, stats.coalesced), (1, 7));
}

#[wasm_bindgen_test]
async fn clones_share_what_is_under_way() {
    let (loader, module) = (loader(), hashed(1));
    let clone = loader.clone();
    for loaded in join_all([loader.load(&module), clone.load(&module)]).await {
        loaded.unwrap();
    }
    assert_eq!(clone.stats(), loader.stats());
    assert_eq!(clone.stats().compiled, 1);
}

#[wasm_bindgen_test]
async fn different_modules_do_not_wait_for_each_other() {
    let loader = loader();
    let stuck = loader.load_with(key(1), || {
        std::future::pending::<Result<Wasm, Infallible>>()
    });
    let mut stuck = pin!(stuck);
    assert!(is_pending(stuck.as_mut()).await);
    assert_eq!(answer_of(&loader.load(&hashed(2)).await.unwrap().module), 2);
    assert!(is_pending(stuck).await);
}

#[wasm_bindgen_test]
async fn an_error_reaches_all_who_wait_and_is_not_kept() {
    let (loader, bad) = (loader(), HashedModule::with_hash(key(1), &b"not wasm"[..]));
    for outcome in join_all((0..3).map(|_| loader.load(&bad))).await {
        assert!(matches!(outcome, Err(LoadError::Compile(_))), "{outcome:?}");
    }
    assert_eq!(loader.stats().failed, 3);
    let loaded = loader.load(&hashed(1)).await.unwrap();
    assert_eq!(loaded.source, Source::Compiled);
}

#[wasm_bindgen_test]
async fn wasm_that_cannot_be_fetched_is_an_error_and_not_kept() {
    let loader = loader();
    let fetch = || ready(Err::<Wasm, _>("offline"));
    match loader.load_with(key(1), fetch).await.unwrap_err() {
        LoadError::Fetch { hash, source } => {
            assert_eq!((hash, source.to_string()), (key(1), "offline".into()));
        }
        other => panic!("{other:?}"),
    }
    loader.load(&hashed(1)).await.unwrap();
}

#[wasm_bindgen_test]
async fn a_fetch_that_asks_for_its_own_module_gets_an_error() {
    let loader = loader();
    let inner = loader.clone();
    let fetch = || async move {
        // Another module may be had on the way.
        inner.load(&hashed(2)).await?;
        inner.load(&hashed(1)).await?;
        Ok::<Wasm, LoadError>(Wasm::from(&wasm(1)[..]))
    };
    let error = loader.load_with(key(1), fetch).await.unwrap_err();
    let LoadError::Fetch { source, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(
        matches!(source.downcast_ref(), Some(LoadError::Recursive(hash)) if *hash == key(1)),
        "{error:?}"
    );
    loader.load(&hashed(1)).await.unwrap();
}

#[wasm_bindgen_test]
async fn what_was_begun_is_finished_although_nobody_waits() {
    let loader = loader();
    let module = hashed(3);
    {
        let load = pin!(loader.load(&module));
        assert!(is_pending(load).await);
    }
    for _ in 0..1000 {
        if loader.cache().contains(key(3), &WebEngine).unwrap() {
            assert_eq!(loader.stats().compiled, 1);
            return;
        }
        // The loader is not asked; this only passes the time.
        WebEngine.compile(&wasm(4)[..]).await.unwrap();
    }
    panic!("the module was never compiled");
}

#[wasm_bindgen_test]
async fn what_was_begun_is_joined_although_the_first_has_left() {
    let loader = loader();
    let fetches = Rc::new(Cell::new(0));
    let fetch = || {
        fetches.set(fetches.get() + 1);
        ready(Ok::<_, Infallible>(streamed(3)))
    };
    {
        let load = pin!(loader.load_with(key(3), fetch));
        assert!(is_pending(load).await);
    }
    let loaded = loader.load_with(key(3), fetch).await.unwrap();
    assert_eq!(answer_of(&loaded.module), 3);
    assert_eq!(fetches.get(), 1);
    assert_eq!(loader.stats().coalesced, 1);
}

#[wasm_bindgen_test]
async fn a_broken_cache_costs_no_load() {
    let loader = WebModuleLoader::new(FailingCache::new());
    for _ in 0..2 {
        let loaded = loader.load(&hashed(4)).await.unwrap();
        assert_eq!(loaded.source, Source::Compiled);
    }
    // Each load looks up and saves.
    assert_eq!(loader.stats().cache_errors, 4);
    assert_eq!(loader.cache().calls(), 4);
}

#[wasm_bindgen_test]
async fn what_a_slower_layer_has_is_stored_and_not_compiled() {
    let loader = WebModuleLoader::new(Observed::new(in_memory()));
    loader.load(&hashed(5)).await.unwrap();
    loader.cache().inject(Method::LoadResident, Fault::Error);
    let loaded = loader.load_with(key(5), never).await.unwrap();
    assert_eq!(loaded.source, Source::Stored);
    assert_eq!(loader.stats().stored, 1);
}

#[wasm_bindgen_test]
async fn an_evicted_module_is_compiled_again() {
    let loader = loader();
    loader.load(&hashed(6)).await.unwrap();
    loader.cache().clear();
    let loaded = loader.load(&hashed(6)).await.unwrap();
    assert_eq!(loaded.source, Source::Compiled);
    assert_eq!(loader.stats().compiled, 2);
}

/// Polls once.
async fn is_pending(mut load: std::pin::Pin<&mut impl Future>) -> bool {
    poll_fn(|context| Poll::Ready(load.as_mut().poll(context).is_pending())).await
}
