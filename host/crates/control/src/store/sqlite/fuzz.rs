//! Fuzz target of the rows of the database: a row with any bytes is read or reported, and never fails the start.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{read, schema};
use crate::fakes::{revision_record, wrapping_record};
use crate::key::{self, Scope};
use crate::route::RouteRecord;
use crate::store::{AuditQuery, key_row};
use crate::tenant::{TenantPolicy, TenantRecord};

fn seed(table: u8, record: &impl Serialize) -> Vec<u8> {
    [&[table][..], &serde_json::to_vec(record).unwrap()].concat()
}

/// Replaces every row by one with these bytes in its text; the other columns are those of a sound row.
fn fill(connection: &Connection, table: u8, key: (&str, &str), bytes: &[u8]) {
    let clear = "DELETE FROM tenants; DELETE FROM keys; DELETE FROM revisions; DELETE FROM routes;
                 DELETE FROM settings; DELETE FROM wrapped; DELETE FROM audit;";
    connection.execute_batch(clear).unwrap();
    let run = |sql: &str| connection.execute(sql, [bytes]).unwrap();
    let component = revision_record("acme", "d", 1).component.to_string();
    match table {
        0 => {
            run("INSERT INTO tenants VALUES ('acme', CAST(?1 AS TEXT))");
            connection.execute("INSERT INTO settings VALUES ('acme', '', 0, '{}')", []).unwrap();
        }
        1 => {
            let sql = "INSERT INTO keys VALUES (?2, ?3, CAST(?1 AS TEXT))";
            connection.execute(sql, params![bytes, key.0, key.1]).unwrap();
        }
        2 => {
            let sql = "INSERT INTO revisions VALUES ('acme', 'd', 1, ?2, CAST(?1 AS TEXT))";
            connection.execute(sql, params![bytes, component]).unwrap();
            let sql = "INSERT INTO settings VALUES ('acme', 'd', 1, '{}')";
            connection.execute(sql, []).unwrap();
            let sql = "INSERT INTO wrapped VALUES ('acme', 'd', 1, 1, ?1, '{}')";
            connection.execute(sql, [component]).unwrap();
        }
        3 => {
            let record = serde_json::to_string(&revision_record("acme", "d", 1)).unwrap();
            let sql = "INSERT INTO revisions VALUES ('acme', 'd', 1, ?1, ?2)";
            connection.execute(sql, [component, record]).unwrap();
            run("INSERT INTO settings VALUES ('acme', 'd', 1, CAST(?1 AS TEXT))");
        }
        4 => {
            run("INSERT INTO routes VALUES ('acme', 'd', 1, CAST(?1 AS TEXT))");
        }
        _ => {
            run("INSERT INTO audit (at_ms, actor, action, target, before, after)
                 VALUES (1, 'k', 'a', 't', 'null', CAST(?1 AS TEXT))");
        }
    }
}

#[test]
fn fuzz_stored_rows() {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection, Path::new(":memory:")).unwrap();
    connection.execute_batch("DROP TRIGGER audit_keeps_the_newest").unwrap();
    let tenant = TenantRecord { name: "acme".into(), created_at_ms: 5, policy: TenantPolicy::default() };
    let key = key::make(Scope::Tenant("acme".into()), "ci".into(), 1).unwrap().record;
    let (id, owner) = key_row(&key);
    let mut route = RouteRecord::new("acme".into(), "d".into()).promote(1, None, 3);
    route.version = 1;
    let revision = revision_record("acme", "d", 1);
    let wrapping = wrapping_record("acme", "d", 1);
    let seeds = [
        seed(0, &tenant),
        seed(1, &key),
        seed(2, &revision),
        seed(2, &wrapping),
        seed(3, &serde_json::json!({ "a": [1] })),
        seed(4, &route),
        seed(5, &serde_json::json!({ "a": [1] })),
    ];
    let words: [&[u8]; 12] = [
        b"null",
        b"[]",
        b"{",
        b"}",
        b"\"",
        b",",
        b"-1",
        b"1e400",
        b"18446744073709551615",
        b"\\ud800",
        b"\"wraps\":{",
        b"\xff",
    ];
    let owner = owner.unwrap().to_string();
    lector_fuzz::target("stored_rows", &seeds, &words, |input| {
        let (table, bytes) = input.split_first().unwrap_or((&0, &[]));
        let table = table % 6;
        fill(&connection, table, (id.as_str(), &owner), bytes);
        let records = read::load(&connection).expect("a damaged row fails nothing");
        let named = read::components(&connection).expect("a damaged row fails nothing");
        let sound = [
            records.tenants.len(),
            records.keys.len(),
            records.revisions.len(),
            records.revisions.len(),
            records.routes.len(),
        ];
        let read = match sound.get(usize::from(table)) {
            Some(read) => {
                assert_eq!(read + records.damaged.len(), 1, "{:?}", records.damaged);
                *read
            }
            None => {
                let query = AuditQuery { tenant: None, before: None, limit: 10 };
                let found = read::audit_entries(&connection, &query).unwrap();
                assert_eq!(found.rows.len() + found.damaged.len(), 1);
                found.rows.len()
            }
        };
        // What was read can be written and read again.
        for revision in &records.revisions {
            serde_json::to_string(revision).unwrap();
        }
        (table, read, named.complete)
    });
}
