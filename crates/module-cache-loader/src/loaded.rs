//! A module, where it came from, and how long that took.

use std::fmt;
use std::time::Duration;

/// The answer to a load.
#[derive(Debug, Clone)]
pub struct Loaded<M> {
    /// The module, ready to be instantiated.
    pub module: M,
    /// Where it came from.
    pub source: Source,
    /// From the call to the answer, waiting included.
    pub elapsed: Duration,
}

/// Where a module came from. One that waited for another load has that load's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// It was alive in this process.
    Resident,
    /// It was stored by an earlier compilation, perhaps of another process.
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
