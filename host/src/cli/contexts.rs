//! `lector login` and `lector context`: the servers that a user calls, in a file of the user.

use std::fmt::Write;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::{Command as Program, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use reqwest::Method;
use serde_json::{Value, json};

use super::failure::Failure;
use super::runtime::block_on;
use super::server_client::Server;
use super::terminal;
use crate::config::{ClientConfig, ClientOrigins, ClientTls, Config, Context, Contexts, Origin};

/// Longest key that is read.
const KEY_BYTES_MAX: usize = 4096;

/// `lector login`
#[derive(Debug, clap::Args)]
pub(super) struct Login {
    /// Name of the context
    #[arg(default_value = "default", value_parser = name)]
    name: String,
    /// Address of the server, e.g. https://ocr.example.org (default: that of the context)
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Tenant for which an administrator's key acts
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// API key, visible in process lists; without this flag it is asked for, or read from standard input
    #[arg(long, value_name = "KEY", conflicts_with_all = ["key_env", "no_key"])]
    key: Option<String>,
    /// Store the name of an environment variable that has the key, instead of the key
    #[arg(long, value_name = "VARIABLE", conflicts_with = "no_key")]
    key_env: Option<String>,
    /// Send no key: the server has none
    #[arg(long)]
    no_key: bool,
    /// Authorities (PEM) beside those of the system
    #[arg(long, value_name = "FILE")]
    tls_ca_file: Option<PathBuf>,
    /// Certificate (PEM), for servers that require one
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    tls_certificate_file: Option<PathBuf>,
    /// Private key (PEM) of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_certificate_file")]
    tls_key_file: Option<PathBuf>,
    /// Store the context without asking the server whether it accepts the key
    #[arg(long)]
    no_check: bool,
}

/// `lector context`
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the contexts
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a context the current one
    Use {
        /// Name of the context
        name: String,
    },
    /// Show a context, without its key
    Show {
        /// Name of the context (default: the current one)
        name: Option<String>,
    },
    /// Remove a context with its key
    Remove {
        /// Name of the context
        name: String,
    },
}

fn name(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c))
        && !text.starts_with('-');
    if fits { Ok(text.to_owned()) } else { Err("use 1 to 63 of a-z, A-Z, 0-9 and -_.@".to_owned()) }
}

