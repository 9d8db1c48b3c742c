//! What a loader reports through the `metrics` crate: the names, and the handles behind the hot path.

use std::time::Duration;

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

use crate::Source;

const LOADS: &str = "module_cache_loads_total";
const COALESCED: &str = "module_cache_coalesced_total";
const FAILED: &str = "module_cache_failed_loads_total";
const CACHE_ERRORS: &str = "module_cache_cache_errors_total";
const LOAD_DURATION: &str = "module_cache_load_duration_seconds";
const COMPILE_DURATION: &str = "module_cache_compile_duration_seconds";

/// The handles of one loader.
///
/// They are looked up once, when the loader is made, and report to the recorder that is installed then.
#[derive(Debug)]
pub(crate) struct Instruments {
    resident: Counter,
    stored: Counter,
    compiled: Counter,
    coalesced: Counter,
    failed: Counter,
    cache_errors: Counter,
    stored_duration: Histogram,
    compiled_duration: Histogram,
    compile_duration: Histogram,
}

impl Default for Instruments {
    fn default() -> Self {
        let loads = |source: Source| counter!(LOADS, "source" => source.as_str());
        let duration = |source: Source| histogram!(LOAD_DURATION, "source" => source.as_str());
        Self {
            resident: loads(Source::Resident),
            stored: loads(Source::Stored),
            compiled: loads(Source::Compiled),
            coalesced: counter!(COALESCED),
            failed: counter!(FAILED),
            cache_errors: counter!(CACHE_ERRORS),
            stored_duration: duration(Source::Stored),
            compiled_duration: duration(Source::Compiled),
            compile_duration: histogram!(COMPILE_DURATION),
        }
    }
}

impl Instruments {
    pub(crate) fn loaded(&self, source: Source) {
        let counter = match source {
            Source::Resident => &self.resident,
            Source::Stored => &self.stored,
            Source::Compiled => &self.compiled,
        };
        counter.increment(1);
    }

    pub(crate) fn coalesced(&self) {
        self.coalesced.increment(1);
    }

    pub(crate) fn failed(&self) {
        self.failed.increment(1);
    }

    pub(crate) fn cache_error(&self) {
        self.cache_errors.increment(1);
    }

    /// Resident hits have no duration: taking it down would cost more than the hit.
    pub(crate) fn load_took(&self, source: Source, elapsed: Duration) {
        match source {
            Source::Resident => {}
            Source::Stored => self.stored_duration.record(elapsed),
            Source::Compiled => self.compiled_duration.record(elapsed),
        }
    }

    pub(crate) fn compile_took(&self, elapsed: Duration) {
        self.compile_duration.record(elapsed);
    }
}

/// Tells the installed recorder what the metrics of loaders mean, and their units.
pub(crate) fn describe() {
    describe_counter!(
        LOADS,
        Unit::Count,
        "Modules loaded, by where they came from"
    );
    describe_counter!(
        COALESCED,
        Unit::Count,
        "Loads that waited for another one of the same module"
    );
    describe_counter!(FAILED, Unit::Count, "Loads that ended in an error");
    describe_counter!(
        CACHE_ERRORS,
        Unit::Count,
        "Errors of the cache, which cost time and no load"
    );
    describe_histogram!(
        LOAD_DURATION,
        Unit::Seconds,
        "From a call to its answer, waiting included; without resident hits"
    );
    describe_histogram!(
        COMPILE_DURATION,
        Unit::Seconds,
        "What the engine took to compile a module"
    );
}
