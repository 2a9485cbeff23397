//! Client libraries against a running gateway (`tests/clients`): those of this repository, and those of other APIs from
//! the package indexes of Python and of Node.

mod own;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::gateway::Gateway;
use crate::places::Places;
use crate::{python, shell};

pub use own::check_generated;

/// Beginning of a line in the list of a client's packages: the reason that the client runs with `--all` only.
const HEAVY: &str = "# heavy: ";
/// The key of the default deployment, and one that reads the same documents in a third of the time.
const DEFAULT_DEPLOYMENT: &str = "LECTOR__PLATFORM__DEFAULT_DEPLOYMENT";
const FAST: &str = "standard-tiny";
/// Clients that run at once.
const AT_ONCE: usize = 3;
/// The lock file of the packages for Node, beside `package.json`.
const LOCK: &str = "package-lock.json";

/// Arguments of `cargo xtask clients`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Clients to run, as their files are named without the extension; without any: those with small packages
    names: Vec<String>,
    /// Run every client, also those whose packages have hundreds of megabytes
    #[arg(long)]
    all: bool,
}

/// A program of `tests/clients`.
struct Client {
    name: String,
    script: PathBuf,
    runs_on: Runtime,
}

#[derive(Clone, Copy, PartialEq)]
enum Runtime {
    Python,
    Node,
}

/// The clients that ran, and why others did not.
#[derive(Default)]
pub struct Report {
    /// Names of the clients that work.
    pub passed: Vec<String>,
    /// The others, each with the reason.
    pub skipped: Vec<Skipped>,
    failed: Vec<String>,
}

/// A client that did not run.
pub struct Skipped {
    /// Its name.
    pub name: String,
    reason: String,
}

/// Runs `cargo xtask clients`.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let report = drive(places, &arguments.names, arguments.all)?;
    if report.passed.is_empty() {
        bail!("no client ran");
    }
    Ok(())
}

/// Installs the packages of each client, starts a gateway without keys, and runs the clients. One whose packages cannot
/// be installed is skipped, and named with the reason: a package index that cannot be reached is not a failure. Without
/// names and `all`, clients with large packages are skipped too.
pub fn drive(places: &Places, names: &[String], all: bool) -> Result<Report> {
    check_generated(places)?;
    let mut report = Report::default();
    let mut ready = Vec::new();
    // An index that did not answer once is not asked again: each time may take a minute.
    let mut unreachable = Vec::new();
    for client in clients(places, names)? {
        match heavy(places, &client)? {
            Some(reason) if !all && names.is_empty() => {
                report.skip(client.name, format!("{reason}; run `cargo xtask clients --all`"));
            }
            _ => match install(places, &client, unreachable.contains(&client.runs_on)) {
                Ok(packages) => ready.push((client, packages)),
                Err(error) => {
                    unreachable.push(client.runs_on);
                    report.skip(client.name, format!("its packages cannot be installed: {error:#}"));
                }
            },
        }
    }
    ready.retain(|(client, packages)| match own::prepare(places, &client.name, packages) {
        Ok(()) => true,
        Err(error) => {
            println!("{}: {error:#}", client.name);
            report.failed.push(client.name.clone());
            false
        }
    });
    if !ready.is_empty() {
        let gateway = Gateway::start_with(places, "clients", &[], &[(DEFAULT_DEPLOYMENT, FAST.to_owned())])?;
        for (name, ran) in run_all(places, gateway.base(), &ready) {
            if let Err(error) = &ran {
                println!("{name}: {error:#}");
            }
            let ended = if ran.is_ok() { &mut report.passed } else { &mut report.failed };
            ended.push(name);
        }
        gateway.stop()?;
    }
    println!("\nclients that work: {}", report.passed.join(", "));
    for Skipped { name, reason } in &report.skipped {
        println!("skipped: {name}: {reason}");
    }
    if !report.failed.is_empty() {
        bail!(
            "these clients fail: {} (the log of the gateway is target/clients.log)",
            report.failed.join(", ")
        );
    }
    Ok(report)
}

/// Runs the clients, some at once, because each waits for its packages to load and for the server; returns the outcome of
/// each, as they end. The output of a client is printed when it has ended.
fn run_all(places: &Places, server: &str, ready: &[(Client, PathBuf)]) -> Vec<(String, Result<()>)> {
    let next = Mutex::new(ready.iter());
    let ended = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some((client, packages)) = next.lock().ok().and_then(|mut next| next.next()) else { return };
            let start = Instant::now();
            let outcome = command(client, packages).and_then(|mut command| {
                command.arg(server).env("LECTOR", places.lector()).stdin(Stdio::null());
                command.args(["demo.pdf", "line.png"].map(|file| places.repo("tests/data").join(file)));
                let output =
                    command.output().with_context(|| format!("cannot start `{}`", shell::line(&command)))?;
                Ok((shell::line(&command), output))
            });
            // Held while the lines are printed, so that those of two clients do not mix.
            let Ok(mut ended) = ended.lock() else { return };
            let ran = outcome.and_then(|(line, output)| {
                println!("$ {line}");
                print!("{}", String::from_utf8_lossy(&output.stdout));
                eprint!("{}", String::from_utf8_lossy(&output.stderr));
                println!("  ({:.1} s)", start.elapsed().as_secs_f64());
                ensure!(output.status.success(), "`{line}` ended with {}", output.status);
                Ok(())
            });
            ended.push((client.name.clone(), ran));
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| _ = scope.spawn(work)));
    ended.into_inner().unwrap_or_default()
}

