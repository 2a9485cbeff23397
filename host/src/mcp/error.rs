//! Errors of calls.

use lector_core::Fault;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Value, json};

/// The error of a call: what failed, and what to do, for the agent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolError {
    /// A problem code.
    pub(crate) code: String,
    pub(crate) message: String,
    /// Seconds after which the call may succeed.
    pub(crate) retry_after_s: Option<u64>,
}

impl ToolError {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), retry_after_s: None }
    }

    /// Returns the error of a page as a member of a result.
    pub(super) fn json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(seconds) = self.retry_after_s {
            error["retry_after_s"] = seconds.into();
        }
        error
    }

    /// Returns the result of a call that failed. It has no structured content: clients compare that with the output schema of the
    /// tool even in an error, and would report the difference in place of the error.
    pub(super) fn result(&self) -> CallToolResult {
        let Self { code, message, retry_after_s } = self;
        let retry = retry_after_s.map(|seconds| format!(" Try again in {seconds} s.")).unwrap_or_default();
        CallToolResult::error(vec![ContentBlock::text(format!("{message} ({code}){retry}"))])
    }
}

impl From<&Fault> for ToolError {
    fn from(fault: &Fault) -> Self {
        let retry_after_s = fault.retry_after.map(|after| after.as_secs().max(1));
        Self { code: fault.code.to_owned(), message: fault.message.clone(), retry_after_s }
    }
}

impl From<Fault> for ToolError {
    fn from(fault: Fault) -> Self {
        Self::from(&fault)
    }
}
