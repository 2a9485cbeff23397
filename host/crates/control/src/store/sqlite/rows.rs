//! Records to rows and back.

use std::collections::BTreeSet;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::{
    AuditEntry, AuditQuery, Change, Digest, FLUSHES_KEPT, FlushId, Records, StoreError, UsageCounts,
    UsageQuery, UsageRow, key_row,
};
use super::write_error::wrote;

fn json(record: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(record)
        .map_err(|error| StoreError::Write { what: "a record that has no JSON form", source: error.into() })
}

/// The JSON in a column.
fn parsed<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

fn failed(what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| match error {
        rusqlite::Error::FromSqlConversionFailure(..) => {
            StoreError::Damaged { what: format!("{what} ({error})") }
        }
        error => StoreError::Read { what, source: error.into() },
    }
}

fn all<T: DeserializeOwned>(
    connection: &Connection,
    what: &'static str,
    sql: &str,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare(sql).map_err(failed(what))?;
    let rows = statement.query_map([], |row| parsed(row, 0)).map_err(failed(what))?;
    rows.collect::<rusqlite::Result<_>>().map_err(failed(what))
}

pub(super) fn load(connection: &Connection) -> Result<Records, StoreError> {
    Ok(Records {
        tenants: all(connection, "tenants", "SELECT record FROM tenants ORDER BY name")?,
        keys: all(connection, "keys", "SELECT record FROM keys ORDER BY id")?,
        revisions: all(
            connection,
            "revisions",
            "SELECT record FROM revisions ORDER BY tenant, deployment, number",
        )?,
        routes: all(connection, "routes", "SELECT record FROM routes ORDER BY tenant, deployment")?,
    })
}

pub(super) fn components(connection: &Connection) -> Result<BTreeSet<Digest>, StoreError> {
    let what = "the components that revisions name";
    let mut statement =
        connection.prepare("SELECT DISTINCT component FROM revisions").map_err(failed(what))?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed(what))?;
    let digests = rows.collect::<rusqlite::Result<Vec<_>>>().map_err(failed(what))?;
    Ok(digests.iter().filter_map(|digits| Digest::parse(digits)).collect())
}

pub(super) fn apply(to: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    let run = |what: &'static str, sql: &str, params: &[&dyn rusqlite::ToSql]| {
        to.execute(sql, params).map(|_| ()).map_err(|error| wrote(what, error))
    };
    match change {
        Change::PutTenant(tenant) => run(
            "a tenant",
            "INSERT INTO tenants VALUES (?1, ?2) ON CONFLICT DO UPDATE SET record = excluded.record",
            params![tenant.name.as_str(), json(tenant)?],
        ),
        Change::DropTenant(name) => {
            for sql in [
                "DELETE FROM tenants WHERE name = ?1",
                "DELETE FROM keys WHERE tenant = ?1",
                "DELETE FROM revisions WHERE tenant = ?1",
                "DELETE FROM routes WHERE tenant = ?1",
            ] {
                run("a tenant", sql, params![name.as_str()])?;
            }
            Ok(())
        }
        Change::PutKey(key) => {
            let (id, tenant) = key_row(key);
            let tenant = tenant.map(|name| name.as_str());
            run(
                "a key",
                "INSERT INTO keys VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET record = excluded.record",
                params![id.as_str(), tenant, json(key)?],
            )
        }
        Change::PutRevision(revision) => {
            let (tenant, deployment) = (revision.tenant.as_str(), revision.deployment.as_str());
            let there = to
                .query_row(
                    "SELECT 1 FROM revisions WHERE tenant = ?1 AND deployment = ?2 AND number = ?3",
                    params![tenant, deployment, revision.number],
                    |_| Ok(()),
                )
                .optional()
                .map_err(failed("a revision"))?;
            if there.is_some() {
                return Err(StoreError::Conflict {
                    what: format!("revision {} of deployment {deployment}", revision.number),
                });
            }
            run(
                "a revision",
                "INSERT INTO revisions VALUES (?1, ?2, ?3, ?4, ?5)",
                params![tenant, deployment, revision.number, revision.component.as_str(), json(revision)?],
            )
        }
        Change::DropRevision(tenant, deployment, number) => run(
            "a revision",
            "DELETE FROM revisions WHERE tenant = ?1 AND deployment = ?2 AND number = ?3",
            params![tenant.as_str(), deployment.as_str(), number],
        ),
        Change::PutRoute(route) => {
            let (tenant, deployment) = (route.tenant.as_str(), route.deployment.as_str());
            let found: Option<i64> = to
                .query_row(
                    "SELECT version FROM routes WHERE tenant = ?1 AND deployment = ?2",
                    params![tenant, deployment],
                    |row| row.get(0),
                )
                .optional()
                .map_err(failed("a route"))?;
            let version = i64::try_from(route.version).unwrap_or(i64::MAX);
            if found.unwrap_or(0).saturating_add(1) != version {
                return Err(StoreError::Conflict { what: format!("deployment {deployment}") });
            }
            run(
                "a route",
                "INSERT INTO routes VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET version = excluded.version, record = excluded.record",
                params![tenant, deployment, version, json(route)?],
            )
        }
        Change::DropDeployment(tenant, deployment) => {
            for sql in [
                "DELETE FROM revisions WHERE tenant = ?1 AND deployment = ?2",
                "DELETE FROM routes WHERE tenant = ?1 AND deployment = ?2",
            ] {
                run("a deployment", sql, params![tenant.as_str(), deployment.as_str()])?;
            }
            Ok(())
        }
    }
}

