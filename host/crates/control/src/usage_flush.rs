//! The usage flush: writes usage to the store.
//!
//! Owns the rows between the counters and the store. Rows taken from the counters stay here, under one flush id, until
//! the store confirms them: a lost answer counts no page twice, and a full disk loses no page.

use lector_core::{Fault, Kind};
use tokio::sync::Mutex;

use crate::store::{FlushId, Store, UsageRow};

/// Writes usage; at most one flush runs at a time.
#[derive(Debug)]
pub(crate) struct UsageFlusher(Mutex<Flushes>);

#[derive(Debug)]
struct Flushes {
    /// Unique prefix of the flush ids of this process.
    series: String,
    made: u64,
    waiting: Option<(FlushId, Vec<UsageRow>)>,
}

impl Flushes {
    fn next(&mut self) -> FlushId {
        self.made += 1;
        FlushId(format!("{}-{}", self.series, self.made))
    }
}

impl UsageFlusher {
    pub(crate) fn new() -> Result<Self, Fault> {
        let mut series = [0u8; 16];
        getrandom::fill(&mut series).map_err(|error| {
            let message = "The operating system returned no random bytes, which the usage counters need: restart the server.";
            Fault::new(Kind::Unavailable, "no_randomness", message).with_detail(error)
        })?;
        Ok(Self(Mutex::new(Flushes {
            series: base16ct::lower::encode_string(&series),
            made: 0,
            waiting: None,
        })))
    }

    /// Writes the rows from `take`, after the rows that earlier flushes could not write.
    pub(crate) async fn flush(
        &self,
        store: &dyn Store,
        take: impl Fn() -> Vec<UsageRow> + Send,
    ) -> Result<(), Fault> {
        let mut flushes = self.0.lock().await;
        loop {
            let again = flushes.waiting.is_some();
            if !again {
                let rows = take();
                if rows.is_empty() {
                    return Ok(());
                }
                flushes.waiting = Some((flushes.next(), rows));
            }
            let Some((id, rows)) = flushes.waiting.clone() else { return Ok(()) };
            let count = rows.len();
            if let Err(error) = store.add_usage(id, rows).await {
                let fault = Fault::from(error);
                tracing::error!(%fault, rows = count, "usage could not be written; it is kept and tried again");
                return Err(fault);
            }
            flushes.waiting = None;
            if !again {
                return Ok(());
            }
        }
    }
}
