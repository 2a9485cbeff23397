//! Tests of the embedded store of jobs: damaged rows, older folders, and what a deletion excludes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use super::*;
use crate::fakes::reopened;
use crate::store::damaging::{Cell, cells_of, damage_of};
use crate::store::jobs::{NewJobDocument, *};

/// After the retention of every finished job.
const LATER_MS: u64 = 1 << 40;

async fn open(dir: &Path) -> SqliteJobStore {
    reopened(|| SqliteJobStore::open(dir, 0)).await
}

async fn add(store: &SqliteJobStore, tenant: &str) -> JobId {
    let bytes = Arc::new(tenant.as_bytes().to_vec());
    let Staged::Stored(blob) = store.stage(tenant.into(), bytes, u64::MAX).await.unwrap() else { panic!() };
    let document = NewJobDocument { name: None, content_type: None, digest: blob.digest().clone(), bytes: 1 };
    let job = NewJob {
        id: JobId::random().unwrap(),
        tenant: tenant.into(),
        created_at_ms: 1,
        priority: 0,
        retention_ms: 10,
        spec: "{}".to_owned(),
        idempotency: None,
        webhook: Some("https://a.example/".to_owned()),
        documents: vec![document],
        limits: JobLimits { unfinished: 9, bytes: u64::MAX },
    };
    let id = job.id.clone();
    assert_eq!(store.add(job, vec![blob]).await.unwrap(), Added::New);
    id
}

async fn claim(store: &SqliteJobStore, token: &str) -> Option<Claim> {
    let query = ClaimQuery {
        token: token.to_owned(),
        now_ms: 1000,
        claims_now_ms: 1000,
        until_ms: 2000,
        tenant_claims_max: 9,
    };
    store.claim(query).await.unwrap()
}

fn page(index: u32) -> NewPage {
    let result = Arc::new(format!("result {index}").into_bytes());
    NewPage { index, ok: true, result, event: "{}".to_owned(), tenant_bytes_max: u64::MAX }
}

