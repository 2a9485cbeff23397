//! Damage of a data folder, for tests: one cell of one row, ignoring the schema's types and constraints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::sqlite::{BLOBS, DATABASE};

/// SQL expressions that replace a value; `$` is the value.
pub const KINDS: &[&str] = &[
    "CAST(x'fffec328' AS TEXT)",
    "substr($, 1, length($) / 2)",
    "'{\"a\":' || $ || '}'",
    "'[]'",
    "NULL",
    "x'00ff10'",
    "9223372036854775807",
    "-1",
    "printf('%.*c', 20000, '[')",
    "replace(printf('%.*c', 127, '['), '[', '{\"a\":') || 1 || printf('%.*c', 127, '}')",
    "1.5",
    "'null'",
];

/// One cell, identified by the key of its row.
#[derive(Clone, Debug)]
pub struct Cell {
    pub table: String,
    pub column: String,
    pub row: Vec<String>,
}

fn key_of(connection: &Connection, table: &str) -> Vec<String> {
    let sql = "SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk";
    let mut statement = connection.prepare(sql).unwrap();
    let key: Vec<String> =
        statement.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    if key.is_empty() { vec!["rowid".to_owned()] } else { key }
}

fn names(connection: &Connection, sql: &str) -> Vec<String> {
    connection.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Returns every cell of the first rows of every table.
pub fn cells(dir: &Path) -> Vec<Cell> {
    cells_of(&dir.join(DATABASE))
}

/// Returns every cell of the first rows of every table of a database.
pub fn cells_of(file: &Path) -> Vec<Cell> {
    let connection = Connection::open(file).unwrap();
    let mut cells = Vec::new();
    for table in names(&connection, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
        let columns = names(&connection, &format!("SELECT name FROM pragma_table_info('{table}')"));
        // Two rows of the audit log are enough.
        let most = if table == "audit" { 2 } else { 100 };
        let sql = format!("SELECT {} FROM {table} LIMIT {most}", key_of(&connection, &table).join(", "));
        let mut statement = connection.prepare(&sql).unwrap();
        let width = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let part = |at: usize| match row.get_ref(at).unwrap() {
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                other => panic!("{table}: {other:?}"),
            };
            let row: Vec<String> = (0..width).map(part).collect();
            for column in &columns {
                cells.push(Cell { table: table.clone(), column: column.clone(), row: row.clone() });
            }
        }
    }
    cells
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    let files =
        |dir: &Path| -> Vec<_> { std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect() };
    std::fs::create_dir_all(to.join(BLOBS)).unwrap();
    std::fs::copy(from.join(DATABASE), to.join(DATABASE)).unwrap();
    for folder in files(&from.join(BLOBS)) {
        let target = to.join(BLOBS).join(folder.file_name().unwrap());
        std::fs::create_dir_all(&target).unwrap();
        for file in files(&folder) {
            std::fs::copy(&file, target.join(file.file_name().unwrap())).unwrap();
        }
    }
}

/// Damages a cell, ignoring the types and constraints of the schema; returns whether SQLite can hold such a row.
pub fn damage(dir: &Path, cell: &Cell, value: &str) -> bool {
    damage_of(&dir.join(DATABASE), cell, value)
}

/// Damages a cell of a database in the same way.
pub fn damage_of(file: &Path, cell: &Cell, value: &str) -> bool {
    let schema: Vec<(String, String)> = {
        let connection = Connection::open(file).unwrap();
        let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let schema = rows.map(Result::unwrap).collect();
        drop(statement);
        let lax = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(replace(replace(sql,
                   ' NOT NULL', ''), ') STRICT, WITHOUT ROWID', ') WITHOUT ROWID'), ') STRICT', ')') WHERE type = 'table';
                   UPDATE sqlite_schema SET sql = replace(sql, 'BEGIN SELECT RAISE(ABORT, ''append only'')', 'BEGIN SELECT 1')
                   WHERE type = 'trigger'";
        connection.execute_batch(lax).unwrap();
        schema
    };
    let done = {
        let connection = Connection::open(file).unwrap();
        let key = key_of(&connection, &cell.table).join(" = ? AND ");
        let value = value.replace('$', &cell.column);
        let sql = format!("UPDATE {} SET {} = {value} WHERE {key} = ?", cell.table, cell.column);
        matches!(connection.execute(&sql, rusqlite::params_from_iter(&cell.row)), Ok(1))
    };
    let connection = Connection::open(file).unwrap();
    connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
    for (name, sql) in schema {
        connection.execute("UPDATE sqlite_schema SET sql = ?2 WHERE name = ?1", [name, sql]).unwrap();
    }
    done
}
