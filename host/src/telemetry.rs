//! The log: structured events on standard error, as text or JSON. Standard output is reserved for results.

mod timeline;

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Context;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::{LogConfig, LogFormat};
use timeline::Timeline;

/// Starts the log of this process, and a timeline if a path is given. Must be called once.
pub fn init(config: &LogConfig, timeline: Option<&Path>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter).context("reading log.filter")?;
    let log = fmt::layer().with_writer(std::io::stderr);
    let log = match config.format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(true).boxed(),
    };
    let timeline = timeline.map(|path| {
        let timeline =
            Timeline::create(path).with_context(|| format!("writing the timeline {}", path.display()));
        timeline.map(|timeline| timeline.with_filter(filter_fn(timeline::is_drawn)))
    });
    // Each layer has its own filter: a timeline does not add events to the log.
    let started =
        tracing_subscriber::registry().with(log.with_filter(filter)).with(timeline.transpose()?).try_init();
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