/// Runs `lector login`: the server is asked before the context is stored.
pub(super) fn login(args: &Login, config: &Config) -> Result<ExitCode, Failure> {
    let mut contexts = Contexts::of_user()?;
    let before = contexts.get(&args.name).ok().map(|context| context.server.clone());
    let server = args.server.clone().or(before).ok_or_else(|| {
        Failure::Usage(anyhow::anyhow!(
            "--server is missing: write `lector login {} --server URL`",
            args.name
        ))
    })?;
    if !server.starts_with("http://") && !server.starts_with("https://") {
        return Err(Failure::Usage(anyhow::anyhow!(
            "{server} (flag --server) is not the address of a server: write it like http://127.0.0.1:8080"
        )));
    }
    let variable = args.key_env.as_deref().map(Contexts::key_of_variable).transpose()?;
    let key = match (&args.key, &args.key_env) {
        _ if args.no_key => None,
        (Some(key), _) => Some(key.clone()),
        (None, Some(_)) => None,
        (None, None) => Some(read_key(&server)?),
    };
    let absolute = |path: &Option<PathBuf>| -> anyhow::Result<Option<PathBuf>> {
        let path = path
            .as_ref()
            .map(|path| std::path::absolute(path).with_context(|| format!("resolving {}", path.display())));
        path.transpose()
    };
    let context = Context {
        server: server.trim_end_matches('/').to_owned(),
        tenant: args.tenant.clone(),
        key,
        key_env: args.key_env.clone(),
        tls_ca_file: absolute(&args.tls_ca_file)?,
        tls_certificate_file: absolute(&args.tls_certificate_file)?,
        tls_key_file: absolute(&args.tls_key_file)?,
    };
    let mut report = format!("context `{}`: {}", args.name, context.server);
    if !args.no_check {
        let sent = context.key.clone().or(variable);
        let tenant = block_on(config, async { Ok(check(&context, sent).await?) })?;
        let _ = write!(report, ", tenant {tenant}");
    }
    contexts.set(&args.name, context);
    contexts.save()?;
    terminal::print(&format!("{report}; stored in {}, and the current one\n", contexts.path().display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Asks the server for the tenant of the key; returns its name.
async fn check(context: &Context, key: Option<String>) -> anyhow::Result<String> {
    let origin = match context.key_env.as_ref() {
        Some(variable) => Origin::Environment(variable.clone()),
        None => Origin::Flag("lector login"),
    };
    let identity = context.tls_certificate_file.clone().zip(context.tls_key_file.clone());
    let client = ClientConfig {
        server: context.server.clone(),
        key,
        tenant: context.tenant.clone(),
        tls: ClientTls { ca_file: context.tls_ca_file.clone(), identity },
        origins: ClientOrigins {
            server: Origin::Flag("--server"),
            key: origin,
            tenant: Origin::Flag("--tenant"),
        },
    };
    let server = Server::of(&client)?;
    let tenant = server.json(server.at(Method::GET, "/tenant")).await?.unwrap_or_default();
    let name = tenant.get("name").and_then(Value::as_str);
    name.map(str::to_owned)
        .context("the server sent no tenant: it may be another program, or an older version")
}

/// Reads the key from the terminal without showing it, else from standard input.
fn read_key(server: &str) -> Result<String, Failure> {
    let mut line = String::new();
    let read = |line: &mut String| std::io::stdin().lock().read_line(line).context("reading the key");
    if std::io::stdin().is_terminal() {
        terminal::print_error(&format!("API key for {server} (it is not shown):"));
        let hidden = Hidden::begin();
        read(&mut line)?;
        drop(hidden);
    } else {
        read(&mut line)?;
    }
    let key = line.trim();
    if key.is_empty() {
        return Err(Failure::Usage(anyhow::anyhow!(
            "there is no key: give one, or --no-key for a server without keys"
        )));
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(Failure::Usage(anyhow::anyhow!("the key is longer than {KEY_BYTES_MAX} bytes")));
    }
    Ok(key.to_owned())
}

/// A terminal that does not show what is typed, until it is dropped.
struct Hidden;

impl Hidden {
    fn begin() -> Option<Self> {
        stty("-echo").then_some(Self)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        stty("echo");
    }
}

fn stty(mode: &str) -> bool {
    let mut stty = Program::new("stty");
    stty.arg(mode).stdin(Stdio::inherit()).stdout(Stdio::null()).stderr(Stdio::null());
    stty.status().is_ok_and(|status| status.success())
}

/// Runs `lector context`.
pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let mut contexts = Contexts::of_user()?;
    match command {
        Command::List { json } => terminal::print(&list(&contexts, *json))?,
        Command::Show { name } => terminal::print(&show(&contexts, name.as_deref())?)?,
        Command::Use { name } => {
            contexts.choose(name)?;
            contexts.save()?;
            let server = &contexts.get(name)?.server;
            terminal::print(&format!("the current context is `{name}`: {server}\n"))?;
        }
        Command::Remove { name } => {
            contexts.remove(name)?;
            contexts.save()?;
            let rest = if contexts.current().is_none() { "; none is the current one" } else { "" };
            terminal::print(&format!("context `{name}` is removed{rest}\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns where the key of a context is.
fn key_of(context: &Context) -> String {
    match (&context.key, &context.key_env) {
        (Some(_), _) => "stored".to_owned(),
        (None, Some(variable)) => format!("${variable}"),
        (None, None) => "none".to_owned(),
    }
}

fn list(contexts: &Contexts, json: bool) -> String {
    if json {
        let items: Vec<Value> = contexts
            .iter()
            .map(|(name, context)| {
                json!({
                    "name": name,
                    "current": contexts.current() == Some(name),
                    "server": context.server,
                    "tenant": context.tenant,
                    "key": key_of(context),
                })
            })
            .collect();
        return format!("{:#}\n", json!({ "contexts": items }));
    }
    let mut rows = vec![["", "NAME", "SERVER", "TENANT", "KEY"].map(str::to_owned)];
    rows.extend(contexts.iter().map(|(name, context)| {
        let mark = if contexts.current() == Some(name) { "*" } else { "" };
        let tenant = context.tenant.as_deref().unwrap_or("-");
        [mark.to_owned(), name.to_owned(), context.server.clone(), tenant.to_owned(), key_of(context)]
    }));
    if rows.len() == 1 {
        return "there is no context: `lector login --server URL` makes one\n".to_owned();
    }
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn show(contexts: &Contexts, name: Option<&str>) -> anyhow::Result<String> {
    let Some(name) = name.or(contexts.current()) else {
        bail!("there is no current context: `lector context list` lists the contexts")
    };
    let context = contexts.get(name)?;
    let mut out = format!("name: {name}\nserver: {}\nkey: {}\n", context.server, key_of(context));
    let files = [
        ("tls_ca_file", &context.tls_ca_file),
        ("tls_certificate_file", &context.tls_certificate_file),
        ("tls_key_file", &context.tls_key_file),
    ];
    if let Some(tenant) = &context.tenant {
        let _ = writeln!(out, "tenant: {tenant}");
    }
    for (name, file) in files {
        if let Some(file) = file {
            let _ = writeln!(out, "{name}: {}", file.display());
        }
    }
    let _ = writeln!(out, "file: {}", contexts.path().display());
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn names_are_for_command_lines() {
        for good in ["default", "a", "user@host.example", "A_1"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in ["", "-a", "a b", "a/b", &"a".repeat(64)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
