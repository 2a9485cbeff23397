//! Bounded and strict parsing of JSON in management requests.
//!
//! Owns the bounds of every JSON text of a management request, whether it is the body or a part of a form. Does not
//! depend on the requests. Used by `manage.rs`. serde accepts an array in place of any struct, with the members by
//! position; this module rejects it at every level.

#[cfg(test)]
mod fuzz;
mod strict;

use lector_control::SETTINGS_BYTES_MAX;
use lector_core::{Fault, Kind, json_depth};
use serde::de::DeserializeOwned;

/// Maximum number of levels of a JSON text. Settings have the same bound.
pub(super) const DEPTH_MAX: usize = lector_control::SETTINGS_DEPTH_MAX;
/// Maximum size of a JSON text without settings (keys, routes), in bytes.
pub(super) const SMALL_BYTES_MAX: u64 = 16 << 10;
/// Maximum size of a tenant policy in bytes.
pub(super) const POLICY_BYTES_MAX: u64 = 256 << 10;
/// Maximum size of the settings of a deploy in bytes.
pub(super) const SETTINGS_MAX: u64 = SETTINGS_BYTES_MAX as u64;
/// Maximum size of the options of a deploy in bytes; they may contain settings.
pub(super) const OPTIONS_BYTES_MAX: u64 = SETTINGS_MAX + (256 << 10);

/// The JSON body of a management request.
pub(crate) trait JsonBody: DeserializeOwned + Default {
    /// Maximum size in bytes.
    const BYTES_MAX: u64;
}

/// Returns the fault of a JSON text that is too large.
pub(super) fn too_large(what: &str, most: u64) -> Fault {
    let message = format!("The {what} exceeds {most} bytes, the maximum for it: send less.");
    Fault::new(Kind::TooLarge, "json_too_large", message)
}

/// Parses a JSON text of the client. `what` names its location, for example `body`. Faults: `json_too_large`,
/// `json_too_deep`, `body_invalid`.
pub(super) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8], bytes_max: u64) -> Result<T, Fault> {
    if bytes.len() as u64 > bytes_max {
        return Err(too_large(what, bytes_max));
    }
    let depth = json_depth(bytes);
    if depth > DEPTH_MAX {
        let message = format!(
            "The JSON of the {what} has {depth} levels, and the maximum is {DEPTH_MAX}: send fewer levels."
        );
        return Err(Fault::new(Kind::Invalid, "json_too_deep", message));
    }
    let invalid = |why: String| {
        let message = format!("The JSON of the {what} is invalid: {why}.");
        Fault::new(Kind::Invalid, "body_invalid", message)
    };
    let value = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
    strict::from_value(value).map_err(|error| invalid(error.to_string()))
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
        bytes: u64,
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
        assert_eq!(options(r#"{"bytes":9223372036854775807}"#).unwrap().bytes, 9_223_372_036_854_775_807);
        for (text, expected) in [
            ("[]", "an object"),
            ("[null,null]", "an object"),
            ("null", "an object"),
            ("7", "an object"),
            (r#"{"rollback_policy":[0.1,5,10]}"#, "`rollback_policy`"),
            (r#"{"grants":[["a","b"]]}"#, "`grants`"),
            (r#"{"percent":256}"#, "`percent`"),
            (r#"{"percent":"7"}"#, "`percent`"),
            (r#"{"more":1}"#, "more"),
            (r#"{"bytes":9223372036854775808}"#, "`bytes`: 9223372036854775808 is more than"),
            (r#"{"bytes":18446744073709551616}"#, "`bytes`"),
            (r#"{"bytes":1.0}"#, "`bytes`"),
            ("{", "EOF"),
        ] {
            let fault = options(text).unwrap_err();
            assert!(fault.code == "body_invalid" && fault.message.contains(expected), "{text}: {fault}");
        }
        let policy = |text: &str| parse::<TenantPolicy>("body", text.as_bytes(), POLICY_BYTES_MAX);
        assert!(
            policy(r#"{"limits":{"budget":{"wall_ms":5}},"capabilities":["image"],"settings":{"a":1}}"#)
                .is_ok()
        );
        for text in [
            r#"{"limits":[1]}"#,
            r#"{"limits":{"budget":[1]}}"#,
            r#"{"settings":[]}"#,
            r#"{"settings":null}"#,
        ] {
            assert_eq!(policy(text).unwrap_err().code, "body_invalid", "{text}");
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
            for expected in [depth.to_string(), DEPTH_MAX.to_string()] {
                assert!(fault.message.contains(&expected), "{fault}");
            }
        }
        let fault = options(&format!("\"{}\"", "x".repeat(20_000))).unwrap_err();
        assert!(fault.code == "json_too_large" && fault.message.contains("16384"), "{fault}");
    }
}
