//! Validation of a JSON value by a schema of the OpenAPI document.
//!
//! Knows the keywords that the document uses, and fails on another one. Stricter than JSON Schema in one point: a member
//! that no part of the schema names is an error, because the document would not describe it.

use serde_json::{Value, json};

/// Keywords that do not restrict a value.
const ANNOTATIONS: &[&str] = &[
    "title",
    "description",
    "default",
    "x-statuses",
    "discriminator",
    "$ref",
    "contentMediaType",
    "example",
];

/// Returns the part of the document to which a reference refers, or the value itself if it is none.
pub(super) fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => resolved(document, document.pointer(reference.trim_start_matches('#')).unwrap()),
        None => value,
    }
}

/// Validates a value. Error: the place in the value, and the difference.
pub(super) fn validate(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    Validator { document }.at("", schema, value)
}

struct Validator<'a> {
    document: &'a Value,
}

impl Validator<'_> {
    /// Validates the value at a place, and looks for members that the schema does not name.
    fn at(&self, place: &str, schema: &Value, value: &Value) -> Result<(), String> {
        self.keywords(place, schema, value)?;
        for name in value.as_object().into_iter().flat_map(|members| members.keys()) {
            if self.named(schema, name) == Some(false) {
                return Err(format!("{place}/{name} is not described"));
            }
        }
        Ok(())
    }

    /// Returns whether a part of the schema names the member; `None` if it describes no members at all.
    fn named(&self, schema: &Value, name: &str) -> Option<bool> {
        let schema = resolved(self.document, schema);
        let parts =
            ["allOf", "anyOf", "oneOf"].iter().filter_map(|keyword| schema[keyword].as_array()).flatten();
        let own = schema["properties"].as_object().map(|properties| properties.contains_key(name));
        let open = schema.get("additionalProperties").is_some_and(|more| *more != false).then_some(true);
        // The part with the most to say decides.
        parts.map(|part| self.named(part, name)).chain([own, open]).max().flatten()
    }

    fn keywords(&self, place: &str, schema: &Value, value: &Value) -> Result<(), String> {
        let keywords = match schema {
            Value::Object(keywords) => keywords,
            Value::Bool(true) => return Ok(()),
            other => panic!("{place}: {other} is not a schema"),
        };
        if schema["$ref"].is_string() {
            self.keywords(place, resolved(self.document, schema), value)?;
        }
        for (keyword, bound) in keywords {
            let valid = match keyword.as_str() {
                "type" => types(bound).any(|name| is(name, value)),
                "const" => value == bound,
                "enum" => bound.as_array().unwrap().contains(value),
                "minimum" => value.as_f64().is_none_or(|number| number >= bound.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|number| number <= bound.as_f64().unwrap()),
                "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > bound.as_f64().unwrap()),
                "minLength" => length(value).is_none_or(|length| length >= bound.as_u64().unwrap()),
                "maxLength" => length(value).is_none_or(|length| length <= bound.as_u64().unwrap()),
                "minItems" => items(value).is_none_or(|items| items >= bound.as_u64().unwrap()),
                "maxItems" => items(value).is_none_or(|items| items <= bound.as_u64().unwrap()),
                "pattern" => value.as_str().is_none_or(|text| has_pattern(bound.as_str().unwrap(), text)),
                "format" => value.as_str().is_none_or(|text| has_format(bound.as_str().unwrap(), text)),
                "required" => value.as_object().is_none_or(|members| {
                    bound.as_array().unwrap().iter().all(|name| members.contains_key(name.as_str().unwrap()))
                }),
                "oneOf" => self.matching(place, bound, value).count() == 1,
                "anyOf" => self.matching(place, bound, value).next().is_some(),
                "allOf" => {
                    for part in bound.as_array().unwrap() {
                        self.keywords(place, part, value)?;
                    }
                    true
                }
                "properties" => {
                    for (name, own) in bound.as_object().unwrap() {
                        if let Some(member) = value.get(name) {
                            self.at(&format!("{place}/{name}"), own, member)?;
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let known = |name: &str| schema["properties"].get(name).is_some();
                    for (name, member) in
                        value.as_object().into_iter().flatten().filter(|(name, _)| !known(name))
                    {
                        match bound {
                            Value::Bool(false) => return Err(format!("{place}/{name} is not allowed")),
                            bound => self.at(&format!("{place}/{name}"), bound, member)?,
                        }
                    }
                    true
                }
                "items" | "prefixItems" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        let own = bound.as_array().map_or(Some(bound), |list| list.get(index));
                        own.map_or(Ok(()), |own| self.at(&format!("{place}/{index}"), own, item))?;
                    }
                    true
                }
                "propertyNames" => value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .all(|(name, _)| self.keywords(place, bound, &Value::from(name.as_str())).is_ok()),
                annotation if ANNOTATIONS.contains(&annotation) => true,
                other => panic!("the keyword `{other}` of the document is unknown here: add it"),
            };
            if !valid {
                let shown: String = value.to_string().chars().take(300).collect();
                return Err(format!("{place} is {shown}, against `{keyword}`: {bound}"));
            }
        }
        Ok(())
    }

    fn matching(&self, place: &str, parts: &Value, value: &Value) -> impl Iterator<Item = ()> {
        let parts = parts.as_array().unwrap().iter();
        parts.filter_map(move |part| self.keywords(place, part, value).ok())
    }
}

