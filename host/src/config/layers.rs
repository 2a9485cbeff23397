//! Merges the sources, records the origin of each value, and rejects unknown keys.
//!
//! The defaults are also the schema: a key is known if it has a default, and takes a value of the default's type.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::contexts::{self, ContextChoice};
use super::env::{self, Environment};
use super::error::ConfigError;
use super::origin::Origin;
use super::raw::RawConfig;
use super::renamed;

/// Maximum size of a configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// File that is read if neither a flag nor the environment names one, and it exists.
const FILE_IN_WORKING_DIR: &str = "lector.toml";

/// Sources besides the defaults and the environment.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Path from `--config`; the file must exist.
    pub file: Option<PathBuf>,
    /// Values from flags: (dotted key, text as in the environment, name of the flag).
    pub flags: Vec<(String, String, &'static str)>,
    /// The context of a command that calls a server; `None`: it calls none, and the contexts are not read.
    pub context: Option<ContextChoice>,
}

/// All sources merged into one table, with the origin of each value.
#[derive(Clone, Debug)]
pub struct Effective {
    pub(super) raw: RawConfig,
    pub(super) origins: BTreeMap<String, Origin>,
}

impl Effective {
    /// Merges file, context, environment and flags over the defaults. A context that a flag names comes after the
    /// environment.
    pub(super) fn gather(sources: &Sources, environment: Environment) -> Result<Self, ConfigError> {
        let defaults = table_of(&RawConfig::default())?;
        let mut layers = Layers { table: defaults.clone(), schema: defaults, origins: BTreeMap::new() };
        if let Some(path) = file_of(sources, &environment) {
            let table = read(&path)?;
            layers.lay(table, &Origin::File(path))?;
        }
        let context = match &sources.context {
            Some(choice) => contexts::layer(choice, &environment, &sources.flags)?,
            None => None,
        };
        let (above, below) = match context {
            Some(context) if context.is_flag => (Some(context), None),
            other => (None, other),
        };
        if let Some(context) = below {
            layers.lay(context.table, &context.origin)?;
        }
        for (variable, text) in environment.keys {
            let key = env::key_of(&variable);
            layers.lay_text(&key, &text, &Origin::Environment(variable))?;
        }
        if let Some(context) = above {
            layers.lay(context.table, &context.origin)?;
        }
        for (key, text, flag) in &sources.flags {
            layers.lay_text(key, text, &Origin::Flag(flag))?;
        }
        let raw = Value::Table(layers.table)
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError::Shape(error.message().to_owned()))?;
        Ok(Self { raw, origins: layers.origins })
    }

    /// Returns the origin of the value of a dotted key.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

/// Converts a configuration to a table.
pub(super) fn table_of(raw: &RawConfig) -> Result<Table, ConfigError> {
    Table::try_from(raw).map_err(|error| ConfigError::Shape(error.to_string()))
}

fn file_of(sources: &Sources, environment: &Environment) -> Option<PathBuf> {
    let in_working_dir =
        || Path::new(FILE_IN_WORKING_DIR).is_file().then(|| PathBuf::from(FILE_IN_WORKING_DIR));
    sources.file.clone().or_else(|| environment.config_file.clone()).or_else(in_working_dir)
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(failed(std::io::Error::other("the file is larger than 1 MiB")));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    text.parse().map_err(|source| ConfigError::Parse { path: path.to_owned(), source })
}

struct Layers {
    table: Table,
    schema: Table,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    fn lay(&mut self, over: Table, origin: &Origin) -> Result<(), ConfigError> {
        check_table("", &self.schema, &over, origin)?;
        merge("", &mut self.table, over, origin, &mut self.origins);
        Ok(())
    }

    /// Sets a value from a source that has only text: the type of the key determines the parser.
    fn lay_text(&mut self, key: &str, text: &str, origin: &Origin) -> Result<(), ConfigError> {
        let parts: Vec<&str> = key.split('.').collect();
        let known = find(&self.schema, &parts).ok_or_else(|| unknown(key, &self.schema, origin))?;
        let value = match known {
            Value::String(_) => Value::String(text.to_owned()),
            // `cpu` and `tensorrt,cuda` are easier to write in a variable than a TOML list.
            Value::Array(items) if is_texts(items) && !text.trim_start().starts_with('[') => {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                Value::Array(words.map(|word| Value::String(word.to_owned())).collect())
            }
            _ => text.parse::<Value>().map_err(|_| wrong_type(key, origin, known, &format!("`{text}`")))?,
        };
        let nested = parts
            .iter()
            .rev()
            .fold(value, |value, part| Value::Table(Table::from_iter([((*part).to_owned(), value)])));
        match nested {
            Value::Table(table) => self.lay(table, origin),
            _ => Err(unknown(key, &self.schema, origin)),
        }
    }
}

fn find<'a>(table: &'a Table, parts: &[&str]) -> Option<&'a Value> {
    let (first, rest) = parts.split_first()?;
    let value = table.get(*first)?;
    match (rest, value) {
        ([], value) => Some(value),
        (rest, Value::Table(table)) => find(table, rest),
        _ => None,
    }
}

