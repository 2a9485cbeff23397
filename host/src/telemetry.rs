//! The log: structured events on standard error, for people or as JSON. Standard output belongs to results.

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

/// Starts the log of this process, and a timeline where one is wanted; once.
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
    // The layers see their own spans each: a timeline that is on does not make the log longer.
    let started =
        tracing_subscriber::registry().with(log.with_filter(filter)).with(timeline.transpose()?).try_init();
    started.context("starting the log")
}

/// The log of a helper process, which has no configuration: for whoever reads its standard error.
pub fn init_plain() {
    // Without a log it still does its work.
    let _ = fmt()
        .with_env_filter(EnvFilter::new("info"))
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .try_init();
}
