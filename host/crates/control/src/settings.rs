//! Settings: a JSON object that the server stores and passes on as text.
//!
//! Owns the limits of settings. A deployment's guest and a tenant's operators define the meaning of settings. The text is
//! parsed where it enters the server, and written into answers as it is, never as part of a stored document that the server
//! reads back.

use std::sync::Arc;

use lector_core::{Fault, Kind, json_depth};
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

/// Deepest nesting of settings.
pub const SETTINGS_DEPTH_MAX: usize = 32;
/// Most bytes of settings, as JSON text.
pub const SETTINGS_BYTES_MAX: usize = 1 << 20;

/// The text of a JSON object.
#[derive(Clone, Debug)]
pub struct Settings(Arc<str>);

impl Default for Settings {
    fn default() -> Self {
        Self("{}".into())
    }
}

impl Settings {
    /// Makes settings of a JSON object. Fault: `settings_invalid` for any other value.
    pub fn of(value: &Value) -> Result<Self, Fault> {
        if !value.is_object() {
            let message = "The settings are not a JSON object: send an object, or `{}` for no settings.";
            return Err(Fault::new(Kind::Invalid, "settings_invalid", message));
        }
        Ok(Self(value.to_string().into()))
    }

    /// Makes settings of a stored text, at any depth. Error: the reason that the text is not a JSON object.
    pub(crate) fn kept(text: &str) -> Result<Self, String> {
        // serde_json skips a value without recursion.
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| format!("the settings are not JSON: {error}"))?;
        if text.trim_start().starts_with('{') {
            Ok(Self(text.into()))
        } else {
            Err("the settings are not a JSON object".to_owned())
        }
    }

    /// Returns the JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn text(&self) -> Arc<str> {
        self.0.clone()
    }

    /// Checks the limits. Faults: `settings_too_deep`, `settings_too_large`.
    pub(crate) fn checked(&self) -> Result<(), Fault> {
        let bytes = self.0.len();
        if bytes > SETTINGS_BYTES_MAX {
            let message = format!(
                "The settings have {bytes} bytes; at most {SETTINGS_BYTES_MAX} are accepted: send less."
            );
            return Err(Fault::new(Kind::TooLarge, "settings_too_large", message));
        }
        let depth = json_depth(self.0.as_bytes());
        if depth > SETTINGS_DEPTH_MAX {
            let message = format!(
                "The settings nest {depth} levels deep; at most {SETTINGS_DEPTH_MAX} are accepted: send settings with fewer levels."
            );
            return Err(Fault::new(Kind::Invalid, "settings_too_deep", message));
        }
        Ok(())
    }

    fn value(&self) -> Option<Value> {
        serde_json::from_str(&self.0).ok()
    }
}

/// Returns the schema of settings in answers: an object, or the text of one that is too deep to be shown as JSON.
pub(crate) fn schema() -> RefOr<Schema> {
    let types = SchemaType::Array(vec![Type::Object, Type::String]);
    RefOr::T(ObjectBuilder::new().schema_type(types).into())
}

#[cfg(test)]
impl From<&str> for Settings {
    /// Makes settings of a text; `{}` if the text is not a JSON object.
    fn from(text: &str) -> Self {
        Self::kept(text).unwrap_or_default()
    }
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        // The order of members is not significant.
        self.0 == other.0 || matches!((self.value(), other.value()), (Some(one), Some(two)) if one == two)
    }
}

/// Serialized as a JSON object; as a string that holds the text if the object is nested deeper than clients can be
/// expected to parse (Lector 0.1 accepted such settings).
impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = json_depth(self.0.as_bytes()) <= SETTINGS_DEPTH_MAX;
        // As it is: a `Value` of small numbers has 36 times the bytes of the text.
        match serde_json::from_str::<&RawValue>(&self.0).ok().filter(|_| shown) {
            Some(text) => text.serialize(serializer),
            None => serializer.serialize_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `Map`: it accepts null in place of an object.
        match Value::deserialize(deserializer)? {
            value @ Value::Object(_) => Ok(Self(value.to_string().into())),
            _ => Err(D::Error::custom("settings must be a JSON object")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    fn nested(depth: usize) -> String {
        format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
    }

    #[test]
    fn settings_are_bounded_and_come_back_as_they_are() {
        let code = |text: &str| Settings::kept(text).unwrap().checked().err().map(|fault| fault.code);
        assert_eq!(code(&nested(SETTINGS_DEPTH_MAX)), None);
        assert_eq!(code(&nested(SETTINGS_DEPTH_MAX + 1)), Some("settings_too_deep"));
        assert_eq!(code(&format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20))), Some("settings_too_large"));
        for bad in ["", "[]", "null", "{", "{\"a\":}", "{} {}"] {
            assert!(Settings::kept(bad).is_err(), "{bad}");
        }
        let settings = Settings::kept(r#"{"b":1,"a":[2]}"#).unwrap();
        assert_eq!(serde_json::to_value(&settings).unwrap(), json!({ "a": [2], "b": 1 }));
        assert_eq!(settings, Settings::of(&json!({ "a": [2], "b": 1 })).unwrap());
        // An answer has the text itself, at any place.
        let exact = r#"{ "n": 1.50, "n": 100000000000000000000000 }"#;
        let shown = serde_json::to_string(&[Settings::kept(exact).unwrap()]).unwrap();
        assert_eq!(shown, format!("[{exact}]"));
        // A text too deep for a recursive parser is kept, and shown as a string.
        let deep = nested(100_000);
        let kept = Settings::kept(&deep).unwrap();
        assert_eq!((kept.as_str(), json!(kept)), (deep.as_str(), Value::from(deep.as_str())));
    }
}
