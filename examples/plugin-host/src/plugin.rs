//! A plugin that runs.

use std::time::Duration;

use module_cache_loader::{Loaded, Source};
use wasmtime::{Instance, Module, Result, Store, TypedFunc};

use crate::Limits;
use crate::limits::Running;

/// A loaded plugin: wasm that imports nothing and exports `transform`, from `i32` to `i32`.
pub struct Plugin {
    name: String,
    source: Source,
    elapsed: Duration,
    limits: Limits,
    store: Store<Running>,
    transform: TypedFunc<i32, i32>,
}

impl Plugin {
    pub(crate) fn start(name: &str, limits: Limits, loaded: Loaded<Module>) -> Result<Self> {
        let Loaded {
            module,
            source,
            elapsed,
            ..
        } = loaded;
        let mut store = limits.store(module.engine())?;
        let instance = Instance::new(&mut store, &module, &[])?;
        let transform = instance.get_typed_func(&mut store, "transform")?;
        Ok(Self {
            name: name.to_owned(),
            source,
            elapsed,
            limits,
            store,
            transform,
        })
    }

    /// Its name; of one that was loaded from a file, that of the file without the extension.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its module came from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// What it took to load its module.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Calls the plugin.
    ///
    /// # Errors
    ///
    /// When it traps, as it does at its limits. After that, its memory may hold half of a change: start it again.
    pub fn transform(&mut self, number: i32) -> Result<i32> {
        self.limits.begin_call(&mut self.store)?;
        self.transform.call(&mut self.store, number)
    }
}
