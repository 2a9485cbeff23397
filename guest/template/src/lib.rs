//! Reads pages as the standard pipeline does, and leaves out lines with many capital letters.

use lector_sdk::{ConfigError, Error, Page, Pipeline, PipelineInfo, Request, Transcript};

/// Settings of a deployment. Every member has a default, so that `{}` is valid.
#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Settings of the standard steps.
    reading: lector_steps::Settings,
    /// Maximum capital letters of a line that stays.
    capitals_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { reading: lector_steps::Settings::default(), capitals_max: 20 }
    }
}

struct Quiet;

impl Pipeline for Quiet {
    type Settings = Settings;

    fn configure(settings: &Settings) -> Result<PipelineInfo, ConfigError> {
        if settings.capitals_max == 0 {
            return Err(ConfigError::at("/capitals_max", "is 0; allow at least one capital letter"));
        }
        lector_steps::declare(&settings.reading).map_err(|error| error.within("/reading"))
    }

    async fn recognize(page: &Page, request: &Request, settings: &Settings) -> Result<Transcript, Error> {
        let mut transcript = lector_steps::read_page(page, request, &settings.reading).await?;
        let before = transcript.lines.len();
        transcript
            .retain_lines(|line| line.text.chars().filter(|c| c.is_uppercase()).count() <= settings.capitals_max);
        let left_out = before - transcript.lines.len();
        if left_out > 0 {
            transcript.warnings.push(format!("{left_out} lines left out: too many capital letters"));
        }
        Ok(transcript)
    }
}

lector_sdk::export!(Quiet);

#[cfg(test)]
mod tests {
    use super::*;
    use lector_sdk::fake::{FakeHost, FakePage, Pixels};
    use lector_sdk::{Rect, Size, Source, TextLayer, TextSpan};

    /// Makes a page with these lines of embedded text.
    fn page(lines: &[&str]) -> FakePage {
        let spans = lines.iter().zip(1_u8..).map(|(text, number)| TextSpan {
            text: (*text).to_owned(),
            area: Rect { x: 50.0, y: 30.0 * f32::from(number), width: 200.0, height: 12.0 },
            font_size: 12.0,
            visible: true,
            ends_line: true,
            source: Source::TextLayer,
        });
        let layer = TextLayer { spans: spans.collect(), pictures: Vec::new(), unmapped: 0, rules: Vec::new() };
        FakePage::pdf(Pixels::white(Size { width: 595, height: 842 }), 72.0, layer)
    }

    #[test]
    fn lines_in_capitals_are_left_out() {
        let page = page(&["quietly", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]);
        let read = FakeHost::new().recognize::<Quiet>(page, Request::default(), "{}").unwrap();
        assert_eq!(read.text(), "quietly\n");
        assert_eq!(read.warnings, ["1 lines left out: too many capital letters"]);
    }

    #[test]
    fn settings_are_checked() {
        let config_error = FakeHost::new().configure::<Quiet>(r#"{"capitals_max": 0}"#).unwrap_err();
        assert_eq!(config_error.pointer, "/capitals_max");
        let config_error = FakeHost::new().configure::<Quiet>(r#"{"reading": {"dpi": 1}}"#).unwrap_err();
        assert_eq!(config_error.pointer, "/reading/dpi");
    }
}
