//! `--guest-option NAME=VALUE` of `lector ocr` and `lector jobs submit`: options of a deployment's own.
//!
//! Owns the form of the flag. Whether a deployment has the option is checked by the revision that reads.

use lector_core::options::{OPTIONS_BYTES_MAX, parse_options};
use serde_json::{Map, Value};

/// The flag.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct GuestOptions {
    /// Option of the deployment's own, repeatable: a JSON value such as `2`, `true`, `["a"]`; other text is a string. The last
    /// value of a name counts
    #[arg(long = "guest-option", value_name = "NAME=VALUE", value_parser = option)]
    options: Vec<(String, Value)>,
}

impl GuestOptions {
    /// Returns the options as one JSON object.
    pub(super) fn object(&self) -> Map<String, Value> {
        self.options.iter().cloned().collect()
    }
}

/// Returns the value of the query parameter `guest_options`; `None` without options.
pub(super) fn query(options: &Map<String, Value>) -> Option<String> {
    (!options.is_empty()).then(|| Value::Object(options.clone()).to_string())
}

fn option(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE, such as `currency=EUR`")?;
    if name.is_empty() {
        return Err("the name before `=` is empty".to_owned());
    }
    if text.len() > OPTIONS_BYTES_MAX {
        return Err(format!("has {} bytes, and at most {OPTIONS_BYTES_MAX} are accepted", text.len()));
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    // The bounds of the server.
    let object = Value::Object(Map::from_iter([(name.to_owned(), value.clone())])).to_string();
    parse_options(&object).map_err(|error| error.message)?;
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_json_or_text() {
        let check = |text: &str, expect: Value| {
            let (name, value) = option(text).unwrap();
            assert_eq!(json!({ name: value }), expect, "{text}");
        };
        check("currency=EUR", json!({ "currency": "EUR" }));
        check("digits=2", json!({ "digits": 2 }));
        check("digits=\"2\"", json!({ "digits": "2" }));
        check("strict=true", json!({ "strict": true }));
        check("names=[\"a\",\"b\"]", json!({ "names": ["a", "b"] }));
        check("formula=a=b", json!({ "formula": "a=b" }));
        check("note=", json!({ "note": "" }));
        check("note={", json!({ "note": "{" }));
        for wrong in [
            "currency",
            "=EUR",
            &format!("a={}", "x".repeat(20_000)),
            &format!("a={}1{}", "[".repeat(40), "]".repeat(40)),
        ] {
            assert!(option(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_flags_are_one_object() {
        let given = ["a=1", "b=x", "a=2"].map(|text| option(text).unwrap());
        let options = GuestOptions { options: given.into() };
        assert_eq!(query(&options.object()).as_deref(), Some(r#"{"a":2,"b":"x"}"#));
        assert_eq!(query(&GuestOptions::default().object()), None);
    }
}
