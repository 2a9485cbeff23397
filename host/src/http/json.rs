//! JSON at the door: bounds first, then objects where objects are expected.
//!
//! Owns the bounds of every JSON text that a managing request brings, whether it is the body or a part of a form. Knows
//! no request. Used by `manage.rs`. serde takes an array for any struct and gives its members by position; here an array
//! is refused, at every level.

mod strict;

use lector_control::{SETTINGS_BYTES_MAX, json_depth};
use lector_core::{Fault, Kind};
use serde::de::DeserializeOwned;

/// Deepest nesting of a JSON text. Settings have the same bound.
pub(super) const DEPTH_MAX: usize = lector_control::SETTINGS_DEPTH_MAX;
/// Largest JSON text without settings: keys, routes.
pub(super) const SMALL_BYTES_MAX: u64 = 16 << 10;
/// Largest tenant policy.
pub(super) const POLICY_BYTES_MAX: u64 = 256 << 10;
/// Largest settings of a deploy.
pub(super) const SETTINGS_MAX: u64 = SETTINGS_BYTES_MAX as u64;
/// Largest options of a deploy: they may hold settings.
pub(super) const OPTIONS_BYTES_MAX: u64 = SETTINGS_MAX + (256 << 10);

/// A body of a managing request.
pub(crate) trait JsonBody: DeserializeOwned + Default {
    /// Largest JSON text.
    const BYTES_MAX: u64;
}

/// A JSON text has more bytes than it may.
pub(super) fn too_large(what: &str, most: u64) -> Fault {
    let message =
        format!("The {what} has more than {most} bytes, and at most {most} are accepted: send less.");
    Fault::new(Kind::TooLarge, "json_too_large", message)
}

/// Parses a JSON text of the client's; `what` names where it stands, e.g. `body`. `json_too_large`, `json_too_deep`,
/// `body_invalid`.
pub(super) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8], bytes_max: u64) -> Result<T, Fault> {
    if bytes.len() as u64 > bytes_max {
        return Err(too_large(what, bytes_max));
    }
    let depth = json_depth(bytes);
    if depth > DEPTH_MAX {
        let message = format!(
            "The {what} nests {depth} levels deep, and at most {DEPTH_MAX} are accepted: send it flatter."
        );
        return Err(Fault::new(Kind::Invalid, "json_too_deep", message));
    }
    let invalid = |why: String| {
        let message = format!("The {what} is not the JSON that is expected here: {why}.");
        Fault::new(Kind::Invalid, "body_invalid", message)
    };
    let value = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
    strict::from_value(value).map_err(|refusal| invalid(refusal.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::BTreeMap;

    use lector_control::{RollbackPolicy, TenantPolicy};
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Options {
        digest: Option<String>,
        settings: Option<Value>,
        grants: Option<BTreeMap<String, String>>,
        rollback_policy: Option<RollbackPolicy>,
        percent: Option<u8>,
        list: Vec<u32>,
    }

    fn options(text: &str) -> Result<Options, Fault> {
        parse("body", text.as_bytes(), SMALL_BYTES_MAX)
    }

    #[test]
    fn objects_are_objects_at_every_level() {
        let whole = options(
            r#"{"digest":"x","settings":{"a":[1]},"grants":{"a":"b"},"rollback_policy":{"pages_min":3},"percent":7,"list":[1,2]}"#,
        );
        let whole = whole.unwrap();
        assert_eq!(
            (whole.percent, whole.list, whole.settings),
            (Some(7), vec![1, 2], Some(json!({ "a": [1] })))
        );
        assert_eq!(whole.rollback_policy.unwrap().pages_min, 3);
        assert_eq!(options("{}").unwrap(), Options::default());
        for (text, told) in [
            ("[]", "an object"),
            ("[null,null]", "an object"),
            ("null", "an object"),
            ("7", "an object"),
            (r#"{"rollback_policy":[0.1,5,10]}"#, "`rollback_policy`"),
            (r#"{"grants":[["a","b"]]}"#, "`grants`"),
            (r#"{"percent":256}"#, "`percent`"),
            (r#"{"percent":"7"}"#, "`percent`"),
            (r#"{"more":1}"#, "more"),
            ("{", "EOF"),
        ] {
            let fault = options(text).unwrap_err();
            assert!(fault.code == "body_invalid" && fault.message.contains(told), "{text}: {fault}");
        }
        let terms = |text: &str| parse::<TenantPolicy>("body", text.as_bytes(), POLICY_BYTES_MAX);
        assert!(
            terms(r#"{"limits":{"budget":{"wall_ms":5}},"capabilities":["image"],"settings":{"a":1}}"#)
                .is_ok()
        );
        for text in [r#"{"limits":[1]}"#, r#"{"limits":{"budget":[1]}}"#, r#"{"settings":[]}"#] {
            assert_eq!(terms(text).unwrap_err().code, "body_invalid", "{text}");
        }
    }

    #[test]
    fn bounds_are_reported_with_the_value() {
        let nested =
            |depth: usize| format!("{{\"settings\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(options(&nested(DEPTH_MAX)).is_ok());
        for depth in [DEPTH_MAX + 1, 127, 8000] {
            let fault = options(&nested(depth)).unwrap_err();
            assert_eq!(fault.code, "json_too_deep");
            for told in [depth.to_string(), DEPTH_MAX.to_string()] {
                assert!(fault.message.contains(&told), "{fault}");
            }
        }
        let fault = options(&format!("\"{}\"", "x".repeat(20_000))).unwrap_err();
        assert!(fault.code == "json_too_large" && fault.message.contains("16384"), "{fault}");
    }
}
