//! The schema and its versions. A released version never changes: new steps are appended.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::super::StoreError;

/// Steps of a database from an empty file to its newest schema; SQLite's `user_version` is the number of completed
/// steps.
pub(super) type Steps = &'static [&'static str];

/// The steps of `lector.db`.
pub(super) const STEPS: Steps = &[
    // 1: tenants and keys, revisions and routes, the audit log.
    "CREATE TABLE tenants (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
     CREATE TABLE keys (id TEXT PRIMARY KEY, tenant TEXT, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
     CREATE TABLE revisions (tenant TEXT NOT NULL, deployment TEXT NOT NULL, number INTEGER NOT NULL,
         component TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (tenant, deployment, number)) STRICT, WITHOUT ROWID;
     CREATE TABLE routes (tenant TEXT NOT NULL, deployment TEXT NOT NULL, version INTEGER NOT NULL, record TEXT NOT NULL,
         PRIMARY KEY (tenant, deployment)) STRICT, WITHOUT ROWID;
     CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, tenant TEXT, actor TEXT NOT NULL,
         act TEXT NOT NULL, target TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, request TEXT) STRICT;
     CREATE INDEX audit_by_tenant ON audit (tenant, seq);
     CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'append only'); END;
     CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'append only'); END;",
    // 2: usage.
    "CREATE TABLE usage (tenant TEXT NOT NULL, day INTEGER NOT NULL, requests INTEGER NOT NULL, pages_ok INTEGER NOT NULL,
         pages_failed INTEGER NOT NULL, pixels INTEGER NOT NULL, engine_us INTEGER NOT NULL, guest_us INTEGER NOT NULL,
         rejections INTEGER NOT NULL, PRIMARY KEY (tenant, day)) STRICT, WITHOUT ROWID;",
    // 3: ids of the usage flushes that are in the counts.
    "CREATE TABLE flushes (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE) STRICT;",
    // 4: settings as text of their own, of revisions and (with number 0 and no deployment) of tenants. As part of a
    // record they nested deeper than the parser of records allows. Damaged rows are left unchanged.
    "CREATE TABLE settings (tenant TEXT NOT NULL, deployment TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL,
         PRIMARY KEY (tenant, deployment, number)) STRICT, WITHOUT ROWID;
     INSERT INTO settings SELECT tenant, deployment, number, json_extract(record, '$.settings') FROM revisions
         WHERE typeof(tenant) = 'text' AND typeof(deployment) = 'text' AND typeof(number) = 'integer'
         AND typeof(component) = 'text' AND CASE WHEN typeof(record) = 'text' AND json_valid(record)
         THEN json_type(record, '$.settings') = 'object' ELSE 0 END;
     UPDATE revisions SET record = json_remove(record, '$.settings')
         WHERE (tenant, deployment, number) IN (SELECT tenant, deployment, number FROM settings);
     INSERT INTO settings SELECT name, '', 0, ifnull(json_extract(record, '$.terms.settings'), '{}') FROM tenants
         WHERE typeof(name) = 'text' AND CASE WHEN typeof(record) = 'text' AND json_valid(record)
         THEN ifnull(json_type(record, '$.terms.settings'), 'object') = 'object' ELSE 0 END;
     UPDATE tenants SET record = json_remove(record, '$.terms.settings')
         WHERE name IN (SELECT tenant FROM settings WHERE deployment = '');",
    // 5: the audit log is bounded; the newest entries of each tenant cannot be deleted.
    "DROP TRIGGER audit_is_never_shortened;
     CREATE TRIGGER audit_keeps_the_newest BEFORE DELETE ON audit
         WHEN (SELECT count(*) FROM (SELECT 1 FROM audit WHERE tenant IS OLD.tenant AND seq > OLD.seq LIMIT 10000)) < 10000
         BEGIN SELECT RAISE(ABORT, 'append only'); END;",
    // 6: the stages that a revision wraps: component and settings of each; depth 1 is the stage that it calls. An older
    // server would ignore them, serve the revision without them, and delete their components.
    "CREATE TABLE wrapped (tenant TEXT NOT NULL, deployment TEXT NOT NULL, number INTEGER NOT NULL, depth INTEGER NOT NULL,
         component TEXT NOT NULL, settings TEXT NOT NULL,
         PRIMARY KEY (tenant, deployment, number, depth)) STRICT, WITHOUT ROWID;",
    // 7: the name that the API has for it.
    "ALTER TABLE audit RENAME COLUMN act TO action;",
];

