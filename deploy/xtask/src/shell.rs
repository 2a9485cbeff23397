//! Runs external tools, and names the command that installs a missing one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// Command that installs each tool, with Debian's package names.
const INSTALL: &[(&str, &str)] = &[
    ("python3", "sudo apt-get install python3 python3-pip"),
    ("node", "sudo apt-get install nodejs npm"),
    ("npm", "sudo apt-get install npm"),
    ("git", "sudo apt-get install git"),
    ("tar", "sudo apt-get install tar"),
    ("gzip", "sudo apt-get install gzip"),
    ("dpkg", "sudo apt-get install dpkg"),
    ("dpkg-deb", "sudo apt-get install dpkg"),
    (
        "apt-get",
        "run it on Debian, or install the wasm targets: rustup target add wasm32-unknown-unknown wasm32-wasip2",
    ),
    ("zstd", "sudo apt-get install zstd"),
    ("strip", "sudo apt-get install binutils"),
    ("objdump", "sudo apt-get install binutils"),
    ("buildah", "sudo apt-get install buildah"),
    ("podman", "sudo apt-get install podman crun"),
    ("promtool", "sudo apt-get install prometheus"),
    ("nginx", "sudo apt-get install nginx-light"),
    ("openssl", "sudo apt-get install openssl"),
    ("systemd-analyze", "sudo apt-get install systemd"),
    ("debootstrap", "sudo apt-get install debootstrap"),
    ("unshare", "sudo apt-get install util-linux"),
    ("rustc", "install Rust with rustup; rust-toolchain.toml names the version"),
    ("cargo-deny", "cargo install --locked cargo-deny"),
];

/// Returns a command for the `cargo` that started this program, or the one in the path.
///
/// Without backtraces of failed tests: they are hundreds of lines of other people's code around the message. Without what
/// cargo says of the task runner's package: build scripts that watch these variables (`ring`) would run again, and all
/// above them be compiled again, whenever cargo is called by hand and by the task runner in turn.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.env("RUST_BACKTRACE", "0");
    let of_the_package = |name: &str| {
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "OUT_DIR"
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_the_package) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Arguments of every cargo command that builds the host: the whole workspace, because another selection of packages
/// has other features and compiles dependencies again; without the task runner, which is built in the dev profile.
pub const HOST: [&str; 5] = ["--release", "--locked", "--workspace", "--exclude", "xtask"];

/// Builds the server.
pub fn build_host(root: &Path) -> Result<()> {
    start_host(root)?.wait()
}

/// Starts to build the server.
pub fn start_host(root: &Path) -> Result<Building> {
    let mut build = cargo();
    build.arg("build").args(HOST).args(["--bin", "lector"]).current_dir(root);
    println!("$ {}", line(&build));
    let cargo = build.spawn().map_err(|error| explain(error, "cargo"))?;
    Ok(Building { cargo, command: line(&build) })
}

/// A build in progress; it ends when this is dropped.
pub struct Building {
    cargo: Child,
    command: String,
}

impl Building {
    /// Waits for its end; an exit status other than zero is an error that names the command.
    pub fn wait(mut self) -> Result<()> {
        let status = self.cargo.wait().with_context(|| format!("waiting for `{}`", self.command))?;
        ensure!(status.success(), "`{}` ended with {status}", self.command);
        Ok(())
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.cargo.kill();
        let _ = self.cargo.wait();
    }
}

/// Removes a folder with its content, if it exists.
pub fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot empty {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Creates an empty folder in place of an existing one.
pub fn empty_folder(folder: &Path) -> Result<()> {
    remove_folder(folder)?;
    make_folder(folder)
}

/// Creates a folder and its parents.
pub fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Returns the sorted paths in a folder.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths = |entries: fs::ReadDir| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut paths =
        fs::read_dir(folder).and_then(paths).with_context(|| format!("cannot list {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

/// Returns the regular files below a folder; links are not followed.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in list(&folder)?.into_iter().filter(|path| !path.is_symlink()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Reads a text file.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file and creates its folder if necessary.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    path.parent().map_or(Ok(()), make_folder)?;
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Returns a command that runs pip with the Python in the path.
pub fn pip() -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip"]);
    command
}

/// Fails with an installation hint if pip cannot be run.
pub fn want_pip() -> Result<()> {
    let mut version = pip();
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    match version.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("Python has no pip: install it with `sudo apt-get install python3-pip`"),
        Err(error) => Err(explain(error, "python3")),
    }
}

/// Fails with an installation hint if a program cannot be started.
pub fn want(program: &str) -> Result<()> {
    let mut version = Command::new(program);
    version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().map(drop).map_err(|error| explain(error, program))
}

/// Returns a command line as it would be typed, without its environment.
pub fn line(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut text = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        text.push(' ');
        if argument.is_empty() || argument.contains([' ', '\'', '"', '*', '$', '&', ';', '<', '>']) {
            text.push_str(&format!("'{argument}'"));
        } else {
            text.push_str(&argument);
        }
    }
    text
}

/// Runs a command in this terminal; an exit status other than zero is an error that names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = line(command);
    let status =
        command.status().map_err(|error| explain(error, &command.get_program().to_string_lossy()))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs a command and returns its standard output; a failure includes its standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = line(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| explain(error, &command.get_program().to_string_lossy()))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed text that is not UTF-8"))
}

fn explain(error: io::Error, program: &str) -> anyhow::Error {
    if error.kind() != io::ErrorKind::NotFound {
        return anyhow::Error::new(error).context(format!("cannot start {program}"));
    }
    match INSTALL.iter().find(|(name, _)| *name == program) {
        Some((_, how)) => anyhow::anyhow!("{program} is missing: {how}"),
        None => anyhow::anyhow!("{program} is missing from the path"),
    }
}

/// Returns the sha256 of a file in lower-case hexadecimal.
pub fn sha256(path: &Path) -> Result<String> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    copy_hashed(file, io::sink()).with_context(|| format!("cannot read {}", path.display()))
}

/// Copies a stream and returns the sha256 of its content.
pub fn copy_hashed(mut from: impl Read, mut to: impl Write) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let n = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..n).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        to.write_all(bytes)?;
    }
    Ok(base16ct::lower::encode_string(&hash.finalize()))
}

/// Returns whether the file exists and has this sha256.
pub fn is_intact(path: &Path, sha256_wanted: &str) -> bool {
    path.is_file() && sha256(path).is_ok_and(|found| found == sha256_wanted)
}

/// A temporary folder, removed on drop; it is beside its destination, so that a rename out of it is atomic.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Creates an empty `parent/.NAME.PID`.
    pub fn new(parent: &Path, name: &str) -> Result<Self> {
        let path = parent.join(format!(".{name}.{}", std::process::id()));
        empty_folder(&path)?;
        Ok(Self(path))
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // a leftover only takes space
    }
}
