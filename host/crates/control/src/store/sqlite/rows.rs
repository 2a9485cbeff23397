//! Changes of rows. A damaged row is replaced or deleted like any other.

use rusqlite::{OptionalExtension, Transaction, params};
use serde::Serialize;

use super::super::{
    AUDIT_ENTRIES_MAX, AuditEntry, Change, FLUSHES_KEPT, FlushId, StoreError, UsageRow, key_row,
};
use super::read::failed;
use super::write_error::wrote;
use crate::settings::Settings;
use crate::tenant::{TenantPolicy, TenantRecord};

/// Upper bound of usage counts and row numbers, so that no sum of two leaves the range of SQLite's integers.
const COUNT_MAX: i64 = i64::MAX / 4;

fn json(record: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(record)
        .map_err(|error| StoreError::Write { what: "a record that has no JSON form", source: error.into() })
}

pub(super) fn apply(to: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    let run = |what: &'static str, sql: &str, params: &[&dyn rusqlite::ToSql]| {
        to.execute(sql, params).map(|_| ()).map_err(|error| wrote(what, error))
    };
    match change {
        Change::PutTenant(tenant) => {
            // Settings have a row of their own.
            let policy = TenantPolicy { settings: Settings::default(), ..tenant.policy.clone() };
            let record = TenantRecord { policy, ..tenant.clone() };
            let name = tenant.name.as_str();
            run(
                "a tenant",
                "INSERT INTO tenants VALUES (?1, ?2) ON CONFLICT DO UPDATE SET record = excluded.record",
                params![name, json(&record)?],
            )?;
            put_settings(to, (name, "", 0), &tenant.policy.settings)
        }
        Change::DeleteTenant(name) => {
            for sql in [
                "DELETE FROM tenants WHERE name = ?1",
                "DELETE FROM keys WHERE tenant = ?1",
                "DELETE FROM revisions WHERE tenant = ?1",
                "DELETE FROM routes WHERE tenant = ?1",
                "DELETE FROM settings WHERE tenant = ?1",
                "DELETE FROM wrapped WHERE tenant = ?1",
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
                "INSERT INTO keys VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET tenant = excluded.tenant, record = excluded.record",
                params![id.as_str(), tenant, json(key)?],
            )
        }
        Change::DropKey(id) => run("a key", "DELETE FROM keys WHERE id = ?1", params![id.as_str()]),
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
            )?;
            for (depth, stage) in (1u32..).zip(revision.wrapped_stages()) {
                run(
                    "a wrapped revision",
                    // Stages of a revision that was deleted with its row damaged may still be there.
                    "INSERT OR REPLACE INTO wrapped VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        tenant,
                        deployment,
                        revision.number,
                        depth,
                        stage.component.as_str(),
                        stage.settings.as_str()
                    ],
                )?;
            }
            put_settings(to, (tenant, deployment, revision.number), &revision.settings)
        }
        Change::DeleteRevision(tenant, deployment, number) => {
            for sql in [
                "DELETE FROM revisions WHERE tenant = ?1 AND deployment = ?2 AND number = ?3",
                "DELETE FROM settings WHERE tenant = ?1 AND deployment = ?2 AND number = ?3",
                "DELETE FROM wrapped WHERE tenant = ?1 AND deployment = ?2 AND number = ?3",
            ] {
                run("a revision", sql, params![tenant.as_str(), deployment.as_str(), number])?;
            }
            Ok(())
        }
        Change::PutRoute(route) => {
            let (tenant, deployment) = (route.tenant.as_str(), route.deployment.as_str());
            let found: Option<i64> = to
                .query_row(
                    "SELECT CASE WHEN typeof(version) = 'integer' AND version BETWEEN 1 AND ?3 THEN version ELSE 0 END
                     FROM routes WHERE tenant = ?1 AND deployment = ?2",
                    params![tenant, deployment, COUNT_MAX],
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
        Change::DeleteDeployment(tenant, deployment) => {
            for sql in [
                "DELETE FROM revisions WHERE tenant = ?1 AND deployment = ?2",
                "DELETE FROM routes WHERE tenant = ?1 AND deployment = ?2",
                "DELETE FROM settings WHERE tenant = ?1 AND deployment = ?2",
                "DELETE FROM wrapped WHERE tenant = ?1 AND deployment = ?2",
            ] {
                run("a deployment", sql, params![tenant.as_str(), deployment.as_str()])?;
            }
            Ok(())
        }
    }
}

