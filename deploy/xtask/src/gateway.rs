//! A real gateway as a child process on a free loopback port, with a small HTTP client for `demo`: readiness, and one
//! batch whose events are passed on as they arrive. `lector-bench` also starts its servers with it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::places::Places;
use crate::shell::{self, Scratch};

/// A cold start on a small machine compiles the guests and loads every model.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Pages in flight may finish before the process is killed.
const STOP_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
/// Maximum size of an event. An event is one page; this is far above any page, and limits the memory that a broken
/// server can use.
const EVENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A running gateway, stopped on drop.
pub struct Gateway {
    child: Child,
    base: String,
    log: PathBuf,
    agent: ureq::Agent,
}

/// A file to upload.
pub struct Upload {
    /// Name in the response.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

impl Upload {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes })
    }

    /// Returns the media type for the file's name.
    pub fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((_, "png")) => "image/png",
            Some((_, "pdf")) => "application/pdf",
            _ => "application/octet-stream",
        }
    }
}

impl Gateway {
    /// Starts `lector serve`; `prefix` is put before the command (`taskset …`). The log goes to target/NAME.log.
    pub fn start(places: &Places, name: &str, prefix: &[String]) -> Result<Self> {
        Self::start_with(places, name, prefix, &[])
    }

    /// Starts `lector serve` with configuration keys set through the environment.
    pub fn start_with(
        places: &Places,
        name: &str,
        prefix: &[String],
        env: &[(&str, String)],
    ) -> Result<Self> {
        let log = places.repo("target").join(format!("{name}.log"));
        let scratch = Scratch::new(&places.repo("target"), name)?;
        let port_file = scratch.path().join("port.json");
        // A separate data folder, empty at each start.
        let data = places.repo("target").join(format!("{name}.data"));
        shell::remove_folder(&data)?;
        let lector = places.lector();
        let mut command = match prefix {
            [] => Command::new(&lector),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&lector);
                command
            }
        };
        let out = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--port-file"])
            .arg(&port_file)
            .env("LECTOR__PLATFORM__DATA_DIR", &data)
            .envs(env.iter().map(|(name, value)| (*name, value)))
            .current_dir(&places.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {}", lector.display()))?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(5)))
            .build();
        let mut gateway = Self { child, base: String::new(), log, agent: config.into() };
        let deadline = Instant::now() + READY_WITHIN;
        gateway.base = gateway.wait(deadline, || listening(&port_file))?;
        let (agent, url) = (gateway.agent.clone(), format!("{}/readyz", gateway.base));
        gateway.wait(deadline, || {
            agent.get(&url).call().ok().filter(|answer| answer.status() == 200).map(drop)
        })?;
        Ok(gateway)
    }

    /// Returns its address as `http://127.0.0.1:PORT`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the response of a path that needs no key.
    pub fn get(&self, path: &str) -> Result<String> {
        let mut answer = self
            .agent
            .get(format!("{}{path}", self.base))
            .call()
            .with_context(|| format!("cannot request {path}"))?;
        ensure!(answer.status().is_success(), "{path}: status {}", answer.status());
        answer.body_mut().read_to_string().with_context(|| format!("{path} cannot be read"))
    }

    /// Posts the files as one batch and passes on every event as it arrives.
    pub fn batch(
        &self,
        files: &[Upload],
        query: &str,
        mut on_event: impl FnMut(Value) -> Result<()>,
    ) -> Result<()> {
        let boundary = format!("lector-{:x}", std::process::id());
        let mut body = Vec::new();
        for file in files {
            let name: String = file.name.chars().filter(|c| !c.is_control() && *c != '"').collect();
            body.extend_from_slice(
                format!("--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n")
                    .as_bytes(),
            );
            body.extend_from_slice(&file.bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        let mut answer = self
            .agent
            .post(format!("{}/api/v1/ocr/batch{query}", self.base))
            .header("content-type", format!("multipart/form-data; boundary={boundary}"))
            .header("accept", "application/x-ndjson")
            .send(&body[..])
            .context("the batch was not accepted")?;
        if !answer.status().is_success() {
            let problem = answer.body_mut().read_to_string().unwrap_or_default();
            bail!("the gateway responded with {}: {problem}", answer.status());
        }
        let reader = answer.into_body().into_with_config().limit(u64::MAX).reader();
        let mut reader = BufReader::new(reader);
        let mut ended = false;
        loop {
            let mut line = Vec::new();
            let n = std::io::Read::take(&mut reader, EVENT_BYTES_MAX)
                .read_until(b'\n', &mut line)
                .context("the stream of events was interrupted")?;
            if n == 0 {
                break;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let event: Value = serde_json::from_slice(&line).context("an event is not JSON")?;
            ended |= event["event"] == "end";
            on_event(event)?;
        }
        ensure!(ended, "the stream ended without its end event");
        Ok(())
    }

    /// Stops the gateway gracefully and waits for its exit.
    pub fn stop(mut self) -> Result<()> {
        match self.end().context("cannot wait for the gateway")? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the gateway ended with {status}; its log is {}", self.log.display()),
            None => {
                bail!("the gateway did not stop within {STOP_WITHIN:?}; its log is {}", self.log.display())
            }
        }
    }

    /// Kills the gateway with SIGKILL, as a crash does, and waits until the process is gone.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill().context("cannot kill the gateway")?;
        self.child.wait().context("cannot wait for the gateway")?;
        Ok(())
    }

    /// Sends SIGTERM; returns `None` if the process did not exit in time.
    fn end(&mut self) -> io::Result<Option<ExitStatus>> {
        // std can only kill; a shell can send SIGTERM.
        let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        let deadline = Instant::now() + STOP_WITHIN;
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
    }

    /// Polls `look` until it returns a value, the process exits, or the deadline passes.
    fn wait<T>(&mut self, deadline: Instant, mut look: impl FnMut() -> Option<T>) -> Result<T> {
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait().context("cannot wait for the gateway")? {
                bail!("the gateway ended with {status} while starting:\n{}", self.last_words());
            }
            if Instant::now() >= deadline {
                bail!("the gateway was not ready within {READY_WITHIN:?}:\n{}", self.last_words());
            }
            thread::sleep(POLL);
        }
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.end();
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Returns the address in the port file, once it exists and is complete.
fn listening(port_file: &Path) -> Option<String> {
    let text = fs::read_to_string(port_file).ok()?;
    let json: Value = serde_json::from_str(&text).ok()?;
    json["listening"].as_str().map(|base| base.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Starts a gateway whose server responds to one request with these bytes.
    fn answering(answer: &'static str) -> (Gateway, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"--\r\n") {
                let mut part = [0; 4096];
                let n = stream.read(&mut part).unwrap();
                request.extend_from_slice(&part[..n]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        (Gateway { child, base, log: PathBuf::new(), agent }, server)
    }

    fn send(answer: &'static str) -> (Result<Vec<Value>>, String) {
        let (gateway, server) = answering(answer);
        let mut events = Vec::new();
        let file = Upload { name: "a \"b\".pdf".into(), bytes: b"%PDF".to_vec() };
        let outcome = gateway.batch(&[file], "?dpi=200", |event| {
            events.push(event);
            Ok(())
        });
        (outcome.map(|()| events), server.join().unwrap())
    }

    #[test]
    fn events_come_one_by_one() {
        let (events, request) = send(
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"event\":\"page\",\"page\":1}\n\n{\"event\":\"end\"}\n",
        );
        assert_eq!(events.unwrap().len(), 2);
        assert!(request.starts_with("POST /api/v1/ocr/batch?dpi=200 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("filename=\"a b.pdf\""), "{request}");
    }

    #[test]
    fn a_stream_without_its_end_is_an_error() {
        let (events, _) =
            send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"event\":\"page\",\"page\":1}\n");
        assert!(events.unwrap_err().to_string().contains("without its end"));
    }

    #[test]
    fn a_refusal_tells_the_problem() {
        let (events, _) = send("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 4\r\n\r\nbusy");
        let error = events.unwrap_err().to_string();
        assert!(error.contains("429") && error.contains("busy"), "{error}");
    }
}
