//! The sender of webhooks: implements the port of `lector-jobs` over HTTP and TLS.
//!
//! Connects only to addresses that the egress policy permits. Names are resolved by a resolver that returns permitted
//! addresses only, and the connection goes to exactly these; an address in the URL is checked itself. No redirects, no
//! proxies, no connection is used twice, and nothing but the status of the answer is read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::header::{HOST, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use lector_core::error_chain;
use lector_jobs::{EgressPolicy, WebhookRequest, WebhookTransport};

use crate::config::ClientTls;
use crate::tls;

/// The sender.
pub(crate) struct WebhookClient(ArcSwap<Sender>);

/// A sender with one egress policy.
struct Sender {
    client: Client<HttpsConnector<HttpConnector<PermittedAddresses>>, Full<Bytes>>,
    egress: Arc<EgressPolicy>,
    timeout: Duration,
}

/// Resolves names to permitted addresses.
#[derive(Clone, Debug)]
struct PermittedAddresses(Arc<EgressPolicy>);

fn not_permitted(what: &str) -> String {
    format!("{what} is not a public address, and `jobs.webhook_addresses` does not allow it")
}

fn permitted(
    policy: &EgressPolicy,
    name: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, String> {
    let found: Vec<SocketAddr> = found.filter(|address| policy.permits(address.ip())).collect();
    if found.is_empty() { Err(not_permitted(&format!("the address of `{name}`"))) } else { Ok(found) }
}

impl tower::Service<Name> for PermittedAddresses {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.0.clone();
        async move {
            // The connector replaces the port.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found = permitted(&policy, name.as_str(), found).map_err(std::io::Error::other)?;
            Ok(found.into_iter())
        }
        .boxed()
    }
}

impl WebhookClient {
    /// Makes a sender whose attempts take at most `timeout`.
    pub(crate) fn new(egress: EgressPolicy, timeout: Duration) -> anyhow::Result<Self> {
        let egress = Arc::new(egress);
        let mut tcp = HttpConnector::new_with_resolver(PermittedAddresses(egress.clone()));
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(timeout));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(&ClientTls::default())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        // A connection in a pool would outlive the check of its address.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self(ArcSwap::from_pointee(Sender { client, egress, timeout })))
    }

    /// Takes over the policy and the timeout of another one. An attempt in progress keeps those that it began with.
    pub(crate) fn adopt(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }
}

impl Sender {
    /// Returns the URL, if its address is permitted or is a name, which the resolver checks.
    fn checked(&self, url: &str) -> Result<Uri, String> {
        let uri: Uri = url.parse().map_err(|error| format!("the URL is invalid: {error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("the URL has another scheme than `https` or `http`".to_owned());
        }
        let host = uri.host().ok_or("the URL has no host")?;
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) if !self.egress.permits(address) => Err(not_permitted(&format!("`{host}`"))),
            _ => Ok(uri),
        }
    }

    async fn attempt(&self, request: WebhookRequest) -> Result<u16, String> {
        let uri = self.checked(&request.url)?;
        // Without the user and the password that a URL may have before its host.
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_owned();
        let mut builder = Request::builder().method(Method::POST).uri(uri);
        builder =
            builder.header(HOST, host).header(USER_AGENT, concat!("lector/", env!("CARGO_PKG_VERSION")));
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        let message = builder.body(Full::from(request.body)).map_err(|error| error.to_string())?;
        // The body of the answer is not read: a receiver cannot make the server hold it.
        let answer = self.client.request(message).await.map_err(|error| error_chain(&error))?;
        Ok(answer.status().as_u16())
    }
}

impl WebhookTransport for WebhookClient {
    fn send(&self, request: WebhookRequest) -> BoxFuture<'_, Result<u16, String>> {
        let sender = self.0.load_full();
        async move {
            let late = |_| format!("the receiver did not answer within {} s", sender.timeout.as_secs_f64());
            tokio::time::timeout(sender.timeout, sender.attempt(request)).await.map_err(late)?
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
