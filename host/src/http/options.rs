//! The options of an OCR request: query, path and headers, validated before the body is read.
//!
//! Owns the names and the ranges of the options. Pure; called by `ocr.rs` and `batch.rs`. An unknown option is an error
//! that suggests the closest name, so that a typing error does not silently select a default.

use std::time::Duration;

use axum::extract::Query;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use lector_core::options::{OptionError, parse_options};
use lector_core::{DeploymentName, Fault, Kind, PageRequest, TextLayerPolicy};
use lector_export::Format;
use lector_serving::{Order, PageSelection, languages};
use serde_json::{Map, Value};

use super::problem::option_invalid;

/// Minimum resolution. Below it no model can read a page; the smallest renderings of `document` use the same bound.
const DPI_MIN: f32 = 18.0;
/// Maximum resolution. Above it even a business card exceeds the pixel limit of a page.
const DPI_MAX: f32 = 2400.0;
/// Minimum timeout that a client may set.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// Maximum length of a password (PDF 2.0 uses 127 bytes).
const PASSWORD_BYTES_MAX: usize = 1024;

/// Maximum length of a routing key.
const KEY_BYTES_MAX: usize = 256;

static ROUTING_KEY: HeaderName = HeaderName::from_static("x-lector-routing-key");
static DEPLOYMENT: HeaderName = HeaderName::from_static("x-lector-deployment");
/// The timeout in seconds, as in `timeout=`. IANA has no registered field for it; the name has no `X-`, which RFC 6648
/// advises against. (`grpc-timeout` has a unit and belongs to gRPC; Envoy's header belongs to Envoy.)
static REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("request-timeout");
static PASSWORD: HeaderName = HeaderName::from_static("x-document-password");

const SHARED: [&str; 7] = ["pages", "dpi", "text_layer", "words", "languages", "guest_options", "deployment"];

/// The endpoint of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// One document, one response: `/ocr`.
    Whole,
    /// Several documents, a stream of events: `/ocr/batch`.
    Batch,
    /// Several documents that are read later: `/jobs`.
    Job,
}

impl Endpoint {
    fn known(self) -> impl Iterator<Item = &'static str> {
        let own: &[&str] = match self {
            Endpoint::Whole => &["explain", "timeout", "format", "partial"],
            Endpoint::Batch => &["explain", "timeout", "order"],
            Endpoint::Job => &["formats", "webhook", "retention", "priority"],
        };
        SHARED.iter().chain(own).copied()
    }
}

/// The options of a request.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) deployment: Option<DeploymentName>,
    /// Routing key: requests with the same key use the same revision.
    pub(crate) key: Option<String>,
    pub(crate) pages: PageSelection,
    pub(crate) request: PageRequest,
    /// Languages of the documents; empty: those of the deployment.
    pub(crate) languages: Vec<String>,
    /// Options for the guest; the schema of the revision describes them.
    pub(crate) guest_options: Map<String, Value>,
    pub(crate) password: Option<String>,
    /// Timeout of the request, or of each document of a batch.
    pub(crate) timeout: Duration,
    /// Format of the response; only `/ocr`.
    pub(crate) format: &'static dyn Format,
    /// Whether to return the pages that were read if others failed.
    pub(crate) partial: bool,
    /// Order of the events; only `/ocr/batch`.
    pub(crate) order: Order,
    /// Whether to send the events as server-sent events.
    pub(crate) sse: bool,
    /// Options of a job; only `/jobs`.
    pub(crate) job: JobOptions,
}

/// The options that only a job has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct JobOptions {
    /// Names of the wanted formats.
    pub(crate) formats: Vec<&'static str>,
    /// The URL that gets a message at the end.
    pub(crate) webhook: Option<String>,
    /// Time that the finished job is kept.
    pub(crate) retention: Option<Duration>,
    /// Order among the tenant's own jobs.
    pub(crate) priority: i8,
}

/// The bounds of timeouts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// The timeout of a request that sends none.
    pub(crate) otherwise: Duration,
    /// The maximum timeout.
    pub(crate) most: Duration,
}

