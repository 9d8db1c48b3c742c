//! One host for each configuration, over one cache.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use module_cache_core::{EngineError, ModuleCache};
use module_cache_wasmtime::WasmtimeEngine;

use crate::{PluginHost, Settings};

/// The hosts of this process by their settings. A host that was made stays, and with it its modules in memory.
#[derive(Debug)]
pub struct PluginHosts<C> {
    cache: Arc<C>,
    hosts: Mutex<HashMap<Settings, Arc<PluginHost<Arc<C>>>>>,
}

impl<C: ModuleCache<WasmtimeEngine>> PluginHosts<C> {
    /// None yet. All of them will keep compiled plugins in `cache`.
    pub fn new(cache: C) -> Self {
        Self {
            cache: Arc::new(cache),
            hosts: Mutex::default(),
        }
    }

    /// The host of these settings.
    ///
    /// # Errors
    ///
    /// When there is none yet, and wasmtime does not take the settings.
    pub fn get(&self, settings: Settings) -> Result<Arc<PluginHost<Arc<C>>>, EngineError> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(&settings) {
            return Ok(Arc::clone(host));
        }
        let host = PluginHost::new(settings, Arc::clone(&self.cache))?;
        let host = Arc::new(host);
        hosts.insert(settings, Arc::clone(&host));
        Ok(host)
    }
}
