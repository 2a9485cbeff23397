//! The client of the public HTTP API: the address and the key of `[client]` of the configuration, which flags and contexts
//! set as well. An error names the source of the value that caused it.

use std::fmt;

use anyhow::{Context, anyhow};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::config::ClientConfig;
use crate::tls;

/// Returns an HTTP client that sends the configured key.
pub(super) fn client(config: &ClientConfig) -> anyhow::Result<Client> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &config.key {
        let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
            .with_context(|| format!("the key ({}) is not a valid header value", config.origins.key))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    if let Some(tenant) = &config.tenant {
        let value = HeaderValue::from_str(tenant)
            .with_context(|| format!("the tenant ({}) is not a valid header value", config.origins.tenant))?;
        headers.insert(HeaderName::from_static("x-lector-tenant"), value);
    }
    let builder = Client::builder().default_headers(headers);
    let builder = builder.tls_backend_preconfigured(tls::http_client_config(&config.tls)?);
    builder.build().context("creating an HTTP client")
}

/// The server that commands call.
pub(super) struct Server<'a> {
    client: Client,
    config: &'a ClientConfig,
}

impl<'a> Server<'a> {
    /// Returns the configured server.
    pub(super) fn of(config: &'a ClientConfig) -> anyhow::Result<Self> {
        Ok(Self { client: client(config)?, config })
    }

    /// Sends a request, and returns the response if its status is one of success.
    pub(super) async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let ClientConfig { server, origins, .. } = self.config;
        let answer = request.send().await.with_context(|| format!("asking {server} ({})", origins.server))?;
        let status = answer.status();
        accepted(answer).await.map_err(|error| match self.source_of(status, &error) {
            Some(source) => anyhow!("{error:#}; {source}"),
            None => error,
        })
    }

    /// Returns a sentence about the value that a refused request has from the configuration.
    fn source_of(&self, status: StatusCode, error: &anyhow::Error) -> Option<String> {
        let ClientConfig { server, key, tenant, origins, .. } = self.config;
        let is_of_tenant =
            error.downcast_ref::<Refused>().is_some_and(|refused| refused.code == "tenant_not_found");
        match (tenant, key) {
            (Some(tenant), _) if is_of_tenant => {
                Some(format!("the tenant is `{tenant}` ({})", origins.tenant))
            }
            (_, Some(_)) if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN => {
                Some(format!("the key for {server} is from: {}", origins.key))
            }
            (_, None) if status == StatusCode::UNAUTHORIZED => {
                Some(format!("no key is set for {server}: use `lector login`, $LECTOR__CLIENT__KEY or --key"))
            }
            _ => None,
        }
    }

    /// Sends a request, and returns the JSON of its response; `None` for an empty one.
    pub(super) async fn json(&self, request: RequestBuilder) -> anyhow::Result<Option<Value>> {
        let bytes = self.answer(request).await?.bytes().await.context("receiving the answer")?;
        if bytes.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&bytes).map(Some).context("the response of the server is not JSON")
    }

    /// Builds the request for a new revision of a deployment, with the options of a deploy.
    pub(super) fn deploy(&self, deployment: &str, options: &Value, component: Vec<u8>) -> RequestBuilder {
        let form = Form::new().text("options", options.to_string());
        let request = self.at(Method::PUT, &format!("/deployments/{deployment}"));
        request.multipart(form.part("component", Part::bytes(component)))
    }

    pub(super) fn at(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/api/v1{path}", self.config.server))
    }
}

/// A request that the server refused with a problem.
#[derive(Debug)]
struct Refused {
    code: String,
    detail: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}

impl std::error::Error for Refused {}

/// Returns a response of success, or an error with the server's problem details (RFC 9457).
pub(super) async fn accepted(answer: Response) -> anyhow::Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let problem: Value =
        serde_json::from_slice(&answer.bytes().await.unwrap_or_default()).unwrap_or_default();
    let member = |name: &str| problem.get(name).and_then(Value::as_str);
    match (member("detail").or(member("title")), member("code")) {
        (Some(detail), Some(code)) => {
            Err(Refused { code: code.to_owned(), detail: detail.to_owned() }.into())
        }
        _ => Err(anyhow!("the server responded with status {status}")),
    }
}
