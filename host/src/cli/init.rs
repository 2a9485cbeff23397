//! `lector init`: a configuration, an administrator's key, a first tenant and its key.

use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use lector_control::{Admin, Scope, TenantPolicy};
use lector_core::TenantName;

use super::failure::Failure;
use super::files::write_whole;
use super::runtime::block_on;
use super::terminal;
use crate::app::Host;
use crate::config::{Config, Sources, example_with};

/// Arguments. Each question has a flag; with `--yes` the rest gets its default.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder for lector.toml and the keys
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Address and port of the server
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Folder of tenants, keys, deployments and jobs
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Name of the first tenant: a-z, 0-9 and -
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
}

struct Answers {
    listen: String,
    data_dir: PathBuf,
    tenant: String,
}

pub(super) fn run(args: &Args, set: Vec<(String, String, &'static str)>) -> Result<ExitCode, Failure> {
    let file = args.dir.join("lector.toml");
    let (admin_file, key_file) =
        (args.dir.join("admin.key"), |tenant: &str| args.dir.join(format!("{tenant}.key")));
    let answers = ask(args).map_err(Failure::Usage)?;
    let key_file = key_file(&answers.tenant);
    for file in [&file, &admin_file, &key_file] {
        if file.exists() {
            return Err(Failure::Usage(anyhow::anyhow!(
                "{} exists, and nothing was changed: name another folder, or move it away",
                file.display()
            )));
        }
    }
    std::fs::create_dir_all(&args.dir).with_context(|| format!("creating {}", args.dir.display()))?;
    let text = example_with(&[
        ("http", "listen", &answers.listen),
        ("platform", "data_dir", &answers.data_dir.display().to_string()),
    ]);
    write_whole(&file, text.as_bytes())?;
    let made = keys(&file, set, &answers, &admin_file, &key_file);
    if made.is_err() {
        // The next attempt starts from nothing, too. The keys stay if they were written: they may be in the store.
        let _ = std::fs::remove_file(&file);
    }
    let config = made?;
    terminal::print(&summary(&file, &admin_file, &key_file, &answers, config.http.listen.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

/// Starts the server's parts once, without its address, and creates tenant and keys. The guests are compiled then, too.
fn keys(
    file: &Path,
    set: Vec<(String, String, &'static str)>,
    answers: &Answers,
    admin_file: &Path,
    key_file: &Path,
) -> Result<Config, Failure> {
    let (mut config, _) = Config::load(&Sources { file: Some(file.to_owned()), flags: set, context: None })?;
    "error".clone_into(&mut config.log.filter);
    terminal::print("starting the server's parts, to create the keys ...\n")?;
    block_on(&config, async {
        let host = Host::start(&config).await?;
        let made = create(&host, answers, admin_file, key_file).await;
        host.stop().await;
        Ok(made?)
    })?;
    Ok(config)
}

async fn create(host: &Host, answers: &Answers, admin_file: &Path, key_file: &Path) -> anyhow::Result<()> {
    let (control, admin) = (&host.control, Admin::of_this_machine());
    if !control.is_open() {
        bail!(
            "the data folder {} has keys already: name another one with --data-dir, or start the server with it",
            answers.data_dir.display()
        );
    }
    let tenant = TenantName::from(answers.tenant.as_str());
    // The files first: a key that exists but could not be written would lock the operator out.
    let (mut admin_out, mut key_out) = (secret(admin_file)?, secret(key_file)?);
    if control.tenant(&admin, &tenant).is_err() {
        control.create_tenant(&admin, tenant.clone(), TenantPolicy::default()).await?;
    }
    let admin_key = control.create_key_for(&admin, Scope::Admin, "first").await?;
    let tenant_key = control.create_key_for(&admin, Scope::Tenant(tenant), "first").await?;
    writeln!(admin_out, "{}", admin_key.text.reveal()).context("writing the administrator's key")?;
    writeln!(key_out, "{}", tenant_key.text.reveal()).context("writing the tenant's key")?;
    Ok(())
}

fn secret(file: &Path) -> anyhow::Result<std::fs::File> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    opened.with_context(|| format!("creating {}", file.display()))
}

fn summary(file: &Path, admin: &Path, key: &Path, answers: &Answers, listen: String) -> String {
    let (file, admin, key) = (file.display(), admin.display(), key.display());
    format!(
        "wrote {file}, the administrator's key {admin} and the key of tenant `{}` {key}\n\n\
         start the server:\n  lector serve --config {file}\n\
         read a document:\n  curl -H \"Authorization: Bearer $(cat {key})\" -F file=@scan.pdf http://{listen}/api/v1/ocr\n\
         administer it:\n  LECTOR__CLIENT__SERVER=http://{listen} LECTOR__CLIENT__KEY=$(cat {admin}) lector tenants list\n",
        answers.tenant
    )
}

/// Takes the flags, and asks for the rest where a person answers.
fn ask(args: &Args) -> anyhow::Result<Answers> {
    let asks = !args.yes && std::io::stdin().is_terminal();
    let default_data = std::path::absolute(args.dir.join("data")).context("resolving the folder")?;
    let question = |given: Option<String>, text: &str, default: String| -> anyhow::Result<String> {
        match given {
            Some(given) => Ok(given),
            None if asks => answer(&mut std::io::stdin().lock(), text, &default),
            None => Ok(default),
        }
    };
    let listen = question(
        args.listen.clone(),
        "Address of the server? 127.0.0.1 is for this machine, 0.0.0.0 for others as well.",
        "127.0.0.1:8080".to_owned(),
    )?;
    let data_dir = question(
        args.data_dir.as_ref().map(|dir| dir.display().to_string()),
        "Folder for its data?",
        default_data.display().to_string(),
    )?;
    let tenant = question(args.tenant.clone(), "Name of the first tenant (a-z, 0-9, -)?", "main".to_owned())?;
    if listen.parse::<std::net::SocketAddr>().is_err() {
        bail!("`{listen}` is not an address: write it like 127.0.0.1:8080");
    }
    if !lector_control::is_name(&tenant) {
        bail!("`{tenant}` is not a name of a tenant: use 1 to 63 of a-z, 0-9 and -, and not - first");
    }
    let data_dir = std::path::absolute(&data_dir).with_context(|| format!("resolving {data_dir}"))?;
    Ok(Answers { listen, data_dir, tenant })
}

fn answer(input: &mut impl BufRead, text: &str, default: &str) -> anyhow::Result<String> {
    terminal::print(&format!("{text} [{default}] "))?;
    let mut line = String::new();
    input.read_line(&mut line).context("reading the answer")?;
    let line = line.trim();
    Ok(if line.is_empty() { default.to_owned() } else { line.to_owned() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn an_empty_answer_is_the_default() {
        assert_eq!(answer(&mut &b"\n"[..], "?", "main").unwrap(), "main");
        assert_eq!(answer(&mut &b" acme \n"[..], "?", "main").unwrap(), "acme");
        assert_eq!(answer(&mut &b""[..], "?", "main").unwrap(), "main");
    }
}
