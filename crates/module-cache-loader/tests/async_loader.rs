//! What tasks get that share a loader, with each other and with threads.

use std::future::{pending, ready};
use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use module_cache_core::{HashedModule, StoreCache};
use module_cache_loader::{AsyncModuleLoader, LoadError, Loaded, ModuleLoader, Source};
use module_cache_testkit::{
    Fault, Method, Observed, ReferenceCache, ReferenceStore, TestEngine, TestModule, wasm,
};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::{sleep, timeout};

/// Generous, because a loaded machine is not a broken loader.
const PATIENCE: Duration = Duration::from_secs(60);

type Memory = Observed<ReferenceCache<TestEngine>>;
type Loader = AsyncModuleLoader<TestEngine, Memory>;
type Answer = Result<Loaded<TestModule>, LoadError>;

fn loader(handle: &Handle) -> Loader {
    let cache = Observed::new(ReferenceCache::new());
    let loader = ModuleLoader::new(TestEngine::new("async loader"), cache);
    AsyncModuleLoader::new(loader, handle.clone())
}

fn module() -> Arc<HashedModule<'static>> {
    Arc::new(HashedModule::new(wasm(1, 1000)))
}

/// Where one blocking thread must do for everything.
fn multi_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .max_blocking_threads(1)
        .enable_all();
    builder.build().unwrap()
}

fn current_thread() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.max_blocking_threads(1).enable_all();
    builder.build().unwrap()
}

/// Runs a test on both flavours of runtime, and fails it if it hangs.
fn on_both_flavours(test: impl AsyncFn(Handle)) {
    for runtime in [multi_thread(), current_thread()] {
        let handle = runtime.handle().clone();
        runtime.block_on(async { timeout(PATIENCE, test(handle)).await.expect("it hangs") });
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// A load in a task of its own.
fn spawn_load(loader: &Loader) -> tokio::task::JoinHandle<Answer> {
    let loader = loader.clone();
    tokio::spawn(async move { loader.load(&module()).await })
}

/// Polls on this thread, on a runtime that only keeps the time.
fn in_time<T>(future: impl Future<Output = T>) -> T {
    current_thread().block_on(async { timeout(PATIENCE, future).await.expect("it hangs") })
}

fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_module_is_compiled_once_and_resident_from_then_on() {
    on_both_flavours(async |handle| {
        let loader = loader(&handle);
        let first = loader.load(&module()).await.unwrap();
        assert_eq!(first.source, Source::Compiled);
        assert_eq!(first.module.wasm(), module().wasm());
        until(|| loader.loader().cache().inner().len() == 1).await;
        assert_eq!(
            loader.load(&module()).await.unwrap().source,
            Source::Resident
        );
        assert_eq!(loader.loader().engine().compiles(), 1);
    });
}

#[test]
fn what_another_process_stored_is_neither_fetched_nor_compiled() {
    on_both_flavours(async |handle| {
        let store = ReferenceStore::new();
        let open = || {
            let engine = TestEngine::new("async loader");
            ModuleLoader::new(engine, StoreCache(store.clone()))
        };
        open().load(&module()).unwrap();
        let loader = AsyncModuleLoader::new(open(), handle);
        assert_eq!(loader.load(&module()).await.unwrap().source, Source::Stored);
        let fetch = || pending::<io::Result<Vec<u8>>>();
        let loaded = loader.load_with(module().hash(), fetch).await.unwrap();
        assert_eq!(loaded.source, Source::Stored);
        assert_eq!(loader.loader().engine().compiles(), 0);
    });
}

#[test]
fn a_resident_hit_is_ready_on_the_first_poll_and_needs_no_runtime() {
    let runtime = current_thread();
    let loader = loader(runtime.handle());
    loader.loader().load(&module()).unwrap();
    drop(runtime);
    let module = module();
    let Poll::Ready(Ok(loaded)) = poll_once(loader.load(&module)) else {
        panic!("it has to wait");
    };
    assert_eq!(loaded.source, Source::Resident);
    let fetch = || pending::<io::Result<Vec<u8>>>();
    assert!(poll_once(loader.load_with(module.hash(), fetch)).is_ready());
}

#[test]
fn ten_thousand_tasks_wait_for_one_module_without_a_thread_of_their_own() {
    on_both_flavours(async |handle| {
        let loader = loader(&handle);
        let held = loader.loader().engine().hold_compiles();
        let tasks: Vec<_> = (0..10_000).map(|_| spawn_load(&loader)).collect();
        // The one blocking thread compiles.
        until(|| loader.loader().stats().coalesced == 9_999).await;
        drop(held);
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap().source, Source::Compiled);
        }
        assert_eq!(loader.loader().engine().compiles(), 1);
    });
}

