//! The events of a job, with a cursor: `queued`, `running`, for each document `document`, `page`, `page_error`,
//! `document_end` or `document_error`, and last `end`.
//!
//! The store numbers them without gaps, so a client that names the last number that it has gets each following event
//! once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use lector_control::store::jobs::{Documents, JobEventRow, JobId};
use lector_control::{CountedStream, Principal, StreamRight};
use lector_core::Fault;
use serde_json::Value;

use crate::service::Jobs;
use crate::store_access::TenantStore;

/// Events that are read from the store at once.
const EVENTS_READ: u32 = 256;
/// Time after which a stream looks again although it was not notified.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// An event of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEvent {
    /// Its number, from 1.
    pub seq: u64,
    /// Its name.
    pub event: String,
    /// Its time, milliseconds since 1970.
    pub at_ms: u64,
    /// Its members.
    pub data: Value,
}

impl From<JobEventRow> for JobEvent {
    fn from(row: JobEventRow) -> Self {
        let data = serde_json::from_str(&row.data).unwrap_or(Value::Null);
        Self { seq: row.seq, event: row.event, at_ms: row.at_ms, data }
    }
}

struct Cursor {
    jobs: Arc<Jobs>,
    store: TenantStore,
    right: StreamRight,
    _counted: CountedStream,
    id: JobId,
    after: u64,
    ready: VecDeque<JobEvent>,
    ended: bool,
}

impl Cursor {
    async fn next(&mut self) -> Result<Option<JobEvent>, Fault> {
        loop {
            // Before each event: also those that were read before the key was revoked.
            if !self.right.holds() {
                return Ok(None);
            }
            if let Some(event) = self.ready.pop_front() {
                self.after = event.seq;
                self.ended = event.event == "end";
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            // Registered before the read, so that no change is missed.
            let watched = self.jobs.watched(&self.id);
            let mut changed = std::pin::pin!(watched.changed.notified());
            changed.as_mut().enable();
            let (id, after) = (self.id.clone(), self.after);
            let rows = self.store.call(move |store| store.events(id, after, EVENTS_READ)).await?;
            self.ready.extend(rows.into_iter().map(JobEvent::from));
            if !self.ready.is_empty() {
                continue;
            }
            // The client has the last event, or the job is gone.
            let id = self.id.clone();
            let job = self.store.call(move |store| store.job(id, Documents::None)).await?;
            if job.is_none_or(|job| job.state.is_finished() && job.events <= self.after) {
                return Ok(None);
            }
            tokio::select! {
                () = changed => {}
                () = self.jobs.sleep(LOOK_AGAIN) => {}
                () = self.right.ended() => return Ok(None),
                () = self.jobs.stopped() => return Ok(None),
            }
        }
    }
}

impl Jobs {
    /// Streams the events of a job after the one with the number `after`. Ends after the last event of the job, with the
    /// right of the principal, and when the server stops. Faults: `job_not_found`, `too_many_event_streams`.
    pub async fn events(
        self: &Arc<Self>,
        principal: &Principal,
        id: &JobId,
        after: u64,
    ) -> Result<BoxStream<'static, Result<JobEvent, Fault>>, Fault> {
        let store = self.store_of(principal);
        self.row(principal, id, Documents::None).await?;
        let control = self.parts.service.control();
        let cursor = Cursor {
            jobs: self.clone(),
            store,
            right: control.stream_right(principal),
            _counted: control.count_stream(principal)?,
            id: id.clone(),
            after,
            ready: VecDeque::new(),
            ended: false,
        };
        let events = futures::stream::unfold(Some(cursor), async |cursor| {
            let mut cursor = cursor?;
            match cursor.next().await {
                Ok(event) => Some((Ok(event?), Some(cursor))),
                Err(fault) => Some((Err(fault), None)),
            }
        });
        Ok(events.boxed())
    }
}