/// Checks that every key is known and every value has the type of its key.
fn check_table(at: &str, schema: &Table, over: &Table, origin: &Origin) -> Result<(), ConfigError> {
    for (name, value) in over {
        let key = join(at, name);
        let Some(known) = schema.get(name) else { return Err(unknown(&key, schema, origin)) };
        match (known, value) {
            (Value::Table(_), Value::Table(lists)) if key == MODEL_PROVIDERS => {
                for (model, value) in lists {
                    check_texts(&join(&key, model), value, origin)?;
                }
            }
            (Value::Table(_), Value::Table(names)) if at == COMPAT_MODELS => {
                if let Some((model, value)) = names.iter().find(|(_, value)| !value.is_str()) {
                    let text = Value::String(String::new());
                    return Err(wrong_type(&join(&key, model), origin, &text, &shown(value)));
                }
            }
            (Value::Table(known), Value::Table(value)) => check_table(&key, known, value, origin)?,
            (Value::Array(known), value) if is_texts(known) => check_texts(&key, value, origin)?,
            (Value::Array(known), Value::Array(items)) => check_items(&key, known, items, origin)?,
            (known, value) if known.same_type(value) => {}
            (known, value) => return Err(wrong_type(&key, origin, known, &shown(value))),
        }
    }
    Ok(())
}

/// The one table of `[engines]` whose keys are names of the catalog.
const MODEL_PROVIDERS: &str = "engines.model_providers";
/// The parent of tables whose keys are names of other software.
const COMPAT_MODELS: &str = "compat.models";

fn is_texts(known: &[Value]) -> bool {
    known.first().is_some_and(Value::is_str)
}

/// Checks a list of strings.
fn check_texts(key: &str, value: &Value, origin: &Origin) -> Result<(), ConfigError> {
    match value {
        Value::Array(items) if items.iter().all(Value::is_str) => Ok(()),
        other => {
            let known = Value::Array(vec![Value::String(String::new())]);
            Err(wrong_type(key, origin, &known, &shown(other)))
        }
    }
}

/// Checks the items of `[[deployments]]`, the only list of tables.
fn check_items(at: &str, known: &[Value], items: &[Value], origin: &Origin) -> Result<(), ConfigError> {
    let Some(Value::Table(schema)) = known.first() else { return Ok(()) };
    for (number, item) in items.iter().enumerate() {
        let Value::Table(item) = item else {
            return Err(wrong_type(
                &format!("{at}[{number}]"),
                origin,
                &Value::Table(Table::new()),
                &shown(item),
            ));
        };
        for (name, value) in item {
            let key = format!("{at}[{number}].{name}");
            match (schema.get(name), value) {
                (None, _) => return Err(unknown(&key, schema, origin)),
                // Tables with keys that the guest defines.
                (Some(_), Value::Table(_)) if name == "settings" => {}
                (Some(_), Value::Table(grants)) if name == "grants" => {
                    let wrong = grants.iter().find(|(_, model)| !model.is_str());
                    if let Some((alias, model)) = wrong {
                        return Err(wrong_type(
                            &join(&key, alias),
                            origin,
                            &Value::String(String::new()),
                            &shown(model),
                        ));
                    }
                }
                (Some(Value::Table(known)), Value::Table(value)) => check_table(&key, known, value, origin)?,
                (Some(known), value) if known.same_type(value) => {}
                (Some(known), value) => return Err(wrong_type(&key, origin, known, &shown(value))),
            }
        }
        for needed in ["name", "component"] {
            if !item.contains_key(needed) {
                return Err(ConfigError::Shape(format!("`{at}[{number}]` has no `{needed}` ({origin})")));
            }
        }
    }
    Ok(())
}

fn merge(at: &str, base: &mut Table, over: Table, origin: &Origin, origins: &mut BTreeMap<String, Origin>) {
    for (name, value) in over {
        let key = join(at, &name);
        match (base.get_mut(&name), value) {
            (Some(Value::Table(base)), Value::Table(value)) => merge(&key, base, value, origin, origins),
            (_, value) => {
                base.insert(name, value);
                origins.insert(key, origin.clone());
            }
        }
    }
}

fn unknown(key: &str, schema: &Table, origin: &Origin) -> ConfigError {
    if let Some(now) = renamed::new_name(key) {
        return ConfigError::RenamedKey { key: key.to_owned(), origin: origin.clone(), now };
    }
    // Candidates are the keys of the same table and the full keys of the whole schema.
    let (at, name) = key.rsplit_once('.').unwrap_or(("", key));
    let siblings = schema.keys().map(|sibling| (strsim::jaro_winkler(name, sibling), join(at, sibling)));
    let everywhere = leaves("", schema).into_iter().map(|leaf| (strsim::jaro_winkler(key, &leaf), leaf));
    // Below this similarity a suggestion is more confusing than helpful.
    let closest = siblings
        .chain(everywhere)
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    ConfigError::UnknownKey {
        key: key.to_owned(),
        origin: origin.clone(),
        closest: closest.map(|(_, key)| key),
    }
}

/// Returns the dotted keys of all values; a list is one value.
pub(super) fn leaves(at: &str, table: &Table) -> Vec<String> {
    table
        .iter()
        .flat_map(|(name, value)| match value {
            Value::Table(table) => leaves(&join(at, name), table),
            _ => vec![join(at, name)],
        })
        .collect()
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn wrong_type(key: &str, origin: &Origin, known: &Value, found: &str) -> ConfigError {
    let expected = match known {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "`true` or `false`",
        Value::Array(items) if is_texts(items) => "a list of texts",
        Value::Array(_) => "a list of tables",
        Value::Table(_) => "a table",
        Value::Float(_) => "a number",
        Value::Datetime(_) => "a date",
    };
    ConfigError::Type { key: key.to_owned(), origin: origin.clone(), expected, found: found.to_owned() }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        value => format!("`{value}`"),
    }
}

/// Returns the keys of a budget, for the test that finds undocumented keys.
#[cfg(test)]
pub(super) fn budget_keys() -> Vec<String> {
    leaves("", &Table::try_from(lector_control::BudgetSpec::default()).unwrap_or_default())
}
