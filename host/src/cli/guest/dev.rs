//! `lector guest dev`: on every change of a project, builds it, reads its documents, and shows what changed in the
//! results.
//!
//! A result is compared with the previous one, not with the expected one: it shows the effect of the last change. A
//! failure of the build, the guest or a document is printed, and the command waits for the next change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use super::changes::Changes;
use super::compiler::{self, Purpose};
use super::deployed::Deployed;
use super::embedded_sdk;
use super::golden::{Expected, Suite, Tolerance, compare};
use super::pipeline_runner::{Reading, faults_of, text_of};
use super::project::Project;
use crate::cli::failure::Failure;
use crate::cli::runtime::block_on;
use crate::cli::server_client::Server;
use crate::cli::server_flags::ServerFlags;
use crate::cli::terminal;
use crate::config::Config;

/// Watched paths of a project; without the output of builds.
const WATCHED: [&str; 9] = [
    "Cargo.toml",
    "src",
    "pyproject.toml",
    "app.py",
    "guest.toml",
    "package.json",
    "golden",
    embedded_sdk::VENDORED,
    ".cargo",
];

/// Arguments.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Folder of the project
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Name of the deployment on the server (default: the project's name)
    #[arg(long, short, value_name = "NAME")]
    deployment: Option<String>,
    /// Documents to read instead of the golden documents
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    // With a server, every build is deployed to it, and reads there.
    #[command(flatten)]
    server: ServerFlags,
}

impl Args {
    /// Returns the flags if they name a server.
    pub(super) fn remote(&self) -> Option<&ServerFlags> {
        Some(&self.server).filter(|flags| flags.name_a_server())
    }
}

/// Runs until it is interrupted, or an error leaves nothing to wait for.
pub(super) fn run(args: &Args, config: &Config) -> Result<ExitCode, Failure> {
    let project = Project::open(&args.dir)?;
    // Watched before the first build, so that no change is missed.
    let changes = Changes::of(WATCHED.iter().map(|name| project.dir.join(name)).collect())?;
    let name = args.deployment.as_deref().unwrap_or(&project.name);
    let of_server = args.deployment.as_ref().map(|_| "--deployment").or(args.server.without_server());
    if let Some(flag) = of_server.filter(|_| args.remote().is_none()) {
        return Err(Failure::Usage(anyhow::anyhow!(
            "{flag} is for a server: give --server or --context as well"
        )));
    }
    let server = args.remote().map(|_| Server::of(&config.client)).transpose()?;
    let mut deployed = server.map(|server| Deployed::new(server, name));
    block_on(config, rounds(args, &project, config, &changes, deployed.as_mut()))
}

async fn rounds(
    args: &Args,
    project: &Project,
    config: &Config,
    changes: &Changes,
    mut deployed: Option<&mut Deployed<'_>>,
) -> Result<ExitCode, Failure> {
    let mut before = BTreeMap::new();
    loop {
        let began = Instant::now();
        if let Err(error) = round(args, project, config, &mut before, deployed.as_deref_mut()).await {
            terminal::print_error(&format!("{error:#}"));
        }
        let took = began.elapsed().as_secs_f64();
        terminal::print(&format!("-- {took:.1} s; waiting for changes in {}\n", project.dir.display()))?;
        // Nothing else runs on this runtime during the wait.
        tokio::task::block_in_place(|| changes.next())?;
        changes.renew()?;
    }
}

async fn round(
    args: &Args,
    project: &Project,
    config: &Config,
    before: &mut BTreeMap<PathBuf, Expected>,
    mut deployed: Option<&mut Deployed<'_>>,
) -> anyhow::Result<()> {
    let component = compiler::build(project, Purpose::Try)?;
    let mut suites = if project.golden().is_dir() { Suite::all(&project.golden())? } else { Vec::new() };
    if !args.files.is_empty() {
        // With the settings of the first set.
        suites.truncate(1);
        match suites.first_mut() {
            Some(suite) => suite.documents.clone_from(&args.files),
            None => suites.push(Suite::plain(args.files.clone())),
        }
    }
    if suites.is_empty() {
        anyhow::bail!("there is nothing to read: add a document to golden/, or name one");
    }
    for suite in &suites {
        if let Some(deployed) = &mut deployed {
            deployed.round(&component, suite, &project.dir).await?;
            continue;
        }
        let reading = Reading::start(config, &component, suite).await?;
        let outcome = show(&reading, suite, &project.dir, before).await;
        reading.stop().await;
        outcome?;
    }
    Ok(())
}

/// Reads the documents; prints the text of new ones, and the differences of the others.
async fn show(
    reading: &Reading,
    suite: &Suite,
    dir: &Path,
    before: &mut BTreeMap<PathBuf, Expected>,
) -> anyhow::Result<()> {
    let strict = Tolerance { characters: 0.0, ..suite.tolerance };
    for document in &suite.documents {
        let name = document.strip_prefix(dir).unwrap_or(document).display();
        let answer = reading.document(document).await?;
        let read = Expected::of(&answer);
        let report = match (before.get(document), &answer) {
            (Some(old), _) => {
                let outcome = compare(old, &read, &strict);
                if outcome.differs { outcome.report } else { "no change\n".to_owned() }
            }
            (None, Ok(result)) => text_of(result)?,
            (None, Err(_)) => String::new(),
        };
        let fault = faults_of(&answer);
        terminal::print(&format!("==> {name} <==\n{report}{fault}"))?;
        before.insert(document.clone(), read);
    }
    Ok(())
}
