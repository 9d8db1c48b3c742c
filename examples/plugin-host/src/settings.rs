//! The configurations that this host offers.

use wasmtime::{Config, PoolingAllocationConfig};

/// What a plugin's owner chooses of the engine's configuration. It is the host's own key of an engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Counts fuel, which is other code.
    pub fuel: bool,
    /// Takes instances from a pool of this many. The code is the same as without.
    pub pool: Option<u32>,
}

impl Settings {
    /// The same each time.
    pub(crate) fn config(self) -> Config {
        let mut config = Config::new();
        config.epoch_interruption(true).consume_fuel(self.fuel);
        if let Some(count) = self.pool {
            let mut pool = PoolingAllocationConfig::new();
            pool.total_core_instances(count)
                .total_memories(count)
                .total_tables(count);
            config.allocation_strategy(pool);
        }
        config
    }
}
