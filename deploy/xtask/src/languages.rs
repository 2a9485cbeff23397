//! Guest projects in other languages than Rust: each is created, built, checked and tested with the commands of an author. Not
//! part of `test`: the tools are large downloads, and their components compile for long.

use std::process::Command;

use anyhow::{Context, Result};

use crate::places::Places;
use crate::shell::{self, Scratch};

/// Languages, as `lector guest new --lang` takes them.
const LANGUAGES: [&str; 1] = ["python"];

/// Arguments of `cargo xtask languages`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Languages to test; without any: all
    #[arg(value_parser = LANGUAGES)]
    names: Vec<String>,
}

/// Goes through the guide of each language in an empty folder, with the built `lector`.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    shell::build_host(&places.root)?;
    for language in LANGUAGES
        .into_iter()
        .filter(|name| arguments.names.is_empty() || arguments.names.iter().any(|n| n == name))
    {
        let scratch = Scratch::new(&places.root.join("target"), "languages")?;
        let name = format!("{language}-guest");
        let project = scratch.path().join(&name);
        let component = format!("target/{name}.wasm");
        let steps: [&[&str]; 4] = [
            &["guest", "new", &name, "--lang", language],
            &["guest", "build"],
            &["guest", "check", &component, "--wraps", "standard"],
            &["guest", "test"],
        ];
        for (number, step) in steps.into_iter().enumerate() {
            let mut lector = Command::new(places.lector());
            lector.current_dir(if number == 0 { scratch.path() } else { &project }).args(step);
            // The project is outside of the checkout, whose models it reads with.
            lector.env("LECTOR__ENGINES__MODELS_DIR", places.repo("models"));
            println!("$ {}", shell::line(&lector));
            shell::run(&mut lector).with_context(|| format!("a guest in {language} does not work"))?;
        }
    }
    Ok(())
}
