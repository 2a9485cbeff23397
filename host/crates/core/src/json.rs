//! JSON texts that the server passes on: checked and changed without a tree of values, which takes up to forty times the
//! memory of its text.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Returns the nesting depth of arrays and objects in a JSON text: 0 for a number, 1 for `{}`. Does not recurse. The
/// result for a text that is not JSON is unspecified.
pub fn json_depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Checks that a text is JSON that can be parsed into a tree of values, and builds none.
///
/// # Errors
///
/// As `serde_json`: invalid syntax, a number beyond a double, half a surrogate pair, more than 127 levels.
pub fn check_json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<Sound>(text).map(|Sound| ())
}

/// Sets the member `name` of the object `object` to the JSON text `value`: in its place, or as the last one.
///
/// # Errors
///
/// If `object` is not a JSON object.
pub fn with_member(object: &str, name: &str, value: &str) -> Result<String, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_str(object);
    let out = String::with_capacity(object.len() + name.len() + value.len());
    let changed = parser.deserialize_map(WithMember { name, value, out })?;
    parser.end()?;
    Ok(changed)
}

/// Any value, of which nothing is kept. Unlike [`serde::de::IgnoredAny`] it is parsed like a value that is: strings are
/// decoded, and numbers converted.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// Writes an object member by member, with another value for one of them.
struct WithMember<'a> {
    name: &'a str,
    value: &'a str,
    out: String,
}

impl WithMember<'_> {
    fn push(&mut self, name: &str, value: &str) {
        let separator = if self.out.is_empty() { '{' } else { ',' };
        self.out.push(separator);
        self.out.push_str(&serde_json::Value::from(name).to_string());
        self.out.push(':');
        self.out.push_str(value);
    }
}

impl<'de> Visitor<'de> for WithMember<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<String, A::Error> {
        let (wanted, new) = (self.name, self.value);
        let mut is_set = false;
        while let Some((name, value)) = members.next_entry::<String, &RawValue>()? {
            if name != wanted {
                self.push(&name, value.get());
            } else if !std::mem::replace(&mut is_set, true) {
                self.push(wanted, new);
            }
        }
        if !is_set {
            self.push(wanted, new);
        }
        self.out.push('}');
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        let check = |text: &str, expect| assert_eq!(json_depth(text.as_bytes()), expect, "{text}");
        check("1", 0);
        check("{}", 1);
        check(r#"{"a":[{}],"b":{}}"#, 3);
        check(r#"["[[[", "\"[[", "\\", [1]]"#, 2);
        check("]]]][", 1);
        check(&nested(100_000), 100_000);
    }

    /// What the check accepts, and nothing else, can be parsed into values.
    #[test]
    fn a_text_is_checked_as_a_value_is_parsed() {
        let texts = [
            "",
            "{",
            "{}x",
            "{\"a\":}",
            "{1:2}",
            "null",
            "-1.5e3",
            "1e999",
            "18446744073709551616",
            "01",
            r#""\u00e9\n""#,
            r#""\ud800""#,
            r#""\ud83d\ude00""#,
            "\"\n\"",
            r#" {"a": [true, false, null, {"b": "c"}, []], "a": 0} "#,
        ];
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for text in texts.iter().map(|text| (*text).to_owned()).chain([deep(127), deep(128), deep(100_000)]) {
            let parsed = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            assert_eq!(check_json(&text).is_ok(), parsed, "{}", text.chars().take(80).collect::<String>());
        }
    }

    #[test]
    fn a_member_is_set_in_its_place() {
        let check = |object: &str, expected: Option<&str>| {
            assert_eq!(with_member(object, "b", "[1]").ok().as_deref(), expected, "{object}");
        };
        check("{}", Some(r#"{"b":[1]}"#));
        check(r#" { "a" : { "b": 2 } } "#, Some(r#"{"a":{ "b": 2 },"b":[1]}"#));
        check(r#"{"a\n":1,"b":{"c":0},"d":"é","b":3}"#, Some(r#"{"a\n":1,"b":[1],"d":"é"}"#));
        check("[]", None);
        check("{} {}", None);
        check("", None);
    }
}
