//! The Model Context Protocol over streamable HTTP: `POST /mcp`.
//!
//! Every message is a request of its own, without a session: the credentials of each one count. The document comes with the
//! call, or is an uploaded file; a path of the server is never read. The SDK parses the message without the text of the
//! document, after both have been received under the server's own limits, and checks the versions of the protocol; `Host` and
//! `Origin` are checked by the authentication.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::MethodFilter;
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::Full;
use lector_control::Principal;
use lector_core::{DeploymentName, Fault};
use lector_serving::{
    DocumentRequest, Event, PageSelection, ReceivedBytes, TimeoutStart, Upload, UploadSlot,
};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};

use super::call::{Call, on};
use super::form::too_large;
use super::json_body::JsonBody;
use super::visit::{copied, in_json, json_body, limited, timeout, whole};
use crate::http::AppState;
use crate::http::body::declared_bytes;
use crate::http::middleware::RequestCtx;
use crate::http::parsing::{apart, begun_apart};
use crate::http::problem;
use crate::mcp::{Answer, Named, Naming, ReadRequest, Reads, ToolError, Tools};

/// The code of JSON-RPC for errors of a server.
const SERVER_ERROR: i32 = -32000;

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/mcp", on(MethodFilter::POST, error, serve))
}

/// Returns the error of a message that was not looked at. Errors of calls are results.
fn error(fault: &Fault, status: StatusCode, ctx: &RequestCtx) -> (StatusCode, Value) {
    let data = json!({ "code": fault.code, "request_id": ctx.id.as_str() });
    let error = json!({ "code": SERVER_ERROR, "message": fault.message, "data": data });
    (status, json!({ "jsonrpc": "2.0", "id": null, "error": error }))
}

async fn serve(call: Call) -> Result<Response, Fault> {
    let principal = call.principal()?;
    let Call { state, ctx, mut head, body } = call;
    let bytes_max = state.body_bytes_max(&principal);
    // Not refused for the load of the server: most messages ask for no work, and a call gets its error as a result.
    let slot = state.service.receive_component(&principal, declared_bytes(&head.headers))?;
    let mut received = slot.begin(true)?;
    let body = limited(&state, &head, body, in_json(bytes_max), timeout(&state, &principal))?;
    let body = whole(body, &mut received).await?;
    let body = json_body(body, &mut received).await?;
    let message = body.rest().into_owned();
    head.headers.insert(header::CONTENT_LENGTH, message.len().into());
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .disable_allowed_hosts()
        .with_max_request_body_bytes(message.len());
    let sent = Message { slot, received, body };
    let tools = Tools::new(Sent { state, ctx, principal, bytes_max, message: Mutex::new(Some(sent)) });
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(tools.clone()), sessions, config);
    let bytes = message.len();
    let request = Request::from_parts(head, Full::new(Bytes::from(message)));
    let response = begun_apart(bytes, async move { service.handle(request).await }).await?;
    Ok(response.map(Body::new))
}

/// A message that has been received.
struct Message {
    slot: UploadSlot,
    received: ReceivedBytes,
    /// The message with the text of its document.
    body: JsonBody,
}

/// Reads the document that came with a call.
struct Sent {
    state: AppState,
    ctx: RequestCtx,
    principal: Principal,
    /// Maximum size of a document.
    bytes_max: u64,
    /// The message, until a call takes it.
    message: Mutex<Option<Message>>,
}

impl Reads for Sent {
    const NAMING: Naming = Naming::Content;

    async fn read(&self, named: Named, request: &ReadRequest, answer: &mut Answer) -> Result<(), ToolError> {
        let message = self.message.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Message { slot, mut received, body } =
            message.ok_or_else(|| problem::internal("a message with two calls"))?;
        let (name, bytes) = self.document(named, body, &mut received).await?;
        let timeout = timeout(&self.state, &self.principal);
        let request = DocumentRequest {
            deployment: request.deployment.as_deref().map(DeploymentName::from),
            pages: request.pages.as_deref().map_or(Ok(PageSelection::All), PageSelection::parse)?,
            ..DocumentRequest::new(self.ctx.id.clone(), timeout)
        };
        let session =
            self.state.service.begin(&self.principal, request, TimeoutStart::Since(self.ctx.began))?;
        self.state.metrics.document_received(bytes.len());
        let permit = session.admitted(&slot, received).await?;
        drop(slot);
        // Without a type: the bytes decide.
        let upload = Upload { name: name.clone(), content_type: None, bytes };
        let mut events = session.stream(permit, upload);
        while let Some(event) = events.next().await {
            self.state.metrics.page_event(&event);
            let wanted = match event {
                Event::Opened { page_count, selected, .. } => {
                    let numbers = selected.iter().map(|index| index.saturating_add(1)).collect();
                    answer.opened(name.clone(), page_count, numbers);
                    true
                }
                Event::Page { index, transcript, .. } => {
                    answer.page(index.saturating_add(1), Ok(&transcript))
                }
                Event::PageError { index, fault, .. } => {
                    answer.page(index.saturating_add(1), Err(ToolError::from(&fault)))
                }
                Event::End { .. } => false,
                Event::Failed(fault) => return Err(fault.into()),
            };
            if !wanted {
                break;
            }
        }
        Ok(())
    }

    async fn deployments(&self) -> Result<Vec<Value>, ToolError> {
        // Not the whole views: their revisions have settings of up to a megabyte each.
        let views = self.state.control.deployments(&self.principal).into_iter().map(
            |view| json!({ "name": view.name.as_str(), "shared": view.shared, "weights": view.weights }),
        );
        Ok(views.collect())
    }
}

impl Sent {
    /// Returns the document with its name. Its bytes are counted.
    async fn document(
        &self,
        named: Named,
        body: JsonBody,
        received: &mut ReceivedBytes,
    ) -> Result<(Option<String>, Vec<u8>), Fault> {
        let (name, bytes) = match named {
            Named::Content(text, name) => {
                // Counted with the message.
                (name, apart(body.bytes(), move || body.document(&text)).await?)
            }
            Named::Upload(id) => {
                drop(body);
                let file = self.state.compat.files.get(self.principal.tenant(), &id)?;
                let bytes = copied(&file.bytes, received).await?;
                (Some(file.name.clone()).filter(|name| !name.is_empty()), bytes)
            }
            // The definitions of this transport have no such argument.
            Named::Path(_) => {
                return Err(problem::option_invalid("The server reads no paths: send `content`."));
            }
        };
        if bytes.len() as u64 > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        Ok((name, bytes))
    }
}
