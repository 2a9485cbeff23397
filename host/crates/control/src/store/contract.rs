//! The contract suite of stores. A new implementation adds itself to [`stores`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::json;

use super::*;
use crate::fakes::{reopened, revision_record as revision, wrapping_record};
use crate::key::{self, Scope};
use crate::route::RouteRecord;
use crate::tenant::{TenantPolicy, TenantRecord};

/// A store, and the means to open it again as after a restart, if it is durable.
struct Subject {
    name: &'static str,
    store: Option<SqliteStore>,
    dir: Option<tempfile::TempDir>,
}

impl Subject {
    fn store(&self) -> &dyn Store {
        self.store.as_ref().unwrap()
    }

    /// Damages rows in the format of this store: tenant `acme` itself, its revision 1 of `d`, its route of `d`, its
    /// key, its usage of day 3 and the first entry of the audit log.
    async fn damage(&self) {
        let sql = "UPDATE tenants SET record = '{' WHERE name = 'acme';
                   UPDATE settings SET text = '[]' WHERE deployment = 'd' AND number = 1;
                   UPDATE routes SET record = 'null' WHERE deployment = 'd';
                   UPDATE keys SET record = '[]' WHERE tenant = 'acme';
                   UPDATE usage SET pages_ok = -1 WHERE day = 3 AND tenant = 'acme';
                   DROP TRIGGER audit_is_never_changed;
                   UPDATE audit SET after = '{' WHERE seq = 1";
        self.store.as_ref().unwrap().execute(sql).await;
    }

    /// Returns the store after a restart; a store in memory stays as it is.
    async fn reopened(mut self) -> Self {
        if let Some(dir) = &self.dir {
            self.store = None;
            self.store = Some(reopened(|| SqliteStore::open(dir.path())).await);
        }
        self
    }
}

fn stores() -> Vec<Subject> {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = SqliteStore::open(dir.path()).unwrap();
    vec![
        Subject { name: "on disk", store: Some(on_disk), dir: Some(dir) },
        Subject { name: "in memory", store: Some(SqliteStore::in_memory().unwrap()), dir: None },
    ]
}

fn entry(tenant: Option<&str>, action: &str) -> AuditEntry {
    AuditEntry {
        seq: 0,
        at_ms: 7,
        tenant: tenant.map(Into::into),
        actor: "k1".into(),
        action: action.into(),
        target: "d".into(),
        from: json!(null),
        to: json!({ "a": [1, "ü"] }),
        request: Some("r1".into()),
    }
}

fn action(changes: Vec<Change>) -> ChangeSet {
    ChangeSet { changes, entry: entry(Some("acme"), "test") }
}

fn tenant(name: &str) -> TenantRecord {
    TenantRecord { name: name.into(), created_at_ms: 5, policy: TenantPolicy::default() }
}

fn route(version: u64) -> RouteRecord {
    let mut route = RouteRecord::new("acme".into(), "d".into()).promote(1, None, 3);
    route.version = version;
    route
}

#[tokio::test]
async fn records_come_back_as_they_were_put() {
    for subject in stores() {
        let mut acme = tenant("acme");
        let key = key::make(Scope::Tenant("acme".into()), "ci".into(), 1).unwrap().record;
        let admin = key::make(Scope::Admin, "ops".into(), 1).unwrap().record;
        let changes = vec![
            Change::PutTenant(acme.clone()),
            Change::PutKey(key.clone()),
            Change::PutKey(admin.clone()),
            Change::PutRevision(revision("acme", "d", 1)),
            Change::PutRoute(route(1)),
        ];
        subject.store().commit(action(changes)).await.unwrap();
        acme.policy.weight = 9;
        subject.store().commit(action(vec![Change::PutTenant(acme.clone())])).await.unwrap();
        let subject = subject.reopened().await;
        let records = subject.store().load().await.unwrap();
        assert_eq!(records.tenants, [acme], "{}", subject.name);
        assert!(records.keys.len() == 2 && records.keys.contains(&key) && records.keys.contains(&admin));
        assert_eq!(records.revisions, [revision("acme", "d", 1)]);
        assert_eq!(records.routes, [route(1)]);
    }
}

