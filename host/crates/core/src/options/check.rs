//! The check of options against a parsed schema, and the defaults that are filled in before it.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::bounds::FILLED_BYTES_MAX;
use super::errors::{OptionError, below, shown};
use super::schema::{Additional, JsonType, Schema};

/// Most values or names that a message lists.
const LISTED_MAX: usize = 24;
/// Bytes of a filled-in member beside its name and its value: quotes, colon, comma.
const MEMBER_BYTES: usize = 4;

/// Puts the defaults of the schema in place of members that are missing.
pub(super) fn fill(schema: &Schema, value: &mut Value) -> Result<(), OptionError> {
    let mut room = FILLED_BYTES_MAX;
    fill_within(schema, value, &mut room)
}

/// `room`: the bytes that defaults may still add.
fn fill_within(schema: &Schema, value: &mut Value, room: &mut usize) -> Result<(), OptionError> {
    match value {
        // The work is bounded by the members that are there and by the defaults that are added, whatever the schema names.
        Value::Object(members) => {
            for name in &schema.defaulted {
                let Some(default) = schema.property(name).and_then(|property| property.default.as_ref())
                else {
                    continue;
                };
                if members.contains_key(name) {
                    continue;
                }
                let bytes = default.bytes + name.len() + MEMBER_BYTES;
                *room = room.checked_sub(bytes).ok_or_else(|| OptionError {
                    pointer: String::new(),
                    message: format!(
                        "the defaults of the options exceed {FILLED_BYTES_MAX} bytes: send fewer values"
                    ),
                })?;
                members.insert(name.clone(), default.value.clone());
            }
            for (name, member) in members {
                match (schema.property(name), &schema.additional) {
                    (Some(property), _) => fill_within(property, member, room)?,
                    (None, Additional::Of(other)) => fill_within(other, member, room)?,
                    (None, Additional::Any | Additional::None) => {}
                }
            }
        }
        Value::Array(values) => {
            if let Some(items) = &schema.items {
                for value in values {
                    fill_within(items, value, room)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Checks a value with everything in it.
pub(super) fn check(schema: &Schema, value: &Value) -> Result<(), OptionError> {
    check_at(schema, value, "")
}

fn check_at(schema: &Schema, value: &Value, pointer: &str) -> Result<(), OptionError> {
    let refused = |allowed: String| {
        let message = format!("{} is not allowed: use {allowed}", shown(value));
        Err(OptionError { pointer: pointer.to_owned(), message })
    };
    if !schema.types.is_empty() && !schema.types.iter().any(|of| is_of(value, *of)) {
        let names: Vec<&str> = schema.types.iter().map(|of| of.name()).collect();
        return refused(format!("a value of type {}", names.join(" or ")));
    }
    if let Some(constant) = &schema.constant
        && !is_same(value, constant)
    {
        return refused(shown(constant));
    }
    if let Some(values) = &schema.values
        && !values.iter().any(|allowed| is_same(value, allowed))
    {
        return refused(format!("one of {}", listed(values.iter().map(shown))));
    }
    match value {
        Value::Number(number) => in_range(schema, number).or_else(refused),
        Value::String(text) => {
            let count = text.chars().count() as u64;
            within(count, schema.min_length, schema.max_length, "characters").or_else(refused)
        }
        Value::Array(values) => {
            within(values.len() as u64, schema.min_items, schema.max_items, "values").or_else(refused)?;
            let Some(items) = &schema.items else { return Ok(()) };
            let each =
                |(index, value): (usize, &Value)| check_at(items, value, &format!("{pointer}/{index}"));
            values.iter().enumerate().try_for_each(each)
        }
        Value::Object(members) => {
            if let Some(missing) = schema.required.iter().find(|name| !members.contains_key(*name)) {
                let message = "it is missing, and required".to_owned();
                return Err(OptionError { pointer: below(pointer, missing), message });
            }
            for (name, member) in members {
                let inside = below(pointer, name);
                match (schema.property(name), &schema.additional) {
                    (Some(property), _) => check_at(property, member, &inside)?,
                    (None, Additional::Any) => {}
                    (None, Additional::Of(other)) => check_at(other, member, &inside)?,
                    (None, Additional::None) => return Err(unknown(schema, inside)),
                }
            }
            Ok(())
        }
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn unknown(schema: &Schema, pointer: String) -> OptionError {
    let names = || schema.properties.keys().map(|name| shown(&name.as_str().into()));
    let message = match schema.properties.len() {
        0 => "there is no such option: none is allowed here".to_owned(),
        _ => format!("there is no such option: use {}", listed(names())),
    };
    OptionError { pointer, message }
}

fn is_of(value: &Value, of: JsonType) -> bool {
    match of {
        JsonType::Null => value.is_null(),
        JsonType::Boolean => value.is_boolean(),
        JsonType::Object => value.is_object(),
        JsonType::Array => value.is_array(),
        JsonType::Number => value.is_number(),
        JsonType::Integer => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        JsonType::String => value.is_string(),
    }
}

/// Returns whether JSON Schema calls both values equal: numbers are compared by value, members in any order.
fn is_same(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(one), Value::Number(two)) => compared(one, two) == Ordering::Equal,
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| is_same(one, two))
        }
        (Value::Object(one), Value::Object(two)) => {
            let has =
                |(name, value): (&String, &Value)| two.get(name).is_some_and(|other| is_same(value, other));
            one.len() == two.len() && one.iter().all(has)
        }
        (one, two) => one == two,
    }
}

/// Compares whole numbers exactly, and others as doubles.
fn compared(one: &Number, two: &Number) -> Ordering {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    if let (Some(one), Some(two)) = (whole(one), whole(two)) {
        return one.cmp(&two);
    }
    let double = |number: &Number| number.as_f64().unwrap_or_default();
    // JSON has no NaN.
    double(one).partial_cmp(&double(two)).unwrap_or(Ordering::Equal)
}

/// Err: the allowed range.
fn in_range(schema: &Schema, number: &Number) -> Result<(), String> {
    let bounds = [
        (&schema.minimum, "at least", [Ordering::Greater, Ordering::Equal].as_slice()),
        (&schema.exclusive_minimum, "more than", &[Ordering::Greater]),
        (&schema.maximum, "at most", &[Ordering::Less, Ordering::Equal]),
        (&schema.exclusive_maximum, "less than", &[Ordering::Less]),
    ];
    let is_met = bounds.iter().all(|(bound, _, allowed)| {
        bound.as_ref().is_none_or(|bound| allowed.contains(&compared(number, bound)))
    });
    if is_met {
        return Ok(());
    }
    let words: Vec<String> =
        bounds.iter().filter_map(|(bound, word, _)| Some(format!("{word} {}", bound.as_ref()?))).collect();
    Err(format!("a number of {}", words.join(" and ")))
}

/// Err: the allowed range.
fn within(count: u64, least: Option<u64>, most: Option<u64>, what: &str) -> Result<(), String> {
    if least.is_none_or(|least| count >= least) && most.is_none_or(|most| count <= most) {
        return Ok(());
    }
    Err(match (least, most) {
        (Some(least), Some(most)) => format!("{least} to {most} {what}"),
        (Some(least), None) => format!("at least {least} {what}"),
        (None, most) => format!("at most {} {what}", most.unwrap_or(u64::MAX)),
    })
}

fn listed(words: impl ExactSizeIterator<Item = String>) -> String {
    let more = words.len().saturating_sub(LISTED_MAX);
    let words: Vec<String> = words.take(LISTED_MAX).collect();
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    words.join(", ") + &rest
}
