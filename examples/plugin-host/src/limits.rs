//! What one plugin may use, and the store that holds it to that.

use std::time::{Duration, Instant};

use wasmtime::{Engine, Result, Store, StoreLimits, StoreLimitsBuilder, UpdateDeadline};

/// What one plugin may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a call may take.
    pub time: Duration,
    /// Bytes that its memory may grow to.
    pub memory: usize,
    /// Fuel for each call, where the [settings](crate::Settings) count it.
    pub fuel: u64,
}

impl Default for Limits {
    /// A second for a call, 16 MiB, and any amount of fuel.
    fn default() -> Self {
        Self {
            time: Duration::from_secs(1),
            memory: 16 << 20,
            fuel: u64::MAX,
        }
    }
}

/// What a store knows of its plugin.
pub(crate) struct Running {
    deadline: Instant,
    limits: StoreLimits,
}

impl Limits {
    /// A store for one plugin, whose first call may begin.
    pub(crate) fn store(self, engine: &Engine) -> Result<Store<Running>> {
        let limits = StoreLimitsBuilder::new()
            .memories(1)
            .memory_size(self.memory)
            .tables(1)
            .table_elements(10_000)
            .trap_on_grow_failure(true)
            .build();
        let deadline = Instant::now();
        let mut store = Store::new(engine, Running { deadline, limits });
        store.limiter(|running| &mut running.limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            let is_over = Instant::now() >= store.data().deadline;
            Ok(if is_over {
                UpdateDeadline::Interrupt
            } else {
                UpdateDeadline::Continue(1)
            })
        });
        self.begin_call(&mut store)?;
        Ok(store)
    }

    /// Gives the next call its time and its fuel.
    pub(crate) fn begin_call(self, store: &mut Store<Running>) -> Result<()> {
        store.data_mut().deadline = Instant::now() + self.time;
        let counts_fuel = store.get_fuel().is_ok();
        if counts_fuel {
            store.set_fuel(self.fuel)?;
        }
        Ok(())
    }
}
