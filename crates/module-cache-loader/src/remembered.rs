//! What is remembered of modules for a while, such as why they could not be compiled.
//!
//! Without this, each request for wasm that an engine has refused would compile it once more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use module_cache_core::ModuleHash;
use parking_lot::Mutex;
use web_time::Instant;

/// So many are remembered, the last ones.
const MOST: usize = 1024;

/// How long one is remembered: to be sure, as nothing is known that would end it.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

pub(crate) struct Remembered<T> {
    /// Read without the lock: most programs never have one.
    count: AtomicUsize,
    modules: Mutex<HashMap<ModuleHash, (T, Instant)>>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self {
            count: AtomicUsize::new(0),
            modules: Mutex::default(),
        }
    }
}

impl<T: Clone> Remembered<T> {
    /// What was remembered of this module, if that was lately.
    pub(crate) fn get(&self, hash: ModuleHash) -> Option<T> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let modules = self.modules.lock();
        let (what, at) = modules.get(&hash)?;
        (at.elapsed() < REMEMBERED).then(|| what.clone())
    }

    pub(crate) fn add(&self, hash: ModuleHash, what: T) {
        let mut modules = self.modules.lock();
        if modules.len() >= MOST {
            modules.retain(|_, (_, at)| at.elapsed() < REMEMBERED);
        }
        if modules.len() >= MOST {
            remove_oldest(&mut modules);
        }
        modules.insert(hash, (what, Instant::now()));
        self.count.store(modules.len(), Ordering::Relaxed);
    }
}

fn remove_oldest<T>(modules: &mut HashMap<ModuleHash, (T, Instant)>) {
    let oldest = modules.iter().min_by_key(|(_, (_, at))| *at);
    if let Some(hash) = oldest.map(|(hash, _)| *hash) {
        modules.remove(&hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: usize) -> ModuleHash {
        ModuleHash::of(&n.to_le_bytes())
    }

    #[test]
    fn the_last_thousand_are_remembered() {
        let errors = Remembered::default();
        for n in 0..=MOST {
            errors.add(hash(n), n);
        }
        assert_eq!(errors.get(hash(0)), None);
        assert!((1..=MOST).all(|n| errors.get(hash(n)) == Some(n)));
    }
}
