//! Prints the effective configuration as a TOML file, each value with its source.

use std::fmt::Write;

use toml::{Table, Value};

use super::error::ConfigError;
use super::layers::{Effective, table_of};
use super::origin::Origin;

impl Effective {
    /// Returns a TOML text that parses to this configuration, except for the API key. A comment after each value names
    /// its source.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        let mut out = String::new();
        let table = table_of(&self.raw)?;
        // Lists of tables come last, as is usual in TOML.
        let (lists, sections): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_array());
        for (name, value) in sections.into_iter().chain(lists) {
            match value {
                Value::Table(section) => self.section(&mut out, name, section),
                Value::Array(items) => self.items(&mut out, name, items)?,
                value => self.value(&mut out, "", name, value),
            }
        }
        Ok(out)
    }

    fn section(&self, out: &mut String, name: &str, section: &Table) {
        let _ = writeln!(out, "[{name}]");
        for (key, value) in section {
            self.value(out, name, key, value);
        }
        out.push('\n');
    }

    fn value(&self, out: &mut String, section: &str, key: &str, value: &Value) {
        let dotted = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
        // Users paste the output into issues.
        let secret = dotted == "client.key" && value.as_str().is_some_and(|key| !key.is_empty());
        let assignment = if secret { format!("# {key} is not shown") } else { format!("{key} = {value}") };
        let _ = writeln!(out, "{assignment:<44} # {}", self.origin(&dotted));
    }

    /// Writes `[[deployments]]`: one source provides the whole list.
    fn items(&self, out: &mut String, name: &str, items: &[Value]) -> Result<(), ConfigError> {
        let origin: Origin = self.origin(name);
        for item in items {
            let one = Table::from_iter([(name.to_owned(), Value::Array(vec![item.clone()]))]);
            let text = toml::to_string(&one).map_err(|error| ConfigError::Shape(error.to_string()))?;
            let _ = writeln!(out, "# {origin}\n{text}");
        }
        Ok(())
    }
}
