//! Reads the input: on a server, or in this process with the models loaded for this one call.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use lector_core::{DeploymentName, PageRequest, RequestId, Size, TextLayerPolicy, Transcript};
use lector_serving::{DocumentRequest, Session, TimeoutStart, Upload};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;

use super::super::files::{bytes_of, name_of};
use super::super::ocr::local::composed;
use super::super::ocr::remote::FILE_BYTES_MAX;
use super::super::server_client::{accepted, client};
use super::measures::size_of;
use super::transcripts::{Document, document, of_json};
use crate::app::Host;
use crate::config::Config;

/// Maximum number of images that a list names.
const IMAGES_MAX: usize = 10_000;
/// Time to wait for an overloaded server that states none.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// The way to read.
pub(super) struct Reader {
    /// Address of the server; `None`: this process reads.
    pub(super) server: Option<String>,
    pub(super) deployment: Option<String>,
    /// Longest time for a document.
    pub(super) timeout: Duration,
    /// `-`: standard input.
    pub(super) input: PathBuf,
}

/// What was read.
pub(super) struct Read {
    pub(super) document: Document,
    /// The size of the image of each page, where it is known.
    pub(super) sizes: Vec<Option<Size>>,
    pub(super) pdf: Option<Vec<u8>>,
}

impl Reader {
    /// Reads the input. Fails if a page fails.
    pub(super) async fn read(&self, config: &Config, wants_pdf: bool) -> anyhow::Result<Read> {
        let bytes = bytes_of(&self.input, FILE_BYTES_MAX).await.with_context(|| name_of(&self.input))?;
        let files = match images_of_list(&bytes) {
            None => vec![(name_of(&self.input), bytes)],
            Some(_) if wants_pdf => {
                bail!("a PDF of a list of images is not supported: read one image at a time")
            }
            Some(names) => {
                let mut files = Vec::with_capacity(names.len());
                for name in names {
                    let bytes = bytes_of(Path::new(&name), FILE_BYTES_MAX).await;
                    files.push((name.clone(), bytes.with_context(|| name)?));
                }
                files
            }
        };
        let (mut pages, mut sizes, mut pdf) = (Vec::new(), Vec::new(), None);
        // The first image waits for the models as well.
        let mut began = Instant::now();
        let reading = match &self.server {
            Some(server) => Reading::Remote { client: client(&config.client)?, server },
            None => Reading::Local(Box::new(self.within(began, Box::pin(Host::start(config))).await?)),
        };
        for (name, bytes) in files {
            let size = size_of(&bytes);
            let read = self.within(began, self.one(&reading, &name, bytes, wants_pdf)).await;
            let read = read.with_context(|| name)?;
            began = Instant::now();
            // The header of a file with several images states the size of the first one.
            sizes.extend((0..read.0.len()).map(|page| size.filter(|_| page == 0)));
            pages.extend(read.0);
            pdf = read.1;
        }
        if let Reading::Local(host) = reading {
            host.stop().await;
        }
        let name = name_of(&self.input);
        Ok(Read { document: document(Some(name), pages), sizes, pdf })
    }

