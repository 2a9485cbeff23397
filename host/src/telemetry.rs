//! The log, structured events on standard error as text or JSON, and the traces. Standard output is reserved for results.

mod traces;

use std::io::IsTerminal;

use anyhow::Context;
use tokio::runtime::Handle;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::{LogConfig, LogFormat, TracesConfig};
pub use traces::Traces;

/// Starts the log of this process. Must be called once.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    start(config, None)
}

/// Starts the log of this process, and the exporter of its traces where one is configured. Must be called once, on the
/// runtime that sends the traces.
pub fn init_traced(config: &LogConfig, traces: Option<&TracesConfig>) -> anyhow::Result<Option<Traces>> {
    let traces = traces.map(|config| Traces::start(config, Handle::current())).transpose()?;
    start(config, traces.as_ref())?;
    Ok(traces)
}

fn start(config: &LogConfig, traces: Option<&Traces>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter).context("reading log.filter")?;
    let log = fmt::layer().with_writer(std::io::stderr);
    let log = match config.format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(true).boxed(),
    };
    // The traces get spans alone; the events are the log.
    let traces = traces.map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_threads(false)
            .with_filter(filter_fn(traces::is_sent))
    });
    // Each layer has its own filter: the spans of a trace do not add events to the log.
    let started = tracing_subscriber::registry().with(log.with_filter(filter)).with(traces).try_init();
    started.context("starting the log")
}

/// Starts the log of a helper process without configuration. The parent process reads its standard error.
pub fn init_plain() {
    // An error is ignored: the process works without a log.
    let _ = fmt()
        .with_env_filter(EnvFilter::new("info"))
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .try_init();
}