/// The newest version.
pub(super) const NEWEST: u32 = STEPS.len() as u32;

/// Migrates a database to the newest version, one transaction per step: a crash leaves it at a complete version.
pub(super) fn migrate(connection: &mut Connection, dir: &Path) -> Result<(), StoreError> {
    to(connection, dir, STEPS, NEWEST)
}

/// Migrates a database with these steps up to `version`.
pub(super) fn to(
    connection: &mut Connection,
    dir: &Path,
    steps: Steps,
    version: u32,
) -> Result<(), StoreError> {
    let problem = |error: rusqlite::Error| StoreError::Open {
        dir: dir.to_owned(),
        problem: format!("its schema cannot be read or brought up to date: {error}"),
    };
    let found: u32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(problem)?;
    let known = steps.len() as u32;
    if found > known {
        return Err(StoreError::Newer { dir: dir.to_owned(), found, known });
    }
    for (step, sql) in (1u32..).zip(steps).skip(found as usize).take_while(|(step, _)| *step <= version) {
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(problem)?;
        transaction.execute_batch(sql).map_err(problem)?;
        transaction.pragma_update(None, "user_version", step).map_err(problem)?;
        transaction.commit().map_err(problem)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::{DATABASE, SqliteStore};
    use super::*;
    use crate::store::{AuditQuery, Store};

    #[tokio::test]
    async fn an_older_folder_opens_and_keeps_its_records() {
        for old in 0..NEWEST {
            let dir = tempfile::tempdir().unwrap();
            let mut connection = Connection::open(dir.path().join(DATABASE)).unwrap();
            to(&mut connection, dir.path(), STEPS, old).unwrap();
            if old > 0 {
                let record = r#"{"name":"acme","created_at_ms":1,"terms":{"weight":7}}"#;
                connection.execute("INSERT INTO tenants VALUES ('acme', ?1)", [record]).unwrap();
            }
            if old >= 4 {
                connection.execute("INSERT INTO settings VALUES ('acme', '', 0, '{}')", []).unwrap();
            }
            if old > 0 {
                let entry =
                    "INSERT INTO audit VALUES (1, 1, 'acme', 'k', 'deploy', 'd', 'null', 'null', NULL)";
                connection.execute(entry, []).unwrap();
            }
            drop(connection);
            let store = SqliteStore::open(dir.path()).unwrap();
            let audit = store.audit(AuditQuery { tenant: None, before: None, limit: 9 }).await.unwrap();
            let actions: Vec<_> = audit.rows.iter().map(|entry| entry.action.as_str()).collect();
            assert_eq!(actions, ["deploy"].repeat(usize::from(old > 0)), "from version {old}");
            let records = store.load().await.unwrap();
            assert_eq!(records.tenants.len(), usize::from(old > 0), "from version {old}");
            assert!(records.tenants.iter().all(|tenant| tenant.policy.weight == 7));
        }
    }

    /// Settings and policies that Lector 0.1 accepted nest as deep as its parser allowed, and one level deeper when
    /// stored.
    #[tokio::test]
    async fn a_folder_of_version_3_opens_with_settings_that_its_own_server_could_not_read() {
        let nested = |depth: usize| format!("{{\"a\":{}7{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        let wrapped = |record: serde_json::Value, settings: &str| {
            // Lector 0.1 stored the pipeline info under this name.
            let text = record.to_string().replace("\"pipeline_info\"", "\"declaration\"");
            format!("{},\"settings\":{settings}}}", text.strip_suffix('}').unwrap())
        };
        let dir = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(dir.path().join(DATABASE)).unwrap();
        to(&mut connection, dir.path(), STEPS, 3).unwrap();
        for (number, settings) in
            [(1, nested(127)), (2, nested(3)), (3, "[]".to_owned()), (4, "{".to_owned())]
        {
            let record = crate::fakes::revision_record("acme", "d", number);
            let text = wrapped(serde_json::to_value(&record).unwrap(), &settings);
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), number == 2 || number == 3);
            let row = rusqlite::params![number, record.component.as_str(), text];
            connection.execute("INSERT INTO revisions VALUES ('acme', 'd', ?1, ?2, ?3)", row).unwrap();
        }
        let policy = |name: &str, settings: &str| {
            let record = format!(
                r#"{{"name":"{name}","created_at_ms":1,"terms":{{"weight":7,"settings":{settings}}}}}"#
            );
            connection.execute("INSERT INTO tenants VALUES (?1, ?2)", [name, &record]).unwrap();
        };
        policy("acme", &nested(126));
        policy("zeta", r#"{"note":"kept"}"#);
        policy("lost", "{");
        drop(connection);
        for restart in 0..2 {
            let records = SqliteStore::open(dir.path()).unwrap().load().await.unwrap();
            let revisions: Vec<_> =
                records.revisions.iter().map(|of| (of.number, of.settings.as_str().to_owned())).collect();
            assert_eq!(revisions, [(1, nested(127)), (2, nested(3))], "start {restart}");
            let tenants: Vec<_> =
                records.tenants.iter().map(|of| (of.name.as_str(), of.policy.settings.as_str())).collect();
            assert_eq!(tenants, [("acme", nested(126).as_str()), ("zeta", r#"{"note":"kept"}"#)]);
            assert!(records.tenants.iter().all(|tenant| tenant.policy.weight == 7));
            let damaged: Vec<_> =
                records.damaged.iter().map(|row| (row.table.as_str(), row.number)).collect();
            assert_eq!(damaged, [("tenants", None), ("revisions", Some(3)), ("revisions", Some(4))]);
        }
    }

    #[test]
    fn a_newer_folder_is_refused_with_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        drop(SqliteStore::open(dir.path()).unwrap());
        let connection = Connection::open(dir.path().join(DATABASE)).unwrap();
        connection.pragma_update(None, "user_version", NEWEST + 1).unwrap();
        drop(connection);
        let error = SqliteStore::open(dir.path()).err().unwrap();
        assert!(
            matches!(error, StoreError::Newer { found, known, .. } if (found, known) == (NEWEST + 1, NEWEST)),
            "{error}"
        );
    }

    #[test]
    fn the_audit_log_cannot_be_changed_by_sql_either() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("x")).unwrap();
        connection
            .execute("INSERT INTO audit VALUES (1, 1, NULL, 'a', 'b', 'c', 'null', 'null', NULL)", [])
            .unwrap();
        for sql in ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"] {
            assert!(connection.execute(sql, []).unwrap_err().to_string().contains("append only"), "{sql}");
        }
    }

    #[tokio::test]
    async fn the_audit_log_keeps_the_newest_entries_of_each_tenant() {
        use crate::store::{AUDIT_ENTRIES_MAX, AuditEntry, ChangeSet};
        let store = SqliteStore::in_memory().unwrap();
        // As many as a tenant may have, and 100 more, before the log was bounded; and 5 of another tenant.
        store
            .execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10105)
                 INSERT INTO audit SELECT i, i, CASE WHEN i <= 5 THEN 'quiet' ELSE 'loud' END, 'a', 'b', 'c', 'null', 'null', NULL
                 FROM n",
            )
            .await;
        let entry = |tenant: &str| AuditEntry {
            seq: 0,
            at_ms: 0,
            tenant: Some(tenant.into()),
            actor: "a".into(),
            action: "test".into(),
            target: String::new(),
            from: serde_json::Value::Null,
            to: serde_json::Value::Null,
            request: None,
        };
        for _ in 0..10 {
            store.commit(ChangeSet { changes: Vec::new(), entry: entry("loud") }).await.unwrap();
        }
        let count = async |tenant: &str| {
            let query = AuditQuery { tenant: Some(tenant.into()), before: None, limit: u32::MAX };
            store.audit(query).await.unwrap().rows.len()
        };
        assert_eq!(count("loud").await, AUDIT_ENTRIES_MAX as usize);
        assert_eq!(count("quiet").await, 5, "a tenant shortens only its own log");
        let bound = format!("LIMIT {AUDIT_ENTRIES_MAX})) < {AUDIT_ENTRIES_MAX}");
        assert!(STEPS[4].contains(&bound), "the trigger and the constant agree");
    }
}
