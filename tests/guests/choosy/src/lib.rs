//! Test guest with options of its own. Its single line says the options that it got, as JSON; so does the summary.

use lector_sdk::options::{self, GuestOptions};
use lector_sdk::{
    ConfigError, Error, Line, Page, Pages, Pipeline, PipelineInfo, Quad, Rect, Request, Summary, Transcript,
};
use serde_json::{Map, Value};

/// Settings of the test.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {}

struct Choosy;

impl GuestOptions for Choosy {
    const SCHEMA: &'static str = r#"{
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Options of the test guest",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "currency": { "type": "string", "enum": ["EUR", "USD"], "default": "EUR" },
            "digits": { "type": "integer", "minimum": 0, "maximum": 4 }
        }
    }"#;
}

/// Returns the options as JSON text.
fn told() -> Result<String, Error> {
    Ok(Value::Object(options::get::<Map<String, Value>>()?).to_string())
}

impl Pipeline for Choosy {
    type Settings = Settings;

    fn configure(_: &Settings) -> Result<PipelineInfo, ConfigError> {
        Ok(PipelineInfo::default())
    }

    async fn recognize(page: &Page, _: &Request, _: &Settings) -> Result<Transcript, Error> {
        let mut transcript = Transcript::blank(page.size_at(72.0), 72.0);
        let quad = Quad::from_rect(Rect { x: 0.0, y: 0.0, width: 10.0, height: 10.0 });
        transcript.lines.push(Line::new(told()?, 1.0, quad));
        Ok(transcript)
    }

    async fn assemble(_: Pages, _: &Settings) -> Result<Summary, Error> {
        Ok(Summary::of(told()?))
    }
}

lector_sdk::export!(Choosy, options);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use lector_sdk::fake::{FakeHost, FakePage};

    #[test]
    fn it_says_its_options() {
        let read = |host: FakeHost| {
            let page = host.recognize::<Choosy>(FakePage::white(9, 9), Request::default(), "{}").unwrap();
            let summary = host.assemble::<Choosy>(vec![page.clone()], "{}").unwrap();
            assert_eq!(summary.text, page.lines[0].text);
            summary.text
        };
        assert_eq!(read(FakeHost::new()), "{}");
        assert_eq!(read(FakeHost::new().options(r#"{"digits": 2}"#)), r#"{"digits":2}"#);
    }
}
