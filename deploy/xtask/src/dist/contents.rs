//! The content of the archive, and where each file comes from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::packages::Packages;
use super::{guides, licenses, sbom};
use crate::places::Places;
use crate::{guests, setup, shell};

/// Name of the bill of materials in the archive.
pub(super) const SBOM: &str = "sbom.cdx.json";
/// Digests of all files. The program also knows by it that it is in an archive.
const DIGESTS: &str = "SHA256SUMS";
/// Files of the repository beside the [`guides`], and their places in the archive.
pub(super) const SHIPPED: &[(&str, &str)] = &[
    ("LICENSE", "LICENSE"),
    ("deploy/lector.toml", "etc/lector.toml"),
    ("deploy/lector.service", "etc/systemd/lector.service"),
    ("deploy/lector.socket", "etc/systemd/lector.socket"),
    ("deploy/observability/alerts.yml", "etc/observability/alerts.yml"),
    ("deploy/observability/grafana.json", "etc/observability/grafana.json"),
    ("deploy/observability/recording.yml", "etc/observability/recording.yml"),
    ("tests/data/demo.pdf", "share/doc/demo.pdf"),
];
/// Completions: shell, file.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "share/bash-completion/completions/lector"),
    ("zsh", "share/zsh/site-functions/_lector"),
    ("fish", "share/fish/vendor_completions.d/lector.fish"),
];

/// Writes everything into `folder`.
pub(super) fn lay_out(places: &Places, program: &Path, folder: &Path) -> Result<()> {
    let lector = folder.join("lector");
    strip(program, &lector)?;
    for library in setup::libraries(places)? {
        let inside = library.to.strip_prefix(&places.cache).context("a library is not in the cache")?;
        copy(&library.to, &folder.join(inside))?;
    }
    models(places, folder)?;
    let guests = built_guests(places)?;
    for guest in &guests {
        let name = guest.file_name().context("a guest has no name")?;
        copy(guest, &folder.join("guests").join(name))?;
    }
    // For a baseline of processor features, so that the first start compiles nothing (`host/adr/0155-*.md`).
    shell::run(Command::new(&lector).arg("compile-guests").arg(folder.join("code")).args(&guests))?;
    for (from, to) in SHIPPED {
        copy(&places.repo(from), &folder.join(to))?;
    }
    guides::write(places, SHIPPED, folder)?;
    for (shell_name, to) in COMPLETIONS {
        let script = shell::output(Command::new(&lector).args(["completions", shell_name]))?;
        shell::write(&folder.join(to), script)?;
    }
    shell::run(Command::new(&lector).arg("man").arg(folder.join("share/man/man1")))?;
    let packages = Packages::of_release(places)?;
    licenses::write(places, &packages, folder)?;
    shell::write(&folder.join(SBOM), sbom::text(places, &packages, &guests)?)?;
    set_modes(folder, &lector)?;
    shell::write(&folder.join(DIGESTS), digests(folder)?)?;
    Ok(())
}

/// Copies the program without its debug sections, which are half of it; names of functions stay.
fn strip(program: &Path, to: &Path) -> Result<()> {
    ensure!(program.is_file(), "{} is not a program: build it, or name another one", program.display());
    shell::run(Command::new("strip").arg("--strip-debug").arg("-o").arg(to).arg(program))
}

/// Copies the catalog: every description, with its weights, labels and golden images.
fn models(places: &Places, folder: &Path) -> Result<()> {
    let from = places.repo("models");
    for file in shell::files_below(&from)? {
        // Scripts that made the golden images are for the checkout.
        if file.extension().is_some_and(|extension| extension == "py") {
            continue;
        }
        copy(&file, &folder.join("models").join(file.strip_prefix(&from)?))?;
    }
    Ok(())
}

/// Returns the built components of the guests that are part of a release.
fn built_guests(places: &Places) -> Result<Vec<PathBuf>> {
    let mut built = Vec::new();
    for name in guests::of_release(places)? {
        let component = places.components().join(format!("{name}.wasm"));
        ensure!(component.is_file(), "{} is not built: run `cargo xtask guests`", places.shown(&component));
        built.push(component);
    }
    Ok(built)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    to.parent().map_or(Ok(()), shell::make_folder)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Makes the program the only executable file; tar adds the rest.
fn set_modes(folder: &Path, program: &Path) -> Result<()> {
    for file in shell::files_below(folder)? {
        let mode = if file == program { 0o755 } else { 0o644 };
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))
            .with_context(|| format!("cannot set the mode of {}", file.display()))?;
    }
    Ok(())
}

/// Returns the content of `SHA256SUMS`: `sha256sum --check` reads it.
fn digests(folder: &Path) -> Result<String> {
    let mut lines = Vec::new();
    for file in shell::files_below(folder)? {
        let name = file.strip_prefix(folder)?.display().to_string();
        lines.push(format!("{}  {name}\n", shell::sha256(&file)?));
    }
    // By name, which is behind the digest.
    lines.sort_by(|a, b| a.get(64..).cmp(&b.get(64..)));
    Ok(lines.concat())
}
