//! A plugin that runs.

use std::path::Path;
use std::time::Duration;

use module_cache_loader::{Loaded, Source};
use wasmtime::{Instance, Module, Result, Store, TypedFunc};

/// A loaded plugin: wasm that imports nothing and exports `transform`, from `i32` to `i32`.
pub struct Plugin {
    name: String,
    source: Source,
    elapsed: Duration,
    store: Store<()>,
    transform: TypedFunc<i32, i32>,
}

impl Plugin {
    pub(crate) fn start(path: &Path, loaded: Loaded<Module>) -> Result<Self> {
        let Loaded {
            module,
            source,
            elapsed,
            ..
        } = loaded;
        let mut store = Store::new(module.engine(), ());
        let instance = Instance::new(&mut store, &module, &[])?;
        let transform = instance.get_typed_func(&mut store, "transform")?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: name.into_owned(),
            source,
            elapsed,
            store,
            transform,
        })
    }

    /// The name of its file, without the extension.
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
    /// When it traps.
    pub fn transform(&mut self, number: i32) -> Result<i32> {
        self.transform.call(&mut self.store, number)
    }
}
