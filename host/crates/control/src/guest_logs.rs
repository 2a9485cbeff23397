//! The log lines of guests, for the tenants whose documents they read.
//!
//! Owns a bounded buffer of the newest lines and their live streams. Lines belong to the tenant of the call, also in a
//! shared deployment: a guest may write parts of a document into its log. Limits: bytes for each revision, each tenant
//! and the server; the oldest lines go first. Lines outlive their revision, because those of a revision that was rolled
//! back are the ones that its author needs. Nothing is stored.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lector_core::{
    Clock, DeploymentName, Fault, GuestLogLevel, GuestLogRecord, GuestLogSink, Kind, TenantName,
};
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use crate::api_types::timestamp;
use crate::events::{Changes, StreamAccess};

/// Bytes of lines for one revision of one tenant.
const REVISION_BYTES_MAX: usize = 128 << 10;
/// Bytes of lines for one tenant.
const TENANT_BYTES_MAX: usize = 512 << 10;
/// Bytes of lines for all tenants.
const SERVER_BYTES_MAX: usize = 64 << 20;
/// Bytes counted for a line in addition to its texts.
const LINE_BYTES: usize = 96;
/// Most lines that a slow follower may be behind; beyond it lines are skipped and reported as [`Lagged`].
const LINES_BEHIND_MAX: usize = 256;
/// Most followers of one tenant at once.
const FOLLOWERS_MAX: usize = 32;

/// A line that a guest wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LogLine)]
pub struct GuestLogLine {
    /// Number of the line, from 1 at the start of the server.
    pub seq: u64,
    /// Time at which the guest wrote it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The deployment that was called.
    #[schema(value_type = String)]
    pub deployment: DeploymentName,
    /// Its revision; `None`: a deploy in progress, or one that failed.
    pub revision: Option<u32>,
    /// Id of the request; `configure` and `smoke_test` in a deploy.
    pub request: String,
    /// Level.
    #[schema(schema_with = level_schema)]
    pub level: GuestLogLevel,
    /// Text, with control characters escaped.
    pub message: String,
}

fn level_schema() -> RefOr<Schema> {
    let levels = ["trace", "debug", "info", "warn", "error"];
    RefOr::T(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(levels)).into())
}

impl GuestLogLine {
    fn bytes(&self) -> usize {
        LINE_BYTES + self.message.len() + self.request.len() + self.deployment.as_str().len()
    }
}

/// A revision that lines come from; number 0 is a deploy in progress.
type Source = (DeploymentName, u32);

/// The lines of one revision, oldest first.
#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Arc<GuestLogLine>>,
    bytes: usize,
}

impl Ring {
    fn put(&mut self, line: Arc<GuestLogLine>) {
        self.bytes += line.bytes();
        self.lines.push_back(line);
    }

    /// Drops the oldest line; returns its bytes.
    fn drop_oldest(&mut self) -> usize {
        let bytes = self.lines.pop_front().map_or(0, |line| line.bytes());
        self.bytes -= bytes;
        bytes
    }
}

#[derive(Debug)]
struct TenantLog {
    rings: BTreeMap<Source, Ring>,
    bytes: usize,
    sender: broadcast::Sender<Arc<GuestLogLine>>,
}

impl Default for TenantLog {
    fn default() -> Self {
        Self { rings: BTreeMap::new(), bytes: 0, sender: broadcast::channel(LINES_BEHIND_MAX).0 }
    }
}

impl TenantLog {
    /// Drops the oldest line of the largest ring; returns its bytes.
    fn shrink(&mut self) -> usize {
        let largest = self.rings.iter_mut().max_by_key(|(_, ring)| ring.bytes);
        let Some((source, ring)) = largest else { return 0 };
        let freed = ring.drop_oldest();
        self.bytes -= freed;
        if ring.lines.is_empty() {
            let source = source.clone();
            self.rings.remove(&source);
        }
        freed
    }
}

