//! A module, where it came from, and how long that took.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use module_cache_core::{CacheError, EngineId, SaveOutcome};

/// The result of a load.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded<M> {
    /// The module, ready to be instantiated.
    pub module: M,
    /// Where it came from.
    pub source: Source,
    /// Which of the engine's [accepted ids](module_cache_core::Engine::accepted_ids) it was stored under; `None` if it is
    /// code of the engine's own id, or was resident. It is boxed to keep this struct small.
    pub accepted_id: Option<Box<EngineId>>,
    /// The time from the miss in memory to the result, including waits. Zero for a resident module: reading the clock twice
    /// would take longer than the load.
    pub elapsed: Duration,
    /// The outcome of the save, if this call compiled the module and saved it. Tasks get the module before it is saved, so
    /// it is `None` for them. For memory in front of a storage, it is the outcome of the storage. A failed save was also
    /// counted and logged.
    pub saved: Option<Result<SaveOutcome, CacheError>>,
}

impl<M> Loaded<M> {
    /// A module of the engine's own id that this call did not save.
    pub const fn new(module: M, source: Source, elapsed: Duration) -> Self {
        Self {
            module,
            source,
            accepted_id: None,
            elapsed,
            saved: None,
        }
    }

    /// The result with its module converted by `make`.
    ///
    /// ```
    /// use module_cache_loader::{Loaded, Source};
    /// use std::time::Duration;
    ///
    /// let loaded = Loaded::new(7, Source::Stored, Duration::from_micros(300));
    /// assert_eq!(loaded.map(|module| module + 1).module, 8);
    /// ```
    pub fn map<T>(self, make: impl FnOnce(M) -> T) -> Loaded<T> {
        let Ok(loaded) = self.try_map(|module| Ok::<_, Infallible>(make(module)));
        loaded
    }

    pub(crate) fn try_map<T, X>(
        self,
        make: impl FnOnce(M) -> Result<T, X>,
    ) -> Result<Loaded<T>, X> {
        Ok(Loaded {
            module: make(self.module)?,
            source: self.source,
            accepted_id: self.accepted_id,
            elapsed: self.elapsed,
            saved: self.saved,
        })
    }
}

/// Where a module came from. A load that joined another one has that load's source; loads can join until the module is
/// saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// It was alive in this process.
    Resident,
    /// The cache had it, from an earlier compilation, which may have been by another process.
    Stored,
    /// It was compiled now.
    Compiled,
}

impl Source {
    /// One lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resident => "resident",
            Self::Stored => "stored",
            Self::Compiled => "compiled",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
