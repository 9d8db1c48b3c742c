//! A subscriber that writes down what happens below a span.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Span, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// What happens below a span of its own while `work` is done.
pub(crate) fn followed(work: impl FnOnce(&Span)) -> Seen {
    static COLLECTOR: OnceLock<()> = OnceLock::new();
    COLLECTOR.get_or_init(|| {
        let subscriber = tracing_subscriber::registry().with(Collector);
        // Work on other threads is seen by the global one only.
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    let request = tracing::info_span!("request");
    let id = request.id().unwrap().into_u64();
    work(&request);
    SEEN.lock().unwrap().as_mut().unwrap().remove(&id).unwrap()
}

/// By the id of the outermost span, which is open as long as it is looked for.
static SEEN: Mutex<Option<HashMap<u64, Seen>>> = Mutex::new(None);

#[derive(Default)]
pub(crate) struct Seen {
    /// Of spans, when they begin, and of events, as `span/span: message`.
    pub(crate) paths: Vec<String>,
    /// Span (or message), name, value.
    pub(crate) fields: Vec<(String, String, String)>,
}

/// Writes down each span and event.
struct Collector;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).unwrap();
        see(path(&span), span.metadata().name(), "", fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        let span = context.span(id).unwrap();
        let (root, _) = path(&span);
        see((root, String::new()), span.metadata().name(), "", fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(span) = context.event_span(event) {
            let message = std::mem::take(&mut fields.message);
            see(path(&span), span.metadata().name(), &message, fields);
        }
    }
}

/// The id of the outermost span, and the names of all from there to this one.
fn path<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> (u64, String) {
    let spans: Vec<_> = span.scope().from_root().collect();
    let names: Vec<_> = spans.iter().map(SpanRef::name).collect();
    (spans[0].id().into_u64(), names.join("/"))
}

fn see((root, mut path): (u64, String), span: &str, message: &str, fields: Fields) {
    let mut seen = SEEN.lock().unwrap();
    let seen = seen.get_or_insert_default().entry(root).or_default();
    if !message.is_empty() {
        let _ = write!(path, ": {message}");
    }
    if !path.is_empty() {
        seen.paths.push(path);
    }
    let named = fields.named.into_iter();
    seen.fields
        .extend(named.map(|(name, value)| (span.to_owned(), name, value)));
}

#[derive(Default)]
struct Fields {
    message: String,
    named: Vec<(String, String)>,
}

impl Visit for Fields {
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.named
                .push((field.name().to_owned(), format!("{value:?}")));
        }
    }
}
