//! Why there is no module. Errors of caches are not among the reasons: without a cache, it is compiled.

use std::any::Any;
use std::error::Error;
use std::sync::Arc;

use module_cache_core::{EngineError, ModuleHash, panic_message};

use crate::Tier;

/// A module could not be loaded. Cloneable, because everybody who waited for it gets it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The engine could not compile it.
    #[error(transparent)]
    Compile(#[from] EngineError),
    /// The wasm could not be had.
    #[error("cannot fetch module {hash}")]
    Fetch {
        /// The module.
        hash: ModuleHash,
        /// What the caller's function returned.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The caller's function could not make of the module what requests use.
    #[error("cannot prepare module {hash} for the {tier} tier")]
    Prepare {
        /// The module.
        hash: ModuleHash,
        /// Whose module it was.
        tier: Tier,
        /// What the caller's function returned.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// While a thread or task was loading a module, it asked for that same module, and would have waited
    /// for itself.
    #[error("module {0} was requested by its own load")]
    Recursive(ModuleHash),
    /// Loading the module panicked. The next load tries again.
    #[error("loading module {hash} panicked: {message}")]
    Panicked {
        /// The module.
        hash: ModuleHash,
        /// What the panic said.
        message: String,
    },
    /// Whoever was loading the module never came to an end, as when an async runtime is shut down.
    #[error("loading module {0} was abandoned, as happens when an async runtime is shut down")]
    Abandoned(ModuleHash),
}

impl LoadError {
    pub(crate) fn fetch(hash: ModuleHash, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = Arc::from(error.into());
        Self::Fetch { hash, source }
    }

    pub(crate) fn prepare(
        hash: ModuleHash,
        tier: Tier,
        error: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let source = Arc::from(error.into());
        Self::Prepare { hash, tier, source }
    }

    pub(crate) fn panicked(hash: ModuleHash, panic: &(dyn Any + Send)) -> Self {
        let message = panic_message(panic).to_owned();
        Self::Panicked { hash, message }
    }
}