#[tokio::test]
async fn a_change_set_is_atomic() {
    for subject in stores() {
        let store = subject.store();
        let first = vec![Change::PutRevision(revision("acme", "d", 1)), Change::PutRoute(route(1))];
        store.commit(action(first)).await.unwrap();
        for (why, late) in [
            ("the revision is there", Change::PutRevision(revision("acme", "d", 1))),
            ("the route moved on", Change::PutRoute(route(1))),
            ("the route is not at version 2", Change::PutRoute(route(3))),
            ("a new route begins at 1", Change::PutRoute(RouteRecord { deployment: "e".into(), ..route(2) })),
        ] {
            let changes = vec![Change::PutTenant(tenant("half")), late];
            let error = store.commit(action(changes)).await.unwrap_err();
            assert!(matches!(error, StoreError::Conflict { .. }), "{}: {why}: {error}", subject.name);
        }
        let subject = subject.reopened().await;
        let records = subject.store().load().await.unwrap();
        assert!(records.tenants.is_empty(), "{}: nothing of a rejected change set stays", subject.name);
        assert_eq!(
            subject
                .store()
                .audit(AuditQuery { limit: 10, ..AuditQuery::default() })
                .await
                .unwrap()
                .rows
                .len(),
            1
        );
        subject.store().commit(action(vec![Change::PutRoute(route(2))])).await.unwrap();
    }
}

#[tokio::test]
async fn deletion_includes_dependent_records() {
    for subject in stores() {
        let store = subject.store();
        let key = key::make(Scope::Tenant("acme".into()), String::new(), 1).unwrap().record;
        let other = key::make(Scope::Tenant("other".into()), String::new(), 1).unwrap().record;
        let mut theirs = route(1);
        theirs.tenant = "other".into();
        let changes = vec![
            Change::PutTenant(tenant("acme")),
            Change::PutTenant(tenant("other")),
            Change::PutKey(key),
            Change::PutKey(other.clone()),
            Change::PutRevision(revision("acme", "d", 1)),
            Change::PutRevision(revision("acme", "d", 2)),
            Change::PutRevision(revision("other", "d", 1)),
            Change::PutRoute(route(1)),
            Change::PutRoute(theirs.clone()),
        ];
        store.commit(action(changes)).await.unwrap();
        store.commit(action(vec![Change::DeleteRevision("acme".into(), "d".into(), 2)])).await.unwrap();
        assert_eq!(store.load().await.unwrap().revisions.len(), 2);
        store.commit(action(vec![Change::DeleteDeployment("acme".into(), "d".into())])).await.unwrap();
        assert_eq!(store.load().await.unwrap().routes, [theirs.clone()], "{}", subject.name);
        store.commit(action(vec![Change::DeleteTenant("acme".into())])).await.unwrap();
        let records = subject.reopened().await.store().load().await.unwrap();
        assert_eq!((records.tenants, records.keys), (vec![tenant("other")], vec![other]));
        assert_eq!((records.revisions, records.routes), (vec![revision("other", "d", 1)], vec![theirs]));
    }
}

#[tokio::test]
async fn the_audit_log_grows_and_is_read_backwards() {
    for subject in stores() {
        let store = subject.store();
        let mut numbers = Vec::new();
        for (tenant, name) in [(Some("acme"), "one"), (None, "two"), (Some("acme"), "three")] {
            numbers
                .push(store.commit(ChangeSet { changes: vec![], entry: entry(tenant, name) }).await.unwrap());
        }
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        let read = async |tenant: Option<&str>, before, limit| {
            let query = AuditQuery { tenant: tenant.map(Into::into), before, limit };
            let entries = store.audit(query).await.unwrap().rows;
            entries.into_iter().map(|entry| entry.action).collect::<Vec<_>>()
        };
        assert_eq!(read(None, None, 10).await, ["three", "two", "one"], "{}", subject.name);
        assert_eq!(read(Some("acme"), None, 10).await, ["three", "one"]);
        assert_eq!(read(None, Some(numbers[2]), 1).await, ["two"]);
        let whole = store.audit(AuditQuery { limit: 1, ..AuditQuery::default() }).await.unwrap().rows;
        assert_eq!(whole[0], AuditEntry { seq: numbers[2], ..entry(Some("acme"), "three") });
    }
}

