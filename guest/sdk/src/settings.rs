//! Settings: from the JSON of a deployment to the author's own type, or to a config error that points at the invalid
//! member. Called by the exported functions.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::ConfigError;

/// Reads `json` as `T`.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T, ConfigError> {
    // Serde also accepts an array, by position, for a struct; settings must be an object.
    if !json.trim_start().starts_with('{') {
        return Err(ConfigError::at("", "settings must be a JSON object, e.g. {}"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let parsed = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| ConfigError::at(pointer(error.path()), error.inner().to_string()))?;
    deserializer.end().map_err(|error| ConfigError::at("", error.to_string()))?;
    Ok(parsed)
}

/// Converts a path of serde to a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    let mut out = String::new();
    for segment in path {
        let step = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.clone(),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        out.push('/');
        out.push_str(&step.replace('~', "~0").replace('/', "~1"));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        tier: String,
        detection: Detection,
        patterns: Vec<Pattern>,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Detection {
        threshold: f32,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pattern {
        #[allow(dead_code)]
        kind: String,
    }

    #[test]
    fn config_errors_point_at_the_member() {
        for (json, expected) in [
            (r#"{"tier": 5}"#, "/tier"),
            (r#"{"detection": {"threshold": "x"}}"#, "/detection/threshold"),
            (r#"{"detection": {"treshold": 0.3}}"#, "/detection/treshold"),
            (r#"{"patterns": [{"kind": "a"}, {"kind": 1}]}"#, "/patterns/1/kind"),
            (r#"{"patterns": [{}]}"#, "/patterns/0"),
            (r#"{"a/b": 1}"#, "/a~1b"),
            ("{", ""),
            ("{} {}", ""),
            ("[]", ""),
            ("", ""),
            ("null", ""),
        ] {
            let config_error = parse::<Settings>(json).unwrap_err();
            assert_eq!(config_error.pointer, expected, "{json}: {}", config_error.message);
        }
    }

    #[test]
    fn settings_may_be_empty() {
        let settings: Settings = parse("{}").unwrap();
        assert!(settings.tier.is_empty() && settings.patterns.is_empty());
        assert_eq!(settings.detection.threshold, 0.0);
    }
}