#[test]
fn dropping_the_first_who_asked_cancels_nothing_for_the_others() {
    on_both_flavours(async |handle| {
        let loader = loader(&handle);
        let held = loader.loader().engine().hold_compiles();
        let first = spawn_load(&loader);
        until(|| loader.loader().engine().compiles() == 1).await;
        let second = spawn_load(&loader);
        until(|| loader.loader().stats().coalesced == 1).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        drop(held);
        assert_eq!(second.await.unwrap().unwrap().source, Source::Compiled);
        assert_eq!(loader.loader().engine().compiles(), 1);
    });
}

#[test]
fn what_nobody_waits_for_any_longer_is_still_fetched_compiled_and_saved() {
    on_both_flavours(async |handle| {
        let loader = loader(&handle);
        let fetch = || async {
            sleep(Duration::from_millis(10)).await;
            Ok::<_, io::Error>(wasm(1, 1000))
        };
        assert!(poll_once(loader.load_with(module().hash(), fetch)).is_pending());
        until(|| loader.loader().cache().inner().len() == 1).await;
        assert_eq!(loader.loader().engine().compiles(), 1);
    });
}

#[test]
fn the_wasm_is_fetched_once_by_whatever_tasks_can_do() {
    on_both_flavours(async |handle| {
        // Reading this file needs the one blocking thread.
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), wasm(1, 1000)).unwrap();
        let loader = loader(&handle);
        let fetched = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let (loader, fetched) = (loader.clone(), Arc::clone(&fetched));
                let path = file.path().to_owned();
                tokio::spawn(async move {
                    let fetch = || async move {
                        fetched.fetch_add(1, Ordering::SeqCst);
                        tokio::fs::read(path).await
                    };
                    loader.load_with(module().hash(), fetch).await
                })
            })
            .collect();
        for task in tasks {
            let loaded = task.await.unwrap().unwrap();
            assert_eq!(loaded.module.wasm(), module().wasm());
        }
        assert_eq!(fetched.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn loaders_that_share_a_storage_and_one_blocking_thread_compile_once() {
    on_both_flavours(async |handle| {
        let store = ReferenceStore::new();
        let loaders: Vec<_> = (0..4)
            .map(|_| {
                let engine = TestEngine::new("async loader");
                let loader = ModuleLoader::new(engine, StoreCache(store.clone()));
                AsyncModuleLoader::new(loader, handle.clone())
            })
            .collect();
        let tasks: Vec<_> = loaders
            .iter()
            .cloned()
            .map(|loader| {
                tokio::spawn(async move {
                    let fetch = || async {
                        sleep(Duration::from_millis(10)).await;
                        Ok::<_, io::Error>(wasm(1, 1000))
                    };
                    loader.load_with(module().hash(), fetch).await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let compiles = loaders
            .iter()
            .map(|loader| loader.loader().engine().compiles());
        assert_eq!(compiles.sum::<u64>(), 1);
    });
}

#[test]
fn no_more_modules_are_compiled_at_a_time_than_allowed() {
    let runtime = Runtime::new().unwrap();
    let cache = Observed::new(ReferenceCache::new());
    let loader = ModuleLoader::new(TestEngine::new("async loader"), cache);
    let loader = loader.with_max_compiles(NonZeroUsize::new(2).unwrap());
    let loader: Loader = AsyncModuleLoader::new(loader, runtime.handle().clone());
    let held = loader.loader().engine().hold_compiles();
    let tasks: Vec<_> = (0..6)
        .map(|n| {
            let (loader, module) = (loader.clone(), Arc::new(HashedModule::new(wasm(n, 1000))));
            runtime.spawn(async move { loader.load(&module).await })
        })
        .collect();
    held.wait_for(2);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(loader.loader().engine().compiles(), 2);
    drop(held);
    for task in tasks {
        runtime.block_on(task).unwrap().unwrap();
    }
    assert_eq!(loader.loader().engine().compiles(), 6);
}

#[test]
fn a_compile_error_reaches_every_task_and_is_not_kept() {
    on_both_flavours(async |handle| {
        let loader = loader(&handle);
        loader.loader().engine().fail_to_compile(true);
        for error in errors_of_eight(&loader).await {
            assert!(matches!(error, LoadError::Compile(_)), "{error:?}");
        }
        assert_eq!(loader.loader().stats().failed, 8);
        loader.loader().engine().fail_to_compile(false);
        assert!(loader.load(&module()).await.is_ok());
    });
}

#[test]
fn a_panic_in_the_compiler_reaches_every_task_and_frees_the_key() {
    on_both_flavours(async |handle| {
        let loader = loader(&handle);
        loader.loader().engine().panic_in_compile(true);
        for error in errors_of_eight(&loader).await {
            assert!(matches!(error, LoadError::Panicked { .. }), "{error:?}");
        }
        loader.loader().engine().panic_in_compile(false);
        assert!(loader.load(&module()).await.is_ok());
    });
}

async fn errors_of_eight(loader: &Loader) -> Vec<LoadError> {
    let held = loader.loader().engine().hold_compiles();
    let tasks: Vec<_> = (0..8).map(|_| spawn_load(loader)).collect();
    until(|| loader.loader().stats().coalesced == 7).await;
    drop(held);
    let mut errors = Vec::new();
    for task in tasks {
        errors.push(task.await.unwrap().unwrap_err());
    }
    errors
}

#[test]
fn a_fetch_that_fails_or_panics_is_an_error_with_its_cause_and_is_tried_again() {
    on_both_flavours(async |handle| {
        let loader = loader(&handle);
        let hash = module().hash();
        let fails = || ready(Err::<Vec<u8>, _>("no route"));
        let error = loader.load_with(hash, fails).await.unwrap_err();
        assert!(
            matches!(&error, LoadError::Fetch { source, .. } if source.to_string() == "no route")
        );
        let panics = || async { panic!("the cable is cut") };
        let error = loader
            .load_with::<_, _, Vec<u8>, io::Error>(hash, panics)
            .await
            .unwrap_err();
        assert!(
            matches!(&error, LoadError::Panicked { message, .. } if message == "the cable is cut")
        );
        assert!(loader.load(&module()).await.is_ok());
    });
}

#[test]
fn a_cache_that_panics_in_a_look_up_is_an_error_and_frees_the_key() {
    on_both_flavours(async |handle| {
        let loader = loader(&handle);
        loader.loader().cache().inject(Method::Load, Fault::Panic);
        let fetch = || ready(Ok::<_, io::Error>(wasm(1, 1000)));
        let error = loader.load_with(module().hash(), fetch).await.unwrap_err();
        assert!(matches!(error, LoadError::Panicked { .. }), "{error:?}");
        loader.loader().cache().heal(Method::Load);
        assert!(loader.load(&module()).await.is_ok());
    });
}

#[test]
fn a_fetch_that_asks_for_its_own_module_is_told_so() {
    on_both_flavours(async |handle| {
        let loader = loader(&handle);
        let inner = loader.clone();
        let fetch = || async move {
            let answer = inner.load(&module()).await;
            assert!(matches!(answer, Err(LoadError::Recursive(hash)) if hash == module().hash()));
            Ok::<_, io::Error>(wasm(1, 1000))
        };
        loader.load_with(module().hash(), fetch).await.unwrap();
    });
}

#[test]
fn a_fetch_may_load_another_module() {
    on_both_flavours(async |handle| {
        let loader = loader(&handle);
        let inner = loader.clone();
        let fetch = || async move {
            let other = Arc::new(HashedModule::new(wasm(2, 1000)));
            inner.load(&other).await?;
            Ok::<_, LoadError>(wasm(1, 1000))
        };
        loader.load_with(module().hash(), fetch).await.unwrap();
        assert_eq!(loader.loader().engine().compiles(), 2);
    });
}

#[test]
fn the_module_is_there_before_it_is_saved() {
    on_both_flavours(async |handle| {
        let loader = loader(&handle);
        let saving = loader.loader().cache().hold(Method::Save);
        assert!(loader.load(&module()).await.is_ok());
        assert!(loader.loader().cache().inner().is_empty());
        drop(saving);
        until(|| loader.loader().cache().inner().len() == 1).await;
    });
}

#[test]
fn tasks_and_threads_share_one_compilation_whoever_leads() {
    for task_leads in [true, false] {
        let runtime = multi_thread();
        let loader = loader(runtime.handle());
        let held = loader.loader().engine().hold_compiles();
        let task = || {
            let loader = loader.clone();
            runtime.spawn(async move { loader.load(&module()).await })
        };
        let thread = || {
            let loader = Arc::clone(loader.loader());
            thread::spawn(move || loader.load(&module()))
        };
        let (tasks, threads): (Vec<_>, Vec<_>);
        if task_leads {
            let leader = task();
            held.wait_for(1);
            threads = (0..8).map(|_| thread()).collect();
            tasks = (0..7).map(|_| task()).chain([leader]).collect();
        } else {
            let leader = thread();
            held.wait_for(1);
            tasks = (0..8).map(|_| task()).collect();
            threads = (0..7).map(|_| thread()).chain([leader]).collect();
        }
        let all_wait = || loader.loader().stats().coalesced == 15;
        runtime.block_on(async { timeout(PATIENCE, until(all_wait)).await.unwrap() });
        drop(held);
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap().source, Source::Compiled);
        }
        for task in tasks {
            let loaded = runtime.block_on(task).unwrap().unwrap();
            assert_eq!(loaded.source, Source::Compiled);
        }
        assert_eq!(loader.loader().engine().compiles(), 1);
    }
}

/// The threads would otherwise wait for a leader that waits for a thread.
#[test]
fn as_many_threads_as_there_are_may_want_what_a_task_is_fetching() {
    for with_the_thread_of_others in [false, true] {
        let runtime = multi_thread();
        let loader = loader(runtime.handle());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), wasm(1, 1000)).unwrap();
        let path = file.path().to_owned();
        let (begun, has_begun) = std::sync::mpsc::channel();
        let may_go_on = Arc::new(AtomicBool::new(false));
        let task = runtime.spawn({
            let (loader, may_go_on) = (loader.clone(), Arc::clone(&may_go_on));
            let fetch = move || async move {
                begun.send(()).unwrap();
                until(|| may_go_on.load(Ordering::SeqCst)).await;
                if with_the_thread_of_others {
                    // Needs a blocking thread, too.
                    return tokio::fs::read(path).await;
                }
                Ok::<_, io::Error>(wasm(1, 1000))
            };
            async move { loader.load_with(module().hash(), fetch).await }
        });
        has_begun.recv_timeout(PATIENCE).unwrap();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let loader = Arc::clone(loader.loader());
                runtime.spawn_blocking(move || loader.load(&module()))
            })
            .collect();
        thread::sleep(Duration::from_millis(50));
        may_go_on.store(true, Ordering::SeqCst);
        for answer in threads.into_iter().chain([task]) {
            let answer = runtime.block_on(async { timeout(PATIENCE, answer).await });
            answer.expect("it hangs").unwrap().unwrap();
        }
        assert_eq!(loader.loader().engine().compiles(), 1);
    }
}