    /// Waits for a step of the work that began at a time. Most callers kill the program after a time of their own, and some
    /// go on as if the page had no text: an error comes before that.
    async fn within<T>(
        &self,
        began: Instant,
        step: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let left = self.timeout.saturating_sub(began.elapsed());
        tokio::time::timeout(left, step).await.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs_f64();
            bail!("not read in {seconds} s: raise LECTOR_TIMEOUT and the limit of the calling program, or read with less load")
        })
    }

    async fn one(
        &self,
        reading: &Reading<'_>,
        name: &str,
        bytes: Vec<u8>,
        wants_pdf: bool,
    ) -> anyhow::Result<(Vec<Transcript>, Option<Vec<u8>>)> {
        match reading {
            Reading::Local(host) => self.local(host, name, bytes, wants_pdf).await,
            Reading::Remote { client, server } => {
                let until = Instant::now() + self.timeout;
                let ask = |bytes, format| self.ask(client, server, bytes, format, until);
                // The server gives one format for each reading.
                let pdf = if wants_pdf { Some(ask(bytes.clone(), "pdf").await?) } else { None };
                Ok((of_json(&ask(bytes, "json").await?)?, pdf))
            }
        }
    }

    async fn local(
        &self,
        host: &Host,
        name: &str,
        bytes: Vec<u8>,
        wants_pdf: bool,
    ) -> anyhow::Result<(Vec<Transcript>, Option<Vec<u8>>)> {
        let request = DocumentRequest {
            deployment: self.deployment.as_deref().map(DeploymentName::from),
            options: PageRequest {
                text_layer: Some(TextLayerPolicy::Never),
                words: true,
                ..PageRequest::default()
            },
            ..DocumentRequest::new(RequestId::from(uuid::Uuid::now_v7().to_string()), self.timeout)
        };
        let session: Session =
            host.service.begin(&host.control.of_this_machine()?, request, TimeoutStart::PerDocument)?;
        let permit = session.admitted_whole(bytes.len() as u64).await?;
        let upload = Upload { name: Some(name.to_owned()), content_type: None, bytes };
        let (result, composer) = if wants_pdf {
            let (result, composer) = session.read_composing(permit, upload, |_| {}).await?;
            (result, Some(composer))
        } else {
            (session.read(permit, upload, |_| {}).await?, None)
        };
        if let Some(page) = result.pages.iter().find(|page| page.outcome.is_err()) {
            let fault = page.outcome.as_ref().err().context("the page has failed")?;
            bail!("page {} was not read: {fault}", u64::from(page.index) + 1);
        }
        let pages = result.transcripts().map(|(_, page)| page.clone()).collect();
        let pdf = match composer {
            Some(composer) => Some(composed(composer, &result, lector_core::PdfStandard::Own).await?),
            None => None,
        };
        Ok((pages, pdf))
    }

    /// Returns the document in a format of the server. Waits while the server is overloaded.
    async fn ask(
        &self,
        client: &reqwest::Client,
        server: &str,
        bytes: Vec<u8>,
        format: &str,
        until: Instant,
    ) -> anyhow::Result<Vec<u8>> {
        let mut query = vec![("format", format), ("text_layer", "never"), ("words", "true")];
        query.extend(self.deployment.as_deref().map(|name| ("deployment", name)));
        let bytes = bytes::Bytes::from(bytes);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "the server {server} did not answer in time (LECTOR_TIMEOUT)");
            let request = client.post(format!("{server}/api/v1/ocr")).query(&query).body(bytes.clone());
            let answer = request.timeout(left).send().await;
            let answer = answer.with_context(|| format!("the server {server} does not answer"))?;
            let is_busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
            if !is_busy.contains(&answer.status()) {
                let answer = accepted(answer).await?;
                return Ok(answer.bytes().await.context("receiving the response")?.to_vec());
            }
            let stated =
                answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let wait = stated.map_or(RETRY_AFTER_DEFAULT, Duration::from_secs);
            if wait >= until.saturating_duration_since(Instant::now()) {
                // Its message says which limit was met.
                accepted(answer).await?;
            }
            tokio::time::sleep(wait).await;
        }
    }
}

/// Who reads.
enum Reading<'a> {
    Remote { client: reqwest::Client, server: &'a str },
    Local(Box<Host>),
}

/// Returns the files that the input names, if it is a list: one path a line.
fn images_of_list(bytes: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(bytes).ok()?;
    if text.starts_with("%PDF") || text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return None;
    }
    let names = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
    let names: Vec<String> = names.take(IMAGES_MAX + 1).collect();
    let are_files =
        !names.is_empty() && names.len() <= IMAGES_MAX && names.iter().all(|name| Path::new(name).is_file());
    are_files.then_some(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_list_names_files_that_exist() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.png");
        std::fs::write(&file, b"x").unwrap();
        let name = file.to_str().unwrap();
        let list = format!("{name}\r\n\n{name}\n");
        assert_eq!(images_of_list(list.as_bytes()), Some(vec![name.to_owned(), name.to_owned()]));
        assert_eq!(images_of_list(format!("{name}\nmissing.png\n").as_bytes()), None);
        assert_eq!(images_of_list(b""), None);
        assert_eq!(images_of_list(b"\x89PNG\r\n"), None);
        assert_eq!(images_of_list(b"%PDF-1.7"), None);
    }
}