#[derive(Debug, Default)]
struct Logs {
    tenants: BTreeMap<TenantName, TenantLog>,
    bytes: usize,
    seq: u64,
}

/// The log lines of all guests.
pub(crate) struct GuestLogs {
    logs: Mutex<Logs>,
    clock: Arc<dyn Clock>,
    closed: CancellationToken,
}

impl std::fmt::Debug for GuestLogs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestLogs").finish_non_exhaustive()
    }
}

impl GuestLogs {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { logs: Mutex::default(), clock, closed: CancellationToken::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the sink for the calls of one revision.
    pub(crate) fn sink(self: &Arc<Self>, revision: u32) -> Arc<dyn GuestLogSink> {
        Arc::new(Sink { logs: self.clone(), revision })
    }

    fn write(&self, record: GuestLogRecord<'_>, revision: u32) {
        let mut logs = self.lock();
        logs.seq += 1;
        let line = Arc::new(GuestLogLine {
            seq: logs.seq,
            at: timestamp(self.clock.now_ms()),
            deployment: record.deployment.clone(),
            revision: Some(revision).filter(|revision| *revision > 0),
            request: record.request.to_string(),
            level: record.level,
            message: record.message.to_owned(),
        });
        let Logs { tenants, bytes, .. } = &mut *logs;
        let tenant = tenants.entry(record.tenant.clone()).or_default();
        let ring = tenant.rings.entry((record.deployment.clone(), revision)).or_default();
        ring.put(line.clone());
        let mut freed = 0;
        while ring.bytes > REVISION_BYTES_MAX && ring.lines.len() > 1 {
            freed += ring.drop_oldest();
        }
        tenant.bytes = tenant.bytes + line.bytes() - freed;
        *bytes = *bytes + line.bytes() - freed;
        while tenant.bytes > TENANT_BYTES_MAX {
            *bytes -= tenant.shrink();
        }
        // No follower is no error.
        let _ = tenant.sender.send(line);
        while *bytes > SERVER_BYTES_MAX {
            let Some(largest) = tenants.values_mut().max_by_key(|tenant| tenant.bytes) else { break };
            *bytes -= largest.shrink();
        }
    }

    /// Returns the kept lines of a deployment, oldest first, and the ones to come.
    pub(crate) fn follow(
        &self,
        tenant: &TenantName,
        deployment: &DeploymentName,
        revision: Option<u32>,
        access: StreamAccess,
        changes: Changes,
    ) -> Result<(Vec<Arc<GuestLogLine>>, GuestLogStream), Fault> {
        let mut logs = self.lock();
        let log = logs.tenants.entry(tenant.clone()).or_default();
        if log.sender.receiver_count() >= FOLLOWERS_MAX {
            let message =
                format!("{FOLLOWERS_MAX} clients of the tenant follow guest logs, the limit: end one first.");
            return Err(Fault::new(Kind::Busy, "followers_too_many", message));
        }
        let lines = kept(log, deployment, revision);
        let stream = GuestLogStream {
            lines: log.sender.subscribe(),
            closed: self.closed.clone(),
            access,
            changes,
            deployment: deployment.clone(),
            revision,
        };
        Ok((lines, stream))
    }

    pub(crate) fn lines(
        &self,
        tenant: &TenantName,
        deployment: &DeploymentName,
        revision: Option<u32>,
    ) -> Vec<Arc<GuestLogLine>> {
        self.lock().tenants.get(tenant).map(|log| kept(log, deployment, revision)).unwrap_or_default()
    }

    /// Forgets the lines of a deleted tenant.
    pub(crate) fn forget(&self, tenant: &TenantName) {
        let mut logs = self.lock();
        if let Some(log) = logs.tenants.remove(tenant) {
            logs.bytes -= log.bytes;
        }
    }