#[test]
fn a_thread_that_leads_and_blocks_on_the_same_load_as_a_task_is_told_so() {
    let runtime = multi_thread();
    let loader = loader(runtime.handle());
    let mut inner = None;
    let outer = loader.loader().load_with(module().hash(), || {
        inner = Some(in_time(loader.load(&module())));
        Ok::<_, io::Error>(wasm(1, 1000))
    });
    assert!(matches!(inner, Some(Err(LoadError::Recursive(hash))) if hash == module().hash()));
    assert!(outer.is_ok());
}

/// As `async-task` does, when whoever would have polled it is gone.
#[test]
fn a_waker_that_drops_its_task_or_panics_keeps_nobody_else_waiting() {
    use std::sync::Mutex;
    use std::task::Wake;

    type Task = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

    struct DropsTask(Mutex<Option<Task>>);

    impl Wake for DropsTask {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
            panic!("nobody will poll it");
        }
    }

    let runtime = multi_thread();
    let loader = loader(runtime.handle());
    let held = loader.loader().engine().hold_compiles();
    let first = spawn_load_on(&runtime, &loader);
    held.wait_for(1);
    for _ in 0..3 {
        let loader = loader.clone();
        let mut task: Task = Box::pin(async move { loader.load(&module()).await });
        let waker = Arc::new(DropsTask(Mutex::new(None)));
        let pending = task
            .as_mut()
            .poll(&mut Context::from_waker(&waker.clone().into()));
        assert!(pending.is_pending());
        *waker.0.lock().unwrap() = Some(task);
    }
    let last = spawn_load_on(&runtime, &loader);
    until_on(&runtime, || loader.loader().stats().coalesced == 4);
    drop(held);
    for task in [first, last] {
        let answer = runtime.block_on(async { timeout(PATIENCE, task).await });
        answer.expect("it hangs").unwrap().unwrap();
    }
    assert!(loader.loader().load(&module()).is_ok());
}

