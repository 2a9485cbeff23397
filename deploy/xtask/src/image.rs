//! `cargo xtask image`: the container image of the archive, by podman, which needs no daemon; `--check` runs it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::dist;
use crate::places::Places;
use crate::shell::{self, Scratch};

/// Image of a minimal Debian, made here where no registry is at hand.
const LOCAL_BASE: &str = "localhost/lector-base";
/// Runs the image as the operator's guide says, and without what its sandbox needs.
const CHECK: &str = "tests/deploy/container.sh";

/// Arguments of `cargo xtask image`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The archive (default: the one of `cargo xtask dist`)
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// Base image, with glibc as new as the archive needs; `debootstrap`: a minimal Debian 12 made here, which needs root
    #[arg(long, value_name = "IMAGE", default_value = "debian:bookworm-slim")]
    base: String,
    /// Name of the image
    #[arg(long, value_name = "NAME", default_value = "localhost/lector")]
    tag: String,
    /// Folder for podman's images in place of its own, with the driver vfs, which works everywhere
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
    /// Run the image read-only, without rights and without a network: health check, a page, and its message where the sandbox of
    /// the workers lacks a system call; needs root
    #[arg(long)]
    check: bool,
}

/// Runs `cargo xtask image`.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    shell::want("podman")?;
    let archive = arguments.archive.clone().unwrap_or_else(|| dist::archive(places));
    let base = match arguments.base.as_str() {
        "debootstrap" => local_base(places, arguments)?,
        base => base.to_owned(),
    };
    let scratch = Scratch::new(&places.repo("target"), "image")?;
    dist::unpack(&archive, scratch.path())?;
    let mut build = podman(arguments);
    // The format of OCI has no health check. chroot: a RUN of the file needs no rights that a build in a container lacks.
    build.args(["build", "--format", "docker", "--isolation", "chroot"]);
    if arguments.storage.is_some() {
        // The driver vfs copies the whole image for each layer.
        build.arg("--layers=false");
    }
    build.arg("--file").arg(places.repo("deploy/Containerfile"));
    build.arg("--build-arg").arg(format!("BASE={base}")).args(["--tag", &arguments.tag]).arg(scratch.path());
    println!("$ {}", shell::line(&build));
    shell::run(&mut build)?;
    if arguments.check { check(places, arguments) } else { Ok(()) }
}

fn podman(arguments: &Arguments) -> Command {
    let mut podman = Command::new("podman");
    podman.args(storage(arguments));
    podman
}

/// Returns the options of podman that choose its storage.
fn storage(arguments: &Arguments) -> Vec<String> {
    let Some(folder) = &arguments.storage else { return Vec::new() };
    let at = |name: &str| folder.join(name).display().to_string();
    vec![
        "--storage-driver=vfs".into(),
        format!("--root={}", at("images")),
        format!("--runroot={}", at("run")),
    ]
}

/// Imports the minimal system in which archives are checked, unless the storage has it.
fn local_base(places: &Places, arguments: &Arguments) -> Result<String> {
    let mut exists = podman(arguments);
    if exists.args(["image", "exists", LOCAL_BASE]).status().is_ok_and(|status| status.success()) {
        return Ok(LOCAL_BASE.to_owned());
    }
    let root = dist::minimal_system(places)?;
    println!("==> {} as the image {LOCAL_BASE}", root.display());
    let mut tar = Command::new("tar")
        .args(["--create", "--numeric-owner", "--directory"])
        .arg(&root)
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()
        .context("starting tar")?;
    let content = tar.stdout.take().context("tar has no output")?;
    shell::run(podman(arguments).args(["import", "--quiet", "-", LOCAL_BASE]).stdin(content))?;
    ensure!(tar.wait().context("waiting for tar")?.success(), "tar could not read {}", root.display());
    Ok(LOCAL_BASE.to_owned())
}

/// Runs the image in namespaces of its own. Everything that the script mounts and starts ends with them.
fn check(places: &Places, arguments: &Arguments) -> Result<()> {
    let root = shell::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !root {
        println!("SKIPPED: the check of the image: it needs root, for namespaces");
        return Ok(());
    }
    let missing = ["unshare", "crun", "curl"].into_iter().find_map(|tool| shell::want(tool).err());
    if let Some(error) = missing {
        println!("SKIPPED: the check of the image: {error}");
        return Ok(());
    }
    let scratch = Scratch::new(&places.repo("target"), "container")?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash"]);
    unshare.arg(places.repo(CHECK)).arg(&arguments.tag).arg(scratch.path());
    unshare.arg(places.repo("tests/data/demo.pdf"));
    unshare.args(storage(arguments));
    println!("$ {}", shell::line(&unshare));
    shell::run(unshare.stdin(Stdio::null()))
        .with_context(|| format!("the image {} does not run as it should", arguments.tag))
}
