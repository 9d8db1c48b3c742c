//! What keeps live modules in memory, seen alike: this project's caches, bare maps, and the peers.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use module_cache_core::{Compile, Engine, ModuleCache, ModuleHash};
use module_cache_loader::ModuleLoader;
use parking_lot::RwLock;

/// A map of modules. Those that are shared by threads get the same module from each of them.
pub trait LiveMap: Send + Sync {
    /// What it keeps.
    type Module;

    /// Keeps a module.
    fn save(&self, hash: ModuleHash, module: &Self::Module);

    /// A clone of the module.
    fn load(&self, key: &ModuleHash) -> Option<Self::Module>;
}

/// A [`LiveMap`] behind a pointer, without a virtual call for every load.
pub trait Loads<M>: Send + Sync {
    /// Saves all of them, for the thread that calls it at least, and sees that they are there.
    fn fill(&self, modules: &[(ModuleHash, M)]);

    /// Loads so many modules, from the first key on and round again, and says how long it took.
    fn time(&self, keys: &[ModuleHash], count: u64) -> Duration;
}

impl<L: LiveMap> Loads<L::Module> for L {
    fn fill(&self, modules: &[(ModuleHash, L::Module)]) {
        for (key, module) in modules {
            self.save(*key, module);
        }
        for (key, _) in modules {
            assert!(
                self.load(key).is_some(),
                "a module is gone, and hits cannot be measured"
            );
        }
    }

    fn time(&self, keys: &[ModuleHash], mut count: u64) -> Duration {
        let began = Instant::now();
        while count > 0 {
            let pass = keys.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            for key in &keys[..pass] {
                black_box(self.load(black_box(key)));
            }
            count -= pass as u64;
        }
        began.elapsed()
    }
}

/// Any cache of this project, with its engine.
pub struct Cached<E, C>(pub E, pub C);

impl<E, C> LiveMap for Cached<E, C>
where
    E: Engine + Send + Sync,
    C: ModuleCache<E> + Send + Sync,
{
    type Module = E::Module;

    fn save(&self, hash: ModuleHash, module: &E::Module) {
        // Another thread may have saved it before.
        let _ = self.1.save(hash, &self.0, module);
    }

    fn load(&self, key: &ModuleHash) -> Option<E::Module> {
        let loaded = self.1.load(*key, &self.0);
        loaded.expect("memory is always there")
    }
}

/// What hosts call: a loader, here over a cache that has the modules.
impl<E, C> LiveMap for ModuleLoader<E, C>
where
    E: Compile<Module: Send + Sync> + Send + Sync,
    C: ModuleCache<E> + Send + Sync,
{
    type Module = E::Module;

    fn save(&self, hash: ModuleHash, module: &E::Module) {
        let _ = self.cache().save(hash, self.engine(), module);
    }

    fn load(&self, key: &ModuleHash) -> Option<E::Module> {
        let fetch = || Err::<&[u8], _>("it is not resident");
        self.load_with(*key, fetch).ok().map(|loaded| loaded.module)
    }
}

/// What a host writes that has heard of none of these.
pub type Locked<M, S> = RwLock<HashMap<ModuleHash, M, S>>;

impl<M: Clone + Send + Sync, S: BuildHasher + Send + Sync> LiveMap for Locked<M, S> {
    type Module = M;

    fn save(&self, hash: ModuleHash, module: &M) {
        self.write().insert(hash, module.clone());
    }

    fn load(&self, key: &ModuleHash) -> Option<M> {
        self.read().get(key).cloned()
    }
}

/// A contender by name.
pub type Contender<M> = (&'static str, Arc<dyn Loads<M>>);
