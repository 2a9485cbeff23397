//! Commands that manage a server: deploys, routes, keys, tenants, usage, the audit log.
//!
//! Each is one request to the HTTP API that everybody has, and prints what came back as JSON, so that it can be piped
//! on. Where the server is and what is shown to it stand in `[client]` of the configuration.

mod deployments;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::ocr::bytes_of;
use super::ocr::remote::accepted;
use super::{Failure, terminal};
use crate::config::{ClientConfig, Config};

pub(super) use deployments::{Canary, Deploy, Promote, Revisions, Rollback, Shadow, Undeploy, revisions};

/// Largest file that is sent: what the server takes of a component, and JSON.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// An HTTP client that shows the configured key.
pub(super) fn client(config: &ClientConfig) -> anyhow::Result<Client> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &config.key {
        let mut value = HeaderValue::from_str(&format!("Bearer {key}")).context("client.key is no key")?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    if let Some(tenant) = &config.tenant {
        let value = HeaderValue::from_str(tenant).context("client.tenant is no name")?;
        headers.insert(HeaderName::from_static("x-lector-tenant"), value);
    }
    Client::builder().default_headers(headers).build().context("making an HTTP client")
}

/// A server to ask.
pub(super) struct Server<'a> {
    client: Client,
    config: &'a ClientConfig,
}

impl<'a> Server<'a> {
    /// The configured one.
    pub(super) fn of(config: &'a ClientConfig) -> anyhow::Result<Self> {
        Ok(Self { client: client(config)?, config })
    }

    /// The answer to a request, if it is one of success.
    pub(super) async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let answer = request.send().await.with_context(|| format!("asking {}", self.config.server))?;
        accepted(answer).await
    }

    /// A new revision of a deployment, with the options of a deploy.
    pub(super) fn deploy(&self, deployment: &str, options: &Value, component: Vec<u8>) -> RequestBuilder {
        let form = Form::new().text("options", options.to_string());
        let request = self.at(Method::PUT, &format!("/deployments/{deployment}"));
        request.multipart(form.part("component", Part::bytes(component)))
    }

    pub(super) fn at(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/api/v1{path}", self.config.server))
    }
}

/// A command as the request that it is.
pub(super) trait Ask {
    /// The request.
    async fn ask(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder>;
}

/// Asks, and prints the answer.
pub(super) fn run(command: impl Ask, config: &Config) -> Result<ExitCode, Failure> {
    super::block_on(config, async {
        let server = Server::of(&config.client)?;
        let request = command.ask(&server).await?;
        let bytes = server.answer(request).await?.bytes().await.context("receiving the answer")?;
        if !bytes.is_empty() {
            let value: Value = serde_json::from_slice(&bytes).context("the server's answer is no JSON")?;
            terminal::print(&format!("{value:#}\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn json_file(path: &Path) -> anyhow::Result<Value> {
    let bytes = bytes_of(path, FILE_BYTES_MAX).await.with_context(|| path.display().to_string())?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", path.display()))
}

/// A member, where there is a value for it.
fn set(object: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value);
    }
}

/// `lector keys`
#[derive(Debug, clap::Subcommand)]
pub(super) enum Keys {
    /// Lists them
    List {
        /// Everybody's
        #[arg(long)]
        all: bool,
    },
    /// Makes one, and shows it this once
    Create {
        /// What its owner calls it
        #[arg(default_value = "")]
        label: String,
        /// For this tenant, as an administrator
        #[arg(long, conflicts_with = "admin")]
        tenant: Option<String>,
        /// For an administrator
        #[arg(long)]
        admin: bool,
    },
    /// Makes another one in place of an old one
    Rotate {
        /// Its id
        id: String,
        /// Seconds for which the old one stays good
        #[arg(long, default_value_t = 0)]
        grace_s: u64,
        /// Anybody's, as an administrator
        #[arg(long)]
        any: bool,
    },
    /// Revokes one
    Revoke {
        /// Its id
        id: String,
        /// Anybody's, as an administrator
        #[arg(long)]
        any: bool,
    },
}

impl Ask for Keys {
    async fn ask(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
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
    /// Lists them
    List,
    /// Shows one
    Get {
        /// Its name
        name: String,
    },
    /// Creates a tenant with a policy; the members that are not given have their defaults
    Create {
        /// Name of the tenant
        name: String,
        /// Its policy, a JSON file: weight, models, limits
        #[arg(value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// Replaces the policy of a tenant; the members that are not given have their defaults
    Update {
        /// Name of the tenant
        name: String,
        /// Its policy, a JSON file: weight, models, limits
        #[arg(value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// Deletes one, with its keys and its deployments
    Delete {
        /// Its name
        name: String,
    },
}

impl Ask for Tenants {
    async fn ask(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let of = |name: &str| format!("/admin/tenants/{name}");
        Ok(match self {
            Tenants::List => server.at(Method::GET, "/admin/tenants"),
            Tenants::Get { name } => server.at(Method::GET, &of(&name)),
            Tenants::Create { name, policy } | Tenants::Update { name, policy } => {
                let policy = match policy {
                    Some(file) => json_file(&file).await?,
                    None => json!({}),
                };
                server.at(Method::PUT, &of(&name)).json(&policy)
            }
            Tenants::Delete { name } => server.at(Method::DELETE, &of(&name)),
        })
    }
}

/// `lector usage`
#[derive(Debug, clap::Args)]
pub(super) struct Usage {
    /// So many days back
    #[arg(long, default_value_t = 31)]
    days: u32,
    /// Everybody's, as an administrator
    #[arg(long)]
    all: bool,
}

impl Ask for Usage {
    async fn ask(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let path = if self.all { "/admin/usage" } else { "/usage" };
        Ok(server.at(Method::GET, &format!("{path}?days={}", self.days)))
    }
}

/// `lector audit`
#[derive(Debug, clap::Args)]
pub(super) struct Audit {
    /// Most entries
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Everybody's, as an administrator
    #[arg(long)]
    all: bool,
}

impl Ask for Audit {
    async fn ask(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let path = if self.all { "/admin/audit" } else { "/audit" };
        Ok(server.at(Method::GET, &format!("{path}?limit={}", self.limit)))
    }
}

/// `lector quarantine`
#[derive(Debug, clap::Args)]
pub(super) struct Quarantine {}

impl Ask for Quarantine {
    async fn ask(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        Ok(server.at(Method::GET, "/admin/quarantine"))
    }
}
