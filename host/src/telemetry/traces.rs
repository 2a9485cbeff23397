//! Traces over OTLP: the spans of requests, documents, pages, renderings, guest calls and model runs, sent to an
//! OpenTelemetry collector as protobuf over HTTP.
//!
//! Owns the selection of spans, the exporter and its end. The trace context of clients is read by the middleware
//! (`http/middleware.rs`). Off unless `traces.endpoint` is set; the environment variables of the OpenTelemetry
//! specification for headers, batches and resource attributes apply (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_BSP_*`,
//! `OTEL_RESOURCE_ATTRIBUTES`).

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::Metadata;

use crate::config::{ClientTls, TracesConfig};
use crate::tls;

/// Names of the spans that are sent.
const SENT: [&str; 6] = ["http", "document", "page", "render", "guest", "inference"];
/// Time for a request to the collector. What it does not take is dropped: the spans of a server are worth less than its
/// memory.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// Time for the spans that wait when the server ends.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Returns whether a span is part of a trace.
pub(super) fn is_sent(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("lector") && SENT.contains(&metadata.name())
}

/// The exporter of traces. [`Traces::end`] sends what is left.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts the exporter. Its requests run on the runtime `handle`.
    pub(super) fn start(config: &TracesConfig, handle: Handle) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let client = client.tls_backend_preconfigured(tls::http_client_config(&ClientTls::default())?);
        let client = client.timeout(SEND_WITHIN).build().context("starting the HTTP client of traces")?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Transport { client, handle })
            .with_endpoint(format!("{}/v1/traces", config.endpoint.trim_end_matches('/')))
            .with_timeout(SEND_WITHIN)
            .build()
            .with_context(|| format!("starting the exporter to {} (traces.endpoint)", config.endpoint))?;
        let resource = Resource::builder()
            .with_service_name("lector")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        // A client that traces decides for its requests, so that no trace lacks a part.
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        Ok(Self { provider })
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("lector")
    }

    /// Sends the spans that wait, for a bounded time. Blocks; not for a thread of the runtime.
    pub fn end(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(%error, "the last spans were not sent (traces.endpoint)");
        }
    }
}

/// Sends requests of the exporter's own thread on the server's runtime.
#[derive(Debug)]
struct Transport {
    client: reqwest::Client,
    handle: Handle,
}

impl HttpClient for Transport {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let client = self.client.clone();
        let sent = self.handle.spawn(async move {
            let answer = client.execute(request.try_into()?).await?;
            let status = answer.status();
            // A collector answers with a few bytes; more is not read.
            let body = if answer.content_length().is_some_and(|bytes| bytes <= 65_536) {
                answer.bytes().await?
            } else {
                Bytes::new()
            };
            let mut response = Response::new(body);
            *response.status_mut() = status;
            Ok::<_, HttpError>(response)
        });
        Box::pin(async move { sent.await? })
    }
}