fn spawn_load_on(runtime: &Runtime, loader: &Loader) -> tokio::task::JoinHandle<Answer> {
    let loader = loader.clone();
    runtime.spawn(async move { loader.load(&module()).await })
}

fn until_on(runtime: &Runtime, condition: impl Fn() -> bool) {
    runtime.block_on(async { timeout(PATIENCE, until(condition)).await.unwrap() });
}

/// A runtime drops what is queued for a blocking thread only when one of them comes by.
#[test]
fn what_waits_for_a_thread_when_the_runtime_is_shut_down_ends_in_an_error() {
    for runtime in [multi_thread(), current_thread()] {
        let loader = loader(runtime.handle());
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock();
        let (begun, has_begun) = std::sync::mpsc::channel();
        // One for the blocking thread, and one for that of each worker, which comes by when the worker ends.
        for _ in 0..3 {
            let (gate, begun) = (Arc::clone(&gate), begun.clone());
            runtime.spawn_blocking(move || {
                let _ = begun.send(());
                drop(gate.lock());
            });
        }
        has_begun.recv_timeout(PATIENCE).unwrap();
        let module = module();
        let mut queued = pin!(loader.load(&module));
        assert!(poll_once(queued.as_mut()).is_pending());
        runtime.shutdown_background();
        let error = in_time(queued).unwrap_err();
        assert!(matches!(error, LoadError::Abandoned(_)), "{error:?}");
        let error = in_time(loader.load(&module)).unwrap_err();
        assert!(matches!(error, LoadError::Abandoned(_)), "{error:?}");
        assert!(loader.loader().load(&module).is_ok());
        drop(held);
    }
}

