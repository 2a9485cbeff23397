//! `lector jobs`: submits documents to a server that are read later, follows them, and fetches their results.

mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use futures::StreamExt;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::failure::Failure;
use super::files::{bytes_of, name_of};
use super::manage::{ApiCommand, run as run_request};
use super::reading_options::{PASSWORD, ReadingOptions};
use super::runtime::block_on;
use super::server_client::Server;
use super::terminal;
use crate::config::Config;

/// Maximum size of a file, which is held in memory while it is sent; the server has its own limit, usually far lower.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// `lector jobs`
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Submit documents as one job, and print it
    Submit(Submit),
    /// List the jobs, newest first
    List(List),
    /// Follow a job to its end with a progress bar, and print it; exit code 1 if it failed
    Watch {
        /// Id of the job
        job: String,
    },
    /// Print the result of a document of a job
    Result(JobResult),
    /// Cancel a job that is not finished; delete one that is, with its results
    Cancel(Cancel),
}

/// Arguments of `submit`.
#[derive(Debug, clap::Args)]
pub(super) struct Submit {
    /// Documents
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Formats that will be requested, separated by commas; pages are read with what they need
    #[arg(long, value_delimiter = ',', value_name = "FORMAT")]
    formats: Vec<String>,
    #[command(flatten)]
    pub(super) reading: ReadingOptions,
    /// URL that gets a message at the end
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Seconds that the finished job is kept
    #[arg(long, value_name = "SECONDS")]
    retention: Option<u64>,
    /// Order among your own jobs, -10 to 10; greater ones first
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i8>,
    /// A second submission with the same key returns the first job
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Follow the job to its end, like `watch`
    #[arg(long)]
    wait: bool,
}

impl Submit {
    async fn request(&self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let mut form = Form::new();
        for file in &self.files {
            let bytes = bytes_of(file, FILE_BYTES_MAX).await.with_context(|| name_of(file))?;
            form = form.part("file", Part::bytes(bytes).file_name(name_of(file)));
        }
        let mut query = self.reading.query();
        let options = [
            ("formats", (!self.formats.is_empty()).then(|| self.formats.join(","))),
            ("webhook", self.webhook.clone()),
            ("retention", self.retention.map(|seconds| seconds.to_string())),
            ("priority", self.priority.map(|priority| priority.to_string())),
        ];
        query.extend(options.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let mut request = server.at(Method::POST, "/jobs").query(&query).multipart(form);
        if let Some(key) = &self.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(password) = &self.reading.password {
            request = request.header(PASSWORD, password.as_bytes());
        }
        Ok(request)
    }
}

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Only jobs in this state: queued, running, succeeded, failed, canceled
    #[arg(long)]
    state: Option<String>,
}

impl ApiCommand for List {
    fn is_whole_list(&self) -> bool {
        true
    }

    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        let request = server.at(Method::GET, "/jobs");
        Ok(match self.state {
            Some(state) => request.query(&[("state", state)]),
            None => request,
        })
    }
}

/// Arguments of `cancel`.
#[derive(Debug, clap::Args)]
pub(super) struct Cancel {
    /// Id of the job
    job: String,
}

impl ApiCommand for Cancel {
    async fn request(self, server: &Server<'_>) -> anyhow::Result<RequestBuilder> {
        Ok(server.at(Method::DELETE, &format!("/jobs/{}", self.job)))
    }
}

/// Arguments of `result`.
#[derive(Debug, clap::Args)]
pub(super) struct JobResult {
    /// Id of the job
    job: String,
    /// Output format
    #[arg(long, default_value = lector_export::TEXT.info().name)]
    format: String,
    /// Number of the document, from 0; may be left out for a job of one
    #[arg(long)]
    document: Option<u32>,
    /// Write the other pages if some failed in a format that cannot report failures
    #[arg(long)]
    partial: bool,
    /// File to write instead of standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl JobResult {
    /// Writes the result as it arrives: it may be larger than the memory.
    async fn write(&self, server: &Server<'_>) -> anyhow::Result<()> {
        let mut query = vec![("format", self.format.clone()), ("partial", self.partial.to_string())];
        query.extend(self.document.map(|number| ("document", number.to_string())));
        let request = server.at(Method::GET, &format!("/jobs/{}/result", self.job)).query(&query);
        let mut chunks = server.answer(request).await?.bytes_stream();
        let mut file = match &self.out {
            Some(path) => {
                let file = tokio::fs::File::create(path).await;
                Some(file.with_context(|| format!("creating {}", path.display()))?)
            }
            None => None,
        };
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.context("receiving the result")?;
            match &mut file {
                Some(file) => file.write_all(&chunk).await.context("writing the result")?,
                None => terminal::print(&chunk)?,
            }
        }
        if let Some(mut file) = file {
            file.flush().await.context("writing the result")?;
        }
        Ok(())
    }
}

pub(super) fn run(command: Command, config: &Config) -> Result<ExitCode, Failure> {
    let follow = |job: Option<String>, submit: Option<Submit>| {
        block_on(config, async {
            let server = Server::of(&config.client)?;
            let mut shown = None;
            let id = match (job, &submit) {
                (Some(id), _) => id,
                (None, Some(submit)) => {
                    let request = submit.request(&server).await?;
                    let job = server.json(request).await?.context("the server sent no job")?;
                    let id = job.get("id").and_then(Value::as_str).context("the job has no id")?.to_owned();
                    shown = Some(job);
                    id
                }
                (None, None) => return Ok(ExitCode::SUCCESS),
            };
            if submit.is_some_and(|submit| !submit.wait) {
                terminal::print(&format!("{:#}\n", shown.unwrap_or_default()))?;
                return Ok(ExitCode::SUCCESS);
            }
            let job = watch::to_the_end(&server, &id).await?;
            terminal::print(&format!("{job:#}\n"))?;
            let succeeded = job.get("state").is_some_and(|state| state == "succeeded");
            Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    };
    match command {
        Command::Submit(args) => follow(None, Some(args)),
        Command::Watch { job } => follow(Some(job), None),
        Command::List(args) => run_request(args, config),
        Command::Cancel(args) => run_request(args, config),
        Command::Result(args) => block_on(config, async {
            args.write(&Server::of(&config.client)?).await?;
            Ok(ExitCode::SUCCESS)
        }),
    }
}
