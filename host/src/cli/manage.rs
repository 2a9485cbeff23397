//! Commands that manage a server: deploys, routes, keys, tenants, usage, the audit log.
//!
//! Each command sends one request to the public HTTP API, or one for each page of a list, and prints the response.
//! `[client]` of the configuration holds the address of the server and the key.

mod deployments;
mod list_format;
mod logs;
pub(super) mod pages;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use reqwest::header::IF_NONE_MATCH;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::failure::Failure;
use super::files::bytes_of;
use super::runtime::block_on;
use super::server_client::Server;
use super::terminal;
use crate::config::Config;

use list_format::ListFormat;

pub(super) use deployments::{Canary, Deploy, Promote, Revisions, Rollback, Shadow, Undeploy, revisions};
pub(super) use logs::{Logs, logs};

/// Largest file that is sent; the server's limit for a component.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A command that is one request, or a list.
pub(super) trait ApiCommand: Sized {
    /// Returns whether the response is a list of which all pages are wanted.
    fn is_whole_list(&self) -> bool {
        false
    }

    /// Returns the form in which the response is printed.
    fn list_format(&self) -> ListFormat {
        ListFormat::Json
    }

    /// Builds the request.
    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder>;
}

/// Sends the request of a command, and prints the response.
pub(super) fn run(command: impl ApiCommand, config: &Config) -> Result<ExitCode, Failure> {
    block_on(config, async {
        let server = Server::of(&config.client)?;
        let (whole, format) = (command.is_whole_list(), command.list_format());
        let request = command.request(&server).await?;
        let value =
            if whole { Some(pages::all(&server, request).await?) } else { server.json(request).await? };
        if let Some(value) = value {
            terminal::print(&format.text(&value))?;
            let damaged = value["damaged"].as_array().map_or(0, Vec::len);
            if format != ListFormat::Json && damaged > 0 {
                let lost = anyhow::anyhow!(
                    "{damaged} rows cannot be read and are missing: `lector quarantine` lists them"
                );
                return Err(lost.into());
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn json_file(path: &Path) -> anyhow::Result<Value> {
    let bytes = bytes_of(path, FILE_BYTES_MAX).await.with_context(|| path.display().to_string())?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", path.display()))
}

/// Sets a member if there is a value for it.
fn set(object: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value);
    }
}

/// `lector keys`
#[derive(Debug, clap::Subcommand)]
pub(super) enum Keys {
    /// List keys
    List {
        /// Of all tenants (administrators only)
        #[arg(long)]
        all: bool,
    },
    /// Create a key and print it; it cannot be shown again
    Create {
        /// Label of the key
        #[arg(default_value = "")]
        label: String,
        /// Create it for this tenant (administrators only)
        #[arg(long, conflicts_with = "admin")]
        tenant: Option<String>,
        /// Create an administrator's key
        #[arg(long)]
        admin: bool,
    },
    /// Create a key that replaces an old one
    Rotate {
        /// Id of the old key
        id: String,
        /// Seconds for which the old key stays valid
        #[arg(long, default_value_t = 0)]
        grace_s: u64,
        /// A key of any tenant (administrators only)
        #[arg(long)]
        any: bool,
    },
    /// Revoke a key
    Revoke {
        /// Id of the key
        id: String,
        /// A key of any tenant (administrators only)
        #[arg(long)]
        any: bool,
    },
}

impl ApiCommand for Keys {
    fn is_whole_list(&self) -> bool {
        matches!(self, Keys::List { .. })
    }

    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let keys = |any: bool| if any { "/admin/keys" } else { "/keys" };
        Ok(match self {
            Keys::List { all } => server.at(Method::GET, keys(all)),
            Keys::Create { label, tenant, admin } => {
                let request = server.at(Method::POST, keys(admin || tenant.is_some()));
                let mut body = json!({ "label": label });
                set(&mut body, "tenant", tenant.map(Value::from));
                set(&mut body, "admin", admin.then_some(Value::Bool(true)));
                request.json(&body)
            }
            Keys::Rotate { id, grace_s, any } => server
                .at(Method::POST, &format!("{}/{id}/rotate", keys(any)))
                .json(&json!({ "grace_s": grace_s })),
            Keys::Revoke { id, any } => server.at(Method::DELETE, &format!("{}/{id}", keys(any))),
        })
    }
}

/// `lector tenants`
#[derive(Debug, clap::Subcommand)]
pub(super) enum Tenants {
    /// List tenants
    List,
    /// Show a tenant
    Get {
        /// Name of the tenant
        name: String,
    },
    /// Create a tenant with a policy; members that are not given have their defaults
    Create {
        /// Name of the tenant
        name: String,
        /// Policy as a JSON file: weight, models, limits
        #[arg(value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// Replace the policy of a tenant; members that are not given have their defaults
    Update {
        /// Name of the tenant
        name: String,
        /// Policy as a JSON file: weight, models, limits; `{}` resets every limit
        #[arg(value_name = "FILE")]
        policy: PathBuf,
    },
    /// Delete a tenant with its keys and deployments
    Delete {
        /// Name of the tenant
        name: String,
    },
}

impl ApiCommand for Tenants {
    fn is_whole_list(&self) -> bool {
        matches!(self, Tenants::List)
    }

    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let of = |name: &str| format!("/admin/tenants/{name}");
        Ok(match self {
            Tenants::List => server.at(Method::GET, "/admin/tenants"),
            Tenants::Get { name } => server.at(Method::GET, &of(&name)),
            Tenants::Create { name, policy } => {
                let policy = match policy {
                    Some(file) => json_file(&file).await?,
                    None => json!({}),
                };
                server.at(Method::PUT, &of(&name)).header(IF_NONE_MATCH, "*").json(&policy)
            }
            Tenants::Update { name, policy } => {
                server.at(Method::PUT, &of(&name)).json(&json_file(&policy).await?)
            }
            Tenants::Delete { name } => server.at(Method::DELETE, &of(&name)),
        })
    }
}

/// `lector usage`
#[derive(Debug, clap::Args)]
pub(super) struct Usage {
    /// Number of days, counted back from today
    #[arg(long, default_value_t = 31)]
    days: u32,
    /// Of all tenants (administrators only)
    #[arg(long)]
    all: bool,
    /// Print CSV, for billing
    #[arg(long)]
    csv: bool,
}

impl ApiCommand for Usage {
    fn is_whole_list(&self) -> bool {
        true
    }

    fn list_format(&self) -> ListFormat {
        if self.csv { ListFormat::Csv } else { ListFormat::Json }
    }

    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let path = if self.all { "/admin/usage" } else { "/usage" };
        Ok(server.at(Method::GET, &format!("{path}?days={}", self.days)))
    }
}

/// `lector audit`
#[derive(Debug, clap::Args)]
pub(super) struct Audit {
    /// Maximum number of entries, 1 to 1000
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Continue after an earlier answer: its `next`
    #[arg(long)]
    cursor: Option<String>,
    /// Of all tenants (administrators only)
    #[arg(long)]
    all: bool,
    /// Print the whole log, newest first, one entry a line (NDJSON)
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    export: bool,
}

impl ApiCommand for Audit {
    fn is_whole_list(&self) -> bool {
        self.export
    }

    fn list_format(&self) -> ListFormat {
        if self.export { ListFormat::Ndjson } else { ListFormat::Json }
    }

    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let path = if self.all { "/admin/audit" } else { "/audit" };
        let request = server.at(Method::GET, path);
        if self.export {
            return Ok(request);
        }
        let request = request.query(&[("limit", self.limit)]);
        Ok(match self.cursor {
            Some(cursor) => request.query(&[("cursor", cursor)]),
            None => request,
        })
    }
}

/// `lector quarantine`
#[derive(Debug, clap::Args)]
pub(super) struct Quarantine {}

impl ApiCommand for Quarantine {
    fn is_whole_list(&self) -> bool {
        true
    }

    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        Ok(server.at(Method::GET, "/admin/quarantine"))
    }
}
