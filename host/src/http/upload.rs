//! The documents of a request body: the body itself, or the files of a multipart form (RFC 7578).
//!
//! Owns the extraction of documents from a body, one after the other, each directly into the buffer that the pipeline
//! uses. Does not depend on queries and responses. Used by `ocr.rs` and `batch.rs`.

use axum::http::{HeaderMap, header};
use futures::StreamExt;
use lector_core::{Fault, Kind};
use lector_serving::ReceivedBytes;
use multer::{Constraints, Multipart};

use super::body::{ByteQuota, LimitedBody, declared_bytes};

/// Maximum length of a file name in logs and responses, in characters.
const NAME_CHARS_MAX: usize = 200;
/// Maximum bytes read to find the end of the head of a part. A head has some hundred bytes; the chunk of the body that
/// also contains the beginning of the file may have half a megabyte.
const HEAD_BYTES_MAX: u64 = 2 << 20;
/// Types that are ignored: the bytes determine the type. (`curl --data-binary` sends the last one by default.)
const IGNORED_TYPES: [&str; 3] =
    ["application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded"];

/// The documents of a body, as they are received.
pub(crate) struct Upload {
    source: Source,
    /// Set when the body or the form failed: the rest of the body cannot be parsed.
    broken: bool,
}

enum Source {
    /// The body is the document.
    Raw { body: Box<LimitedBody>, content_type: Option<String>, bytes: Option<u64>, taken: bool },
    /// The body is a form.
    Form { form: Multipart<'static>, part: Box<Option<multer::Field<'static>>>, quota: ByteQuota },
}

/// The metadata of a document before its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) name: Option<String>,
    pub(crate) content_type: Option<String>,
}

/// A memory budget that counts bytes as they arrive.
pub(crate) trait ByteBudget {
    /// Counts `bytes` in all, and waits for memory. The upload pauses meanwhile.
    fn arrived(&mut self, bytes: u64) -> impl Future<Output = Result<(), Fault>> + Send;
}

impl ByteBudget for ReceivedBytes {
    fn arrived(&mut self, bytes: u64) -> impl Future<Output = Result<(), Fault>> + Send {
        Self::arrived(self, bytes)
    }
}

/// Returns whether the body is a form, which may contain several documents.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    essence(content_type(headers)) == "multipart/form-data"
}

/// Returns whether the body is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    essence(content_type(headers)) == "application/json"
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

impl Upload {
    /// Interprets a body by its `Content-Type`.
    pub(crate) fn new(headers: &HeaderMap, body: LimitedBody) -> Result<Self, Fault> {
        let content_type = content_type(headers);
        let essence = essence(content_type);
        if essence == "multipart/form-data" {
            let boundary =
                multer::parse_boundary(content_type).map_err(|error| invalid("has no boundary", error))?;
            let quota = body.quota();
            let form = Multipart::with_constraints(body, boundary, Constraints::new());
            return Ok(Self { source: Source::Form { form, part: Box::new(None), quota }, broken: false });
        }
        if essence.starts_with("multipart/") {
            let message =
                "The body is multipart, but not a form: send `multipart/form-data`, or the bare document.";
            return Err(Fault::new(Kind::Invalid, "multipart_invalid", message));
        }
        let bytes = declared_bytes(headers);
        let source = Source::Raw { body: Box::new(body), content_type: hint(essence), bytes, taken: false };
        Ok(Self { source, broken: false })
    }

    /// Returns whether the body is one bare document.
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self.source, Source::Raw { .. })
    }

    /// Returns whether the body or the form failed, and not only one document.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Returns the metadata of the next document, and `None` after the last one or after an error. Skips unread bytes
    /// of the previous document.
    pub(crate) async fn next(&mut self) -> Result<Option<Head>, Fault> {
        if self.broken {
            return Ok(None);
        }
        let next = self.source.next().await;
        self.broken = next.is_err();
        next
    }

    /// Reads the document of the last [`next`](Self::next), of at most `bytes_max` bytes.
    pub(crate) async fn read(
        &mut self,
        budget: &mut impl ByteBudget,
        bytes_max: u64,
    ) -> Result<Vec<u8>, Fault> {
        let mut buffer = Vec::new();
        let declared = match &self.source {
            Source::Raw { bytes, .. } => bytes.and_then(|bytes| usize::try_from(bytes).ok()),
            Source::Form { .. } => None,
        };
        while let Some(chunk) = self.source.chunk().await.inspect_err(|_| self.broken = true)? {
            let bytes = (buffer.len() + chunk.len()) as u64;
            if bytes > bytes_max {
                let message =
                    format!("The document exceeds {bytes_max} bytes: send a smaller document, or split it.");
                return Err(Fault::new(Kind::TooLarge, "body_too_large", message));
            }
            budget.arrived(bytes).await?;
            if let Some(declared) = declared {
                reserve(&mut buffer, chunk.len(), declared);
            }
            buffer.extend_from_slice(&chunk);
        }
        Ok(buffer)
    }
}

