//! The workflow of a guest author: the commands of `guest/README.md`, run unchanged, and `guest dev`.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use lector_tests::answer::all_text;
use lector_tests::{Gateway, paths};

/// The section whose commands are run, in order, in one shell.
const SECTION: &str = "## From nothing to text in ten minutes";
/// A guest is compiled from scratch, natively and for wasm, on a busy machine.
const BUILD_WITHIN: Duration = Duration::from_secs(600);

/// Returns the shell blocks of that section.
fn commands() -> String {
    let page = std::fs::read_to_string(paths::repo().join("guest/README.md")).unwrap();
    let (_, section) = page.split_once(SECTION).expect("the part that an author begins with");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks: Vec<&str> = section
        .split("```sh\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("a block has an end").0)
        .collect();
    assert!(blocks.len() >= 3, "the part has its commands in `sh` blocks: {blocks:?}");
    blocks.concat()
}

/// Returns a command with `lector` in its path, and with a build folder that later test runs reuse.
fn author(program: &str, dir: &Path) -> Command {
    let lector = paths::lector();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [lector.parent().unwrap().to_owned()].into_iter().chain(std::env::split_paths(&path));
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .env("PATH", std::env::join_paths(folders).unwrap())
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests"))
        .stdin(Stdio::null());
    command
}

/// The README, and what an author does next, with one project: each new one compiles the SDK again.
#[tokio::test]
async fn the_readme_does_what_it_says() {
    let home = tempfile::tempdir().unwrap();
    let server = format!("http://{}", free_address());
    let script = format!("set -euxo pipefail\n{}", commands().replace("http://127.0.0.1:8080", &server));
    let output = author("bash", home.path())
        .args(["-c", &script])
        .env("LECTOR__HTTP__LISTEN", server.trim_start_matches("http://"))
        .env("LECTOR__CLIENT__SERVER", &server)
        .env("LECTOR__PLATFORM__DATA_DIR", home.path().join("data"))
        .output()
        .expect("bash runs");
    let output_text =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{output_text}");
    for part in [
        "built",
        "lector:ocr@0.2.0",
        "dry run   read",
        "passed, 0 failed",
        "this line stays",
        "\"candidate\"",
        "WE ARE SHOUTING",
    ] {
        assert!(output_text.contains(part), "no `{part}` in\n{output_text}");
    }
    let project = home.path().join("greet");
    // Checks that the test can fail: another expectation is reported as a difference, with exit code 1.
    let expected = project.join("golden/hello.pdf.json");
    let text = std::fs::read_to_string(&expected).unwrap();
    std::fs::write(&expected, text.replace("in a sandbox", "in a sandpit")).unwrap();
    let output = author("lector", &project).args(["guest", "test"]).output().unwrap();
    let output_text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output_text}");
    assert!(
        output_text.contains("- Lector reads this page in a sandpit.") && output_text.contains("1 failed"),
        "{output_text}"
    );
    std::fs::write(&expected, text).unwrap();
    dev(&project);
    each_build_becomes_a_revision_of_a_running_server(&project).await;
    mistakes_are_named(&project);
}

/// What an author sees of the usual mistakes. The project is not the same afterwards.
fn mistakes_are_named(project: &Path) {
    let source = project.join("src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    let export = text.lines().find(|line| line.starts_with("lector_sdk::export!")).unwrap().to_owned();
    std::fs::write(&source, text.replace(&export, "")).unwrap();
    let output = author("lector", project).args(["guest", "build"]).output().unwrap();
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && messages.contains("write `lector_sdk::export!(YourPipeline);`"),
        "{messages}"
    );

    let begin = "-> Result<Transcript, Error> {";
    std::fs::write(&source, text.replacen(begin, &format!("{begin}\n        total(page.index());"), 1))
        .unwrap();
    let total = "\n#[inline(never)]\nfn total(index: u32) {\n    assert_eq!(index, 7, \"no total\");\n}\n";
    std::fs::write(&source, std::fs::read_to_string(&source).unwrap() + total).unwrap();
    let output = author("lector", project).args(["guest", "test"]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("panicked at src/lib.rs:") && shown.contains("no total"), "{shown}");
    assert!(shown.contains("(in greet::total)") && !shown.contains("std::panicking"), "{shown}");
}

/// Returns an address that no process listens on.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap()
}

/// `guest dev --server`: every build becomes a live revision.
async fn each_build_becomes_a_revision_of_a_running_server(project: &Path) {
    let gateway = Gateway::start().await;
    let child = author("lector", project)
        .args(["guest", "dev", "--server", &gateway.base])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut dev = Dev::of(child);
    let first = dev.until("waiting for changes");
    assert!(first.contains("revision 1 of greet is live") && first.contains("this line stays"), "{first}");
    let source = project.join("src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.replace("capitals_max: 20", "capitals_max: 200")).unwrap();
    let second = dev.until("waiting for changes");
    assert!(second.contains("revision 2 of greet is live") && second.contains("WE ARE SHOUTING"), "{second}");
    drop(dev);
    let pdf = std::fs::read(project.join("golden/hello.pdf")).unwrap();
    let answer = gateway.post("/api/v1/deployments/greet/ocr", "application/pdf", pdf).await;
    assert!(all_text(&answer.ok()).contains("WE ARE SHOUTING"), "others read with it too");
}

/// Runs `guest dev`: checks the text at first, and the differences after a change of the source.
fn dev(project: &Path) {
    let child = author("lector", project).args(["guest", "dev"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut dev = Dev::of(child);
    let first = dev.until("waiting for changes");
    assert!(first.contains("this line stays") && !first.contains("SHOUTING"), "{first}");
    let source = project.join("src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    assert!(text.contains("capitals_max: 20"), "{text}");
    std::fs::write(&source, text.replace("capitals_max: 20", "capitals_max: 200")).unwrap();
    let second = dev.until("waiting for changes");
    assert!(second.contains("+ WE ARE SHOUTING"), "{second}");
    // A compile error is printed, and the command waits for the next change.
    std::fs::write(&source, "nonsense").unwrap();
    dev.until("waiting for changes");
    std::fs::write(&source, text).unwrap();
    let last = dev.until("waiting for changes");
    assert!(last.contains("- WE ARE SHOUTING"), "{last}");
}

struct Dev {
    child: Child,
    lines: Receiver<String>,
}

impl Dev {
    fn of(mut child: Child) -> Self {
        let (sender, lines) = sync_channel(1000);
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Returns the output up to a line that contains `part`.
    fn until(&mut self, part: &str) -> String {
        let end = Instant::now() + BUILD_WITHIN;
        let mut output_text = String::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self
                .lines
                .recv_timeout(left)
                .unwrap_or_else(|e| panic!("no `{part}` ({e}) in\n{output_text}"));
            output_text.push_str(&line);
            output_text.push('\n');
            if line.contains(part) {
                return output_text;
            }
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
