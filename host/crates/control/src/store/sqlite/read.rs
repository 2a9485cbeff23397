//! Conversion of rows to records, row by row: a damaged row is left out and reported, and never fails the read.
//!
//! SQLite does not check the bytes of a file against the declared types of its columns, so no column is assumed to have
//! its type. The columns that identify a row must agree with its record.

use std::collections::{BTreeMap, BTreeSet};

use lector_core::{TenantName, json_depth};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Row, params};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::{
    AuditEntry, AuditQuery, DamagedRow, Digest, Readable, Records, StoreError, Table, UsageCounts,
    UsageQuery, UsageRow, key_row,
};
use crate::key::KeyRecord;
use crate::revision::RevisionRecord;
use crate::route::RouteRecord;
use crate::settings::Settings;
use crate::tenant::TenantRecord;

/// Longest text of an identifying column that is copied into logs and answers.
const NAME_CHARS_MAX: usize = 100;
/// Deepest JSON of the audit log that is shown as JSON; deeper values, written by Lector 0.1, are shown as text.
const AUDIT_DEPTH_MAX: usize = 64;

/// The reason that a row is unreadable.
type Damage = String;

/// Returns a conversion for a failed read of the database as a whole.
pub(super) fn failed(what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::Read { what, source: error.into() }
}

fn value<'r>(row: &'r Row<'_>, column: usize) -> Result<ValueRef<'r>, Damage> {
    row.get_ref(column).map_err(|error| format!("column {column}: {error}"))
}

fn name_of<'r>(row: &'r Row<'_>, column: usize) -> &'r str {
    row.as_ref().column_name(column).unwrap_or("?")
}