/// Grows the buffer for `more` bytes: it doubles, and ends with the declared size. The declared size itself is not
/// allocated, because it may never come.
fn reserve(buffer: &mut Vec<u8>, more: usize, declared: usize) {
    let needed = buffer.len().saturating_add(more);
    if needed > buffer.capacity() {
        let capacity = needed.saturating_mul(2).min(declared).max(needed);
        // A failure repeats in `extend_from_slice`.
        let _ = buffer.try_reserve_exact(capacity - buffer.len());
    }
}

impl Source {
    async fn next(&mut self) -> Result<Option<Head>, Fault> {
        match self {
            Self::Raw { taken: true, .. } => Ok(None),
            Self::Raw { taken, content_type, .. } => {
                *taken = true;
                Ok(Some(Head { name: None, content_type: content_type.clone() }))
            }
            Self::Form { form, part, quota } => {
                if let Some(mut unread) = (**part).take() {
                    while unread.chunk().await.map_err(from_multer)?.is_some() {}
                }
                quota.give(HEAD_BYTES_MAX);
                let Some(field) = form.next_field().await.map_err(from_multer)? else { return Ok(None) };
                quota.give(u64::MAX);
                let head = head(&field)?;
                **part = Some(field);
                Ok(Some(head))
            }
        }
    }

    async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, Fault> {
        match self {
            Self::Raw { body, .. } => body.next().await.transpose(),
            Self::Form { part, .. } => match &mut **part {
                Some(part) => part.chunk().await.map_err(from_multer),
                None => Ok(None),
            },
        }
    }
}

/// Returns the metadata of a part. A part is a document if its name is `file` (or similar) or it has a file name.
fn head(field: &multer::Field<'_>) -> Result<Head, Fault> {
    let part = field.name().unwrap_or_default();
    if !matches!(part, "file" | "files" | "file[]" | "files[]") && field.file_name().is_none() {
        let part: String = part.chars().filter(|c| !c.is_control()).take(40).collect();
        let message = format!(
            "The part `{part}` of the form is not a file: send documents as parts named `file`, and options in the query."
        );
        return Err(Fault::new(Kind::Invalid, "multipart_invalid", message));
    }
    let name = field.file_name().map(clean_name).filter(|name| !name.is_empty());
    Ok(Head { name, content_type: field.content_type().and_then(|mime| hint(essence(mime.as_ref()))) })
}

/// Returns the last component of a file name, because some clients send whole paths.
pub(crate) fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn hint(essence: String) -> Option<String> {
    (!essence.is_empty() && !IGNORED_TYPES.contains(&essence.as_str())).then_some(essence)
}

fn invalid(what: &str, detail: impl std::fmt::Display) -> Fault {
    let message = format!(
        "The multipart form {what}: send it as RFC 7578 requires, for example with `curl -F file=@letter.pdf`."
    );
    Fault::new(Kind::Invalid, "multipart_invalid", message).with_detail(detail)
}

