//! The options of a guest: the JSON Schema that the guest describes them with, and the check of a client's options.
//!
//! Owns the supported part of JSON Schema 2020-12, its bounds, and the words of both kinds of errors. Independent of where a
//! schema comes from (`runtime` calls the guest) and of where options come from (requests, wrapping guests). Nothing here
//! ignores a keyword: a schema that uses another one is refused when the guest is deployed, not when a client is surprised.

mod bounds;
mod check;
mod errors;
mod parse;
mod schema;

use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

pub use bounds::{
    ENUM_VALUES_MAX, FILLED_BYTES_MAX, OPTIONS_BYTES_MAX, OPTIONS_DEPTH_MAX, SCHEMA_BYTES_MAX,
    SCHEMA_DEPTH_MAX,
};
pub use errors::{OptionError, SchemaError};
use errors::{below, shown};
use schema::Schema;

/// The options of a guest without a schema, as JSON text.
pub const NO_OPTIONS: &str = "{}";

/// The schema of a guest's options. Cheap to clone.
#[derive(Clone)]
pub struct OptionsSchema(Arc<Parts>);

struct Parts {
    /// The schema as the guest wrote it.
    value: Value,
    /// Its bytes as text.
    bytes: usize,
    root: Schema,
    /// The options of a client that sends none, as text.
    defaults: Arc<str>,
}

impl OptionsSchema {
    /// Reads the text of a schema.
    ///
    /// # Errors
    ///
    /// If the text is not the JSON of an object, exceeds a bound, uses a keyword that is not supported or a keyword wrongly, or
    /// refuses the options of a client that sends none.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        if text.len() > SCHEMA_BYTES_MAX {
            let message =
                format!("the schema has {} bytes, and at most {SCHEMA_BYTES_MAX} are accepted", text.len());
            return Err(SchemaError { pointer: String::new(), message });
        }
        let value = serde_json::from_str(text).map_err(|error| SchemaError {
            pointer: String::new(),
            message: format!("the schema is not JSON: {error}"),
        })?;
        Self::of(value)
    }

    /// Makes the schema of its JSON value. Errors as [`parse`](Self::parse).
    fn of(value: Value) -> Result<Self, SchemaError> {
        let whole = |message: String| SchemaError { pointer: String::new(), message };
        let bytes = value.to_string().len();
        if bytes > SCHEMA_BYTES_MAX {
            return Err(whole(format!(
                "the schema has {bytes} bytes, and at most {SCHEMA_BYTES_MAX} are accepted"
            )));
        }
        if is_deeper(&value, SCHEMA_DEPTH_MAX) {
            return Err(whole(format!("the schema nests more than {SCHEMA_DEPTH_MAX} levels")));
        }
        let root = Schema::root(&value)?;
        let defaults = filled(&root, Map::new()).map_err(|OptionError { pointer, message }| {
            let refused = OptionError { pointer, message };
            whole(format!(
                "a client that sends no options would be refused {refused}; give each required option a `default`"
            ))
        })?;
        Ok(Self(Arc::new(Parts { value, bytes, root, defaults })))
    }

    /// Checks the options of a client, and returns them as JSON text, with the defaults of the schema in place of options that
    /// are missing.
    ///
    /// # Errors
    ///
    /// The first option that the schema refuses.
    pub fn check(&self, options: Map<String, Value>) -> Result<Arc<str>, OptionError> {
        if options.is_empty() {
            return Ok(self.defaults());
        }
        filled(&self.0.root, options)
    }

    /// Returns the options of a client that sends none, as JSON text.
    pub fn defaults(&self) -> Arc<str> {
        Arc::clone(&self.0.defaults)
    }

    /// Returns the schema as the guest wrote it.
    pub fn value(&self) -> &Value {
        &self.0.value
    }

    /// Returns the size of the schema as JSON text, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }
}

/// Checks the options of a client for a guest that may have no schema, and returns them as JSON text with the defaults filled in.
///
/// # Errors
///
/// The first option that the schema refuses; without a schema, any option.
pub fn check(schema: Option<&OptionsSchema>, options: Map<String, Value>) -> Result<Arc<str>, OptionError> {
    match (schema, options.keys().next()) {
        (Some(schema), _) => schema.check(options),
        (None, None) => Ok(NO_OPTIONS.into()),
        (None, Some(first)) => Err(OptionError {
            pointer: below("", first),
            message: "there is no such option: the guest has none".to_owned(),
        }),
    }
}

/// Returns the options of a client that sends none, for a guest that may have no schema, as JSON text.
pub fn defaults(schema: Option<&OptionsSchema>) -> Arc<str> {
    schema.map_or_else(|| NO_OPTIONS.into(), OptionsSchema::defaults)
}

/// Reads options from JSON text, within their bounds.
///
/// # Errors
///
/// If the text is not a JSON object, or exceeds a bound.
pub fn parse_options(text: &str) -> Result<Map<String, Value>, OptionError> {
    let whole = |message: String| OptionError { pointer: String::new(), message };
    if text.len() > OPTIONS_BYTES_MAX {
        let message =
            format!("the options have {} bytes, and at most {OPTIONS_BYTES_MAX} are accepted", text.len());
        return Err(whole(message));
    }
    let value =
        serde_json::from_str(text).map_err(|error| whole(format!("the options are not JSON: {error}")))?;
    if is_deeper(&value, OPTIONS_DEPTH_MAX) {
        return Err(whole(format!("the options nest more than {OPTIONS_DEPTH_MAX} levels")));
    }
    match value {
        Value::Object(options) => Ok(options),
        other => Err(whole(format!("the options are {}: send a JSON object", shown(&other)))),
    }
}

/// Fills in the defaults, and checks the whole.
fn filled(root: &Schema, options: Map<String, Value>) -> Result<Arc<str>, OptionError> {
    let mut options = Value::Object(options);
    check::fill(root, &mut options)?;
    check::check(root, &options)?;
    Ok(options.to_string().into())
}

/// Returns whether a value nests more than `most` arrays and objects. Recursion ends at `most`.
fn is_deeper(value: &Value, most: usize) -> bool {
    let inside = |value: &Value| most == 0 || is_deeper(value, most - 1);
    match value {
        Value::Array(values) => most == 0 || values.iter().any(inside),
        Value::Object(members) => most == 0 || members.values().any(inside),
        _ => false,
    }
}

impl PartialEq for OptionsSchema {
    fn eq(&self, other: &Self) -> bool {
        self.0.value == other.0.value
    }
}

impl fmt::Debug for OptionsSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OptionsSchema").field(&self.0.value).finish()
    }
}

/// As the guest wrote it.
impl Serialize for OptionsSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OptionsSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
