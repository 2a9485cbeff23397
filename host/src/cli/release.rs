//! `lector compile-guests`: what `cargo xtask dist` needs of the program that it packs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::failure::Failure;
use crate::app::code_for_archive;

/// Arguments of `lector compile-guests`.
#[derive(Debug, clap::Args)]
pub(super) struct CompileGuests {
    /// Folder for the code
    dir: PathBuf,
    /// Components
    #[arg(required = true, value_name = "FILE.wasm")]
    components: Vec<PathBuf>,
}

/// Compiles components to code for every machine with the baseline of processor features.
pub(super) fn compile_guests(args: &CompileGuests) -> Result<ExitCode, Failure> {
    std::fs::create_dir_all(&args.dir).with_context(|| format!("creating {}", args.dir.display()))?;
    for component in &args.components {
        let (name, code) = code_for_archive(component)?;
        let file = args.dir.join(name);
        std::fs::write(&file, code).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