/// Adds a job that is finished and has a page, and one that waits. Returns both.
async fn jobs_of(store: &SqliteJobStore, tenant: &str) -> [JobId; 2] {
    let finished = add(store, tenant).await;
    let held = claim(store, "t").await.unwrap().identity();
    assert_eq!(held.job, finished);
    assert_eq!(store.page(held.clone(), 1001, page(0)).await.unwrap(), PageStored::New);
    let event = ("document_end".to_owned(), "{}".to_owned());
    let end = DocumentEnd { now_ms: 1002, ended: "{}".to_owned(), failed: false, event };
    store.end_document(held, end).await.unwrap();
    store.secrets(tenant.into(), "secret".to_owned(), 1).await.unwrap();
    [finished, add(store, tenant).await]
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Returns the cells of the rows of the tenant `bad`, whose jobs are the first two.
fn cells_of_bad(file: &Path) -> Vec<Cell> {
    let mut seen = BTreeSet::new();
    let mut cells = cells_of(file);
    cells.retain(|cell| {
        let of_bad = match cell.table.as_str() {
            "jobs" => ["1", "2"].contains(&cell.row[0].as_str()),
            "documents" | "events" => cell.row[0] == "2",
            "pages" | "deliveries" => cell.row[0] == "1",
            "secrets" | "tenants" => cell.row[0] == "bad",
            _ => false,
        };
        // Both jobs, and the first row of the other tables.
        let one = if cell.table == "jobs" { cell.row[0].clone() } else { String::new() };
        of_bad && seen.insert((cell.table.clone(), cell.column.clone(), one))
    });
    cells
}

/// Uses a folder with a damaged row of the tenant `bad`, whose jobs are named; those of `good` are finished and waiting.
async fn serve(dir: &Path, bad: [JobId; 2], [finished, waiting]: [JobId; 2]) {
    let store = SqliteJobStore::open(dir, 0).unwrap();
    let mut claimed = Vec::new();
    while let Some(claim) = claim(&store, &claimed.len().to_string()).await {
        claimed.push(claim.job.id);
        assert!(claimed.len() < 3, "{claimed:?}");
    }
    assert!(claimed.contains(&waiting), "the queue goes on");
    let mut delivered = 0;
    for round in 0.. {
        let due = store.due_deliveries(LATER_MS, 9).await.unwrap();
        if due.is_empty() {
            break;
        }
        assert!(round < 3, "{due:?}");
        for delivery in due {
            delivered += u32::from(delivery.tenant.as_str() == "good");
            let attempt = DeliveryAttempt { delivered: true, next_at_ms: None, error: None };
            store.attempted(delivery.seq, attempt).await.unwrap();
        }
    }
    assert_eq!(delivered, 1, "webhooks go on");
    store.next_due().await.unwrap();
    store.counts().await.unwrap();
    for (tenant, whole) in [("good", true), ("bad", false)] {
        let query = JobQuery { tenant: tenant.into(), state: None, before: None, limit: 9 };
        let jobs = store.jobs(query).await.unwrap().rows.len();
        let query = DeliveryQuery { tenant: tenant.into(), dead: false, before: None, limit: 9 };
        let deliveries = store.deliveries(query).await.unwrap().rows.len();
        assert!(!whole || (jobs, deliveries) == (2, 1), "{jobs} jobs, {deliveries} deliveries");
    }
    while store.expire(LATER_MS, 1).await.unwrap() > 0 {}
    assert!(store.job(finished, Documents::None).await.unwrap().is_none(), "retention goes on");
    add(&store, "bad").await;
    for id in bad {
        // Canceled, or deleted, or its id is no longer that.
        store.delete("bad".into(), id, 3000).await.unwrap();
    }
    while !store.forget_tenant("bad".into(), 1).await.unwrap().is_empty() {}
    assert!(store.job(waiting, Documents::All).await.unwrap().is_some());
    drop(store);
    open(dir).await;
}

#[tokio::test]
async fn a_damaged_row_costs_the_other_tenants_nothing() {
    let whole = tempfile::tempdir().unwrap();
    let store = open(whole.path()).await;
    let (bad, good) = (jobs_of(&store, "bad").await, jobs_of(&store, "good").await);
    drop(store);
    drop(open(whole.path()).await);
    let (mut damaged, mut failed) = (0, Vec::new());
    for cell in cells_of_bad(&whole.path().join(DATABASE)) {
        for value in ["NULL", "x'00ff10'", "-1", "CAST(x'fffec328' AS TEXT)"] {
            let dir = tempfile::tempdir().unwrap();
            copy(whole.path(), dir.path());
            if !damage_of(&dir.path().join(DATABASE), &cell, value) {
                continue;
            }
            damaged += 1;
            let (bad, good) = (bad.clone(), good.clone());
            if tokio::spawn(async move { serve(dir.path(), bad, good).await }).await.is_err() {
                failed.push(format!("{}.{} {:?} = {value}", cell.table, cell.column, cell.row));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(damaged > 200, "{damaged}");
}

#[tokio::test]
async fn an_older_folder_opens_and_keeps_its_jobs() {
    let newest = opening::STEPS.len() as u32;
    for old in 1..newest {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(dir.path().join(DATABASE)).unwrap();
        crate::store::sqlite::schema::to(&mut connection, dir.path(), opening::STEPS, old).unwrap();
        let id = JobId::random().unwrap();
        let sql =
            "INSERT INTO jobs (id, tenant, state, priority, created_at_ms, retention_ms, spec, not_before_ms,
                   claimed, events, bytes) VALUES (?1, 'acme', 'queued', 0, 1, 9, '{}', 0, 1, 0, 7)";
        connection.execute(sql, [id.as_str()]).unwrap();
        // Of the job that exists, and of deleted ones: those that have ended, and those that wait.
        for (at, (job, next)) in
            [(id.as_str(), None), ("job_0", None), ("job_1", Some(1)), (id.as_str(), Some(2))]
                .into_iter()
                .enumerate()
        {
            let sql = "INSERT INTO deliveries (id, job, tenant, url, state, created_at_ms, next_at_ms)
                       VALUES (?1, ?2, 'acme', 'https://a.example/', 'succeeded', 1, ?3)";
            connection.execute(sql, rusqlite::params![format!("msg_{at}"), job, next]).unwrap();
        }
        drop(connection);
        let store = open(dir.path()).await;
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.jobs, counts.bytes), ([1, 0, 0, 0, 0], 7), "from version {old}");
        assert_eq!(store.job(id, Documents::All).await.unwrap().unwrap().state, JobState::Queued);
        let left = store.inner.read(|connection| {
            let mut statement = connection.prepare("SELECT id FROM deliveries ORDER BY id").unwrap();
            let ids = statement.query_map([], |row| row.get(0)).unwrap();
            Ok(ids.collect::<rusqlite::Result<Vec<String>>>().unwrap())
        });
        assert_eq!(left.unwrap(), ["msg_0", "msg_2", "msg_3"], "ended messages of deleted jobs are gone");
    }
}

#[tokio::test]
async fn pages_are_stored_while_many_blobs_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let job = add(&store, "a").await;
    let held = claim(&store, "t").await.unwrap().identity();
    let inner = store.inner.clone();
    let of_no_row = inner.blobs.put(b"of no row").unwrap();
    // Between two deletions, as another thread would: a blob that is being deleted excludes itself alone.
    let mut stored = 0;
    inner.forget(
        [Digest::of(b"result 1"), of_no_row.clone(), Digest::of(b"of nothing")].into_iter().inspect(|_| {
            assert_eq!(inner.page(&held, 1, &page(stored)).unwrap(), PageStored::New);
            stored += 1;
        }),
    );
    assert_eq!(stored, 3);
    assert!(inner.blobs.get(&of_no_row).unwrap().is_none());
    for index in 0..3 {
        assert!(store.page_result(job.clone(), 0, index).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_input_whose_storing_fails_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    // The file has its name already, and nothing else can be written.
    let path = store.inner.blobs.path(&Digest::of(b"input"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, b"not").unwrap();
    fs::remove_dir(dir.path().join(BLOBS).join("tmp")).unwrap();
    assert!(store.stage("a".into(), Arc::new(b"input".to_vec()), u64::MAX).await.is_err());
    assert!(!path.exists());
}

#[tokio::test]
async fn a_read_waits_for_no_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let id = add(&store, "a").await;
    let inner = store.inner.clone();
    let done = inner.transaction(|transaction| {
        transaction.execute("UPDATE jobs SET priority = 7", []).unwrap();
        inner.read(|connection| read::job(connection, &id, Documents::All))
    });
    assert_eq!(done.unwrap().unwrap().state, JobState::Queued);
}
