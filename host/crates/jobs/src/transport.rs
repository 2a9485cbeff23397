//! The port of webhooks.

use futures::future::BoxFuture;

/// One attempt to send a message.
#[derive(Clone, Debug)]
pub struct WebhookRequest {
    /// The destination.
    pub url: String,
    /// The headers of the signature and the content type.
    pub headers: Vec<(&'static str, String)>,
    /// The JSON body.
    pub body: Vec<u8>,
}

/// Sends webhooks.
pub trait WebhookTransport: Send + Sync + 'static {
    /// Sends one message, and returns the status of the answer. Error: the reason that there is no answer, without
    /// secrets. Bounds its own time; follows no redirect; connects only to addresses that the egress policy permits.
    fn send(&self, request: WebhookRequest) -> BoxFuture<'_, Result<u16, String>>;
}
