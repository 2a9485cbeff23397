//! A serde deserializer over a JSON value that accepts only an object for a struct.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// The error of a value of the wrong type, with the path of members to it.
#[derive(Debug)]
pub(super) struct StrictError(String);

impl fmt::Display for StrictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StrictError {}

impl Error for StrictError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Deserializes a value. The caller bounds its depth.
pub(super) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, StrictError> {
    T::deserialize(Strict(value))
}

struct Strict(Value);

impl<'de> IntoDeserializer<'de, StrictError> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Other("null"),
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(_) => Unexpected::Other("a number"),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Other("an array"),
        Value::Object(_) => Unexpected::Other("an object"),
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = StrictError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StrictError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => {
                number.deserialize_any(visitor).map_err(|error: serde_json::Error| StrictError::custom(error))
            }
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visitor.visit_seq(Items(items.into_iter())),
            Value::Object(members) => visitor.visit_map(Members { left: members.into_iter(), at: None }),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, StrictError> {
        match self.0 {
            Value::Object(_) => self.deserialize_any(visitor),
            other => Err(StrictError::invalid_type(unexpected(&other), &"an object")),
        }
    }

    /// Accepts what the format `int64` of the OpenAPI document allows: other programs read larger numbers inexactly.
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StrictError> {
        match self.0.as_u64() {
            Some(number) if i64::try_from(number).is_err() => {
                Err(StrictError::custom(format!("{number} is more than {}, the maximum", i64::MAX)))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, StrictError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, StrictError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, StrictError> {
        // The enums in request bodies have no members.
        match self.0 {
            Value::String(text) => {
                let text: StringDeserializer<StrictError> = text.into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            other => Err(StrictError::invalid_type(unexpected(&other), &"a string")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Items {
    type Error = StrictError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, StrictError> {
        self.0.next().map(|item| seed.deserialize(Strict(item))).transpose()
    }
}

struct Members {
    left: <Map<String, Value> as IntoIterator>::IntoIter,
    at: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = StrictError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, StrictError> {
        let Some((name, value)) = self.left.next() else { return Ok(None) };
        let key = seed.deserialize(Strict(Value::String(name.clone())))?;
        self.at = Some((name, value));
        Ok(Some(key))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, StrictError> {
        let (name, value) = self.at.take().ok_or_else(|| StrictError::custom("a value without a name"))?;
        seed.deserialize(Strict(value)).map_err(|StrictError(why)| StrictError(format!("`{name}`: {why}")))
    }
}
