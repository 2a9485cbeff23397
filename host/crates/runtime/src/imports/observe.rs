//! The interfaces `log`, `trace`, `settings` and `budget`: a guest's output about itself, and its own configuration.

use std::time::{Duration, Instant};

use wasmtime::component::Resource;

use crate::abort::AbortReason;
use crate::bindings::lector::ocr::{budget, log, settings, trace};
use crate::handles::SpanHandle;
use crate::log::Level;
use crate::view::{ObserveCtx, View};

/// Maximum length of the name of a span, in bytes.
const SPAN_NAME_BYTES_MAX: usize = 64;

impl log::Host for View<'_, ObserveCtx> {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.enter()?;
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.log.write(level, &message);
        Ok(())
    }
}

impl trace::Host for View<'_, ObserveCtx> {}

impl trace::HostSpan for View<'_, ObserveCtx> {
    fn new(&mut self, mut name: String) -> wasmtime::Result<Resource<SpanHandle>> {
        self.enter()?;
        let cut = (0..=SPAN_NAME_BYTES_MAX.min(name.len())).rev().find(|i| name.is_char_boundary(*i));
        name.truncate(cut.unwrap_or(0));
        let charge = self.charge(0).map_err(AbortReason::Limit)?;
        self.keep(SpanHandle { name, began: Instant::now(), charge })
    }

    fn drop(&mut self, span: Resource<SpanHandle>) -> wasmtime::Result<()> {
        let span = self.table.delete(span)?;
        drop(span.charge);
        self.spanned(span.name, span.began.elapsed());
        Ok(())
    }
}

impl settings::Host for View<'_, ObserveCtx> {
    fn get(&mut self) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(self.call.settings.as_ref().to_owned())
    }
}

impl budget::Host for View<'_, ObserveCtx> {
    fn remaining(&mut self) -> wasmtime::Result<budget::Allowance> {
        self.enter()?;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let limits = &self.call.budget;
        let (host_bytes, handles) = self.accounting.remaining();
        Ok(budget::Allowance {
            time_us: micros(self.deadline.end().saturating_duration_since(Instant::now())),
            compute_us: micros(limits.compute.saturating_sub(self.meter.computed())),
            host_bytes,
            handles,
            host_calls: limits.host_calls.saturating_sub(self.timing.host_calls),
            log_bytes: self.log.remaining(),
        })
    }
}
