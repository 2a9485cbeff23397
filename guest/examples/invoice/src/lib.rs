//! An example: finds number, date, total and IBAN of invoices in the pages that another deployment reads. A client may name the
//! currency of the total (`guest_options={"currency":"EUR"}`). The same guest in Python, without the option, is
//! `examples/python`.

use lector_find::{Found, Kind, find, labeled};
use lector_sdk::options::{self, GuestOptions};
use lector_sdk::{
    ConfigError, Error, Finding, Page, Pages, Pipeline, PipelineInfo, Request, Summary, Transcript, inner,
};
use serde_json::{Map, Value};

/// Settings; every member has a default, unknown members are rejected.
#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Fields to find.
    fields: Vec<Field>,
}

/// Options of a request.
#[derive(serde::Deserialize)]
struct Options {
    /// Currency of the total; without it, any.
    currency: Option<String>,
}

impl GuestOptions for Invoice {
    const SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "currency": {
                "type": "string",
                "enum": ["CHF", "EUR", "GBP", "USD"],
                "title": "Currency of the total",
                "description": "Amounts in another currency, or without one, are no total. Without it, every amount is."
            }
        }
    }"#;
}

/// A field of an invoice.
#[derive(Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Field {
    Number,
    Date,
    Total,
    Iban,
}

impl Default for Settings {
    fn default() -> Self {
        Self { fields: vec![Field::Number, Field::Date, Field::Total, Field::Iban] }
    }
}

struct Invoice;

impl Pipeline for Invoice {
    type Settings = Settings;

    fn configure(_: &Settings) -> Result<PipelineInfo, ConfigError> {
        let mut features = inner::info()?.features;
        features.push("findings".to_owned());
        Ok(PipelineInfo { features, ..PipelineInfo::default() })
    }

    async fn recognize(page: &Page, request: &Request, settings: &Settings) -> Result<Transcript, Error> {
        let options: Options = options::get()?;
        let mut transcript = inner::recognize(page.share(), request).await?;
        let mut fields = Map::new();
        for field in &settings.fields {
            if let Some(finding) = field.found(&transcript, &options) {
                fields.insert(finding.kind.clone(), finding.value.clone().into());
                transcript.findings.push(finding);
            }
        }
        transcript.set_property("invoice", Value::Object(fields));
        Ok(transcript)
    }

    async fn assemble(pages: Pages, _: &Settings) -> Result<Summary, Error> {
        inner::assemble(pages).await
    }
}

lector_sdk::export!(Invoice, options);

impl Field {
    /// Returns the field on a page.
    fn found(self, page: &Transcript, options: &Options) -> Option<Finding> {
        match self {
            Self::Number => {
                let number =
                    labeled(page, &["invoice no.", "invoice no", "invoice number"]).into_iter().next()?;
                let line = *number.lines.first()?;
                Some(Finding::new("number", number.text.clone(), line, number.quad).with_value(number.text))
            }
            Self::Date => value("date", Kind::Date, page, |_, _| true),
            Self::Iban => value("iban", Kind::Iban, page, |_, _| true),
            Self::Total => {
                let totals = labeled(page, &["total", "total due", "amount due"]);
                let is_in_currency = |amount: &str| match &options.currency {
                    Some(currency) => amount.ends_with(currency),
                    None => true,
                };
                value("total", Kind::Amount, page, |line, amount| {
                    totals.iter().any(|total| total.lines.contains(&line)) && is_in_currency(amount)
                })
            }
        }
    }
}

/// Returns the first value of a kind for which `is_wanted`, called with its line, is true.
fn value(
    name: &str,
    kind: Kind,
    page: &Transcript,
    is_wanted: impl Fn(u32, &str) -> bool,
) -> Option<Finding> {
    (0..).zip(&page.lines).find_map(|(index, line)| {
        let found = find(&line.text, &[kind]).into_iter().find(|found| is_wanted(index, &found.value));
        let Found { range, value, .. } = found?;
        let shown: String = line.text.chars().skip(range.start).take(range.len()).collect();
        let finding = Finding::new(name, shown, index, line.quad_of(range)).with_value(value);
        Some(finding.with_confidence(line.confidence))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use lector_sdk::fake::{FakeHost, FakePage};
    use lector_sdk::{Line, Quad, Rect};

    /// Reads an invoice.
    struct Inner;

    impl Pipeline for Inner {
        type Settings = std::collections::BTreeMap<String, String>;

        fn configure(_: &Self::Settings) -> Result<PipelineInfo, ConfigError> {
            Ok(PipelineInfo::default())
        }

        async fn recognize(page: &Page, _: &Request, _: &Self::Settings) -> Result<Transcript, Error> {
            let mut transcript = Transcript::blank(page.size_at(72.0), 72.0);
            let lines = [
                "Invoice no. 2026-0419",
                "Date of issue: 2026-11-29",
                "Subtotal 1,000.00 EUR",
                "Total due: 1,234.50 EUR",
                "IBAN DE89 3704 0044 0532 0130 00",
            ];
            for (text, y) in lines.into_iter().zip([0.0, 30.0, 60.0, 90.0, 120.0]) {
                let quad = Quad::from_rect(Rect { x: 0.0, y, width: 300.0, height: 20.0 });
                transcript.lines.push(Line::new(text, 0.9, quad));
            }
            Ok(transcript)
        }
    }

    #[test]
    fn the_fields_of_an_invoice_are_found() {
        let host = FakeHost::new().wraps::<Inner>("{}");
        let read = |settings: &str| {
            host.recognize::<Invoice>(FakePage::white(300, 200), Request::default(), settings).unwrap()
        };
        let page = read("{}");
        let found: Vec<(&str, Option<&str>)> =
            page.findings.iter().map(|found| (found.kind.as_str(), found.value.as_deref())).collect();
        let expected = [
            ("number", Some("2026-0419")),
            ("date", Some("2026-11-29")),
            ("total", Some("1234.50 EUR")),
            ("iban", Some("DE89370400440532013000")),
        ];
        assert_eq!(found, expected);
        assert!(page.properties.unwrap().contains(r#""total":"1234.50 EUR""#));
        assert_eq!(read(r#"{"fields": ["iban"]}"#).findings.len(), 1);
        let total = |options: &str| {
            let host = FakeHost::new().wraps::<Inner>("{}").options(options);
            let settings = r#"{"fields": ["total"]}"#;
            host.recognize::<Invoice>(FakePage::white(300, 200), Request::default(), settings)
                .unwrap()
                .findings
                .len()
        };
        assert_eq!(
            [r#"{"currency": "EUR"}"#, r#"{"currency": "USD"}"#, r#"{"currency": null}"#].map(total),
            [1, 0, 1]
        );
        assert_eq!(host.configure::<Invoice>(r#"{"fields": ["tax"]}"#).unwrap_err().pointer, "/fields/0");
    }
}
