//! Tools for agents over the Model Context Protocol (MCP, <https://modelcontextprotocol.io>): their definitions, their
//! arguments, and the form of their results.
//!
//! Owns what two transports share, and is independent of both. `cli/mcp.rs` serves the tools on standard input and output,
//! and reads files of its own machine through a server; `http/compat/mcp.rs` serves them at `/mcp`, for documents that come
//! with the call.

mod answer;
mod arguments;
mod error;
mod handler;
mod tools;

pub(crate) use answer::Answer;
pub(crate) use arguments::{Named, ReadRequest};
pub(crate) use error::ToolError;
pub(crate) use handler::{Reads, Tools};
pub(crate) use tools::Naming;
