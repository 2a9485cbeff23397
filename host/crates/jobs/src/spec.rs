//! The specification of a job, and its submission.

use std::collections::BTreeMap;
use std::time::Duration;

use lector_control::Digest;
use lector_control::store::StagedBlob;
use lector_core::{Fault, Kind, RequestId};
use lector_serving::DocumentRequest;
use serde::{Deserialize, Serialize};

/// Largest priority; the smallest is its negative.
pub const PRIORITY_MAX: i8 = 10;
/// Most labels of a job, and most bytes of the name and the value of one.
const LABELS_MAX: usize = 16;
const LABEL_BYTES_MAX: usize = 256;
/// Most bytes of an idempotency key, of a webhook's URL.
const KEY_BYTES_MAX: usize = 255;
const URL_BYTES_MAX: usize = 2048;

/// The specification of a job: everything that its result depends on except the tenant and the inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// The request for each document. Its timeout is not used: the configuration bounds the time of one turn.
    pub request: DocumentRequest,
    /// The formats that the client wants. The caller has validated them, and set `options.words` where one needs words.
    #[serde(default)]
    pub formats: Vec<String>,
    /// The URL that gets a message at the end.
    #[serde(default)]
    pub webhook: Option<String>,
    /// Time that the finished job is kept.
    #[serde(default)]
    pub retention: Option<Duration>,
    /// Order among the tenant's own jobs, -10 to 10; greater ones first.
    #[serde(default)]
    pub priority: i8,
    /// Texts that the client, or a compatible API, keeps with the job.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl JobSpec {
    /// Makes the specification of a job with these reading options and no others.
    pub fn new(request: DocumentRequest) -> Self {
        Self {
            request,
            formats: Vec::new(),
            webhook: None,
            retention: None,
            priority: 0,
            labels: BTreeMap::new(),
        }
    }

    /// Checks the ranges. Fault: `option_invalid`.
    pub(crate) fn check(&self, retention_max: Duration) -> Result<(), Fault> {
        let invalid = |message: String| Err(Fault::new(Kind::Invalid, "option_invalid", message));
        if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&self.priority) {
            return invalid(format!(
                "`priority` is {}: use -{PRIORITY_MAX} to {PRIORITY_MAX}.",
                self.priority
            ));
        }
        if let Some(retention) = self.retention.filter(|time| *time > retention_max) {
            let (given, most) = (retention.as_secs(), retention_max.as_secs());
            return invalid(format!(
                "`retention` is {given} s, and the server keeps jobs for at most {most} s."
            ));
        }
        let within = |text: &String| text.len() <= LABEL_BYTES_MAX;
        if self.labels.len() > LABELS_MAX
            || !self.labels.iter().all(|(name, text)| within(name) && within(text))
        {
            return invalid(format!("Send at most {LABELS_MAX} labels of at most {LABEL_BYTES_MAX} bytes."));
        }
        if let Some(url) = &self.webhook
            && (url.len() > URL_BYTES_MAX || !(url.starts_with("https://") || url.starts_with("http://")))
        {
            return invalid(format!(
                "`webhook` is not an absolute URL with `https` or `http` and at most {URL_BYTES_MAX} bytes."
            ));
        }
        Ok(())
    }
}

/// A durable input, kept as long as this value or a job that names it: an input that is not submitted is deleted.
#[derive(Debug)]
pub struct StagedInput {
    pub(crate) name: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) blob: StagedBlob,
}

/// A job to be submitted.
#[derive(Debug)]
pub struct Submission {
    /// The specification.
    pub spec: JobSpec,
    /// The documents, at least one.
    pub inputs: Vec<StagedInput>,
    /// The client's key: a second submission with the same key and content returns the first job.
    pub idempotency_key: Option<String>,
}

impl Submission {
    /// Returns the key with the digest of the content. Fault: `option_invalid`.
    pub(crate) fn idempotency(&self) -> Result<Option<(String, String)>, Fault> {
        let Some(key) = &self.idempotency_key else { return Ok(None) };
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            let message = format!("`Idempotency-Key` has {} bytes: send 1 to {KEY_BYTES_MAX}.", key.len());
            return Err(Fault::new(Kind::Invalid, "option_invalid", message));
        }
        let mut spec = self.spec.clone();
        // The id and the default routing key differ between the attempts of a client.
        spec.request.request = RequestId::from("");
        let inputs: Vec<_> = self.inputs.iter().map(|input| (&input.name, input.blob.digest())).collect();
        Ok(Some((key.clone(), Digest::of(crate::json::text(&(spec, inputs)).as_bytes()).to_string())))
    }
}
