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
    /// From the call to the answer, waiting included. Zero for a resident module: reading the clock twice would take
    /// longer than the load.
    pub elapsed: Duration,
}

/// Where a module came from. A load that joined another one, which it can until the module is saved, has that load's
/// source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// It was alive in this process.
    Resident,
    /// The cache had it, from an earlier compilation, perhaps of another process.
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
