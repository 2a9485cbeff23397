//! Settings of the standard steps, with defaults and bounds. Checked by `configure` and read by every step.

use lector_sdk::{ConfigError, TextLayerPolicy};
use serde::Deserialize;

use crate::{languages, transcriber};

/// Settings of the standard steps. Every member has a default; unknown members are rejected.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Models: `auto` (the default: a fast recognizer first, the accurate one where the fast one is unsure), `small`
    /// (accurate) or `tiny` (several times faster; Latin and Chinese, weak on Greek and Japanese).
    pub tier: Tier,
    /// Rendering resolution if the request sets none, in dots per inch: 36 to 600, default 200. Raster pages keep their
    /// own resolution up to 1.5 times this.
    pub dpi: f32,
    /// Use of embedded text if the request does not set it: `auto` (default), `never`, `only`.
    pub text_layer: TextLayer,
    /// Whether lines have words even if the request does not ask for them; default false.
    pub words: bool,
    /// Minimum mean probability of a line's characters, 0 to 1, default 0.5. Lines below it are left out, and a warning
    /// in the transcript counts them.
    pub min_score: f32,
    /// Languages of the documents (tags such as `ru`, `zh-Hant`), default none: the models read Latin, Chinese and, with
    /// the small tier, Japanese at once. Where one of the languages is of another script, or Vietnamese, the model granted
    /// as `scripts` reads all lines, with the data of these languages; it must be installed on the server. A request may
    /// name its own languages in their place.
    pub languages: Vec<String>,
    /// Whether the script of a page is found where no languages are named and the text is read with a low confidence;
    /// default true. Needs the model granted as `scripts`; without it nothing changes.
    pub script_detection: bool,
    /// Whether pages are turned upright before they are read; needs the model granted as `page-orientation`. Default
    /// true.
    pub page_orientation: bool,
    /// Whether doubtful lines are checked for being upside down; needs the model granted as `textline-orientation`.
    /// Default true.
    pub line_orientation: bool,
    /// What the transcript holds beside lines: `full` (the default: blocks with roles, tables with cells) or `off`.
    pub structure: Structure,
    /// Settings of text detection.
    pub detection: Detection,
    /// Settings of text recognition.
    pub recognition: Recognition,
}

/// Settings of text detection.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Detection {
    /// Minimum probability of a text pixel, 0.05 to 0.95, default 0.3.
    pub threshold: f32,
    /// Minimum mean probability inside a box, 0.05 to 0.95, default 0.5.
    pub box_threshold: f32,
    /// Unclip ratio: growth of boxes beyond the kernels of the detector, 1 to 4, default 1.6.
    pub unclip_ratio: f32,
    /// Longer side of the detector's input, in pixels: 320 to 4096, default 1280.
    pub long_side: u32,
    /// Longer side of the second pass for small print, in pixels: `long_side` to 4096, default 2560. If equal to
    /// `long_side`, there is no second pass.
    pub long_side_max: u32,
}

/// Settings of text recognition.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recognition {
    /// With `tier` `auto`: least mean probability of the characters of a line at which the reading of the fast recognizer
    /// is accepted, 0 to 1, default 0.995: one expected error in 200 characters.
    pub accept_mean_min: f32,
    /// With `tier` `auto`: least probability of the least certain character of such a line, 0 to 1, default 0.5.
    pub accept_min: f32,
    /// Runs awaited at once, 1 to 64, default 4. A value above the host's number of sessions keeps its queue filled.
    pub in_flight: u32,
    /// Maximum lines in one run, 1 to 64, default 1: on a CPU a run of several lines is no faster than several runs,
    /// and padding adds cost (measured: 1 is 8 % faster than 4). On a GPU, 16 and more are faster.
    pub batch_rows: u32,
    /// Maximum fraction of padding in a run of several lines, 0 to 0.9, default 0.05.
    pub padding_max: f32,
    /// Maximum time that a run waits in the host for co-batched runs, in microseconds: 0 to 1 000 000, default 0.
    pub wait_us: u32,
}

/// Models of detection and recognition, by the aliases that a deployment grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// A cascade; granted as `detection`, `recognition` and `recognition-tiny`.
    #[default]
    Auto,
    /// Granted as `detection` and `recognition`.
    Small,
    /// Granted as `detection-tiny` and `recognition-tiny`.
    Tiny,
}

/// Use of embedded text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextLayer {
    /// Real embedded text is used; the rest is read from pixels.
    #[default]
    Auto,
    /// Everything is read from pixels.
    Never,
    /// Nothing is read from pixels.
    Only,
}