fn types(bound: &Value) -> impl Iterator<Item = &str> {
    let list = bound.as_array().map_or(std::slice::from_ref(bound), Vec::as_slice);
    list.iter().map(|name| name.as_str().unwrap())
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type `{other}`"),
    }
}

fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

fn items(value: &Value) -> Option<u64> {
    value.as_array().map(|items| items.len() as u64)
}

fn has_pattern(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[0-9a-f]{64}$" => {
            text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        }
        other => panic!("the pattern `{other}` of a response is unknown here: add it"),
    }
}

fn has_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "uri-reference" => text.parse::<axum::http::Uri>().is_ok(),
        other => panic!("the format `{other}` of a text is unknown here: add it"),
    }
}

#[test]
fn differences_are_found() {
    let document = json!({ "components": { "schemas": {
        "Part": { "type": "object", "required": ["a"], "properties": { "a": { "type": "integer", "minimum": 1 } } },
        "Whole": { "allOf": [{ "$ref": "#/components/schemas/Part" }, { "type": "object", "properties": {
            "b": { "type": ["string", "null"], "format": "date-time" }, "c": { "oneOf": [{ "const": 1 }, { "type": "integer" }] },
            "d": { "type": "object", "additionalProperties": { "type": "number" } }, "e": { "type": "object" },
        } }] },
    } } });
    let check = |value: Value, expected: &str| {
        let found = validate(&document, &document["components"]["schemas"]["Whole"], &value);
        match expected {
            "" => assert_eq!(found, Ok(()), "{value}"),
            expected => {
                assert!(found.as_ref().is_err_and(|why| why.contains(expected)), "{value}: {found:?}")
            }
        }
    };
    check(json!({ "a": 1, "b": null, "c": 2, "d": { "x": 1.5 }, "e": { "anything": [] } }), "");
    check(json!({ "a": 1, "b": "2026-01-01T12:00:00Z" }), "");
    check(json!({}), "required");
    check(json!({ "a": 0 }), "/a is 0");
    check(json!({ "a": 1.5 }), "type");
    check(json!({ "a": 1, "b": "noon" }), "format");
    check(json!({ "a": 1, "c": 1 }), "oneOf");
    check(json!({ "a": 1, "d": { "x": "1" } }), "/d/x");
    check(json!({ "a": 1, "more": 1 }), "/more is not described");
    check(json!([]), "type");
}