impl Report {
    fn skip(&mut self, name: String, reason: String) {
        self.skipped.push(Skipped { name, reason });
    }
}

fn folder(places: &Places) -> PathBuf {
    places.repo("tests/clients")
}

/// Returns the list of a client's packages, all of them, each with its version.
fn packages(places: &Places, client: &Client) -> PathBuf {
    match client.runs_on {
        Runtime::Python => folder(places).join(format!("{}.txt", client.name)),
        Runtime::Node => folder(places).join("package.json"),
    }
}

/// Returns the clients.
fn clients(places: &Places, names: &[String]) -> Result<Vec<Client>> {
    let mut found = Vec::new();
    for script in shell::list(&folder(places))? {
        let runs_on = match script.extension().and_then(|extension| extension.to_str()) {
            // A program without a list of packages is not one of these clients.
            Some("py") if script.with_extension("txt").is_file() => Runtime::Python,
            Some("mjs") => Runtime::Node,
            _ => continue,
        };
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        found.push(Client { name, script, runs_on });
    }
    if let Some(unknown) = names.iter().find(|name| !found.iter().any(|client| client.name == **name)) {
        let known: Vec<&str> = found.iter().map(|client| client.name.as_str()).collect();
        bail!("there is no client `{unknown}`: use one of {}", known.join(", "));
    }
    found.retain(|client| names.is_empty() || names.contains(&client.name));
    Ok(found)
}

/// Returns the reason that a client runs only if it is asked for.
fn heavy(places: &Places, client: &Client) -> Result<Option<String>> {
    let list = shell::read(&packages(places, client))?;
    Ok(list.lines().find_map(|line| line.strip_prefix(HEAVY)).map(str::to_owned))
}

/// Installs the packages of a client into the cache, unless they are there; returns their folder. With `cached_only`, one
/// whose packages are not there is an error.
fn install(places: &Places, client: &Client, cached_only: bool) -> Result<PathBuf> {
    let list = packages(places, client);
    match client.runs_on {
        Runtime::Python => {
            let name = format!("client-{}", client.name);
            if cached_only && !python::is_installed(places, &name, &list)? {
                bail!("the package index of Python did not answer for an earlier client");
            }
            python::packages_with(places, &name, &list, PIP)
        }
        Runtime::Node => npm(places, &list, cached_only),
    }
}

/// Options of pip. The list is complete, and some packages name dependencies that their clients do not need. An index that
/// does not answer ends the attempt soon.
const PIP: &[&str] = &["--no-deps", "--timeout", "20", "--retries", "1"];

/// Installs the packages of the clients for Node into the cache, without running their programs.
fn npm(places: &Places, list: &Path, cached_only: bool) -> Result<PathBuf> {
    let _lock = places.lock()?;
    let packages = places.cache.join("node/clients");
    let lock = list.with_file_name(LOCK);
    let version = shell::output(Command::new("node").arg("--version"))?;
    let wanted = format!("{version}{}", shell::read(&lock)?);
    // Written last, so that an interrupted installation is repeated.
    let installed = packages.join("installed.txt");
    if shell::read(&installed).ok().as_ref() == Some(&wanted) {
        return Ok(packages);
    }
    if cached_only {
        bail!("the package index of Node did not answer for an earlier client");
    }
    shell::empty_folder(&packages)?;
    for file in [list, &lock] {
        shell::write(&packages.join(file.file_name().unwrap_or_default()), shell::read(file)?)?;
    }
    let mut install = Command::new("npm");
    install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]);
    install.args(["--fetch-timeout=20000", "--fetch-retries=1"]).current_dir(&packages);
    println!("$ {}", shell::line(&install));
    shell::run(&mut install).context("npm needs a registry or a mirror that has the packages")?;
    shell::write(&installed, &wanted)?;
    Ok(packages)
}

/// Returns the command of a client, without its arguments.
fn command(client: &Client, packages: &Path) -> Result<Command> {
    Ok(match client.runs_on {
        Runtime::Python => python::program(&client.script, packages),
        Runtime::Node => {
            // Node looks for the packages of a module beside its file.
            let script = packages.join(client.script.file_name().unwrap_or_default());
            shell::write(&script, shell::read(&client.script)?)?;
            let mut command = Command::new("node");
            command.arg(script);
            command
        }
    })
}
