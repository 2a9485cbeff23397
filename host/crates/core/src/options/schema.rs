//! The parsed form of a schema.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

/// A type of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonType {
    Null,
    Boolean,
    Object,
    Array,
    Number,
    /// A number without a fraction; `1.0` is one.
    Integer,
    String,
}

impl JsonType {
    const ALL: [(&'static str, Self); 7] = [
        ("null", Self::Null),
        ("boolean", Self::Boolean),
        ("object", Self::Object),
        ("array", Self::Array),
        ("number", Self::Number),
        ("integer", Self::Integer),
        ("string", Self::String),
    ];

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(own, _)| *own == name).map(|(_, of)| of)
    }

    pub(super) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, of)| *of == self).map_or("", |(name, _)| name)
    }
}

/// Members of an object that `properties` does not name.
#[derive(Clone, Debug, Default)]
pub(super) enum Additional {
    #[default]
    Any,
    None,
    Of(Box<Schema>),
}

/// A default, with the bytes that it adds to the options.
#[derive(Clone, Debug)]
pub(super) struct Fallback {
    pub(super) value: Value,
    pub(super) bytes: usize,
}

/// A schema of one value. A keyword that is absent allows everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Schema {
    /// Empty: any type.
    pub(super) types: Vec<JsonType>,
    pub(super) values: Option<Vec<Value>>,
    pub(super) constant: Option<Value>,
    pub(super) default: Option<Fallback>,
    pub(super) minimum: Option<Number>,
    pub(super) maximum: Option<Number>,
    pub(super) exclusive_minimum: Option<Number>,
    pub(super) exclusive_maximum: Option<Number>,
    /// In characters.
    pub(super) min_length: Option<u64>,
    pub(super) max_length: Option<u64>,
    pub(super) min_items: Option<u64>,
    pub(super) max_items: Option<u64>,
    pub(super) items: Option<Box<Schema>>,
    pub(super) properties: BTreeMap<String, Schema>,
    /// Names of the properties with a default.
    pub(super) defaulted: Vec<String>,
    pub(super) required: Vec<String>,
    pub(super) additional: Additional,
}

impl Schema {
    /// Returns the schema of a member that `properties` names.
    pub(super) fn property(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name)
    }
}
