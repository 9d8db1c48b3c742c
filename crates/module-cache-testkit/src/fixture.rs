//! One fresh cache or store under test, with its capabilities and how to open it again.

use std::any::Any;
use std::fmt;

use crate::Capabilities;

/// A cache (or store) for one case of the suite.
///
/// It must be empty, writable, shared with no other fixture, and have room for 300 modules and 32 MiB. Cases run at the
/// same time, so a fixture on a disk needs a directory of its own.
pub struct Fixture<C> {
    // Dropped in this order: what is kept outlives what uses it.
    pub(crate) subject: C,
    pub(crate) capabilities: Capabilities,
    pub(crate) reopen: Option<Box<dyn Fn() -> C>>,
    keep: Box<dyn Any>,
}

impl<C> Fixture<C> {
    /// The cache under test, and its capabilities.
    pub fn new(subject: C, capabilities: Capabilities) -> Self {
        Self {
            subject,
            capabilities,
            reopen: None,
            keep: Box::new(()),
        }
    }

    /// How to open another handle of the same storage, as another process would. It is used while the first handle is open,
    /// and after it is closed. A storage that cannot have two handles at a time omits this, and needs a test of its own
    /// that entries are still there when it is opened again.
    #[must_use]
    pub fn reopened_by(mut self, open: impl Fn() -> C + 'static) -> Self {
        self.reopen = Some(Box::new(open));
        self
    }

    /// Keeps something for as long as the fixture lives, such as a temporary directory.
    #[must_use]
    pub fn keeping(mut self, resource: impl Any) -> Self {
        self.keep = Box::new((resource, self.keep));
        self
    }

    /// The same fixture with its cache wrapped, to test a combinator or a smart pointer.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use module_cache_core::ModuleCache;
    /// # use module_cache_testkit::{Capabilities, Fixture, ReferenceCache, TestEngine};
    /// let fixture = Fixture::new(ReferenceCache::<TestEngine>::new(), Capabilities::LIVE);
    /// let shared = fixture.map(|cache| Arc::new(cache) as Arc<dyn ModuleCache<TestEngine>>);
    /// # drop(shared);
    /// ```
    #[must_use]
    pub fn map<D>(self, wrap: impl Fn(C) -> D + 'static) -> Fixture<D>
    where
        C: 'static,
    {
        let subject = wrap(self.subject);
        let reopen = self
            .reopen
            .map(|open| Box::new(move || wrap(open())) as Box<dyn Fn() -> D>);
        Fixture {
            subject,
            capabilities: self.capabilities,
            reopen,
            keep: self.keep,
        }
    }
}

impl<C: fmt::Debug> fmt::Debug for Fixture<C> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Fixture")
            .field("subject", &self.subject)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}
