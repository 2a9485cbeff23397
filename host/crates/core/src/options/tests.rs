#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn schema(value: Value) -> OptionsSchema {
    OptionsSchema::parse(&value.to_string()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn given(value: Value) -> Map<String, Value> {
    parse_options(&value.to_string()).unwrap()
}

/// The options of an invoice reader.
fn invoice() -> OptionsSchema {
    schema(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Options of the invoice reader",
        "type": "object",
        "additionalProperties": false,
        "required": ["currency"],
        "properties": {
            "currency": { "type": "string", "enum": ["EUR", "USD"], "default": "EUR", "description": "ISO 4217." },
            "digits": { "type": "integer", "minimum": 0, "exclusiveMaximum": 5 },
            "share": { "type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1 },
            "version": { "const": 2 },
            "names": {
                "type": "array", "minItems": 1, "maxItems": 2,
                "items": { "type": "string", "minLength": 2, "maxLength": 3 }
            },
            "tax/vat": {
                "type": "object",
                "properties": { "rate": { "type": "number", "default": 19 }, "shown": { "type": "boolean" } },
                "additionalProperties": { "type": "string" }
            }
        }
    }))
}

#[test]
fn options_are_checked_and_defaults_filled_in() {
    let of = invoice();
    let check = |options: Value, expected: Value| {
        let filled = of.check(given(options.clone())).unwrap_or_else(|error| panic!("{options}: {error}"));
        assert_eq!(serde_json::from_str::<Value>(&filled).unwrap(), expected, "{options}");
    };
    check(json!({}), json!({ "currency": "EUR" }));
    assert_eq!(&*of.defaults(), r#"{"currency":"EUR"}"#);
    check(json!({ "currency": "USD", "digits": 4.0 }), json!({ "currency": "USD", "digits": 4.0 }));
    check(
        json!({ "share": null, "version": 2.0 }),
        json!({ "share": null, "version": 2.0, "currency": "EUR" }),
    );
    check(json!({ "names": ["日本", "abc"] }), json!({ "names": ["日本", "abc"], "currency": "EUR" }));
    check(
        json!({ "tax/vat": { "note": "x" } }),
        json!({ "tax/vat": { "note": "x", "rate": 19 }, "currency": "EUR" }),
    );
}

#[test]
fn refused_options_name_the_pointer_the_value_and_what_is_allowed() {
    let of = invoice();
    let check = |options: Value, pointer: &str, message: &str| {
        let error = of.check(given(options.clone())).unwrap_err();
        assert_eq!((error.pointer.as_str(), error.message.as_str()), (pointer, message), "{options}");
    };
    check(json!({ "currency": "XXX" }), "/currency", r#""XXX" is not allowed: use one of "EUR", "USD""#);
    check(json!({ "digits": "4" }), "/digits", r#""4" is not allowed: use a value of type integer"#);
    check(json!({ "digits": 4.5 }), "/digits", "4.5 is not allowed: use a value of type integer");
    check(json!({ "digits": 5 }), "/digits", "5 is not allowed: use a number of at least 0 and less than 5");
    check(
        json!({ "digits": u64::MAX }),
        "/digits",
        "18446744073709551615 is not allowed: use a number of at least 0 and less than 5",
    );
    check(json!({ "share": 0 }), "/share", "0 is not allowed: use a number of more than 0 and at most 1");
    check(json!({ "share": true }), "/share", "true is not allowed: use a value of type null or number");
    check(json!({ "version": 1 }), "/version", "1 is not allowed: use 2");
    check(json!({ "names": [] }), "/names", "[] is not allowed: use 1 to 2 values");
    check(json!({ "names": ["ab", "a"] }), "/names/1", r#""a" is not allowed: use 2 to 3 characters"#);
    check(
        json!({ "tax/vat": { "note": 1 } }),
        "/tax~1vat/note",
        "1 is not allowed: use a value of type string",
    );
    check(
        json!({ "curency": "EUR" }),
        "/curency",
        r#"there is no such option: use "currency", "digits", "names", "share", "tax/vat", "version""#,
    );
    let long = of.check(given(json!({ "currency": "x".repeat(1000) }))).unwrap_err();
    assert!(long.message.contains("x... (1002 bytes) is not allowed"), "{long}");
    let odd = of.check(given(json!({ "a\n\u{1b}[1m": 1 }))).unwrap_err().to_string();
    assert!(odd.starts_with("at `/a[1m`: "), "{odd}");
    let empty = schema(json!({ "type": "object", "additionalProperties": false }));
    assert!(empty.check(given(json!({ "a": 1 }))).unwrap_err().message.contains("none is allowed"));
    let nested = schema(json!({ "type": "object", "properties": {
        "a": { "type": "object", "required": ["b"] }
    } }));
    let missing = nested.check(given(json!({ "a": {} }))).unwrap_err();
    assert_eq!(missing.to_string(), "at `/a/b`: it is missing, and required");
}

#[test]
fn refused_schemas_name_the_keyword() {
    let check = |value: Value, pointer: &str, part: &str| {
        let error = OptionsSchema::parse(&value.to_string()).unwrap_err();
        assert_eq!(error.pointer, pointer, "{value}: {error}");
        assert!(error.message.contains(part), "{value}: {error}");
    };
    let of = |property: Value| json!({ "type": "object", "properties": { "a": property } });
    check(json!([]), "", "a schema is []: it must be an object");
    check(json!({}), "/type", "must be \"object\"");
    check(json!({ "type": ["object", "null"] }), "/type", "must be \"object\"");
    check(
        json!({ "type": "object", "$schema": "http://json-schema.org/draft-07/schema#" }),
        "/$schema",
        "2020-12",
    );
    check(json!({ "type": "object", "default": {} }), "/default", "never used");
    check(
        of(json!({ "pattern": "^x" })),
        "/properties/a/pattern",
        "the keyword \"pattern\" is not supported: use type, ",
    );
    check(of(json!({ "$schema": "x" })), "/properties/a/$schema", "not supported");
    check(of(json!({ "$ref": "#" })), "/properties/a/$ref", "not supported");
    check(of(json!(true)), "/properties/a", "a schema is true");
    check(of(json!({ "type": "int" })), "/properties/a/type", "integer");
    check(of(json!({ "type": [] })), "/properties/a/type", "integer");
    check(of(json!({ "type": ["string", "string"] })), "/properties/a/type", "different strings");
    check(of(json!({ "enum": [] })), "/properties/a/enum", "0 values");
    check(of(json!({ "enum": vec![1; ENUM_VALUES_MAX + 1] })), "/properties/a/enum", "513 values");
    check(of(json!({ "minimum": "1" })), "/properties/a/minimum", "a number");
    check(of(json!({ "minLength": -1 })), "/properties/a/minLength", "0 or more");
    check(of(json!({ "title": 1 })), "/properties/a/title", "a string");
    check(of(json!({ "items": [] })), "/properties/a/items", "an object");
    check(of(json!({ "additionalProperties": 1 })), "/properties/a/additionalProperties", "a schema");
    check(of(json!({ "type": "string", "default": 1 })), "/properties/a/default", "its own schema");
    check(
        of(json!({ "type": "object", "default": { "b": 1 }, "properties": { "b": { "type": "string" } } })),
        "/properties/a/default/b",
        "type string",
    );
    check(json!({ "type": "object", "required": ["a"] }), "", "sends no options would be refused at `/a`");
    check(of(json!({ "description": "x".repeat(SCHEMA_BYTES_MAX) })), "", "at most 65536");
    let mut deep = json!({ "type": "integer" });
    for _ in 0..SCHEMA_DEPTH_MAX {
        deep = json!({ "items": deep });
    }
    check(of(deep), "", "more than 32 levels");
    assert!(OptionsSchema::parse("{").unwrap_err().message.contains("not JSON"));
}

#[test]
fn options_are_bounded() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(40), "}".repeat(40));
    assert!(parse_options(&deep).unwrap_err().message.contains("more than 32 levels"));
    assert!(parse_options(&"[".repeat(9000)).unwrap_err().message.contains("not JSON"));
    assert!(parse_options("[1]").unwrap_err().message.contains("[1]: send a JSON object"));
    assert!(parse_options(&" ".repeat(OPTIONS_BYTES_MAX + 1)).unwrap_err().message.contains("16385 bytes"));
    // A default of each value of an array.
    let of = schema(json!({ "type": "object", "properties": { "all": { "items": {
        "type": "object", "properties": { "text": { "default": "x".repeat(1000) } }
    } } } }));
    assert!(of.check(given(json!({ "all": vec![json!({}); 10] }))).is_ok());
    let error = of.check(given(json!({ "all": vec![json!({}); 100] }))).unwrap_err();
    assert!(error.message.contains("exceed 65536 bytes"), "{error}");
}

#[test]
fn a_guest_without_a_schema_takes_no_options() {
    assert_eq!((&*super::check(None, Map::new()).unwrap(), &*defaults(None)), ("{}", "{}"));
    let error = super::check(None, given(json!({ "a/b": 1, "c": 2 }))).unwrap_err();
    assert_eq!(error.to_string(), "at `/a~1b`: there is no such option: the guest has none");
    assert_eq!(&*super::check(Some(&invoice()), Map::new()).unwrap(), &*defaults(Some(&invoice())));
}

#[test]
fn schemas_are_stored_as_they_were_written() {
    let of = invoice();
    let text = serde_json::to_string(&of).unwrap();
    assert_eq!(serde_json::from_str::<OptionsSchema>(&text).unwrap(), of);
    assert_eq!(of.bytes(), text.len());
    assert!(serde_json::from_str::<OptionsSchema>(r#"{"type":"object","pattern":"x"}"#).is_err());
}

/// A JSON value with the keywords and values of schemas in it.
fn any_json() -> impl Strategy<Value = Value> {
    let words = prop_oneof![
        Just("type"),
        Just("object"),
        Just("properties"),
        Just("a"),
        Just("items"),
        Just("default"),
        Just("enum"),
        Just("required"),
        Just("additionalProperties"),
        Just("minimum"),
        Just("string"),
        Just("maxLength"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Quarters: serde_json reads a double of many digits to the last bit but one.
        (-12i32..12).prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        words.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inside| {
        let members = prop::collection::vec((words.clone(), inside.clone()), 0..6);
        let object = members.prop_map(|members| {
            members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
        });
        prop_oneof![prop::collection::vec(inside, 0..4).prop_map(Value::from), object]
    })
}

proptest! {
    #[test]
    fn no_schema_and_no_options_panic_and_filled_options_are_accepted_unchanged(
        property in any_json(), options in any_json(),
    ) {
        let of = json!({ "type": "object", "properties": { "a": property } });
        let Ok(of) = OptionsSchema::parse(&of.to_string()) else { return Ok(()) };
        let Value::Object(options) = options else { return Ok(()) };
        if let Ok(filled) = of.check(options) {
            let again = of.check(serde_json::from_str(&filled).unwrap()).unwrap();
            prop_assert_eq!(again, filled);
        }
    }

    #[test]
    fn a_range_is_a_range(least in -9i64..9, most in -9i64..9, number in -12i64..12) {
        let of = schema(json!({ "type": "object", "properties": { "a": { "minimum": least, "exclusiveMaximum": most } } }));
        let is_in = (least..most).contains(&number);
        prop_assert_eq!(of.check(given(json!({ "a": number }))).is_ok(), is_in);
        prop_assert_eq!(of.check(given(json!({ "a": number as f64 }))).is_ok(), is_in);
    }

    #[test]
    fn a_value_of_an_enum_is_accepted(values in prop::collection::vec(any_json(), 1..5), other in any_json()) {
        let of = schema(json!({ "type": "object", "properties": { "a": { "enum": values } } }));
        for value in &values {
            let accepted = of.check(given(json!({ "a": value }))).is_ok();
            prop_assert!(accepted);
        }
        if !values.contains(&other) && !other.is_number() && !other.is_array() && !other.is_object() {
            let refused = of.check(given(json!({ "a": other }))).is_err();
            prop_assert!(refused);
        }
    }
}
