//! Builds the component of a project, by the tool of its language (`rust.rs`, `python.rs`, `c.rs`), and checks that it is a
//! guest.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::language::Language;
use super::project::Project;
pub(super) use super::rust::Purpose;
use super::{c, python, rust, typescript};
use crate::cli::files::write_whole;
use crate::{app, config};

/// Maximum size of a component; far larger than any guest.
const COMPONENT_BYTES_MAX: u64 = 1 << 30;

/// Builds a project and copies the component to [`Project::component`]. The output of the tools goes to standard error.
pub(super) fn build(project: &Project, purpose: Purpose) -> anyhow::Result<PathBuf> {
    let cache = config::cache_root()?;
    let built = match project.language {
        Language::Rust => rust::build(project, &cache, purpose)?,
        Language::Python => python::build(project, &cache)?,
        Language::C => c::build(project, &cache)?,
        Language::Typescript => typescript::build(project, &cache)?,
    };
    let bytes = fs::metadata(&built).with_context(|| format!("reading {}", built.display()))?.len();
    ensure!(
        bytes <= COMPONENT_BYTES_MAX,
        "{} has {bytes} bytes, more than {COMPONENT_BYTES_MAX}: this is not a guest",
        built.display()
    );
    let component = fs::read(&built).with_context(|| format!("reading {}", built.display()))?;
    let inspection =
        app::inspect_guest(&component).map_err(|fault| anyhow::anyhow!("{}: {fault}", built.display()))?;
    if !inspection.exports_pipeline {
        anyhow::bail!("{} exports no pipeline: {}", project.name, project.language.how_to_export());
    }
    inspection.check.map_err(|fault| anyhow::anyhow!("{}: {fault}", built.display()))?;
    let to = project.component();
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    write_whole(&to, &component)?;
    Ok(to)
}