#[tokio::test]
async fn usage_adds_up_by_tenant_and_day() {
    for subject in stores() {
        let row = |tenant: &str, day, pages_ok| UsageRow {
            tenant: tenant.into(),
            day,
            counts: UsageCounts { pages_ok, requests: 1, ..UsageCounts::default() },
        };
        let flush = |number: u32| FlushId(format!("f{number}"));
        let first = vec![row("acme", 3, 5), row("acme", 4, 1), row("other", 3, 9)];
        subject.store().add_usage(flush(1), first.clone()).await.unwrap();
        subject.store().add_usage(flush(2), vec![row("acme", 3, 7)]).await.unwrap();
        let subject = subject.reopened().await;
        // Its answer was lost, and it is repeated after some other flushes.
        for number in 3..FLUSHES_KEPT {
            subject.store().add_usage(flush(number), vec![]).await.unwrap();
        }
        subject.store().add_usage(flush(1), first).await.unwrap();
        let read = async |tenant: Option<&str>, days| {
            let rows =
                subject.store().usage(UsageQuery { tenant: tenant.map(Into::into), days }).await.unwrap();
            rows.rows
                .into_iter()
                .map(|row| (row.tenant.to_string(), row.day, row.counts.pages_ok))
                .collect::<Vec<_>>()
        };
        let acme = |day, pages| ("acme".to_owned(), day, pages);
        assert_eq!(read(Some("acme"), (0, 9)).await, [acme(3, 12), acme(4, 1)], "{}", subject.name);
        assert_eq!(read(None, (3, 3)).await, [acme(3, 12), ("other".to_owned(), 3, 9)]);
    }
}

#[tokio::test]
async fn blobs_are_kept_by_digest_until_nothing_names_them() {
    for subject in stores() {
        let store = subject.store();
        let put = async |bytes: &[u8]| store.put_blob(Arc::new(bytes.to_vec())).await.unwrap();
        let (named, unnamed) = (put(b"named").await, put(b"unnamed").await);
        assert_eq!(put(b"named").await, named, "again is the same");
        let mut record = revision("acme", "d", 1);
        record.component = named.clone();
        store.commit(action(vec![Change::PutRevision(record)])).await.unwrap();
        let subject = subject.reopened().await;
        let store = subject.store();
        assert_eq!(store.blob(unnamed.clone()).await.unwrap().as_deref(), Some(&b"unnamed"[..]));
        assert_eq!(
            store.collect(None).await.unwrap(),
            Collected { unfinished: 0, unnamed: 1 },
            "{}",
            subject.name
        );
        assert_eq!(store.blob(unnamed).await.unwrap(), None);
        assert_eq!(store.blob(named).await.unwrap().as_deref(), Some(&b"named"[..]));
    }
}

#[tokio::test]
async fn a_damaged_row_is_reported_and_the_others_are_read() {
    for subject in stores() {
        let store = subject.store();
        let key = key::make(Scope::Tenant("acme".into()), "ci".into(), 1).unwrap().record;
        let admin = key::make(Scope::Admin, "ops".into(), 1).unwrap().record;
        let other = RouteRecord { deployment: "e".into(), ..route(1) };
        let changes = vec![
            Change::PutTenant(tenant("acme")),
            Change::PutTenant(tenant("zeta")),
            Change::PutKey(key.clone()),
            Change::PutKey(admin.clone()),
            Change::PutRevision(revision("acme", "d", 1)),
            Change::PutRevision(revision("acme", "d", 2)),
            Change::PutRoute(route(1)),
            Change::PutRoute(other.clone()),
        ];
        store.commit(action(changes)).await.unwrap();
        store.commit(action(vec![])).await.unwrap();
        let row = |tenant: &str, day| UsageRow {
            tenant: tenant.into(),
            day,
            counts: UsageCounts { pages_ok: 5, ..UsageCounts::default() },
        };
        let used = vec![row("acme", 3), row("zeta", 3)];
        store.add_usage(FlushId("f1".into()), used.clone()).await.unwrap();
        subject.damage().await;

        let subject = subject.reopened().await;
        let store = subject.store();
        let records = store.load().await.unwrap();
        assert_eq!((records.tenants, records.keys), (vec![tenant("zeta")], vec![admin]), "{}", subject.name);
        assert_eq!((records.revisions, records.routes), (vec![revision("acme", "d", 2)], vec![other]));
        let names: Vec<_> = records
            .damaged
            .iter()
            .map(|row| {
                let text = |name: Option<&str>| name.unwrap_or("-").to_owned();
                let tenant = text(row.tenant.as_ref().map(|name| name.as_str()));
                let deployment = text(row.deployment.as_ref().map(|name| name.as_str()));
                format!("{} {tenant} {deployment} {:?}", row.table.as_str(), row.number)
            })
            .collect();
        let wanted =
            ["tenants acme - None", "keys acme - None", "revisions acme d Some(1)", "routes acme d Some(1)"];
        assert_eq!(names, wanted);
        let audit = store.audit(AuditQuery { limit: 9, ..AuditQuery::default() }).await.unwrap();
        let numbers = |rows: &[DamagedRow]| rows.iter().map(|row| row.number).collect::<Vec<_>>();
        assert_eq!((audit.rows.len(), numbers(&audit.damaged)), (1, vec![Some(1)]));
        let query = UsageQuery { tenant: None, days: (0, 9) };
        let usage = store.usage(query.clone()).await.unwrap();
        assert_eq!((usage.rows, numbers(&usage.damaged)), (vec![row("zeta", 3)], vec![Some(3)]));

        // It is replaced and deleted like any other; usage starts again at 0.
        store.add_usage(FlushId("f2".into()), vec![row("acme", 3)]).await.unwrap();
        assert_eq!(store.usage(query).await.unwrap().rows, used);
        let mut next = route(1);
        next.version = 2;
        let changes = vec![
            Change::PutTenant(tenant("acme")),
            Change::DropKey(key.id.clone()),
            Change::DeleteRevision("acme".into(), "d".into(), 1),
            Change::PutRoute(next),
        ];
        store.commit(action(changes)).await.unwrap();
        let records = store.load().await.unwrap();
        assert_eq!((records.tenants.len(), records.routes.len(), records.damaged), (2, 2, vec![]));
    }
}

