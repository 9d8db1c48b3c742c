//! Why modules could not be had lately, for those that would fail again.
//!
//! Without this, each request for wasm that an engine has refused would compile it once more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use module_cache_core::ModuleHash;
use parking_lot::Mutex;
use web_time::Instant;

/// So many are remembered, those that were refused last.
const MOST: usize = 1024;

/// How long one is remembered: to be sure, as nothing is known that would end it.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

pub(crate) struct RememberedErrors<E> {
    /// Read without the lock: most programs never have one.
    count: AtomicUsize,
    errors: Mutex<HashMap<ModuleHash, (E, Instant)>>,
}

impl<E> Default for RememberedErrors<E> {
    fn default() -> Self {
        Self {
            count: AtomicUsize::new(0),
            errors: Mutex::default(),
        }
    }
}

impl<E: Clone> RememberedErrors<E> {
    /// What was said of this module, if that was lately.
    pub(crate) fn get(&self, hash: ModuleHash) -> Option<E> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let errors = self.errors.lock();
        let (error, at) = errors.get(&hash)?;
        (at.elapsed() < REMEMBERED).then(|| error.clone())
    }

    pub(crate) fn add(&self, hash: ModuleHash, error: E) {
        let mut errors = self.errors.lock();
        if errors.len() >= MOST {
            errors.retain(|_, (_, at)| at.elapsed() < REMEMBERED);
        }
        if errors.len() >= MOST {
            remove_oldest(&mut errors);
        }
        errors.insert(hash, (error, Instant::now()));
        self.count.store(errors.len(), Ordering::Relaxed);
    }
}

fn remove_oldest<E>(errors: &mut HashMap<ModuleHash, (E, Instant)>) {
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
    fn the_last_thousand_are_remembered() {
        let errors = RememberedErrors::default();
        for n in 0..=MOST {
            errors.add(hash(n), n);
        }
        assert_eq!(errors.get(hash(0)), None);
        assert!((1..=MOST).all(|n| errors.get(hash(n)) == Some(n)));
    }
}