/// Structure of the transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Structure {
    /// Blocks: headings, paragraphs, lists, tables, captions, footnotes, furniture.
    #[default]
    Full,
    /// Lines only, each with the id of a block without a record.
    Off,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tier: Tier::Auto,
            dpi: 200.0,
            text_layer: TextLayer::Auto,
            words: false,
            min_score: 0.5,
            languages: Vec::new(),
            script_detection: true,
            page_orientation: true,
            line_orientation: true,
            structure: Structure::Full,
            detection: Detection::default(),
            recognition: Recognition::default(),
        }
    }
}

impl Default for Detection {
    fn default() -> Self {
        Self { threshold: 0.3, box_threshold: 0.5, unclip_ratio: 1.6, long_side: 1280, long_side_max: 2560 }
    }
}

impl Default for Recognition {
    fn default() -> Self {
        Self {
            accept_mean_min: 0.995,
            accept_min: 0.5,
            in_flight: 4,
            batch_rows: 1,
            padding_max: 0.05,
            wait_us: 0,
        }
    }
}

impl Tier {
    /// Returns the alias of the detector.
    pub fn detection(self) -> &'static str {
        match self {
            Self::Auto | Self::Small => "detection",
            Self::Tiny => "detection-tiny",
        }
    }

    /// Returns the aliases of the recognizers; the last one is the most accurate.
    pub fn recognition(self) -> &'static [&'static str] {
        match self {
            Self::Auto => &["recognition-tiny", "recognition"],
            Self::Small => &["recognition"],
            Self::Tiny => &["recognition-tiny"],
        }
    }
}

impl From<TextLayer> for TextLayerPolicy {
    fn from(setting: TextLayer) -> Self {
        match setting {
            TextLayer::Auto => Self::Auto,
            TextLayer::Never => Self::Never,
            TextLayer::Only => Self::Only,
        }
    }
}

impl Settings {
    /// Returns the aliases of the recognizers that the settings need; the last one is the most accurate.
    pub(crate) fn recognition_models(&self) -> &'static [&'static str] {
        if languages::of_other_scripts(&self.languages).is_empty() {
            self.tier.recognition()
        } else {
            &[transcriber::ALIAS]
        }
    }

    /// Returns whether the script of doubtful pages is to be found.
    pub(crate) fn finds_script(&self) -> bool {
        self.script_detection && self.languages.is_empty()
    }

    /// Checks constraints beyond the types.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let others = languages::of_other_scripts(&self.languages).len();
        if others > languages::TOGETHER_MAX {
            let most = languages::TOGETHER_MAX;
            return Err(ConfigError::at(
                "/languages",
                format!(
                    "{others} languages need the line recognizer, which reads at most {most} together: remove some"
                ),
            ));
        }
        within("/dpi", self.dpi, 36.0, 600.0)?;
        within("/min_score", self.min_score, 0.0, 1.0)?;
        for (index, language) in self.languages.iter().enumerate() {
            let letters =
                language.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            if !letters || !(2..=35).contains(&language.len()) {
                return Err(ConfigError::at(
                    format!("/languages/{index}"),
                    format!("`{language}` is not a language tag; write e.g. `en`, `de` or `zh-Hant`"),
                ));
            }
        }
        let detection = &self.detection;
        within("/detection/threshold", detection.threshold, 0.05, 0.95)?;
        within("/detection/box_threshold", detection.box_threshold, 0.05, 0.95)?;
        within("/detection/unclip_ratio", detection.unclip_ratio, 1.0, 4.0)?;
        within("/detection/long_side", detection.long_side, 320, 4096)?;
        within("/detection/long_side_max", detection.long_side_max, detection.long_side, 4096)?;
        let recognition = &self.recognition;
        within("/recognition/accept_mean_min", recognition.accept_mean_min, 0.0, 1.0)?;
        within("/recognition/accept_min", recognition.accept_min, 0.0, 1.0)?;
        within("/recognition/in_flight", recognition.in_flight, 1, 64)?;
        within("/recognition/batch_rows", recognition.batch_rows, 1, 64)?;
        within("/recognition/padding_max", recognition.padding_max, 0.0, 0.9)?;
        within("/recognition/wait_us", recognition.wait_us, 0, 1_000_000)
    }
}

