//! Guest projects in other languages than Rust: each is created, built, checked and tested with the commands of an author. Not
//! part of `test`: the tools are large downloads, and their components compile for long. `bench guests` measures them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::places::Places;
use crate::shell::{self, Scratch};

/// The languages, as `lector guest new --lang` takes them.
pub const ALL: [&str; 1] = ["python"];

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
    let wanted = |name: &str| arguments.names.is_empty() || arguments.names.iter().any(|n| n == name);
    for language in ALL.into_iter().filter(|name| wanted(name)) {
        let scratch = Scratch::new(&places.root.join("target"), "languages")?;
        all_steps(places, language, scratch.path())?;
    }
    Ok(())
}

/// Creates and builds a project below `folder`; returns its component.
pub fn build(places: &Places, language: &str, folder: &Path) -> Result<PathBuf> {
    let name = name(language);
    step(places, folder, &["guest", "new", &name, "--lang", language])?;
    let project = folder.join(&name);
    step(places, &project, &["guest", "build"])?;
    Ok(project.join(component(&name)))
}

fn all_steps(places: &Places, language: &str, folder: &Path) -> Result<()> {
    let name = name(language);
    step(places, folder, &["guest", "new", &name, "--lang", language])?;
    let project = folder.join(&name);
    let component = component(&name);
    let steps: [&[&str]; 3] =
        [&["guest", "build"], &["guest", "check", &component, "--wraps", "standard"], &["guest", "test"]];
    for one in steps {
        step(places, &project, one).with_context(|| format!("a guest in {language} does not work"))?;
    }
    Ok(())
}

fn step(places: &Places, folder: &Path, arguments: &[&str]) -> Result<()> {
    let mut lector = Command::new(places.lector());
    lector.current_dir(folder).args(arguments);
    // The project is outside of the checkout, whose models it reads with.
    lector.env("LECTOR__ENGINES__MODELS_DIR", places.repo("models"));
    println!("$ {}", shell::line(&lector));
    shell::run(&mut lector)
}

fn name(language: &str) -> String {
    format!("{language}-guest")
}

fn component(name: &str) -> String {
    format!("target/{name}.wasm")
}