impl Options {
    /// Parses all options. `path_deployment` is the deployment in the path.
    pub(crate) fn parse(
        endpoint: Endpoint,
        uri: &Uri,
        headers: &HeaderMap,
        path_deployment: Option<&str>,
        timeouts: Timeouts,
    ) -> Result<Self, Fault> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| {
            option_invalid("The query cannot be parsed: send it in the form `?pages=1-3&words=true`.")
                .with_detail(error)
        })?;
        let mut options = Self {
            deployment: None,
            key: routing_key(headers)?,
            pages: PageSelection::All,
            request: PageRequest::default(),
            languages: Vec::new(),
            guest_options: Map::new(),
            password: password(headers)?,
            timeout: timeouts.otherwise.min(timeouts.most),
            format: lector_export::DEFAULT,
            partial: false,
            order: if endpoint == Endpoint::Batch { Order::Completion } else { Order::Page },
            sse: false,
            job: JobOptions::default(),
        };
        let mut seen: Vec<&str> = Vec::new();
        let mut query_deployment = None;
        for (name, value) in &pairs {
            if seen.contains(&name.as_str()) {
                return Err(option_invalid(format!(
                    "The option `{}` is set more than once: send it once.",
                    excerpt(name)
                )));
            }
            seen.push(name);
            match (name.as_str(), endpoint) {
                ("pages", _) => options.pages = pages(value)?,
                ("dpi", _) => options.request.dpi = Some(dpi(value)?),
                ("text_layer", _) => options.request.text_layer = Some(text_layer(value)?),
                ("words", _) => options.request.words = switch("words", value)?,
                ("languages", _) => options.languages = languages(value)?,
                ("guest_options", _) => options.guest_options = guest_options(value)?,
                ("explain", Endpoint::Whole | Endpoint::Batch) => {
                    options.request.explain = switch("explain", value)?
                }
                ("deployment", _) => query_deployment = Some(value.as_str()),
                ("timeout", Endpoint::Whole | Endpoint::Batch) => {
                    options.timeout = timeout("`timeout`", value, timeouts.most)?;
                }
                ("format", Endpoint::Whole) => options.format = format(value)?,
                ("partial", Endpoint::Whole) => options.partial = switch("partial", value)?,
                ("order", Endpoint::Batch) => options.order = order(value)?,
                ("formats", Endpoint::Job) => options.set_formats(value)?,
                ("webhook", Endpoint::Job) => options.job.webhook = Some(value.clone()),
                ("retention", Endpoint::Job) => options.job.retention = Some(retention(value)?),
                ("priority", Endpoint::Job) => options.job.priority = priority(value)?,
                _ => return Err(unknown(endpoint, name)),
            }
        }
        if let Some(value) = header_text(headers, &REQUEST_TIMEOUT)? {
            let stated = timeout("the header `Request-Timeout`", value, timeouts.most)?;
            if seen.contains(&"timeout") && stated != options.timeout {
                let message = "`timeout` and the header `Request-Timeout` differ: send one of them.";
                return Err(option_invalid(message));
            }
            options.timeout = stated;
        }
        if endpoint == Endpoint::Whole && !seen.contains(&"format") {
            options.format = lector_export::by_accept(accept(headers))?;
        }
        options.sse = endpoint == Endpoint::Batch && accepts_sse(headers);
        options.deployment =
            one_deployment([path_deployment, query_deployment, header_text(headers, &DEPLOYMENT)?])?;
        Ok(options)
    }
}

impl Options {
    fn set_formats(&mut self, value: &str) -> Result<(), Fault> {
        for name in value.split(',') {
            let info = format(name.trim())?.info();
            self.job.formats.push(info.name);
            self.request.words |= info.needs_words;
        }
        Ok(())
    }
}

fn retention(value: &str) -> Result<Duration, Fault> {
    value.parse::<u64>().map(Duration::from_secs).map_err(|_| {
        option_invalid(format!("`retention` is `{}`: use a number of seconds, 0 or more.", excerpt(value)))
    })
}

fn priority(value: &str) -> Result<i8, Fault> {
    let most = lector_jobs::PRIORITY_MAX;
    value.parse::<i8>().ok().filter(|given| (-most..=most).contains(given)).ok_or_else(|| {
        option_invalid(format!("`priority` is `{}`: use a number from -{most} to {most}.", excerpt(value)))
    })
}

fn unknown(endpoint: Endpoint, name: &str) -> Fault {
    let names: Vec<&str> = endpoint.known().collect();
    let hint = match closest(name, &names) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("the options are {}.", names.join(", ")),
    };
    Fault::new(
        Kind::Invalid,
        "unknown_option",
        format!("The option `{}` does not exist: {hint}", excerpt(name)),
    )
}

/// Returns text of the client, shortened so that it can be part of a message.
fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn pages(value: &str) -> Result<PageSelection, Fault> {
    // The message of the service is kept; the code is that of every invalid option.
    PageSelection::parse(value).map_err(|fault| Fault { code: "option_invalid", ..fault })
}

