//! Commands that deploy and route, and that show deployments.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::files::bytes_of;
use super::super::runtime::block_on;
use super::super::server_client::Server;
use super::{ApiCommand, FILE_BYTES_MAX, json_file, run, set, watch};
use crate::config::Config;

/// `lector deploy`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Deploy {
    /// Component to deploy (default: that of the newest revision, with other settings)
    file: Option<PathBuf>,
    /// Name of the deployment
    #[arg(long, short)]
    deployment: String,
    /// Settings of the guest, a JSON file (default: those of the newest revision)
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Model that the guest may open, by its alias in the guest; may be repeated (default: those of the newest revision that
    /// the tenant still has; for the first revision all models of the tenant)
    #[arg(long, value_name = "ALIAS=MODEL")]
    grant: Vec<String>,
    /// Let the guest open all models of the tenant
    #[arg(long, conflicts_with = "grant")]
    all_models: bool,
    /// Deployment to wrap, for a guest that imports `lector:ocr/pipeline`: its live revision is pinned (default without
    /// FILE: the revision that the newest revision wraps)
    #[arg(long, value_name = "NAME")]
    wraps: Option<String>,
    /// Route all requests to the new revision
    #[arg(long, conflicts_with_all = ["canary", "shadow"])]
    promote: bool,
    /// Route no requests to the new revision, even if it is the first of the deployment, which is promoted by default
    #[arg(long, conflicts_with_all = ["promote", "canary", "shadow"])]
    no_promote: bool,
    /// Route this percentage of requests to the new revision
    #[arg(long, value_name = "PERCENT", conflicts_with = "shadow")]
    canary: Option<u8>,
    /// Mirror this percentage of documents to the new revision, and compare its results
    #[arg(long, value_name = "PERCENT")]
    shadow: Option<u8>,
    #[command(flatten)]
    policy: RollbackArgs,
    #[command(flatten)]
    expected: ExpectArgs,
}

/// Rollback policy of a new revision: beyond it the route is rolled back automatically.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RollbackArgs {
    /// Maximum share of failed pages, 0 to 1
    #[arg(long, value_name = "SHARE")]
    rollback_error_rate: Option<f64>,
    /// Maximum share of failed pages above that of the stable revision, 0 to 1
    #[arg(long, value_name = "SHARE")]
    rollback_error_increase: Option<f64>,
    /// Maximum 99th percentile of page time, in milliseconds
    #[arg(long, value_name = "MS")]
    rollback_p99_ms: Option<u64>,
    /// Maximum 99th percentile of page time, divided by that of the stable revision
    #[arg(long, value_name = "RATIO")]
    rollback_p99_ratio: Option<f64>,
    /// Number of pages before the revision is evaluated
    #[arg(long, value_name = "PAGES")]
    rollback_pages_min: Option<u64>,
}

/// The route that the deployment must have; with another one, the command fails and changes nothing.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ExpectArgs {
    /// Fail if the live revision is another one than this (0: none)
    #[arg(long, value_name = "REVISION")]
    expect: Option<u32>,
}

impl ExpectArgs {
    fn into(self, body: &mut Value) {
        set(body, "expected_revision", self.expect.map(Value::from));
    }
}

impl RollbackArgs {
    fn into(self, body: &mut Value) {
        let mut policy = json!({});
        let members = [
            ("error_rate_max", self.rollback_error_rate.map(Value::from)),
            ("error_rate_increase_max", self.rollback_error_increase.map(Value::from)),
            ("p99_ms_max", self.rollback_p99_ms.map(Value::from)),
            ("p99_ratio_max", self.rollback_p99_ratio.map(Value::from)),
            ("pages_min", self.rollback_pages_min.map(Value::from)),
        ];
        for (name, value) in members {
            set(&mut policy, name, value);
        }
        set(
            body,
            "rollback_policy",
            policy.as_object().is_some_and(|policy| !policy.is_empty()).then_some(policy.clone()),
        );
    }
}

impl ApiCommand for Deploy {
    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let mut options = json!({});
        let promote = self.promote.then_some(true).or(self.no_promote.then_some(false));
        set(&mut options, "promote", promote.map(Value::from));
        set(&mut options, "canary", self.canary.map(Value::from));
        set(&mut options, "shadow", self.shadow.map(Value::from));
        set(&mut options, "wraps", self.wraps.map(Value::from));
        self.policy.into(&mut options);
        self.expected.into(&mut options);
        if !self.grant.is_empty() {
            let pair = |pair: &String| {
                let (alias, model) =
                    pair.split_once('=').with_context(|| format!("--grant {pair}: write ALIAS=MODEL"))?;
                Ok((alias.to_owned(), Value::from(model)))
            };
            let grants = self.grant.iter().map(pair).collect::<anyhow::Result<serde_json::Map<_, _>>>()?;
            set(&mut options, "grants", Some(Value::Object(grants)));
        }
        set(&mut options, "all_models", self.all_models.then_some(Value::Bool(true)));
        if let Some(file) = &self.settings {
            set(&mut options, "settings", Some(json_file(file).await?));
        }
        let Some(file) = &self.file else {
            return Ok(server.at(Method::PUT, &format!("/deployments/{}", self.deployment)).json(&options));
        };
        let bytes = bytes_of(file, FILE_BYTES_MAX).await.with_context(|| file.display().to_string())?;
        Ok(server.deploy(&self.deployment, &options, bytes))
    }
}

/// `lector promote`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Promote {
    /// Name of the deployment
    deployment: String,
    /// Number of the revision (default: the newest that is not withdrawn)
    #[arg(long)]
    revision: Option<u32>,
    /// Promote the revision even if it is withdrawn
    #[arg(long, requires = "revision")]
    force: bool,
    #[command(flatten)]
    policy: RollbackArgs,
    #[command(flatten)]
    expected: ExpectArgs,
}

