//! The handler of the protocol: lists the tools, and runs their calls on a transport's way to read.

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::Value;
use tokio::sync::watch;

use super::answer::{self, Answer};
use super::arguments::{Call, Named, Read, ReadRequest};
use super::error::ToolError;
use super::tools::{self, Naming};

/// The way of a transport to read.
pub(crate) trait Reads: Send + Sync + 'static {
    /// The way in which calls name documents.
    const NAMING: Naming;

    /// Reads a document into `answer`, in the order of its pages, until it wants no more.
    fn read(
        &self,
        named: Named,
        request: &ReadRequest,
        answer: &mut Answer,
    ) -> impl Future<Output = Result<(), ToolError>> + Send;

    /// Returns the deployments; of their JSON in the API at least `name`, `shared` and `weights`.
    fn deployments(&self) -> impl Future<Output = Result<Vec<Value>, ToolError>> + Send;
}

/// The tools, on a way to read.
#[derive(Debug)]
pub(crate) struct Tools<R>(Arc<R>);

impl<R> Clone for Tools<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: Reads> Tools<R> {
    pub(crate) fn new(reads: R) -> Self {
        Self(Arc::new(reads))
    }

    async fn call(
        &self,
        tool: &Tool,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ToolError> {
        match Call::parse(tool, request.arguments.unwrap_or_default())? {
            Call::ListDeployments => Ok(answer::deployments(&self.0.deployments().await?)),
            Call::Read(read) => {
                let Read { named, request, form } = *read;
                let (sender, seen) = watch::channel((0, 0));
                let mut answer = Answer::new(form, sender);
                let reading = self.0.read(named, &request, &mut answer);
                reporting(reading, seen, context).await?;
                Ok(answer.result())
            }
        }
    }
}

/// Waits for a reading; reports its pages to a client that asked for the progress of its call.
async fn reporting(
    reading: impl Future<Output = Result<(), ToolError>>,
    mut seen: watch::Receiver<(u32, u32)>,
    context: &RequestContext<RoleServer>,
) -> Result<(), ToolError> {
    let token = context.meta.get_progress_token();
    let mut reading = std::pin::pin!(reading);
    loop {
        tokio::select! {
            outcome = &mut reading => return outcome,
            Ok(()) = seen.changed(), if token.is_some() => {}
        }
        let (done, of) = *seen.borrow_and_update();
        if let Some(token) = token.clone() {
            let mut progress = ProgressNotificationParam::new(token, f64::from(done));
            progress.total = Some(f64::from(of));
            // A client that is gone ends the call by its cancellation.
            let _ = context.peer.notify_progress(progress).await;
        }
    }
}

impl<R: Reads> ServerHandler for Tools<R> {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(
                Implementation::new("lector", env!("CARGO_PKG_VERSION")).with_title("Lector OCR"),
            )
            .with_instructions(tools::instructions(R::NAMING))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::all(R::NAMING).into_iter().find(|tool| tool.name == name)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all(R::NAMING)))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = self.get_tool(&request.name) else {
            let name: String = request.name.chars().filter(|c| !c.is_control()).take(40).collect();
            let names: Vec<_> =
                tools::all(R::NAMING).into_iter().map(|tool| tool.name.into_owned()).collect();
            let message = format!("There is no tool `{name}`: use one of {}.", names.join(", "));
            return Err(ErrorData::invalid_params(message, None));
        };
        let result = tokio::select! {
            result = self.call(&tool, request, &context) => result,
            () = context.ct.cancelled() => Err(ToolError::new("canceled", "The client canceled the call.")),
        };
        Ok(result.unwrap_or_else(|error| error.result()).into())
    }
}
