//! The result of a document that becomes a response, and its headers.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header};
use lector_core::{Fault, Kind};
use lector_serving::{DocumentResult, PageResult};
use serde_json::json;

use super::super::options::Options;
use super::super::problem::{self, Problem};

/// Number of pages that failed, for formats that cannot report failures.
static PAGES_FAILED: HeaderName = HeaderName::from_static("x-lector-pages-failed");
pub(super) static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Returns the headers of a success.
pub(super) fn headers(
    options: &Options,
    result: &DocumentResult,
    took: Duration,
) -> [(HeaderName, HeaderValue); 3] {
    [
        (header::CONTENT_TYPE, HeaderValue::from_static(options.format.info().content_type)),
        (PAGES_FAILED.clone(), result.pages_failed.into()),
        (SERVER_TIMING.clone(), server_timing(result, took)),
    ]
}

/// Returns the result if its response is a success, otherwise the problem.
pub(super) fn checked(
    options: &Options,
    result: Box<DocumentResult>,
    took: Duration,
) -> Result<Box<DocumentResult>, Box<Problem>> {
    let timing = server_timing(&result, took);
    let with_timing = |problem: Problem| problem.with_header(SERVER_TIMING.clone(), timing.clone());
    let faults = |result: &DocumentResult| -> Vec<Fault> {
        result.pages.iter().filter_map(|page| page.outcome.as_ref().err()).cloned().collect()
    };
    let faults = faults(&result);
    // A page in progress when the timeout expired may have a more specific code.
    let late = faults
        .iter()
        .any(|f| f.code == "deadline_exceeded" || (f.kind == Kind::Deadline && took >= options.timeout));
    if late && !(options.partial && result.pages_ok > 0) {
        let time_s = options.timeout.as_secs_f64();
        let message = format!(
            "The timeout of {time_s} s expired after {} of {} pages: increase the timeout, or request fewer pages.",
            result.pages_ok,
            result.pages.len()
        );
        let fault = Fault::new(Kind::Deadline, "deadline_exceeded", message);
        return Err(Box::new(with_timing(in_part(fault, result, |_| true))));
    }
    match faults.into_iter().next() {
        Some(fault) if result.pages_ok == 0 => Err(Box::new(with_timing(in_part(fault, result, |_| true)))),
        Some(fault) if !options.format.info().reports_failures && !options.partial => {
            let format = options.format.info().name;
            let fault = problem::pages_failed(result.pages_failed, result.pages.len(), &fault, format);
            // Without the successful pages: they would be most of the response, in a format that was not requested.
            Err(Box::new(with_timing(in_part(fault, result, |page| page.outcome.is_err()))))
        }
        _ => Ok(result),
    }
}

/// Returns the problem of a document that was read in part, with the pages that `include` selects.
fn in_part(fault: Fault, result: Box<DocumentResult>, include: impl Fn(&PageResult) -> bool) -> Problem {
    Problem::from(fault)
        .with("page_count", json!(result.page_count))
        .with("pages_ok", json!(result.pages_ok))
        .with("pages_failed", json!(result.pages_failed))
        .with_pages(result.pages.into_iter().filter(include).collect())
}

/// Returns `Server-Timing` (W3C): work summed over the pages, which overlap; only `total` is elapsed time.
pub(super) fn server_timing(result: &DocumentResult, took: Duration) -> HeaderValue {
    let sum = |part: fn(&lector_core::Timing) -> Duration| -> Duration {
        result.pages.iter().map(|page| part(&page.timing)).sum()
    };
    let mut models: std::collections::BTreeMap<&str, Duration> = std::collections::BTreeMap::new();
    for (name, model) in result.pages.iter().flat_map(|page| &page.timing.models) {
        *models.entry(name.as_str()).or_default() += model.run;
    }
    let mut parts = vec![
        ("render".to_owned(), sum(|t| t.render)),
        ("text-layer".to_owned(), sum(|t| t.text_layer)),
        ("image".to_owned(), sum(|t| t.image)),
        ("queue".to_owned(), sum(|t| t.models.values().map(|model| model.queue).sum())),
    ];
    parts.extend(models.into_iter().map(|(name, time)| (format!("inference-{}", token(name)), time)));
    parts.push(("guest".to_owned(), sum(|t| t.guest)));
    parts.push(("total".to_owned(), took));
    let text: Vec<String> =
        parts.iter().map(|(name, time)| format!("{name};dur={:.1}", time.as_secs_f64() * 1e3)).collect();
    HeaderValue::from_str(&text.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

/// Converts a model name, which the operator chooses, to a token that the header allows.
fn token(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect()
}
