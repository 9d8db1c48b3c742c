//! Two engines for the same wasm, as one value.

use crate::{Engine, EngineError};

/// A pair of engines that run wasm in the same way: one compiles it fast, and the code of the other is fast.
///
/// It is created where the two are configured, by one function for both:
/// `module_cache_wasmtime::EngineBuilder::module_tiers` and `module_cache_wasmer::tiers`. [`pair`](Self::pair) accepts any
/// two engines.
#[derive(Debug, Clone)]
pub struct Tiers<Fast, Best> {
    fast: Fast,
    best: Best,
}

impl<Fast: Engine, Best: Engine> Tiers<Fast, Best> {
    /// Pairs two engines. The caller is responsible for a module doing the same on both: they must support the same
    /// proposals (`fast` may support fewer), trap alike, count fuel alike if they count it, and check memories and stacks
    /// alike.
    ///
    /// # Errors
    ///
    /// When both have the same id, because their code would be the same.
    pub fn pair(fast: Fast, best: Best) -> Result<Self, EngineError> {
        if fast.id() == best.id() {
            let message = format!(
                "both engines are {}, so they compile the same code",
                best.id()
            );
            return Err(EngineError::refused(&message));
        }
        Ok(Self { fast, best })
    }

    /// The engine that compiles fast.
    pub fn fast(&self) -> &Fast {
        &self.fast
    }

    /// The engine whose code is fast.
    pub fn best(&self) -> &Best {
        &self.best
    }

    /// Both.
    pub fn into_parts(self) -> (Fast, Best) {
        (self.fast, self.best)
    }
}
