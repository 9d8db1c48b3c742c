//! The cache's own warnings, which it emits as `tracing` events, as messages of this command.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::messages;

/// Shows, from now on, what the cache has to say: that an entry is damaged, or that others control a
/// folder above it. That a remote storage failed is left out where the command tells it itself.
pub(crate) fn install(storage_failures_are_told: bool) {
    // Only a second call could fail, and there is none.
    let _ = tracing::subscriber::set_global_default(Warnings {
        storage_failures_are_told,
    });
}

struct Warnings {
    storage_failures_are_told: bool,
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The loader's warnings are about errors of the cache, which each command reports in its own way.
        let target = metadata.target();
        let is_told = self.storage_failures_are_told
            && target.starts_with("module_cache_remote")
            && metadata.fields().field("failure").is_some();
        metadata.is_event()
            && !is_told
            && *metadata.level() <= Level::WARN
            && target.starts_with("module_cache")
            && !target.starts_with("module_cache_loader")
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        if text.fields.is_empty() {
            messages::warning(text.message);
        } else {
            messages::warning(format_args!("{} ({})", text.message, text.fields));
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let outcome = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            let separator = if self.fields.is_empty() { "" } else { ", " };
            write!(self.fields, "{separator}{}: {value:?}", field.name())
        };
        // Strings take everything.
        let _ = outcome;
    }
}
