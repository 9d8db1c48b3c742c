//! A host of the fleet: it wants some modules, loads several at a time, and compiles as many as it has cores.

use std::sync::Arc;
use std::time::Duration;

use module_cache_core::permit::PermitOutcome;
use module_cache_core::{EngineId, EntryKey, ModuleHash, SealedEntry, SharedKey, Trust};
use module_cache_loader::course::{self, Course, Permit, Steps};
use module_cache_remote::RemoteCache;
use module_cache_remote::simulation::{Asked, Held, Host, Waiting};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::storage::Storage;

/// Cores of a host, and how many modules it loads at a time.
pub(crate) const CORES: usize = 4;
const LOADS: usize = 4;

/// A module of the fleet.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) key: EntryKey,
    /// What compiling takes on a host of the usual speed.
    pub(crate) compile: Duration,
    artifact: Vec<u8>,
}

impl Module {
    pub(crate) fn new(n: usize, compile: Duration, random: &mut fastrand::Rng) -> Self {
        let engine = EngineId::builder("simulated 1.0").build();
        // A hundred kilobytes of compressed code for each second.
        let len = (compile.as_secs_f64() * 100_000.0) as usize;
        let mut artifact = vec![0; len.max(1000)];
        random.fill(&mut artifact);
        Self {
            key: EntryKey::new(ModuleHash::of(&n.to_le_bytes()), engine),
            compile,
            artifact,
        }
    }
}

/// What became of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loaded {
    pub(crate) module: usize,
    pub(crate) compiled: bool,
    pub(crate) took: Duration,
    /// What compiling it takes here.
    pub(crate) compile: Duration,
}

struct Shared {
    cache: Host,
    slots: Arc<Semaphore>,
    modules: Arc<Vec<Module>>,
    /// How much slower it is than others.
    speed: f64,
}

/// How much slower the host with this seed is than others.
pub(crate) fn speed(seed: u64) -> f64 {
    0.8 + 0.4 * fastrand::Rng::with_seed(seed).f64()
}

/// How long the host takes that compiles all that it wants.
pub(crate) fn alone(modules: &[Module], wanted: &[usize], seed: u64) -> Duration {
    let mut cores = [Duration::ZERO; CORES];
    for module in wanted {
        // The next one goes to the core that is free first.
        if let Some(core) = cores.iter_mut().min() {
            *core += modules[*module].compile.mul_f64(speed(seed));
        }
    }
    cores.into_iter().max().unwrap_or_default()
}

/// Loads these modules in this order on a host that has just started, and says when each was there.
pub(crate) async fn run(
    storage: Arc<Storage>,
    modules: Arc<Vec<Module>>,
    wanted: Vec<usize>,
    seed: u64,
    dies: Option<Instant>,
    too_large: bool,
) -> Vec<Loaded> {
    let trust = Trust::shared(SharedKey::from_bytes([7; 32]));
    let mut options = RemoteCache::builder(storage.operator(dies), trust);
    if too_large {
        options = options.max_entry_size(1);
    }
    let shared = Arc::new(Shared {
        cache: Host::new(options, seed),
        slots: Arc::new(Semaphore::new(CORES)),
        modules,
        speed: speed(seed),
    });
    let threads = Arc::new(Semaphore::new(LOADS));
    let mut loads = JoinSet::new();
    for module in wanted {
        let turn = Arc::clone(&threads).acquire_owned().await;
        let shared = Arc::clone(&shared);
        loads.spawn(async move {
            let loaded = shared.load(module).await;
            drop(turn);
            loaded
        });
    }
    loads.join_all().await
}

impl Shared {
    async fn load(self: Arc<Self>, module: usize) -> Loaded {
        let begun = Instant::now();
        let compile = self.modules[module].compile.mul_f64(self.speed);
        let load = Load {
            host: &self,
            module: &self.modules[module],
            compile,
        };
        let compiled = if load.look_up().await.is_some() {
            false
        } else {
            match course::find_or_compile(&load).await {
                Ok(Course::Found(())) => false,
                Ok(Course::Compiled((), permit)) => {
                    let entry = &self.modules[module];
                    // SAFETY: nothing is executed.
                    let entry =
                        unsafe { SealedEntry::from_artifact(entry.key, &entry.artifact[..]) };
                    let stored = self.cache.put(&entry);
                    if let Some(permit) = permit {
                        permit.release(if stored {
                            PermitOutcome::Stored
                        } else {
                            PermitOutcome::NotStored
                        });
                    }
                    true
                }
                Err(()) => unreachable!("everything compiles"),
            }
        };
        Loaded {
            module,
            compiled,
            took: begun.elapsed(),
            compile,
        }
    }
}

struct Load<'a> {
    host: &'a Shared,
    module: &'a Module,
    compile: Duration,
}

impl Steps for Load<'_> {
    type Module = ();
    type Error = ();
    type Slot = OwnedSemaphorePermit;
    type Guard = Held;
    type Wait = Waiting;

    async fn look_up(&self) -> Option<()> {
        self.host.cache.get(&self.module.key).await.then_some(())
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Self::Error> {
        let slot = Arc::clone(&self.host.slots).acquire_owned().await;
        Ok(slot.expect("it is never closed"))
    }

    async fn permit(&self) -> Permit<Held, Waiting> {
        match self.host.cache.permit(&self.module.key).await {
            Asked::Exclusive(held) => Permit::Exclusive(held),
            Asked::Held(wait) => Permit::Held(wait),
            Asked::Uncoordinated => Permit::Uncoordinated,
        }
    }

    async fn outlast(&self, wait: Waiting) -> PermitOutcome {
        self.host.cache.outlast(wait, self.compile).await
    }

    async fn compile(&self) -> Result<(), ()> {
        sleep(self.compile).await;
        Ok(())
    }

    fn release(&self, guard: Held, outcome: PermitOutcome) {
        guard.release(outcome);
    }
}