/// Writes an entry and gives its number.
pub(super) fn audit(to: &Transaction<'_>, entry: &AuditEntry) -> Result<u64, StoreError> {
    let tenant = entry.tenant.as_ref().map(|name| name.as_str());
    to.execute(
        "INSERT INTO audit (at_ms, tenant, actor, act, target, before, after, request)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            int(entry.at_ms),
            tenant,
            entry.actor,
            entry.act,
            entry.target,
            json(&entry.from)?,
            json(&entry.to)?,
            entry.request
        ],
    )
    .map_err(|error| wrote("the audit log", error))?;
    Ok(u64::try_from(to.last_insert_rowid()).unwrap_or(0))
}

pub(super) fn audit_entries(
    connection: &Connection,
    query: &AuditQuery,
) -> Result<Vec<AuditEntry>, StoreError> {
    let what = "the audit log";
    let sql = "SELECT seq, at_ms, tenant, actor, act, target, before, after, request FROM audit
               WHERE (?1 IS NULL OR tenant = ?1) AND seq < ?2 ORDER BY seq DESC LIMIT ?3";
    let mut statement = connection.prepare(sql).map_err(failed(what))?;
    let tenant = query.tenant.as_ref().map(|name| name.as_str());
    let before = query.before.map_or(i64::MAX, int);
    let rows = statement.query_map(params![tenant, before, query.limit], |row| {
        Ok(AuditEntry {
            seq: count(row, 0)?,
            at_ms: count(row, 1)?,
            tenant: row.get::<_, Option<String>>(2)?.map(Into::into),
            actor: row.get(3)?,
            act: row.get(4)?,
            target: row.get(5)?,
            from: parsed(row, 6)?,
            to: parsed(row, 7)?,
            request: row.get(8)?,
        })
    });
    rows.map_err(failed(what))?.collect::<rusqlite::Result<_>>().map_err(failed(what))
}

/// Remembers a flush; whether it was not known before.
pub(super) fn is_new(to: &Transaction<'_>, flush: &FlushId) -> Result<bool, StoreError> {
    let failed = |error| wrote("usage", error);
    let put = to.execute("INSERT OR IGNORE INTO flushes (id) VALUES (?1)", [&flush.0]).map_err(failed)?;
    let surplus = to.last_insert_rowid().saturating_sub(FLUSHES_KEPT.into());
    if put == 1 {
        to.execute("DELETE FROM flushes WHERE seq <= ?1", [surplus]).map_err(failed)?;
    }
    Ok(put == 1)
}

pub(super) fn add_usage(to: &Transaction<'_>, row: &UsageRow) -> Result<(), StoreError> {
    let counts = &row.counts;
    to.execute(
        "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET
             requests = requests + excluded.requests, pages_ok = pages_ok + excluded.pages_ok,
             pages_failed = pages_failed + excluded.pages_failed, pixels = pixels + excluded.pixels,
             engine_us = engine_us + excluded.engine_us, guest_us = guest_us + excluded.guest_us,
             rejections = rejections + excluded.rejections",
        params![
            row.tenant.as_str(),
            row.day,
            int(counts.requests),
            int(counts.pages_ok),
            int(counts.pages_failed),
            int(counts.pixels),
            int(counts.engine_us),
            int(counts.guest_us),
            int(counts.rejections)
        ],
    )
    .map(|_| ())
    .map_err(|error| wrote("usage", error))
}

pub(super) fn usage(connection: &Connection, query: &UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
    let what = "usage";
    let sql = "SELECT tenant, day, requests, pages_ok, pages_failed, pixels, engine_us, guest_us, rejections FROM usage
               WHERE (?1 IS NULL OR tenant = ?1) AND day BETWEEN ?2 AND ?3 ORDER BY tenant, day";
    let mut statement = connection.prepare(sql).map_err(failed(what))?;
    let tenant = query.tenant.as_ref().map(|name| name.as_str());
    let rows = statement.query_map(params![tenant, query.days.0, query.days.1], |row| {
        Ok(UsageRow {
            tenant: row.get::<_, String>(0)?.into(),
            day: row.get(1)?,
            counts: UsageCounts {
                requests: count(row, 2)?,
                pages_ok: count(row, 3)?,
                pages_failed: count(row, 4)?,
                pixels: count(row, 5)?,
                engine_us: count(row, 6)?,
                guest_us: count(row, 7)?,
                rejections: count(row, 8)?,
            },
        })
    });
    rows.map_err(failed(what))?.collect::<rusqlite::Result<_>>().map_err(failed(what))
}

/// SQLite's integers have a sign; counts that reach it stay there.
fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
