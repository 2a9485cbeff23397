//! Usage on its way to disk.
//!
//! Owns the rows between the counters and the store. Rows that were taken out of the counters stay here, under one name,
//! until the store has said that it has them: an answer that is lost counts no page twice, and a full disk loses none.

use lector_core::{Fault, Kind};
use tokio::sync::Mutex;

use crate::digest::hex;
use crate::store::{FlushId, Store, UsageRow};

/// Writes usage, one flush at a time.
#[derive(Debug)]
pub(crate) struct UsageFlusher(Mutex<Flushes>);

#[derive(Debug)]
struct Flushes {
    /// Tells this process's flushes from all others'.
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
            let message = "The system gives no random numbers, without which use cannot be counted safely.";
            Fault::new(Kind::Unavailable, "no_randomness", message).with_detail(error)
        })?;
        Ok(Self(Mutex::new(Flushes { series: hex(&series), made: 0, waiting: None })))
    }

    /// Writes what `take` gives; rows that could not be written before come first.
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