    /// Ends all streams, including those of later followers.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }
}

fn kept(log: &TenantLog, deployment: &DeploymentName, revision: Option<u32>) -> Vec<Arc<GuestLogLine>> {
    let rings = log
        .rings
        .iter()
        .filter(|((of, number), _)| of == deployment && revision.is_none_or(|revision| revision == *number));
    let mut lines: Vec<_> = rings.flat_map(|(_, ring)| ring.lines.iter().cloned()).collect();
    lines.sort_by_key(|line| line.seq);
    lines
}

/// Takes the lines of the calls of one revision.
#[derive(Debug)]
struct Sink {
    logs: Arc<GuestLogs>,
    revision: u32,
}

impl GuestLogSink for Sink {
    fn write(&self, record: GuestLogRecord<'_>) {
        self.logs.write(record, self.revision);
    }
}

/// The log lines of a deployment from now on.
pub struct GuestLogStream {
    lines: broadcast::Receiver<Arc<GuestLogLine>>,
    closed: CancellationToken,
    access: StreamAccess,
    /// Wakes the stream when the right of the follower may have ended.
    changes: Changes,
    deployment: DeploymentName,
    revision: Option<u32>,
}

/// Lines that a slow follower has missed: their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

impl GuestLogStream {
    /// Returns the next line; `None` when the server drains, the right of the follower has ended, or the tenant is
    /// deleted.
    pub async fn next(&mut self) -> Option<Result<Arc<GuestLogLine>, Lagged>> {
        loop {
            let valid_for = self.access.valid_for()?;
            let received = tokio::select! {
                biased;
                () = self.closed.cancelled() => return None,
                changed = self.changes.changed() => if changed.is_err() { return None } else { continue },
                received = self.lines.recv() => received,
                () = tokio::time::sleep(valid_for) => continue,
            };
            let wanted = |line: &GuestLogLine| {
                line.deployment == self.deployment
                    && self.revision.is_none_or(|revision| revision == line.revision.unwrap_or(0))
            };
            match received {
                Ok(line) if wanted(&line) => return Some(Ok(line)),
                Ok(_) => {}
                Err(RecvError::Lagged(count)) => return Some(Err(Lagged(count))),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use arc_swap::ArcSwap;
    use futures::FutureExt;
    use tokio::sync::watch;

    use super::*;
    use crate::access::Grant;
    use crate::clock::SystemClock;
    use crate::directory::Directory;
    use crate::key::{self, Scope};

    fn logs() -> Arc<GuestLogs> {
        Arc::new(GuestLogs::new(Arc::new(SystemClock)))
    }

    /// The right of the host, which does not end, and the events that wake a stream.
    fn host() -> (StreamAccess, Changes, watch::Sender<u64>) {
        let directory = Arc::new(ArcSwap::from_pointee(Directory::with_keys(Vec::new())));
        let (sender, changes) = watch::channel(0);
        (StreamAccess::new(Grant::Host, directory, Arc::new(SystemClock)), changes, sender)
    }

    fn write(sink: &Arc<dyn GuestLogSink>, (tenant, deployment): (&str, &str), message: &str) {
        let (tenant, deployment) = (TenantName::from(tenant), DeploymentName::from(deployment));
        let request = lector_core::RequestId::from("r");
        let (tenant, deployment, request) = (&tenant, &deployment, &request);
        sink.write(GuestLogRecord { tenant, deployment, request, level: GuestLogLevel::Info, message });
    }

    fn messages(lines: &[Arc<GuestLogLine>]) -> Vec<&str> {
        lines.iter().map(|line| line.message.as_str()).collect()
    }

    #[tokio::test]
    async fn lines_belong_to_the_tenant_of_the_call() {
        let logs = logs();
        let (one, two) = (logs.sink(1), logs.sink(2));
        write(&one, ("acme", "d"), "a");
        let (access, changes, _events) = host();
        let (before, mut stream) = logs.follow(&"acme".into(), &"d".into(), None, access, changes).unwrap();
        assert_eq!(messages(&before), ["a"]);
        write(&two, ("acme", "d"), "b");
        write(&one, ("zeta", "d"), "theirs");
        write(&one, ("acme", "e"), "elsewhere");
        write(&logs.sink(0), ("acme", "d"), "c");
        assert_eq!(messages(&logs.lines(&"acme".into(), &"d".into(), None)), ["a", "b", "c"]);
        assert_eq!(messages(&logs.lines(&"acme".into(), &"d".into(), Some(2))), ["b"]);
        assert_eq!(logs.lines(&"acme".into(), &"d".into(), Some(0))[0].revision, None);
        assert_eq!(messages(&logs.lines(&"zeta".into(), &"d".into(), None)), ["theirs"]);
        let next = [stream.next().await.unwrap().unwrap(), stream.next().await.unwrap().unwrap()];
        assert_eq!(messages(&next), ["b", "c"]);
        logs.close();
        assert!(stream.next().await.is_none());
        logs.forget(&"acme".into());
        assert!(logs.lines(&"acme".into(), &"d".into(), None).is_empty());
        let held = logs.lock();
        assert_eq!(held.bytes, held.tenants.values().map(|tenant| tenant.bytes).sum::<usize>());
    }

    #[tokio::test]
    async fn a_stream_ends_when_its_key_is_revoked() {
        let logs = logs();
        let key = key::make(Scope::Tenant("acme".into()), String::new(), 0).unwrap().record;
        let current = Arc::new(ArcSwap::from_pointee(Directory::with_keys(vec![key.clone()])));
        let access = StreamAccess::new(Grant::Key(key.id.clone()), current.clone(), Arc::new(SystemClock));
        let (events, changes) = watch::channel(0);
        let (_, mut stream) = logs.follow(&"acme".into(), &"d".into(), None, access, changes).unwrap();
        write(&logs.sink(1), ("acme", "d"), "a");
        assert_eq!(stream.next().await.unwrap().unwrap().message, "a");
        let mut waits = Box::pin(stream.next());
        assert!(waits.as_mut().now_or_never().is_none());
        current.store(Arc::new(Directory::with_keys(Vec::new())));
        events.send_replace(1);
        assert!(waits.await.is_none(), "the revocation wakes the stream");
        write(&logs.sink(1), ("acme", "d"), "b");
        assert!(stream.next().await.is_none(), "no line after it");
    }

    #[test]
    fn the_oldest_lines_go_first_and_every_bound_holds() {
        let logs = logs();
        let text = "x".repeat(1000);
        let quiet = logs.sink(1);
        write(&quiet, ("acme", "quiet"), "kept");
        for revision in 1..10 {
            let sink = logs.sink(revision);
            for number in 0..300 {
                write(&sink, ("acme", "d"), &format!("{number} {text}"));
            }
        }
        let held = logs.lock();
        let acme = &held.tenants[&TenantName::from("acme")];
        assert!(acme.bytes <= TENANT_BYTES_MAX && acme.bytes > TENANT_BYTES_MAX / 2, "{}", acme.bytes);
        assert_eq!(acme.bytes, acme.rings.values().map(|ring| ring.bytes).sum::<usize>());
        assert!(acme.rings.values().all(|ring| ring.bytes <= REVISION_BYTES_MAX));
        let newest = acme.rings[&("d".into(), 9)].lines.back().unwrap();
        assert!(newest.message.starts_with("299 "));
        drop(held);
        assert_eq!(messages(&logs.lines(&"acme".into(), &"quiet".into(), None)), ["kept"]);
    }

    #[test]
    fn followers_are_bounded() {
        let logs = logs();
        let follow = || {
            let (access, changes, _) = host();
            logs.follow(&"acme".into(), &"d".into(), None, access, changes)
        };
        let followers: Vec<_> = (0..FOLLOWERS_MAX).map(|_| follow().unwrap()).collect();
        assert_eq!(follow().err().unwrap().code, "followers_too_many");
        drop(followers);
        assert!(follow().is_ok());
    }
}
