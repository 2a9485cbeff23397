//! Guest projects in other languages than Rust: each is created, built, checked and tested with the commands of an author.
//! `bench guests` measures them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::places::Places;
use crate::shell::{self, Scratch};

/// The languages, as `lector guest new --lang` takes them.
pub const ALL: [&str; 3] = ["python", "c", "typescript"];

/// Beginning of the error of `lector guest build` where a language's tool cannot be installed.
const NO_TOOL: &str = "lector: installing ";

/// Arguments of `cargo xtask languages`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Languages to test; without any: all
    #[arg(value_parser = ALL)]
    names: Vec<String>,
}

/// Goes through the guide of each language in an empty folder, with the built `lector`.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    shell::build_host(&places.root)?;
    let skipped = drive(places, |name| {
        arguments.names.is_empty() || arguments.names.iter().any(|wanted| wanted == name)
    })?;
    ensure!(skipped.is_empty(), "{}", skipped.join("; "));
    Ok(())
}

/// Goes through the guide of the wanted languages. Returns a sentence for each whose tool cannot be installed here.
pub fn drive(places: &Places, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let mut skipped = Vec::new();
    for language in ALL.into_iter().filter(|name| wanted(name)) {
        let scratch = Scratch::new(&places.root.join("target"), "languages")?;
        skipped.extend(all_steps(places, language, scratch.path())?);
    }
    Ok(skipped)
}

/// Creates and builds a project below `folder`; returns its component.
pub fn build(places: &Places, language: &str, folder: &Path) -> Result<PathBuf> {
    let name = name(language);
    step(places, folder, &["guest", "new", &name, "--lang", language])?;
    let project = folder.join(&name);
    step(places, &project, &["guest", "build"])?;
    Ok(project.join(component(&name)))
}

fn all_steps(places: &Places, language: &str, folder: &Path) -> Result<Option<String>> {
    let name = name(language);
    step(places, folder, &["guest", "new", &name, "--lang", language])?;
    let project = folder.join(&name);
    let component = component(&name);
    let steps: [&[&str]; 3] =
        [&["guest", "build"], &["guest", "check", &component, "--wraps", "standard"], &["guest", "test"]];
    for one in steps {
        match step(places, &project, one) {
            Err(error) if error.to_string().contains(NO_TOOL) => {
                return Ok(Some(format!("{language}: its tool cannot be installed here, see above")));
            }
            outcome => outcome.with_context(|| format!("a guest in {language} does not work"))?,
        }
    }
    Ok(None)
}

fn step(places: &Places, folder: &Path, arguments: &[&str]) -> Result<()> {
    let mut lector = Command::new(places.lector());
    lector.current_dir(folder).args(arguments);
    // The project is outside of the checkout, whose models it reads with.
    lector.env("LECTOR__ENGINES__MODELS_DIR", places.repo("models"));
    println!("$ {}", shell::line(&lector));
    shown(&mut lector)
}

/// Runs a command whose messages appear as they come; the error contains the last of them.
fn shown(command: &mut Command) -> Result<()> {
    const KEPT_BYTES: usize = 4096;
    let line = shell::line(command);
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {line}"))?;
    let mut messages = child.stderr.take().context("a child without standard error")?;
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = messages.read(&mut buffer).context("reading messages")?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        std::io::stderr().write_all(bytes).context("showing messages")?;
        kept.extend_from_slice(bytes);
        kept.drain(..kept.len().saturating_sub(KEPT_BYTES));
    }
    let status = child.wait().with_context(|| format!("waiting for {line}"))?;
    ensure!(status.success(), "`{line}` ended with {status}: {}", String::from_utf8_lossy(&kept).trim());
    Ok(())
}

fn name(language: &str) -> String {
    format!("{language}-guest")
}

fn component(name: &str) -> String {
    format!("target/{name}.wasm")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_failed_step_tells_its_last_message() {
        let mut command = Command::new("sh");
        command.args(["-c", "seq 9000 >&2; echo 'lector: installing a-tool 1; no index' >&2; exit 1"]);
        let error = shown(&mut command).unwrap_err().to_string();
        assert!(error.contains(NO_TOOL) && !error.contains("\n1\n"), "{error}");
        assert!(shown(Command::new("sh").args(["-c", "echo fine >&2"])).is_ok());
    }
}