/// Returns a config error unless `value` lies between `least` and `most`; NaN is out of range.
fn within<T: PartialOrd + std::fmt::Display>(
    pointer: &str,
    value: T,
    least: T,
    most: T,
) -> Result<(), ConfigError> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(ConfigError::at(pointer, format!("{value} is out of range; it must lie between {least} and {most}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_sdk::fake::FakeHost;

    use crate::Standard;

    fn config_error(json: &str) -> String {
        FakeHost::new().configure::<Standard>(json).expect_err(json).pointer
    }

    #[test]
    fn defaults_are_acceptable_and_declare_the_models_of_the_cascade() {
        let pipeline_info = FakeHost::new().configure::<Standard>("{}").unwrap();
        let expected =
            ["detection", "recognition-tiny", "recognition", "page-orientation", "textline-orientation"];
        assert_eq!(pipeline_info.models, expected);
        let batched: Vec<&str> = pipeline_info.batching.iter().map(|config| config.model.as_str()).collect();
        assert_eq!(batched, ["recognition-tiny", "recognition"]);
        assert_eq!(
            pipeline_info.features,
            ["lines", "blocks", "tables", "languages", "optional-model:scripts"],
            "the model is opened where a page needs it"
        );
    }

    #[test]
    fn models_follow_the_settings() {
        let json = r#"{"tier": "tiny", "page_orientation": false, "line_orientation": false, "words": true,
            "structure": "off"}"#;
        let pipeline_info = FakeHost::new().configure::<Standard>(json).unwrap();
        assert_eq!(pipeline_info.models, ["detection-tiny", "recognition-tiny"]);
        assert_eq!(pipeline_info.features, ["lines", "words", "languages", "optional-model:scripts"]);
        assert_eq!(pipeline_info.batching[0].model, "recognition-tiny");
    }

    #[test]
    fn languages_of_other_scripts_need_the_line_recognizer_alone() {
        let models = |json: &str| FakeHost::new().configure::<Standard>(json).unwrap().models;
        assert!(models(r#"{"languages": ["de", "ja"]}"#).contains(&"recognition".to_owned()));
        let russian = models(r#"{"languages": ["ru", "en"]}"#);
        assert_eq!(russian, ["detection", "scripts", "page-orientation", "textline-orientation"]);
    }

    #[test]
    fn each_violation_is_pointed_at() {
        for (json, pointer) in [
            (r#"{"tier": "large"}"#, "/tier"),
            (r#"{"dpi": 20}"#, "/dpi"),
            (r#"{"dpi": 601}"#, "/dpi"),
            (r#"{"dpi": "200"}"#, "/dpi"),
            (r#"{"text_layer": "sometimes"}"#, "/text_layer"),
            (r#"{"structure": "some"}"#, "/structure"),
            (r#"{"min_score": 1.01}"#, "/min_score"),
            (r#"{"languages": ["en", "x y"]}"#, "/languages/1"),
            (r#"{"languages": "en"}"#, "/languages"),
            (r#"{"languages": ["ru", "el", "ko", "ar", "he"]}"#, "/languages"),
            (r#"{"detection": {"threshold": 0}}"#, "/detection/threshold"),
            (r#"{"detection": {"box_threshold": 1}}"#, "/detection/box_threshold"),
            (r#"{"detection": {"unclip_ratio": 0.9}}"#, "/detection/unclip_ratio"),
            (r#"{"detection": {"long_side": 5000}}"#, "/detection/long_side"),
            (r#"{"detection": {"long_side": 2000, "long_side_max": 1500}}"#, "/detection/long_side_max"),
            (r#"{"recognition": {"accept_min": 1.5}}"#, "/recognition/accept_min"),
            (r#"{"recognition": {"accept_mean_min": -1}}"#, "/recognition/accept_mean_min"),
            (r#"{"recognition": {"in_flight": 0}}"#, "/recognition/in_flight"),
            (r#"{"recognition": {"in_flight": -1}}"#, "/recognition/in_flight"),
            (r#"{"recognition": {"batch_rows": 65}}"#, "/recognition/batch_rows"),
            (r#"{"recognition": {"padding_max": 2}}"#, "/recognition/padding_max"),
            (r#"{"recognition": {"wait_us": 2000000}}"#, "/recognition/wait_us"),
            (r#"{"recogniton": {}}"#, "/recogniton"),
            (r#"{"detection": {"treshold": 0.3}}"#, "/detection/treshold"),
            (r#"[]"#, ""),
        ] {
            assert_eq!(config_error(json), pointer, "{json}");
        }
    }
}
