//! Downloads single packages from Debian's archive without installing anything: a private apt state (sources, lists and
//! cache) leaves the system's state unchanged. apt verifies every package against Debian's signed index; the mirror is
//! the one configured on this system, and this file names no host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::shell;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Archive of the mirror.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// The regular packages.
    Main,
    /// Security updates.
    Security,
}

/// A private apt state over one or more suites.
pub struct Apt {
    state: PathBuf,
}

impl Apt {
    /// Reads the index of the suites into a state under `folder`.
    pub fn open(folder: &Path, suites: &[(Archive, &str)]) -> Result<Self> {
        let apt = Self { state: folder.join("apt") };
        for sub in ["lists/partial", "cache/archives/partial"] {
            shell::make_folder(&apt.state.join(sub))?;
        }
        ensure!(
            Path::new(KEYRING).is_file(),
            "Debian's signing keys are missing ({KEYRING}): run `sudo apt-get install debian-archive-keyring`"
        );
        let mut sources = String::new();
        for (archive, suite) in suites {
            let mirror = mirror(*archive)?;
            sources.push_str(&format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"));
        }
        for (name, text) in [("status", ""), ("sources.list", sources.as_str())] {
            shell::write(&apt.state.join(name), text)?;
        }
        shell::run(apt.command("apt-get").args(["-qq", "update"]))
            .context("cannot read Debian's package index")?;
        Ok(apt)
    }

    /// Downloads `name` or `name=version` into an emptied `folder` and returns the file.
    pub fn download(&self, package: &str, sha256: Option<&str>, folder: &Path) -> Result<PathBuf> {
        shell::empty_folder(folder)?;
        println!("  fetching {package} (Debian)");
        shell::run(self.command("apt-get").args(["-qq", "download", package]).current_dir(folder))?;
        let file = shell::list(folder)?
            .into_iter()
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .with_context(|| format!("apt-get downloaded no file for {package}"))?;
        if let Some(wanted) = sha256 {
            let found = shell::sha256(&file)?;
            ensure!(
                found == wanted,
                "{package} has sha256 {found}, but {wanted} is pinned: the file is not used"
            );
        }
        Ok(file)
    }

    /// Returns the names of the package's dependencies.
    pub fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let text = shell::output(self.command("apt-cache").args(["depends", "--important", package]))?;
        Ok(text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .map(|name| name.trim_matches(['<', '>']).to_owned())
            .collect())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut set = |key: &str, value: &str| {
            command.arg("-o").arg(format!("{key}={value}"));
        };
        let at = |sub: &str| self.state.join(sub).display().to_string();
        set("Dir::State::Lists", &at("lists"));
        set("Dir::State::status", &at("status"));
        set("Dir::Cache", &at("cache"));
        set("Dir::Etc::sourcelist", &at("sources.list"));
        set("Dir::Etc::sourceparts", "/dev/null");
        set("Dir::Etc::preferencesparts", "/dev/null");
        set("Acquire::Languages", "none");
        set("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false");
        // The files are in folders of the caller, which apt's sandbox user cannot access.
        set("APT::Sandbox::User", "root");
        command
    }
}

/// Returns the mirror that the system's apt uses for this archive.
pub fn mirror(archive: Archive) -> Result<String> {
    let targets = ["indextargets", "--format", "$(SITE)", "Created-By: Packages"];
    let sites = shell::output(Command::new("apt-get").args(targets))?;
    let end = match archive {
        Archive::Main => "/debian",
        Archive::Security => "/debian-security",
    };
    match sites.lines().map(|site| site.trim_end_matches('/')).find(|site| site.ends_with(end)) {
        Some(site) => Ok(site.to_owned()),
        None => bail!("this system's apt has no mirror that ends in {end}"),
    }
}

/// Unpacks members of a package (paths as `./usr/…`; none: everything) below `to`, without `strip` leading folders.
pub fn unpack(package: &Path, to: &Path, strip: u32, members: &[String]) -> Result<()> {
    shell::make_folder(to)?;
    let tar = to.join(".package.tar");
    let out = fs::File::create(&tar).with_context(|| format!("cannot write {}", tar.display()))?;
    let unpacked = shell::run(Command::new("dpkg-deb").arg("--fsys-tarfile").arg(package).stdout(out))
        .and_then(|()| {
            shell::run(
                Command::new("tar")
                    .args(["--extract", "--no-same-owner", &format!("--strip-components={strip}")])
                    .arg("--file")
                    .arg(&tar)
                    .arg("--directory")
                    .arg(to)
                    .args(members),
            )
        });
    fs::remove_file(&tar).with_context(|| format!("cannot remove {}", tar.display()))?;
    unpacked
}
