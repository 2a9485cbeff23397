//! A timeline of the work in the format of Chrome's trace viewer, which Perfetto opens: documents, pages, renderings,
//! guest compute and model runs as bars, so that their overlap is visible.
//!
//! Owns the file and its format ("Trace Event Format": complete events, `ph: X`, times in microseconds). A layer of the
//! log that selects spans by name. Written by `lector serve --trace FILE`.
//!
//! The crate `tracing-chrome` writes such files as well, either by thread, where an asynchronous span is one sliver per
//! poll and work in another process (a rendering) is missing, or by root span, where the bars of pages overlap.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Names of the spans that are drawn, top to bottom.
const DRAWN: [&str; 5] = ["document", "page", "render", "guest", "inference"];
/// Maximum number of bars, after which the timeline ends with a warning: about 100 MB, more than viewers handle well.
const BARS_MAX: u64 = 500_000;
/// Interval at which the buffer is flushed to the file.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Returns whether a span is part of a timeline.
pub(super) fn is_drawn(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("lector") && DRAWN.contains(&metadata.name())
}

/// The tracing layer that writes the timeline.
#[derive(Debug)]
pub(super) struct Timeline {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    out: BufWriter<File>,
    bars: u64,
    /// Number of open spans.
    open: u64,
    flushed: Instant,
    /// Rows of each group, `true` if occupied. A bar takes the first free row, so that bars of one row never overlap.
    rows: BTreeMap<String, Vec<bool>>,
}

/// An open span that is drawn at its end.
struct Bar {
    began: Instant,
    group: String,
    row: usize,
    fields: Map<String, Value>,
}

impl Timeline {
    /// Creates the file and writes its beginning.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut out = BufWriter::new(File::create(path)?);
        // The array is never closed; the format allows that.
        out.write_all(b"[\n")?;
        let process = json!({ "ph": "M", "pid": 1, "name": "process_name", "args": { "name": "lector" } });
        writeln!(out, "{process},")?;
        out.flush()?;
        let now = Instant::now();
        let state = State { out, bars: 0, open: 0, flushed: now, rows: BTreeMap::new() };
        Ok(Self { began: now, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the first free row of a group. A new row is named in the file.
    fn take_row(&mut self, group: &str) -> usize {
        self.open += 1;
        let rows = self.rows.entry(group.to_owned()).or_default();
        if let Some(row) = rows.iter().position(|taken| !taken) {
            if let Some(taken) = rows.get_mut(row) {
                *taken = true;
            }
            return row;
        }
        rows.push(true);
        let row = rows.len() - 1;
        let tid = track(group, row);
        let name = json!({
            "ph": "M", "pid": 1, "tid": tid, "name": "thread_name", "args": { "name": format!("{group} {}", row + 1) },
        });
        let order = json!({ "ph": "M", "pid": 1, "tid": tid, "name": "thread_sort_index", "args": { "sort_index": tid } });
        self.write(&name);
        self.write(&order);
        row
    }

    fn free_row(&mut self, group: &str, row: usize) {
        self.open = self.open.saturating_sub(1);
        if let Some(taken) = self.rows.get_mut(group).and_then(|rows| rows.get_mut(row)) {
            *taken = false;
        }
    }

    fn write(&mut self, event: &Value) {
        // A write error (a full disk) must not affect the pages.
        let _ = writeln!(self.out, "{event},");
    }

    fn draw(&mut self, event: &Value, now: Instant) {
        self.bars += 1;
        match self.bars.cmp(&BARS_MAX) {
            std::cmp::Ordering::Less => self.write(event),
            std::cmp::Ordering::Equal => {
                tracing::warn!(
                    bars = BARS_MAX,
                    "the timeline reached its maximum number of bars and ends here"
                );
                let _ = self.out.flush();
            }
            std::cmp::Ordering::Greater => {}
        }
        // Also flushes when no span is open, because the end of the process is not announced.
        if self.open == 0 || now.saturating_duration_since(self.flushed) >= FLUSH_EVERY {
            self.flushed = now;
            let _ = self.out.flush();
        }
    }
}

/// Returns the track number of a row: groups in the order of [`DRAWN`], then models.
fn track(group: &str, row: usize) -> u64 {
    let kind = DRAWN.iter().position(|name| group.starts_with(name)).unwrap_or(DRAWN.len()) as u64;
    let of_name =
        group.bytes().fold(0u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte))) % 97;
    kind * 1_000_000 + of_name * 1_000 + (row as u64).min(999)
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl<S> Layer<S> for Timeline
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !is_drawn(attributes.metadata()) {
            return;
        }
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let name = attributes.metadata().name();
        let group = match fields.0.get("model").and_then(Value::as_str) {
            Some(model) => format!("{name} {model}"),
            None => name.to_owned(),
        };
        let row = self.lock().take_row(&group);
        span.extensions_mut().insert(Bar { began: Instant::now(), group, row, fields: fields.0 });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(bar) = span.extensions_mut().remove::<Bar>() else { return };
        let now = Instant::now();
        let us = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1e6;
        let mut args = bar.fields;
        // The request id of the nearest enclosing span that has one.
        let request = span.scope().skip(1).find_map(|above| {
            let extensions = above.extensions();
            extensions.get::<Bar>().and_then(|bar| bar.fields.get("request").cloned())
        });
        if let Some(request) = request {
            args.insert("request".to_owned(), request);
        }
        let event = json!({
            "ph": "X", "pid": 1, "tid": track(&bar.group, bar.row), "name": bar.group,
            "ts": us(self.began, bar.began), "dur": us(bar.began, now), "args": args,
        });
        let mut state = self.lock();
        state.free_row(&bar.group, bar.row);
        state.draw(&event, now);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn overlapping_bars_are_in_different_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.json");
        let subscriber = tracing_subscriber::registry().with(Timeline::create(&path).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            let document = tracing::info_span!("document", request = "r1");
            let one = tracing::info_span!(parent: &document, "page", index = 0u64);
            let two = tracing::info_span!(parent: &document, "page", index = 1u64);
            drop(tracing::info_span!(parent: &one, "inference", model = "det"));
            drop(tracing::info_span!("something else"));
            drop((one, two));
            drop(tracing::info_span!(parent: &document, "page", index = 2u64));
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let whole = format!("{}]", text.trim_end().trim_end_matches(','));
        let events: Vec<Value> = serde_json::from_str(&whole).unwrap();
        let bars: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
        let names: Vec<&str> = bars.iter().map(|bar| bar["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["inference det", "page", "page", "page", "document"]);
        assert_ne!(bars[1]["tid"], bars[2]["tid"]);
        assert_eq!(bars[1]["tid"], bars[3]["tid"], "the row is free again");
        assert_eq!(bars[0]["args"]["request"], "r1");
        assert!(bars.iter().all(|bar| bar["dur"].as_f64().unwrap() >= 0.0));
    }
}