#[tokio::test]
async fn no_component_is_deleted_while_damage_hides_the_named_ones() {
    for subject in stores() {
        let store = subject.store();
        let (named, unnamed) = (Arc::new(b"named".to_vec()), Arc::new(b"unnamed".to_vec()));
        let digest = store.put_blob(named).await.unwrap();
        store.put_blob(unnamed).await.unwrap();
        let mut record = revision("acme", "d", 1);
        record.component = digest.clone();
        store.commit(action(vec![Change::PutRevision(record)])).await.unwrap();
        let sqlite = subject.store.as_ref().unwrap();
        // The component is named by the record only; then by nothing.
        for (sql, dropped) in
            [("UPDATE revisions SET component = 'x'", 1), ("UPDATE revisions SET record = '{'", 0)]
        {
            store.put_blob(Arc::new(b"unnamed".to_vec())).await.unwrap();
            sqlite.execute(sql).await;
            assert_eq!(store.collect(None).await.unwrap().unnamed, dropped, "{}: {sql}", subject.name);
            assert!(store.blob(digest.clone()).await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn a_wrapped_revision_comes_back_and_keeps_its_components() {
    for subject in stores() {
        let record = wrapping_record("acme", "d", 1);
        let store = subject.store();
        for bytes in [&b"component"[..], b"outer", b"inner", b"unnamed"] {
            store.put_blob(Arc::new(bytes.to_vec())).await.unwrap();
        }
        store.commit(action(vec![Change::PutRevision(record.clone())])).await.unwrap();
        let subject = subject.reopened().await;
        let store = subject.store();
        let loaded = store.load().await.unwrap();
        assert_eq!((loaded.revisions, loaded.damaged.len()), (vec![record], 0), "{}", subject.name);
        let stages: Vec<_> = store.load().await.unwrap().revisions[0]
            .wrapped_stages()
            .map(|stage| (stage.deployment.to_string(), stage.settings.as_str().to_owned()))
            .collect();
        let wanted = ["outer", "inner"].map(|name| (name.to_owned(), format!(r#"{{"stage":"{name}"}}"#)));
        assert_eq!(stages, wanted);
        assert_eq!(store.collect(None).await.unwrap().unnamed, 1);
        for kept in [&b"component"[..], b"outer", b"inner"] {
            assert!(store.blob(Digest::of(kept)).await.unwrap().is_some());
        }
        // Without the row of a stage the revision is damaged, and its record still names the component.
        subject.store.as_ref().unwrap().execute("DELETE FROM wrapped WHERE depth = 2").await;
        let loaded = store.load().await.unwrap();
        assert_eq!((loaded.revisions.len(), loaded.damaged.len()), (0, 1));
        assert!(loaded.damaged[0].reason.contains("wrapped stage 2"), "{}", loaded.damaged[0].reason);
        assert_eq!(store.collect(None).await.unwrap().unnamed, 0);
        store.commit(action(vec![Change::DeleteRevision("acme".into(), "d".into(), 1)])).await.unwrap();
        assert_eq!(store.collect(None).await.unwrap().unnamed, 3);
    }
}

#[tokio::test]
async fn a_backup_has_the_components_of_wrapped_revisions() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = SqliteStore::open(dir.path()).unwrap();
    for bytes in [&b"component"[..], b"outer", b"inner"] {
        store.put_blob(Arc::new(bytes.to_vec())).await.unwrap();
    }
    let record = wrapping_record("acme", "d", 1);
    store.commit(action(vec![Change::PutRevision(record.clone())])).await.unwrap();
    let (copy, back) = (out.path().join("copy"), out.path().join("back"));
    assert_eq!(backup::backup(dir.path(), &copy).unwrap().components, 3);
    backup::restore(&copy, &back, || Ok::<_, StoreError>(())).unwrap();
    let restored = reopened(|| SqliteStore::open(&back)).await;
    assert_eq!(restored.load().await.unwrap().revisions, [record]);
    assert_eq!(restored.blob(Digest::of(b"inner")).await.unwrap().as_deref(), Some(&b"inner"[..]));
}

#[tokio::test]
async fn a_folder_has_one_server_and_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let first = SqliteStore::open(dir.path()).unwrap();
    assert!(matches!(SqliteStore::open(dir.path()).err(), Some(StoreError::InUse { .. })));
    drop(first);
    reopened(|| SqliteStore::open(dir.path())).await;
    let mode = std::fs::metadata(dir.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[tokio::test]
async fn a_successor_waits_for_the_folder_of_its_predecessor() {
    let dir = tempfile::tempdir().unwrap();
    let mut predecessor = Some(SqliteStore::open(dir.path()).unwrap());
    let refused = when_free(Duration::ZERO, || SqliteStore::open(dir.path())).await;
    assert!(matches!(refused.err(), Some(StoreError::InUse { .. })));
    let mut looks = 0;
    let opened = when_free(Duration::from_secs(600), || {
        looks += 1;
        if looks == 3 {
            predecessor = None;
        }
        SqliteStore::open(dir.path())
    });
    assert!(opened.await.is_ok());
    assert_eq!(looks, 3);
}

#[tokio::test]
async fn a_backup_taken_while_serving_opens_with_the_same_records() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = SqliteStore::open(dir.path()).unwrap();
    let digest = store.put_blob(Arc::new(b"component".to_vec())).await.unwrap();
    let mut record = revision("acme", "d", 1);
    record.component = digest.clone();
    store.commit(action(vec![Change::PutRevision(record.clone())])).await.unwrap();
    let (copy, back) = (out.path().join("copy"), out.path().join("back"));
    let copied = backup::backup(dir.path(), &copy).unwrap();
    assert_eq!(copied.components, 1);
    store.commit(action(vec![Change::PutTenant(tenant("late"))])).await.unwrap();
    assert!(backup::backup(dir.path(), &copy).is_err(), "nothing is overwritten");
    let cut_short =
        backup::restore(&copy, &out.path().join("cut"), || Err(StoreError::Full { what: "something else" }));
    assert!(matches!(cut_short, Err(StoreError::Full { .. })));
    assert!(!out.path().join("cut/lector.db").exists(), "an interrupted restore has no database");
    assert_eq!(backup::restore(&copy, &back, || Ok::<_, StoreError>(())).unwrap(), copied);
    let restored = reopened(|| SqliteStore::open(&back)).await;
    let records = restored.load().await.unwrap();
    assert_eq!((records.revisions, records.tenants), (vec![record], vec![]));
    assert_eq!(restored.blob(digest).await.unwrap().as_deref(), Some(&b"component"[..]));
    assert!(backup::backup(out.path(), &out.path().join("x")).is_err(), "no data folder");

    // A missing component is reported, and everything else is copied.
    let lost = store.put_blob(Arc::new(b"lost".to_vec())).await.unwrap();
    let lost_record = RevisionRecord { component: lost.clone(), ..revision("acme", "d", 2) };
    store.commit(action(vec![Change::PutRevision(lost_record)])).await.unwrap();
    let file = dir.path().join("components").join(&lost.as_str()[..2]).join(lost.as_str());
    std::fs::write(file, b"other bytes").unwrap();
    let copied = backup::backup(dir.path(), &out.path().join("incomplete")).unwrap();
    assert_eq!((copied.components, copied.left_out), (1, vec![lost]));
}