fn wrong(row: &Row<'_>, column: usize, wanted: &str, found: ValueRef<'_>) -> Damage {
    let found = match found {
        ValueRef::Null => "NULL",
        ValueRef::Integer(_) => "an integer out of range",
        ValueRef::Real(_) => "a float",
        ValueRef::Text(_) => "other text",
        ValueRef::Blob(_) => "a blob",
    };
    format!("column `{}` is {found}, not {wanted}", name_of(row, column))
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, Damage> {
    match value(row, column)? {
        ValueRef::Text(bytes) => {
            std::str::from_utf8(bytes).map_err(|_| format!("column `{}` is not UTF-8", name_of(row, column)))
        }
        found => Err(wrong(row, column, "text", found)),
    }
}

fn optional_text<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r str>, Damage> {
    match value(row, column)? {
        ValueRef::Null => Ok(None),
        _ => text(row, column).map(Some),
    }
}

fn number<N: TryFrom<i64>>(row: &Row<'_>, column: usize) -> Result<N, Damage> {
    match value(row, column)? {
        ValueRef::Integer(number) => {
            N::try_from(number).map_err(|_| wrong(row, column, "a number", ValueRef::Integer(number)))
        }
        found => Err(wrong(row, column, "a number", found)),
    }
}

fn parsed<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, Damage> {
    serde_json::from_str(text(row, column)?)
        .map_err(|error| format!("column `{}`: {error}", name_of(row, column)))
}

fn agrees(same: bool, what: &str) -> Result<(), Damage> {
    if same { Ok(()) } else { Err(format!("its columns and its record name another {what}")) }
}

/// Returns the text of an identifying column for messages, if it has one.
fn shown(row: &Row<'_>, column: usize) -> Option<String> {
    let text = text(row, column).ok()?;
    let fits = text.chars().count() <= NAME_CHARS_MAX && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

fn named<N: From<String>>(row: &Row<'_>, column: usize) -> Option<N> {
    shown(row, column).map(N::from)
}

/// Returns all rows of a query, each read by `read`; a row that `read` rejects becomes a damaged row made by `name`.
fn all<T>(
    connection: &Connection,
    what: &'static str,
    (sql, params): (&str, impl Params),
    read: impl Fn(&Row<'_>) -> Result<T, Damage>,
    name: impl Fn(&Row<'_>, Damage) -> DamagedRow,
) -> Result<Readable<T>, StoreError> {
    let mut statement = connection.prepare(sql).map_err(failed(what))?;
    let mut rows = statement.query(params).map_err(failed(what))?;
    let mut found = Readable::default();
    while let Some(row) = rows.next().map_err(failed(what))? {
        match read(row) {
            Ok(record) => found.rows.push(record),
            Err(damage) => found.damaged.push(name(row, damage)),
        }
    }
    Ok(found)
}

pub(super) fn load(connection: &Connection) -> Result<Records, StoreError> {
    let mut damaged = Vec::new();
    let mut rows = |mut of: Vec<DamagedRow>| damaged.append(&mut of);
    let tenants = all(
        connection,
        "tenants",
        (
            "SELECT name, record, text FROM tenants LEFT JOIN settings
             ON tenant = name AND deployment = '' AND number = 0 ORDER BY name",
            [],
        ),
        tenant,
        |row, reason| DamagedRow { tenant: named(row, 0), ..DamagedRow::new(Table::Tenants, reason) },
    )?;
    rows(tenants.damaged);
    let keys = all(
        connection,
        "keys",
        ("SELECT id, tenant, record FROM keys ORDER BY id", []),
        key,
        |row, reason| DamagedRow {
            key: shown(row, 0),
            tenant: named(row, 1),
            ..DamagedRow::new(Table::Keys, reason)
        },
    )?;
    rows(keys.damaged);
    let stages = stages(connection)?;
    let revisions = all(
        connection,
        "revisions",
        (
            "SELECT r.tenant, r.deployment, r.number, component, record, text FROM revisions r LEFT JOIN settings s
             ON s.tenant = r.tenant AND s.deployment = r.deployment AND s.number = r.number
             ORDER BY r.tenant, r.deployment, r.number",
            [],
        ),
        |row| revision(row, &stages),
        |row, reason| of_deployment(row, Table::Revisions, reason),
    )?;
    rows(revisions.damaged);
    let routes = all(
        connection,
        "routes",
        ("SELECT tenant, deployment, version, record FROM routes ORDER BY tenant, deployment", []),
        route,
        |row, reason| of_deployment(row, Table::Routes, reason),
    )?;
    rows(routes.damaged);
    let (tenants, keys, revisions, routes) = (tenants.rows, keys.rows, revisions.rows, routes.rows);
    Ok(Records { tenants, keys, revisions, routes, damaged })
}

fn of_deployment(row: &Row<'_>, table: Table, reason: String) -> DamagedRow {
    let (tenant, deployment, number) = (named(row, 0), named(row, 1), number(row, 2).ok());
    DamagedRow { tenant, deployment, number, ..DamagedRow::new(table, reason) }
}

fn settings(row: &Row<'_>, column: usize) -> Result<Settings, Damage> {
    match optional_text(row, column)? {
        Some(text) => Settings::kept(text),
        None => Err("its settings are missing".to_owned()),
    }
}

fn tenant(row: &Row<'_>) -> Result<TenantRecord, Damage> {
    let mut record: TenantRecord = parsed(row, 1)?;
    agrees(record.name.as_str() == text(row, 0)?, "tenant")?;
    record.policy.settings = settings(row, 2)?;
    Ok(record)
}

fn key(row: &Row<'_>) -> Result<KeyRecord, Damage> {
    let record: KeyRecord = parsed(row, 2)?;
    let (id, tenant) = key_row(&record);
    agrees(id.as_str() == text(row, 0)?, "key")?;
    agrees(tenant.map(TenantName::as_str) == optional_text(row, 1)?, "tenant")?;
    Ok(record)
}

/// Components and settings of wrapped stages, by tenant, deployment, number and depth.
type Stages = BTreeMap<(String, String, u32, u32), (Digest, Settings)>;

/// Reads the wrapped stages. A damaged row is left out: the revision that misses it is damaged.
fn stages(connection: &Connection) -> Result<Stages, StoreError> {
    let found = all(
        connection,
        "wrapped revisions",
        ("SELECT tenant, deployment, number, depth, component, settings FROM wrapped", []),
        |row| {
            let at = (text(row, 0)?.to_owned(), text(row, 1)?.to_owned(), number(row, 2)?, number(row, 3)?);
            let component = Digest::parse(text(row, 4)?).ok_or("its component is no digest")?;
            Ok((at, (component, settings(row, 5)?)))
        },
        |_, reason| DamagedRow::new(Table::Revisions, reason),
    )?;
    Ok(found.rows.into_iter().collect())
}

fn revision(row: &Row<'_>, stages: &Stages) -> Result<RevisionRecord, Damage> {
    let mut record: RevisionRecord = parsed(row, 4)?;
    let at = (record.tenant.as_str(), record.deployment.as_str(), record.number);
    agrees(at == (text(row, 0)?, text(row, 1)?, number(row, 2)?), "revision")?;
    agrees(record.component.as_str() == text(row, 3)?, "component")?;
    record.settings = settings(row, 5)?;
    let (tenant, deployment, number) =
        (record.tenant.to_string(), record.deployment.to_string(), record.number);
    let (mut stage, mut depth) = (record.wraps.as_deref_mut(), 1);
    while let Some(wrapped) = stage {
        let found = stages.get(&(tenant.clone(), deployment.clone(), number, depth));
        let (component, settings) =
            found.ok_or_else(|| format!("the row of its wrapped stage {depth} is missing or damaged"))?;
        agrees(wrapped.component == *component, "component of a wrapped stage")?;
        wrapped.settings = settings.clone();
        (stage, depth) = (wrapped.wraps.as_deref_mut(), depth + 1);
    }
    Ok(record)
}

fn route(row: &Row<'_>) -> Result<RouteRecord, Damage> {
    let record: RouteRecord = parsed(row, 3)?;
    let at = (record.tenant.as_str(), record.deployment.as_str(), record.version);
    agrees(at == (text(row, 0)?, text(row, 1)?, number(row, 2)?), "route")?;
    let percent: u32 = record.weights.iter().map(|weight| u32::from(weight.percent)).sum();
    if record.weights.len() > 2 || !(record.weights.is_empty() || percent == 100) {
        return Err(format!("its weights are {percent} of 100 in {} parts", record.weights.len()));
    }
    Ok(record)
}

/// The components that revisions name.
pub(in super::super) struct Named {
    pub(in super::super) digests: BTreeSet<Digest>,
    /// Whether the list is complete: a damaged row may hide the component that it names.
    pub(in super::super) complete: bool,
}

pub(super) fn components(connection: &Connection) -> Result<Named, StoreError> {
    let component = |row: &Row<'_>| {
        let column = text(row, 0).ok().and_then(Digest::parse);
        // Also of a record that is damaged elsewhere.
        let record = parsed::<Value>(row, 1).ok();
        let stages = std::iter::successors(record.as_ref(), |stage| stage.get("wraps"));
        let named: Vec<Digest> = stages
            .filter_map(|stage| Digest::parse(stage.get("component")?.as_str()?))
            .chain(column)
            .collect();
        if named.is_empty() { Err("no component is named".to_owned()) } else { Ok(named) }
    };
    let what = "the components that revisions name";
    let sql = ("SELECT component, record FROM revisions", []);
    let damaged = |_: &Row<'_>, reason| DamagedRow::new(Table::Revisions, reason);
    let found = all(connection, what, sql, component, damaged)?;
    let stage =
        |row: &Row<'_>| Digest::parse(text(row, 0)?).ok_or_else(|| "no component is named".to_owned());
    let wrapped = all(connection, what, ("SELECT component FROM wrapped", []), stage, damaged)?;
    let own = found.rows.into_iter().flatten();
    Ok(Named {
        digests: own.chain(wrapped.rows).collect(),
        complete: found.damaged.is_empty() && wrapped.damaged.is_empty(),
    })
}

/// Returns the condition on the tenant `?1`. One text for both would keep SQLite from the index, and the time of one
/// tenant's query would depend on the rows of the others.
fn of_tenant(tenant: Option<&TenantName>) -> &'static str {
    if tenant.is_some() { "tenant = ?1" } else { "?1 IS NULL" }
}

fn audit_sql(tenant: Option<&TenantName>) -> String {
    let of_tenant = of_tenant(tenant);
    format!(
        "SELECT seq, at_ms, tenant, actor, action, target, before, after, request FROM audit
         WHERE {of_tenant} AND seq < ?2 ORDER BY seq DESC LIMIT ?3"
    )
}

pub(super) fn audit_entries(
    connection: &Connection,
    query: &AuditQuery,
) -> Result<Readable<AuditEntry>, StoreError> {
    let sql = audit_sql(query.tenant.as_ref());
    let tenant = query.tenant.as_ref().map(TenantName::as_str);
    let before = query.before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
    all(
        connection,
        "the audit log",
        (&sql, params![tenant, before, query.limit]),
        |row| {
            Ok(AuditEntry {
                seq: number(row, 0)?,
                at_ms: number(row, 1)?,
                tenant: optional_text(row, 2)?.map(Into::into),
                actor: text(row, 3)?.to_owned(),
                action: text(row, 4)?.to_owned(),
                target: text(row, 5)?.to_owned(),
                from: shallow(row, 6)?,
                to: shallow(row, 7)?,
                request: optional_text(row, 8)?.map(str::to_owned),
            })
        },
        |row, reason| {
            let number = number(row, 0).ok();
            DamagedRow { tenant: named(row, 2), number, ..DamagedRow::new(Table::Audit, reason) }
        },
    )
}

fn shallow(row: &Row<'_>, column: usize) -> Result<Value, Damage> {
    let text = text(row, column)?;
    if json_depth(text.as_bytes()) > AUDIT_DEPTH_MAX { Ok(text.into()) } else { parsed(row, column) }
}

fn usage_sql(tenant: Option<&TenantName>) -> String {
    let of_tenant = of_tenant(tenant);
    format!(
        "SELECT tenant, day, requests, pages_ok, pages_failed, pixels, engine_us, guest_us, rejections FROM usage
         WHERE {of_tenant} AND day BETWEEN ?2 AND ?3 ORDER BY tenant, day"
    )
}

pub(super) fn usage(connection: &Connection, query: &UsageQuery) -> Result<Readable<UsageRow>, StoreError> {
    let sql = usage_sql(query.tenant.as_ref());
    let tenant = query.tenant.as_ref().map(TenantName::as_str);
    all(
        connection,
        "usage",
        (&sql, params![tenant, query.days.0, query.days.1]),
        |row| {
            Ok(UsageRow {
                tenant: text(row, 0)?.into(),
                day: number(row, 1)?,
                counts: UsageCounts {
                    requests: number(row, 2)?,
                    pages_ok: number(row, 3)?,
                    pages_failed: number(row, 4)?,
                    pixels: number(row, 5)?,
                    engine_us: number(row, 6)?,
                    guest_us: number(row, 7)?,
                    rejections: number(row, 8)?,
                },
            })
        },
        |row, reason| {
            let number = number(row, 1).ok();
            DamagedRow { tenant: named(row, 0), number, ..DamagedRow::new(Table::Usage, reason) }
        },
    )
}

/// Returns SQLite's plan of a query.
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "for tests")]
pub(super) fn plan(connection: &Connection, sql: &str) -> String {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let none = vec![rusqlite::types::Null; statement.parameter_count()];
    let rows = statement.query_map(rusqlite::params_from_iter(none), |row| row.get::<_, String>(3));
    rows.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_query_of_a_tenant_reads_no_row_of_another() {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut connection, std::path::Path::new("x")).unwrap();
        let acme = TenantName::from("acme");
        for (sql, key) in [
            (audit_sql(Some(&acme)), "(tenant=? AND seq<?)"),
            (audit_sql(None), "(rowid<?)"),
            (usage_sql(Some(&acme)), "(tenant=? AND day>? AND day<?)"),
        ] {
            let plan = plan(&connection, &sql);
            assert!(plan.contains(key) && !plan.contains("TEMP"), "{sql}: {plan}");
        }
    }
}