impl ApiCommand for Promote {
    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let mut body = json!({});
        set(&mut body, "revision", self.revision.map(Value::from));
        set(&mut body, "force", self.force.then_some(Value::Bool(true)));
        self.policy.into(&mut body);
        self.expected.into(&mut body);
        Ok(server.at(Method::POST, &format!("/deployments/{}/promote", self.deployment)).json(&body))
    }
}

/// `lector canary`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Canary {
    /// Name of the deployment
    deployment: String,
    /// Percentage of requests
    percent: u8,
    /// Number of the revision (default: the newest that is not withdrawn)
    #[arg(long)]
    revision: Option<u32>,
    /// Use the revision even if it is withdrawn
    #[arg(long, requires = "revision")]
    force: bool,
    #[command(flatten)]
    policy: RollbackArgs,
    #[command(flatten)]
    expected: ExpectArgs,
}

impl ApiCommand for Canary {
    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let mut body = json!({ "percent": self.percent });
        set(&mut body, "revision", self.revision.map(Value::from));
        set(&mut body, "force", self.force.then_some(Value::Bool(true)));
        self.policy.into(&mut body);
        self.expected.into(&mut body);
        Ok(server.at(Method::POST, &format!("/deployments/{}/canary", self.deployment)).json(&body))
    }
}

/// `lector shadow`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Shadow {
    /// Name of the deployment
    deployment: String,
    /// Percentage of documents to mirror; 0 stops it
    percent: u8,
    /// Number of the revision (default: the newest that is not withdrawn)
    #[arg(long)]
    revision: Option<u32>,
    #[command(flatten)]
    expected: ExpectArgs,
}

impl ApiCommand for Shadow {
    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let mut body = json!({ "percent": self.percent });
        set(&mut body, "revision", self.revision.map(Value::from));
        self.expected.into(&mut body);
        Ok(server.at(Method::POST, &format!("/deployments/{}/shadow", self.deployment)).json(&body))
    }
}

/// `lector undeploy`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Undeploy {
    /// Name of the deployment
    deployment: String,
}

impl ApiCommand for Undeploy {
    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        Ok(server.at(Method::DELETE, &format!("/deployments/{}", self.deployment)))
    }
}

/// `lector rollback`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rollback {
    /// Name of the deployment
    deployment: String,
    /// Revision to return to (default: the newest stable one before that was not withdrawn)
    #[arg(long, value_name = "REVISION")]
    to: Option<u32>,
    /// Reason that the withdrawn revision shows
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    expected: ExpectArgs,
}

impl ApiCommand for Rollback {
    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let mut body = json!({});
        set(&mut body, "to", self.to.map(Value::from));
        set(&mut body, "reason", self.reason.map(Value::from));
        self.expected.into(&mut body);
        Ok(server.at(Method::POST, &format!("/deployments/{}/rollback", self.deployment)).json(&body))
    }
}

/// `lector revisions`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct Revisions {
    /// Name of the deployment (default: all)
    deployment: Option<String>,
    /// Show this revision alone, with its settings and the schema of its options
    #[arg(long, value_name = "NUMBER", requires = "deployment")]
    revision: Option<u32>,
    #[command(subcommand)]
    command: Option<RevisionsCommand>,
}

/// Subcommands of `lector revisions`.
#[derive(Debug, clap::Subcommand)]
enum RevisionsCommand {
    /// Follow a deployment: print each audit event, and the state of its revisions after it, until drains end
    Watch {
        /// Name of the deployment
        deployment: String,
    },
}

/// Shows revisions, or follows a deployment.
pub(in crate::cli) fn revisions(args: Revisions, config: &Config) -> Result<ExitCode, Failure> {
    let Some(RevisionsCommand::Watch { deployment }) = &args.command else { return run(args, config) };
    block_on(config, async {
        watch::follow(&Server::of(&config.client)?, deployment).await?;
        Ok(ExitCode::SUCCESS)
    })
}

impl ApiCommand for Revisions {
    fn is_whole_list(&self) -> bool {
        self.deployment.is_none()
    }

    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let path = match (self.deployment, self.revision) {
            (None, _) => "/deployments".to_owned(),
            (Some(name), None) => format!("/deployments/{name}"),
            (Some(name), Some(number)) => format!("/deployments/{name}/revisions/{number}"),
        };
        Ok(server.at(Method::GET, &path))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use clap::Parser;
    use lector_control::RollbackPolicy;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        policy: RollbackArgs,
    }

    #[test]
    fn each_flag_of_a_rollback_policy_is_a_member_of_it() {
        let body = |flags: &[&str]| {
            let mut body = json!({});
            Flags::try_parse_from([&["lector"], flags].concat()).unwrap().policy.into(&mut body);
            body
        };
        assert_eq!(body(&[]), json!({}), "no policy of its own");
        let all = body(&[
            "--rollback-error-rate=0.5",
            "--rollback-error-increase=0.25",
            "--rollback-p99-ms=9",
            "--rollback-p99-ratio=2",
            "--rollback-pages-min=7",
        ]);
        let expected = RollbackPolicy {
            error_rate_max: 0.5,
            p99_ms_max: 9,
            pages_min: 7,
            error_rate_increase_max: Some(0.25),
            p99_ratio_max: Some(2.0),
        };
        assert_eq!(
            serde_json::from_value::<RollbackPolicy>(all["rollback_policy"].clone()).unwrap(),
            expected
        );
    }
}
