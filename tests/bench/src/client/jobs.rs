//! Jobs of the API: submission, status, events, results.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::gateway::Upload;

use super::Client;

/// Seconds that a call which waits for the end of a job waits at most: the limit of the server.
const WAIT_S: u32 = 300;

impl Client {
    /// Submits a document as a job; returns its id as soon as it is acknowledged.
    pub fn submit(&self, query: &str, upload: &Upload) -> Result<String> {
        id(&self.submission(query, upload, false)?)
    }

    /// Submits a document as a job, and waits for its end; returns the job.
    pub fn submit_and_wait(&self, query: &str, upload: &Upload) -> Result<Value> {
        let job = self.submission(query, upload, true)?;
        ensure!(job["state"] == "succeeded", "a job did not succeed: {job}");
        Ok(job)
    }

    fn submission(&self, query: &str, upload: &Upload, wait: bool) -> Result<Value> {
        let mut request = self.agent.post(format!("{}/api/v1/jobs?{query}", self.base));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if wait {
            request = request.header("prefer", format!("wait={WAIT_S}"));
        }
        let mut answer = request.header("content-type", upload.content_type()).send(&upload.bytes[..])?;
        let text = answer.body_mut().read_to_string()?;
        ensure!(answer.status().is_success(), "a job was refused: status {}: {text}", answer.status());
        serde_json::from_str(&text).context("a job is not JSON")
    }

    /// Returns all jobs.
    pub fn jobs(&self) -> Result<Vec<Value>> {
        let mut listed = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut page: Value =
                serde_json::from_str(&self.get(&format!("/api/v1/jobs?limit=1000{cursor}"))?)?;
            if let Some(Value::Array(jobs)) = page.get_mut("jobs").map(Value::take) {
                listed.extend(jobs);
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(listed),
            }
        }
    }

    /// Returns the events of a finished job.
    pub fn job_events(&self, job: &str) -> Result<Vec<Value>> {
        let text = self.get(&format!("/api/v1/jobs/{job}/events"))?;
        text.lines().map(|line| serde_json::from_str(line).context("an event is not JSON")).collect()
    }

    /// Returns the result of the only document of a job.
    pub fn job_result(&self, job: &str) -> Result<Value> {
        serde_json::from_str(&self.get(&format!("/api/v1/jobs/{job}/result"))?)
            .context("a result is not JSON")
    }

    /// Cancels a job.
    pub fn cancel(&self, job: &str) -> Result<()> {
        let mut request = self.agent.delete(format!("{}/api/v1/jobs/{job}", self.base));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let answer = request.call()?;
        ensure!(answer.status().is_success(), "a job was not canceled: status {}", answer.status());
        Ok(())
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut answer = request.call().with_context(|| format!("cannot request {path}"))?;
        let text = answer.body_mut().with_config().limit(1 << 30).read_to_string()?;
        ensure!(answer.status().is_success(), "{path}: status {}: {text}", answer.status());
        Ok(text)
    }
}

/// Returns the pages of a job that are stored.
pub fn pages_done(job: &Value) -> u64 {
    let count = |name: &str| job["pages"][name].as_u64().unwrap_or(0);
    count("ok") + count("failed")
}

/// Returns the id of a job.
pub fn id(job: &Value) -> Result<String> {
    job["id"].as_str().map(str::to_owned).context("a job without an id")
}
