//! The step `deploy`: the files of `deploy/` that other programs read, checked by these programs (`tests/deploy`).
//!
//! Each part needs a tool that not every machine has. A part without its tool is skipped, and the step names it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::gateway::Gateway;
use crate::places::Places;
use crate::python;
use crate::shell::{self, Scratch};

/// Highest exposure of the service, in tenths, as `systemd-analyze security` computes it.
const EXPOSURE_MAX: &str = "12";
/// Program of the unit file, which exists on no machine that builds it.
const INSTALLED: &str = "/opt/lector/lector";

/// A part of the step: its name, and its function. The value is the reason that it could not run.
type Part = (&'static str, fn(&Places) -> Result<Option<String>>);

const PARTS: [Part; 5] = [
    ("the alert and recording rules", rules),
    ("the unit of systemd", unit),
    ("the Helm chart", chart),
    ("the compose file", compose),
    ("the nginx example", nginx),
];

/// Runs every part. Returns what could not run, and why.
pub(crate) fn run(places: &Places) -> Result<Option<String>> {
    let mut skipped = Vec::new();
    for (name, part) in PARTS {
        println!("--> {name}");
        if let Some(reason) = part(places).with_context(|| format!("checking {name}"))? {
            println!("SKIPPED: {name}: {reason}");
            skipped.push(format!("{name} ({reason})"));
        }
    }
    Ok((!skipped.is_empty()).then(|| format!("not checked: {}", skipped.join("; "))))
}

/// Returns why one of the programs cannot be started.
fn missing(programs: &[&str]) -> Option<String> {
    programs.iter().find_map(|program| shell::want(program).err()).map(|error| error.to_string())
}

fn run_printed(command: &mut Command) -> Result<()> {
    println!("$ {}", shell::line(command));
    shell::run(command)
}

fn rules(places: &Places) -> Result<Option<String>> {
    if let Some(reason) = missing(&["promtool"]) {
        return Ok(Some(reason));
    }
    run_printed(
        Command::new("promtool").args(["test", "rules"]).arg(places.repo("tests/deploy/observed.yml")),
    )?;
    Ok(None)
}

/// Verifies the unit, with a program that exists in place of the installed one, and its exposure.
fn unit(places: &Places) -> Result<Option<String>> {
    if let Some(reason) = missing(&["systemd-analyze"]) {
        return Ok(Some(reason));
    }
    let scratch = Scratch::new(&places.repo("target"), "unit")?;
    let program = std::env::current_exe().context("this program has no path")?;
    for name in ["lector.service", "lector.socket"] {
        let text = shell::read(&places.repo("deploy").join(name))?;
        let mut starts = text.lines().filter(|line| line.starts_with("ExecStart"));
        ensure!(
            starts.all(|line| line.contains(&format!("={INSTALLED} "))),
            "{name} starts another program than {INSTALLED}"
        );
        let text = text.replace(INSTALLED, &program.display().to_string());
        shell::write(&scratch.path().join(name), text)?;
    }
    let service = scratch.path().join("lector.service");
    let verify = ["verify", "--man=no", "--recursive-errors=no"];
    let verified = Command::new("systemd-analyze")
        .args(verify)
        .arg(&service)
        .arg(scratch.path().join("lector.socket"))
        .stdin(Stdio::null())
        .output()
        .context("starting systemd-analyze")?;
    // A key that systemd does not know is a warning, and the exit status is 0.
    let said = String::from_utf8_lossy(&verified.stderr);
    ensure!(verified.status.success() && said.trim().is_empty(), "systemd-analyze verify: {said}");
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", &format!("--threshold={EXPOSURE_MAX}")]).arg(&service);
    let rated = shell::output(&mut security)?;
    println!("{}", rated.lines().last().unwrap_or_default().trim());
    Ok(None)
}

/// Runs a program of `tests/deploy` with its packages, and promtool where it is installed.
fn python_check(places: &Places, program: &str, file: &Path) -> Result<Option<String>> {
    let folder = places.repo("tests/deploy");
    let packages = match python::packages(places, "deploy", &folder.join("requirements.txt")) {
        Ok(packages) => packages,
        Err(error) => return Ok(Some(format!("{error:#}"))),
    };
    let mut check = python::program(&folder.join(program), &packages);
    check.arg(file);
    if shell::want("promtool").is_ok() {
        check.arg("promtool");
    }
    run_printed(&mut check)?;
    Ok(None)
}

fn chart(places: &Places) -> Result<Option<String>> {
    let folder = places.repo("deploy/helm/lector");
    let chart = shell::read(&folder.join("Chart.yaml"))?;
    for key in ["version", "appVersion"] {
        let version = chart.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        let wanted = env!("CARGO_PKG_VERSION");
        ensure!(
            version.is_some_and(|version| version.trim_matches('"') == wanted),
            "Chart.yaml: {key} is {version:?}, and not {wanted}"
        );
    }
    python_check(places, "chart.py", &folder)
}

fn compose(places: &Places) -> Result<Option<String>> {
    python_check(places, "compose.py", &places.repo("deploy/compose.yaml"))
}

/// Starts a server and, in front of it, nginx with the example of the operator's guide.
fn nginx(places: &Places) -> Result<Option<String>> {
    if let Some(reason) = missing(&["nginx", "openssl", "python3"]) {
        return Ok(Some(reason));
    }
    let lector = places.lector();
    if !fs::exists(&lector).unwrap_or(false) {
        bail!("{} is not built: run the step `build` first", places.shown(&lector));
    }
    let scratch = Scratch::new(&places.repo("target"), "nginx-key")?;
    let key = scratch.path().join("admin.key");
    let settings = [
        ("LECTOR__HTTP__TRUSTED_PROXIES", "[\"127.0.0.1\"]".to_owned()),
        ("LECTOR__PLATFORM__ADMIN_KEY_FILE", key.display().to_string()),
    ];
    let gateway = Gateway::start_with(places, "nginx", &[], &settings)?;
    let mut check = Command::new("python3");
    check.arg("-B").arg(places.repo("tests/deploy/nginx.py")).arg(places.repo("deploy/README.md"));
    check.arg(gateway.base()).arg(&key);
    check.args(["demo.pdf", "line.png"].map(|file| places.repo("tests/data").join(file)));
    run_printed(&mut check)?;
    gateway.stop()?;
    Ok(None)
}
