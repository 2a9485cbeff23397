//! Reads a schema: every keyword in it is supported, and used as JSON Schema defines it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Number, Value};

use super::bounds::ENUM_VALUES_MAX;
use super::check;
use super::errors::{OptionError, SchemaError, below, shown};
use super::schema::{Additional, Fallback, JsonType, Schema};

/// The dialect that `$schema` may name.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// The keywords, for messages.
const KEYWORDS: &str = "type, properties, required, additionalProperties, enum, const, default, title, description, minimum, \
                        maximum, exclusiveMinimum, exclusiveMaximum, minLength, maxLength, items, minItems, maxItems";

/// A keyword where it stands.
struct At<'a> {
    pointer: String,
    keyword: &'a str,
    value: &'a Value,
}

impl At<'_> {
    fn wrong(&self, wanted: &str) -> SchemaError {
        let message = format!("`{}` is {}: it must be {wanted}", self.keyword, shown(self.value));
        SchemaError { pointer: self.pointer.clone(), message }
    }

    fn text(&self) -> Result<&str, SchemaError> {
        self.value.as_str().ok_or_else(|| self.wrong("a string"))
    }

    fn number(&self) -> Result<Option<Number>, SchemaError> {
        self.value.as_number().cloned().map(Some).ok_or_else(|| self.wrong("a number"))
    }

    fn count(&self) -> Result<Option<u64>, SchemaError> {
        self.value.as_u64().map(Some).ok_or_else(|| self.wrong("a whole number, 0 or more"))
    }

    fn list(&self) -> Result<&[Value], SchemaError> {
        self.value.as_array().map(Vec::as_slice).ok_or_else(|| self.wrong("an array"))
    }

    /// Returns different strings.
    fn names(&self) -> Result<Vec<String>, SchemaError> {
        let values = self.list()?;
        let names: BTreeSet<&str> = values.iter().filter_map(Value::as_str).collect();
        if names.len() < values.len() {
            return Err(self.wrong("an array of different strings"));
        }
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn types(&self) -> Result<Vec<JsonType>, SchemaError> {
        let names = if self.value.is_string() { vec![self.text()?.to_owned()] } else { self.names()? };
        let types: Option<Vec<JsonType>> = names.iter().map(|name| JsonType::of(name)).collect();
        let wanted = "one or some of null, boolean, object, array, number, integer, string";
        types.filter(|types| !types.is_empty()).ok_or_else(|| self.wrong(wanted))
    }

    fn values(&self) -> Result<Option<Vec<Value>>, SchemaError> {
        let values = self.list()?;
        if (1..=ENUM_VALUES_MAX).contains(&values.len()) {
            return Ok(Some(values.to_vec()));
        }
        let message =
            format!("`{}` has {} values: it must have 1 to {ENUM_VALUES_MAX}", self.keyword, values.len());
        Err(SchemaError { pointer: self.pointer.clone(), message })
    }

    fn properties(&self) -> Result<BTreeMap<String, Schema>, SchemaError> {
        let members = self.value.as_object().ok_or_else(|| self.wrong("an object of schemas"))?;
        let property = |(name, value): (&String, &Value)| {
            Ok((name.clone(), Schema::parse(value, &below(&self.pointer, name))?))
        };
        members.iter().map(property).collect()
    }

    fn additional(&self) -> Result<Additional, SchemaError> {
        match self.value {
            Value::Bool(true) => Ok(Additional::Any),
            Value::Bool(false) => Ok(Additional::None),
            Value::Object(_) => Ok(Additional::Of(Box::new(Schema::parse(self.value, &self.pointer)?))),
            _ => Err(self.wrong("true, false or a schema")),
        }
    }
}

impl Schema {
    /// Reads the schema of all options.
    pub(super) fn root(value: &Value) -> Result<Self, SchemaError> {
        let mut members = object(value, "")?.clone();
        if let Some(dialect) = members.shift_remove("$schema")
            && dialect != DIALECT
        {
            let message = format!("`$schema` is {}: it must be \"{DIALECT}\"", shown(&dialect));
            return Err(SchemaError { pointer: "/$schema".to_owned(), message });
        }
        if members.contains_key("default") {
            let message = "`default` of the whole is never used: give each property its own".to_owned();
            return Err(SchemaError { pointer: "/default".to_owned(), message });
        }
        let root = Self::of(&members, "")?;
        if root.types == [JsonType::Object] {
            return Ok(root);
        }
        let message = "`type` of the root must be \"object\": options are a JSON object".to_owned();
        Err(SchemaError { pointer: "/type".to_owned(), message })
    }

    fn parse(value: &Value, pointer: &str) -> Result<Self, SchemaError> {
        Self::of(object(value, pointer)?, pointer)
    }

    fn of(members: &Map<String, Value>, pointer: &str) -> Result<Self, SchemaError> {
        let mut schema = Self::default();
        for (keyword, value) in members {
            let at = At { pointer: below(pointer, keyword), keyword, value };
            match keyword.as_str() {
                "type" => schema.types = at.types()?,
                "properties" => schema.properties = at.properties()?,
                "required" => schema.required = at.names()?,
                "additionalProperties" => schema.additional = at.additional()?,
                "enum" => schema.values = at.values()?,
                "const" => schema.constant = Some(value.clone()),
                "default" => {
                    schema.default = Some(Fallback { value: value.clone(), bytes: value.to_string().len() });
                }
                // Annotations, for people.
                "title" | "description" => drop(at.text()?),
                "minimum" => schema.minimum = at.number()?,
                "maximum" => schema.maximum = at.number()?,
                "exclusiveMinimum" => schema.exclusive_minimum = at.number()?,
                "exclusiveMaximum" => schema.exclusive_maximum = at.number()?,
                "minLength" => schema.min_length = at.count()?,
                "maxLength" => schema.max_length = at.count()?,
                "minItems" => schema.min_items = at.count()?,
                "maxItems" => schema.max_items = at.count()?,
                "items" => schema.items = Some(Box::new(Self::parse(value, &at.pointer)?)),
                _ => {
                    let message = format!(
                        "the keyword {} is not supported: use {KEYWORDS}",
                        shown(&keyword.as_str().into())
                    );
                    return Err(SchemaError { pointer: at.pointer, message });
                }
            }
        }
        let defaulted = schema.properties.iter().filter(|(_, property)| property.default.is_some());
        schema.defaulted = defaulted.map(|(name, _)| name.clone()).collect();
        schema.accepts_its_default(pointer)?;
        Ok(schema)
    }

    /// Checks the default against the rest of the schema, with the defaults inside of it filled in.
    fn accepts_its_default(&self, pointer: &str) -> Result<(), SchemaError> {
        let Some(default) = &self.default else { return Ok(()) };
        let mut value = default.value.clone();
        let checked = check::fill(self, &mut value).and_then(|()| check::check(self, &value));
        checked.map_err(|OptionError { pointer: inside, message }| SchemaError {
            pointer: format!("{pointer}/default{inside}"),
            message: format!("`default` does not satisfy its own schema: {message}"),
        })
    }
}

fn object<'a>(value: &'a Value, pointer: &str) -> Result<&'a Map<String, Value>, SchemaError> {
    value.as_object().ok_or_else(|| SchemaError {
        pointer: pointer.to_owned(),
        message: format!("a schema is {}: it must be an object", shown(value)),
    })
}