fn dpi(value: &str) -> Result<f32, Fault> {
    value.parse::<f32>().ok().filter(|dpi| (DPI_MIN..=DPI_MAX).contains(dpi)).ok_or_else(|| {
        option_invalid(format!("`dpi` is `{}`: use a number from {DPI_MIN} to {DPI_MAX}.", excerpt(value)))
    })
}

fn text_layer(value: &str) -> Result<TextLayerPolicy, Fault> {
    match value {
        "auto" => Ok(TextLayerPolicy::Auto),
        "never" => Ok(TextLayerPolicy::Never),
        "only" => Ok(TextLayerPolicy::Only),
        _ => Err(option_invalid(format!("`text_layer` is `{}`: use auto, never or only.", excerpt(value)))),
    }
}

/// Reads the options for the guest. Whether the guest has them is checked where the revision is known.
fn guest_options(value: &str) -> Result<Map<String, Value>, Fault> {
    parse_options(value).map_err(|OptionError { message, .. }| {
        option_invalid(format!(
            "`guest_options` is refused: {message}. Send a JSON object such as `{{\"currency\":\"EUR\"}}`."
        ))
    })
}

fn switch(name: &str, value: &str) -> Result<bool, Fault> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(option_invalid(format!("`{name}` is `{}`: use true or false.", excerpt(value)))),
    }
}

fn order(value: &str) -> Result<Order, Fault> {
    match value {
        "page" => Ok(Order::Page),
        "completion" => Ok(Order::Completion),
        _ => Err(option_invalid(format!("`order` is `{}`: use completion or page.", excerpt(value)))),
    }
}

fn timeout(what: &str, value: &str, most: Duration) -> Result<Duration, Fault> {
    let given = value.parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    given.filter(|time| (TIMEOUT_MIN..=most).contains(time)).ok_or_else(|| {
        option_invalid(format!(
            "{what} is `{}`: use a number of seconds from {} to {}.",
            excerpt(value),
            TIMEOUT_MIN.as_secs_f64(),
            most.as_secs_f64()
        ))
    })
}

fn format(value: &str) -> Result<&'static dyn Format, Fault> {
    // The message of the registry is kept; the code is that of every invalid option.
    lector_export::by_name(value).map_err(|fault| Fault { code: "option_invalid", ..fault })
}

/// Returns the values of `Accept`; one that is not ASCII is empty.
fn accept(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(header::ACCEPT).iter().map(|value| value.to_str().unwrap_or_default())
}

pub(crate) fn accepts_sse(headers: &HeaderMap) -> bool {
    let mut ranges = lector_export::ranges(accept(headers));
    ranges.retain(|range| range.weight > 0.0);
    // The sort is stable: among equal weights the first one wins.
    ranges.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let streams = ["text/event-stream", "application/x-ndjson", "application/jsonl"];
    let first = ranges.into_iter().find(|range| streams.contains(&range.name.as_str()));
    first.is_some_and(|range| range.name == "text/event-stream")
}

fn one_deployment(given: [Option<&str>; 3]) -> Result<Option<DeploymentName>, Fault> {
    let mut names = given.into_iter().flatten();
    let Some(first) = names.next() else { return Ok(None) };
    if names.any(|name| name != first) {
        return Err(option_invalid(
            "Path, query and header name different deployments: name the deployment in one of them.",
        ));
    }
    Ok(Some(first.into()))
}

pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Fault> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| {
        option_invalid(format!("The header `{name}` is not valid UTF-8: encode it as UTF-8."))
    })?;
    Ok(Some(text.trim()))
}

fn routing_key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    match header_text(headers, &ROUTING_KEY)? {
        Some(key) if key.is_empty() || key.len() > KEY_BYTES_MAX => Err(option_invalid(format!(
            "The header `{ROUTING_KEY}` has {} bytes: send 1 to {KEY_BYTES_MAX}.",
            key.len()
        ))),
        key => Ok(key.map(str::to_owned)),
    }
}

fn password(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let Some(value) = headers.get(&PASSWORD) else { return Ok(None) };
    // Not trimmed: a password may begin with a space, as far as HTTP preserves it.
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| {
        option_invalid(format!("The header `{PASSWORD}` is not valid UTF-8: encode it as UTF-8."))
    })?;
    if text.len() > PASSWORD_BYTES_MAX {
        return Err(option_invalid(format!(
            "The header `{PASSWORD}` has {} bytes: send at most {PASSWORD_BYTES_MAX}.",
            text.len()
        )));
    }
    Ok(Some(text.to_owned()))
}