#[test]
fn a_thread_does_not_wait_for_a_task_that_has_no_thread() {
    let runtime = multi_thread();
    let loader = loader(runtime.handle());
    // The one blocking thread is taken.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let holding = runtime.spawn_blocking(move || held.recv());
    let module = module();
    let mut load = pin!(loader.load(&module));
    assert!(poll_once(load.as_mut()).is_pending());
    let loaded = loader.loader().load(&module).unwrap();
    assert_eq!(loaded.source, Source::Compiled);
    assert_eq!(in_time(load).unwrap().source, Source::Compiled);
    drop(release);
    let _ = runtime.block_on(holding).unwrap();
}

#[test]
fn a_future_can_be_polled_outside_of_any_runtime() {
    for runtime in [multi_thread(), current_thread()] {
        let loader = loader(runtime.handle());
        let loaded = futures_executor::block_on(loader.load(&module())).unwrap();
        assert_eq!(loaded.source, Source::Compiled);
    }
}

#[test]
fn a_runtime_that_is_shut_down_while_it_compiles_leaves_nobody_waiting() {
    for runtime in [multi_thread(), current_thread()] {
        let loader = loader(runtime.handle());
        let held = loader.loader().engine().hold_compiles();
        let module = module();
        let other = Arc::new(HashedModule::new(wasm(2, 1000)));
        // The first has the one blocking thread, the second waits for it.
        let mut running = pin!(loader.load(&module));
        assert!(poll_once(running.as_mut()).is_pending());
        held.wait_for(1);
        let mut queued = pin!(loader.load(&other));
        assert!(poll_once(queued.as_mut()).is_pending());
        runtime.shutdown_background();
        drop(held);
        assert_eq!(in_time(running).unwrap().source, Source::Compiled);
        // Whether a runtime still does what was queued is its own affair.
        let answer = in_time(queued);
        assert!(
            matches!(answer, Ok(_) | Err(LoadError::Abandoned(_))),
            "{answer:?}"
        );
    }
}

#[test]
fn a_fetch_that_is_under_way_when_the_runtime_is_shut_down_ends_in_an_error() {
    let runtime = multi_thread();
    let loader = loader(runtime.handle());
    let (begun, has_begun) = std::sync::mpsc::channel();
    let fetch = || async move {
        begun.send(()).unwrap();
        pending::<io::Result<Vec<u8>>>().await
    };
    let mut load = pin!(loader.load_with(module().hash(), fetch));
    assert!(poll_once(load.as_mut()).is_pending());
    has_begun.recv_timeout(PATIENCE).unwrap();
    drop(runtime);
    let error = in_time(load).unwrap_err();
    assert!(matches!(error, LoadError::Abandoned(_)), "{error:?}");
}

#[test]
fn after_the_runtime_is_shut_down_a_load_is_an_error_and_threads_go_on() {
    let runtime = multi_thread();
    let loader = loader(runtime.handle());
    drop(runtime);
    let error = in_time(loader.load(&module())).unwrap_err();
    assert!(matches!(error, LoadError::Abandoned(_)), "{error:?}");
    let fetch = || ready(Ok::<_, io::Error>(wasm(1, 1000)));
    let error = in_time(loader.load_with(module().hash(), fetch)).unwrap_err();
    assert!(matches!(error, LoadError::Abandoned(_)), "{error:?}");
    assert_eq!(
        loader.loader().load(&module()).unwrap().source,
        Source::Compiled
    );
}
