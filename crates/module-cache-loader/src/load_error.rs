//! Why a load failed. Errors of caches are not among the reasons: the module is then compiled.

use std::any::Any;
use std::error::Error;
use std::sync::Arc;

use module_cache_core::{EngineError, ModuleHash, panic_message};

use crate::Tier;

/// A module could not be loaded. The error can be cloned, because all callers that waited for the module get it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The engine could not compile it.
    #[error(transparent)]
    Compile(#[from] EngineError),
    /// The wasm could not be fetched.
    #[error("cannot fetch module {hash}")]
    Fetch {
        /// The module.
        hash: ModuleHash,
        /// What the caller's function returned.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The caller's `prepare` failed.
    #[error("cannot prepare module {hash} for the {tier} tier")]
    Prepare {
        /// The module.
        hash: ModuleHash,
        /// The tier of the engine that the module is of.
        tier: Tier,
        /// What the caller's function returned.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// A thread or task that was loading a module asked for the same module, and would have waited for itself.
    #[error("module {0} was requested by its own load")]
    Recursive(ModuleHash),
    /// Loading the module panicked. The next load tries again.
    #[error("loading module {hash} panicked: {message}")]
    Panicked {
        /// The module.
        hash: ModuleHash,
        /// The message of the panic.
        message: String,
    },
    /// The load was not finished, for instance because its async runtime was shut down.
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
