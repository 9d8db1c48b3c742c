//! Wasm that the engine has refused, which it would refuse again.
//!
//! Without this, each request for it would compile it once more. It is of one loader, and so of one engine, whose features
//! decide what is valid.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use module_cache_core::{EngineError, ModuleHash};
use parking_lot::Mutex;
use web_time::Instant;

/// So many are remembered, those that were refused last.
const MOST: usize = 1024;

/// How long one is remembered: to be sure, as nothing is known that would end it.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

#[derive(Default)]
pub(crate) struct InvalidModules {
    /// Read without the lock: most programs never have one.
    count: AtomicUsize,
    errors: Mutex<HashMap<ModuleHash, (EngineError, Instant)>>,
}

impl InvalidModules {
    /// What the engine said of this module, if that was lately.
    pub(crate) fn get(&self, hash: ModuleHash) -> Option<EngineError> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let errors = self.errors.lock();
        let (error, at) = errors.get(&hash)?;
        (at.elapsed() < REMEMBERED).then(|| error.clone())
    }

    /// Remembers what the engine said, if it would say that again.
    pub(crate) fn add(&self, hash: ModuleHash, error: &EngineError) {
        if !error.is_invalid_wasm() {
            return;
        }
        let mut errors = self.errors.lock();
        if errors.len() >= MOST {
            errors.retain(|_, (_, at)| at.elapsed() < REMEMBERED);
        }
        if errors.len() >= MOST {
            remove_oldest(&mut errors);
        }
        errors.insert(hash, (error.clone(), Instant::now()));
        self.count.store(errors.len(), Ordering::Relaxed);
    }
}

fn remove_oldest(errors: &mut HashMap<ModuleHash, (EngineError, Instant)>) {
    let oldest = errors.iter().min_by_key(|(_, (_, at))| *at);
    if let Some(hash) = oldest.map(|(hash, _)| *hash) {
        errors.remove(&hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: usize) -> ModuleHash {
        ModuleHash::of(&n.to_le_bytes())
    }

    #[test]
    fn the_last_thousand_are_remembered_and_nothing_that_may_pass() {
        let invalid = InvalidModules::default();
        let error = EngineError::invalid_wasm("cannot compile", "no");
        for n in 0..=MOST {
            invalid.add(hash(n), &error);
        }
        assert!(invalid.get(hash(0)).is_none());
        assert!((1..=MOST).all(|n| invalid.get(hash(n)).is_some()));
        invalid.add(hash(0), &EngineError::refused("no memory"));
        assert!(invalid.get(hash(0)).is_none());
    }
}