/// Converts an error of the parser. A fault of the body itself passes unchanged.
pub(crate) fn from_multer(error: multer::Error) -> Fault {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<Fault>() {
            Ok(fault) => *fault,
            Err(cause) => invalid("could not be read", cause),
        },
        error @ (multer::Error::IncompleteStream
        | multer::Error::IncompleteHeaders
        | multer::Error::IncompleteFieldData { .. }) => invalid("ends before its last boundary", error),
        error => invalid("is malformed", error),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::{Duration, Instant};

    use axum::body::Body;
    use bytes::Bytes;

    use super::super::body::BodyLimits;
    use super::*;
    use crate::config::Rate;

    struct Unlimited(u64);

    impl ByteBudget for Unlimited {
        async fn arrived(&mut self, bytes: u64) -> Result<(), Fault> {
            assert!(bytes >= self.0);
            self.0 = bytes;
            Ok(())
        }
    }

    fn upload(content_type: &str, body: Vec<u8>, chunk: usize) -> Result<Upload, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        let (late, bytes_max) = (Duration::from_secs(60), 1 << 20);
        let rate_min = Rate { bytes_per_s: 0, window: late };
        let until = Instant::now() + late;
        let limits = BodyLimits { bytes_max, idle_max: late, waits_max: late, until, rate_min };
        let chunks: Vec<_> =
            body.chunks(chunk).map(|c| Ok::<_, std::io::Error>(Bytes::copy_from_slice(c))).collect();
        Upload::new(
            &headers,
            LimitedBody::new(&headers, Body::from_stream(futures::stream::iter(chunks)), limits)?,
        )
    }

    pub(super) type Read = Vec<(Option<String>, Option<String>, Vec<u8>)>;

    pub(super) async fn all(content_type: &str, body: &[u8], chunk: usize) -> Result<Read, &'static str> {
        let mut upload = upload(content_type, body.to_vec(), chunk).map_err(|f| f.code)?;
        let mut read = Vec::new();
        while let Some(head) = upload.next().await.map_err(|f| f.code)? {
            let bytes = upload.read(&mut Unlimited(0), 1000).await.map_err(|f| f.code)?;
            read.push((head.name, head.content_type, bytes));
        }
        Ok(read)
    }

    pub(super) fn form(parts: &[(&str, &str)]) -> Vec<u8> {
        let parts = parts.iter().map(|(headers, body)| {
            format!("--b\r\nContent-Disposition: form-data; {headers}\r\n\r\n{body}\r\n")
        });
        format!("{}--b--\r\n", parts.collect::<String>()).into_bytes()
    }

    pub(super) const FORM: &str = "multipart/form-data; boundary=b";

    #[tokio::test]
    async fn a_bare_document() {
        assert_eq!(
            all("Application/PDF; x=y", b"%PDF", 2).await,
            Ok(vec![(None, Some("application/pdf".into()), b"%PDF".to_vec())])
        );
        assert_eq!(all("application/x-www-form-urlencoded", b"", 1).await, Ok(vec![(None, None, vec![])]));
    }

    #[tokio::test]
    async fn a_form_in_chunks_of_any_size() {
        let body = form(&[
            ("name=\"file\"; filename=\"C:\\\\tmp\\\\a.pdf\"\r\nContent-Type: application/pdf", "one\r\n--c"),
            ("name=\"file\"; filename=\"../b.png\"\r\nContent-Type: application/octet-stream", ""),
            ("name=\"other\"; filename=\"c.png\"", "three"),
            ("name=\"files[]\"", "four"),
        ]);
        for chunk in [1, 2, 3, 7, 64, 10_000] {
            let read = all(FORM, &body, chunk).await.unwrap();
            let names: Vec<_> = read.iter().map(|(name, ..)| name.as_deref()).collect();
            assert_eq!(names, [Some("a.pdf"), Some("b.png"), Some("c.png"), None], "{chunk}");
            let bytes: Vec<_> = read.iter().map(|(.., bytes)| bytes.as_slice()).collect();
            assert_eq!(bytes, [&b"one\r\n--c"[..], b"", b"three", b"four"], "{chunk}");
            assert_eq!((read[0].1.as_deref(), &read[1].1), (Some("application/pdf"), &None));
        }
    }

    #[tokio::test]
    async fn invalid_forms() {
        for (content_type, body, code) in [
            ("multipart/form-data", &b"--b--"[..], "multipart_invalid"),
            ("multipart/mixed; boundary=b", b"--b--", "multipart_invalid"),
            (FORM, b"", "multipart_invalid"),
            (FORM, b"no boundary at all", "multipart_invalid"),
            (FORM, b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nhalf", "multipart_invalid"),
            (FORM, b"--b\r\n\xff\xfe: x\r\n\r\nhalf\r\n--b--", "multipart_invalid"),
            (FORM, &form(&[("name=\"pages\"", "1")]), "multipart_invalid"),
            (FORM, &form(&[("name=\"file\"", &"x".repeat(1001))]), "body_too_large"),
        ] {
            let read = all(content_type, body, 16).await;
            assert_eq!(read, Err(code), "{content_type}: {}", String::from_utf8_lossy(body));
        }
        assert_eq!(all(FORM, b"--b--\r\n", 3).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn unread_bytes_are_skipped() {
        let body = form(&[
            ("name=\"file\"; filename=\"a\"", &"x".repeat(5000)),
            ("name=\"file\"; filename=\"b\"", "two"),
        ]);
        let mut upload = upload(FORM, body, 100).unwrap();
        upload.next().await.unwrap();
        assert_eq!(upload.read(&mut Unlimited(0), 1000).await.unwrap_err().code, "body_too_large");
        assert_eq!(upload.next().await.unwrap().unwrap().name.as_deref(), Some("b"));
        assert_eq!(upload.read(&mut Unlimited(0), 1000).await.unwrap(), b"two");
        assert_eq!(upload.next().await.unwrap(), None);
    }
}