/// Returns the closest of `names` to `text`, if it is close enough to be a typing error.
fn closest<'a>(text: &str, names: &[&'a str]) -> Option<&'a str> {
    let text: String = text.to_lowercase().replace('-', "_").chars().take(40).collect();
    let scored = names.iter().map(|name| (strsim::damerau_levenshtein(&text, name), *name));
    // Up to a third of the letters wrong is a typing error; more is another word.
    scored.min().filter(|(edits, name)| *edits <= name.len().div_ceil(3)).map(|(_, name)| name)
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const MOST: Timeouts = Timeouts { otherwise: Duration::from_secs(60), most: Duration::from_secs(120) };

    fn parse(endpoint: Endpoint, query: &str, headers: &[(&str, &str)]) -> Result<Options, Fault> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        Options::parse(endpoint, &format!("/x?{query}").parse().unwrap(), &map, None, MOST)
    }

    #[test]
    fn invalid_options_are_rejected() {
        let check = |query: &str, code: &str| {
            let fault = parse(Endpoint::Whole, query, &[]).expect_err(query);
            assert_eq!(fault.code, code, "{query}: {fault}");
            fault.message
        };
        for query in [
            "pages=0",
            "pages=3-1",
            "pages=1-x",
            "pages=",
            "dpi=0",
            "dpi=nan",
            "dpi=inf",
            "dpi=1e9",
            "dpi=-72",
            "format=docx",
            "text_layer=maybe",
            "words=perhaps",
            "languages=",
            "languages=a,en",
            "languages=ru,en,de,fr,it",
            "languages=../x",
            "guest_options=",
            "guest_options=[]",
            "guest_options=%7B",
            "guest_options=EUR",
            "timeout=0",
            "timeout=nan",
            "timeout=-1",
            "timeout=121",
            "timeout=1e300",
            "partial=",
            "words=true&words=true",
        ] {
            check(query, "option_invalid");
        }
        assert!(check("color=blue", "unknown_option").contains("pages"));
        assert!(check("page=1", "unknown_option").contains("`pages`"));
        assert!(check("textlayer=auto", "unknown_option").contains("`text_layer`"));
        assert!(check("order=page", "unknown_option").contains("the options are"));
        check(&format!("{}=1", "x".repeat(60_000)), "unknown_option");
        assert_eq!(parse(Endpoint::Batch, "format=json", &[]).unwrap_err().code, "unknown_option");
        assert_eq!(parse(Endpoint::Batch, "order=random", &[]).unwrap_err().code, "option_invalid");
    }

    #[test]
    fn valid_options_are_parsed() {
        let options = parse(
            Endpoint::Whole,
            "pages=1-3%2C7&dpi=144&text_layer=never&words=1&explain=1&timeout=2.5&deployment=a&partial=true",
            &[],
        )
        .unwrap();
        assert_eq!(options.pages, PageSelection::Ranges(vec![(1, Some(3)), (7, Some(7))]));
        assert_eq!(
            options.request,
            PageRequest {
                dpi: Some(144.0),
                text_layer: Some(TextLayerPolicy::Never),
                words: true,
                explain: true,
                page_count: 0,
            }
        );
        assert_eq!(options.timeout, Duration::from_millis(2500));
        assert!(options.languages.is_empty() && options.guest_options.is_empty());
        for endpoint in [Endpoint::Whole, Endpoint::Batch, Endpoint::Job] {
            let query = "guest_options=%7B%22currency%22:%22EUR%22,%22digits%22:2%7D";
            let given = parse(endpoint, query, &[]).unwrap().guest_options;
            assert_eq!(Value::from(given), serde_json::json!({ "currency": "EUR", "digits": 2 }));
        }
        let named = parse(Endpoint::Job, "languages=ru,%20zh-Hant,chi_sim", &[]).unwrap().languages;
        assert_eq!(named, ["ru", "zh-Hant", "chi_sim"]);
        assert_eq!(options.deployment.unwrap().as_str(), "a");
        assert!(options.partial);
        assert_eq!(parse(Endpoint::Batch, "", &[]).unwrap().order, Order::Completion);
        assert_eq!(parse(Endpoint::Batch, "order=page", &[]).unwrap().order, Order::Page);
    }

    #[test]
    fn option_and_header_set_the_timeout() {
        let seconds = |query: &str, header: Option<&str>| {
            let headers: Vec<_> = header.map(|value| ("request-timeout", value)).into_iter().collect();
            parse(Endpoint::Whole, query, &headers).map(|o| o.timeout.as_secs_f64()).map_err(|f| f.code)
        };
        assert_eq!(seconds("", None), Ok(60.0));
        assert_eq!(seconds("", Some("2.5")), Ok(2.5));
        assert_eq!(seconds("timeout=100", None), Ok(100.0));
        assert_eq!(seconds("timeout=3", Some("3.0")), Ok(3.0));
        for wrong in ["121", "0", "soon", "-1", "1m"] {
            assert_eq!(seconds("", Some(wrong)), Err("option_invalid"), "{wrong}");
        }
        assert_eq!(seconds("timeout=3", Some("4")), Err("option_invalid"));
    }

    #[test]
    fn accept_selects_the_format() {
        let check = |accept: &str, expect: &str| {
            let options = parse(Endpoint::Whole, "", &[("accept", accept)]).unwrap();
            assert_eq!(options.format.info().name, expect, "{accept}");
        };
        check("*/*", "json");
        check("text/*", "text");
        check("application/*", "json");
        check("text/plain", "text");
        check("text/markdown;q=0.5, text/plain;q=0.4", "markdown");
        check("image/png, text/html;q=0.9", "html");
        check("text/vnd.hocr+html, text/html;q=0.9", "hocr");
        check("application/json;q=0, */*", "text");
        check("application/vnd.prima.page+xml, application/alto+xml", "page-xml");
        check("application/json;q=0, text/plain;q=0.1", "text");
        assert_eq!(
            parse(Endpoint::Whole, "", &[("accept", "image/png")]).unwrap_err().code,
            "not_acceptable"
        );
        assert_eq!(
            parse(Endpoint::Whole, "format=text", &[("accept", "image/png")]).unwrap().format.info().name,
            "text"
        );
        assert!(parse(Endpoint::Batch, "", &[("accept", "text/event-stream")]).unwrap().sse);
        assert!(
            !parse(Endpoint::Batch, "", &[("accept", "application/x-ndjson, text/event-stream;q=0.5")])
                .unwrap()
                .sse
        );
        assert!(!parse(Endpoint::Batch, "", &[("accept", "*/*")]).unwrap().sse);
    }

    #[test]
    fn path_query_and_header_name_the_deployment() {
        let named = |path, query: &str, header: &[(&str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in header {
                map.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            let options =
                Options::parse(Endpoint::Whole, &format!("/x?{query}").parse().unwrap(), &map, path, MOST);
            options.map(|o| o.deployment.map(|d| d.to_string())).map_err(|f| f.code)
        };
        assert_eq!(named(None, "", &[]), Ok(None));
        assert_eq!(named(Some("a"), "deployment=a", &[("x-lector-deployment", "a")]), Ok(Some("a".into())));
        assert_eq!(named(None, "", &[("x-lector-deployment", " b ")]), Ok(Some("b".into())));
        assert_eq!(named(Some("a"), "deployment=b", &[]), Err("option_invalid"));
    }

    #[test]
    fn options_of_jobs() {
        let job = |query: &str| parse(Endpoint::Job, query, &[]).map_err(|fault| fault.code);
        let options =
            job("formats=markdown,hocr&webhook=https%3A%2F%2Fa.example%2Fx&retention=60&priority=-3")
                .unwrap();
        let expect = JobOptions {
            formats: vec!["markdown", "hocr"],
            webhook: Some("https://a.example/x".to_owned()),
            retention: Some(Duration::from_secs(60)),
            priority: -3,
        };
        assert_eq!(options.job, expect);
        assert!(options.request.words, "hOCR needs words");
        for bad in
            ["formats=docx", "formats=", "retention=-1", "retention=1.5", "priority=11", "priority=high"]
        {
            assert_eq!(job(bad).unwrap_err(), "option_invalid", "{bad}");
        }
        for other in ["explain=1", "timeout=3", "order=page", "format=json", "partial=1"] {
            assert_eq!(job(other).unwrap_err(), "unknown_option", "{other}");
        }
        assert_eq!(parse(Endpoint::Whole, "priority=1", &[]).unwrap_err().code, "unknown_option");
    }

    #[test]
    fn passwords() {
        assert_eq!(
            parse(Endpoint::Whole, "", &[("x-document-password", "p w")]).unwrap().password.as_deref(),
            Some("p w")
        );
        let mut map = HeaderMap::new();
        map.insert(&PASSWORD, axum::http::HeaderValue::from_bytes("gr\u{fc}n".as_bytes()).unwrap());
        assert_eq!(password(&map).unwrap().as_deref(), Some("gr\u{fc}n"));
        map.insert(&PASSWORD, axum::http::HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        assert_eq!(password(&map).unwrap_err().code, "option_invalid");
    }
}
