//! An engine whose modules are whatever a test needs, and what most tests of this crate share.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use module_cache_core::instance::EngineInstance;
use module_cache_core::{Engine, EngineId, ModuleHash};

/// An engine that makes nothing, and weighs modules as it is told.
#[derive(Clone)]
pub(crate) struct Plain<M> {
    id: EngineId,
    instance: EngineInstance,
    weigh: fn(&M) -> Option<u64>,
    descriptors: u32,
}

impl<M> Plain<M> {
    /// An engine object of its own; all have the same id.
    pub(crate) fn new(weigh: fn(&M) -> Option<u64>) -> Self {
        Self {
            id: EngineId::builder("plain").build(),
            instance: EngineInstance::new(),
            weigh,
            descriptors: 0,
        }
    }

    /// An engine each of whose modules holds so many.
    pub(crate) fn with_descriptors(self, descriptors: u32) -> Self {
        Self {
            descriptors,
            ..self
        }
    }
}

impl Plain<u64> {
    /// An engine whose modules are their own weight.
    pub(crate) fn of_weights() -> Self {
        Self::new(|&weight| Some(weight))
    }
}

impl Plain<Arc<OnDrop>> {
    /// An engine whose modules weigh 10 and do something when they are freed.
    pub(crate) fn of_hooks() -> Self {
        Self::new(|_| Some(10))
    }
}

impl<M: Clone + 'static> Engine for Plain<M> {
    type Module = M;

    fn id(&self) -> &EngineId {
        &self.id
    }

    fn instance(&self) -> &EngineInstance {
        &self.instance
    }

    fn weight(&self, module: &M) -> Option<u64> {
        (self.weigh)(module)
    }

    fn descriptors(&self, _: &M) -> u32 {
        self.descriptors
    }
}

/// A key that differs for each `n`.
pub(crate) fn key(n: u64) -> ModuleHash {
    ModuleHash::of(&n.to_le_bytes())
}

/// Does `work`, and panics instead of hanging should it deadlock.
pub(crate) fn without_deadlock(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match is_done.recv_timeout(Duration::from_secs(30)) {
        Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => thread.join().unwrap(),
    }
}

/// Does something when it is dropped.
pub(crate) struct OnDrop(Box<dyn Fn() + Send + Sync>);

impl OnDrop {
    /// A module that does `act` once its last clone is gone.
    pub(crate) fn new(act: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self(Box::new(act)))
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A module that counts, in `freed`, that it was freed.
pub(crate) fn counting(freed: &Arc<AtomicUsize>) -> Arc<OnDrop> {
    let freed = Arc::clone(freed);
    OnDrop::new(move || {
        freed.fetch_add(1, Ordering::SeqCst);
    })
}