/// Writes the settings of a revision, or of a tenant (without a deployment, as number 0).
fn put_settings(
    to: &Transaction<'_>,
    (tenant, deployment, number): (&str, &str, u32),
    settings: &Settings,
) -> Result<(), StoreError> {
    to.execute(
        "INSERT OR REPLACE INTO settings VALUES (?1, ?2, ?3, ?4)",
        params![tenant, deployment, number, settings.as_str()],
    )
    .map(|_| ())
    .map_err(|error| wrote("settings", error))
}

/// Writes an entry and returns its number.
pub(super) fn audit(to: &Transaction<'_>, entry: &AuditEntry) -> Result<u64, StoreError> {
    let tenant = entry.tenant.as_ref().map(|name| name.as_str());
    to.execute(
        // A damaged number at the end of SQLite's range must not exhaust the numbers.
        "INSERT INTO audit (seq, at_ms, tenant, actor, action, target, before, after, request)
         VALUES ((SELECT ifnull(max(seq), 0) + 1 FROM audit WHERE seq BETWEEN 0 AND ?9), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            int(entry.at_ms),
            tenant,
            entry.actor,
            entry.action,
            entry.target,
            json(&entry.from)?,
            json(&entry.to)?,
            entry.request,
            COUNT_MAX
        ],
    )
    .map_err(|error| wrote("the audit log", error))?;
    let seq = to.last_insert_rowid();
    // More than one at a time, so that a log that is too long becomes shorter. A trigger protects the newest entries.
    to.execute(
        "DELETE FROM audit WHERE seq IN
         (SELECT seq FROM audit WHERE tenant IS ?1 ORDER BY seq DESC LIMIT 16 OFFSET ?2)",
        params![tenant, AUDIT_ENTRIES_MAX],
    )
    .map_err(|error| wrote("the audit log", error))?;
    Ok(u64::try_from(seq).unwrap_or(0))
}

/// Records a flush; returns whether it is new.
pub(super) fn is_new(to: &Transaction<'_>, flush: &FlushId) -> Result<bool, StoreError> {
    let failed = |error| wrote("usage", error);
    let put = to
        .execute(
            "INSERT OR IGNORE INTO flushes (seq, id)
             VALUES ((SELECT ifnull(max(seq), 0) + 1 FROM flushes WHERE seq BETWEEN 0 AND ?2), ?1)",
            params![flush.0, COUNT_MAX],
        )
        .map_err(failed)?;
    let surplus = to.last_insert_rowid().saturating_sub(FLUSHES_KEPT.into());
    if put == 1 {
        to.execute("DELETE FROM flushes WHERE seq <= ?1", [surplus]).map_err(failed)?;
    }
    Ok(put == 1)
}

/// Columns of usage counts, in the order of the table.
const COUNTS: [&str; 7] =
    ["requests", "pages_ok", "pages_failed", "pixels", "engine_us", "guest_us", "rejections"];

pub(super) fn add_usage(to: &Transaction<'_>, row: &UsageRow) -> Result<(), StoreError> {
    let counts = &row.counts;
    // A damaged count starts again at 0: it must not prevent the writing of other rows.
    let sums = COUNTS.map(|column| {
        format!(
            "{column} = excluded.{column} + CASE WHEN typeof({column}) = 'integer'
             THEN max(0, min({column}, {COUNT_MAX})) ELSE 0 END"
        )
    });
    let sums = sums.join(", ");
    to.execute(
        &format!(
            "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET {sums}"
        ),
        params![
            row.tenant.as_str(),
            row.day,
            count(counts.requests),
            count(counts.pages_ok),
            count(counts.pages_failed),
            count(counts.pixels),
            count(counts.engine_us),
            count(counts.guest_us),
            count(counts.rejections)
        ],
    )
    .map(|_| ())
    .map_err(|error| wrote("usage", error))
}

/// Converts to SQLite's signed integers, saturating.
fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count(count: u64) -> i64 {
    int(count).min(COUNT_MAX)
}
