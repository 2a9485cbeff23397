//! The log, structured events on standard error as text or JSON, and the traces. Standard output is reserved for results.

mod traces;

use std::io::IsTerminal;

use anyhow::Context;
use tokio::runtime::Handle;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat, TracesConfig};
pub use traces::Traces;

/// The filter of the log, which can be replaced while the process runs.
#[derive(Clone, Debug)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Replaces the filter. Fails on a text that is no filter.
    pub fn replace(&self, filter: &str) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(filter).context("reading log.filter")?;
        self.0.reload(filter).context("replacing the filter of the log")
    }
}

/// The log and the traces of a server.
#[derive(Debug)]
pub struct Telemetry {
    /// The filter of the log.
    pub filter: LogFilter,
    /// The exporter of traces, where one is configured.
    pub traces: Option<Traces>,
}

/// Starts the log of this process. Must be called once.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    start(config, None).map(drop)
}

/// Starts the log of this process, and the exporter of its traces where one is configured. Must be called once, on the
/// runtime that sends the traces.
pub fn init_traced(config: &LogConfig, traces: Option<&TracesConfig>) -> anyhow::Result<Telemetry> {
    let traces = traces.map(|config| Traces::start(config, Handle::current())).transpose()?;
    let filter = start(config, traces.as_ref())?;
    Ok(Telemetry { filter, traces })
}

fn start(config: &LogConfig, traces: Option<&Traces>) -> anyhow::Result<LogFilter> {
    let (filter, handle) = replaceable(&config.filter)?;
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
    started.context("starting the log")?;
    Ok(handle)
}

/// Makes a filter that can be replaced.
pub(crate) fn replaceable(filter: &str) -> anyhow::Result<(reload::Layer<EnvFilter, Registry>, LogFilter)> {
    let filter = EnvFilter::try_new(filter).context("reading log.filter")?;
    let (filter, handle) = reload::Layer::new(filter);
    Ok((filter, LogFilter(handle)))
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
