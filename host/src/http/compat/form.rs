//! Forms of dialects: options as fields, and one file, in any order and under any name.

use axum::http::{HeaderMap, header};
use lector_core::{Fault, Kind};
use lector_serving::ReceivedBytes;
use multer::{Constraints, Multipart};

use super::json_body::MEMORY_PER_BYTE;
use crate::http::body::LimitedBody;
use crate::http::upload::{clean_name, from_multer};

/// Maximum bytes read to find the end of the head of a part.
const HEAD_BYTES_MAX: u64 = 2 << 20;
/// Maximum number of fields, and their maximum size in all, with their names.
const FIELDS_MAX: usize = 1000;
const FIELDS_BYTES_MAX: usize = 256 << 10;
/// Memory of a field besides its name and its value.
const FIELD_MEMORY_BYTES: u64 = 128;

/// A received form.
#[derive(Debug, Default)]
pub(super) struct Form {
    fields: Vec<(String, String)>,
    /// The file with its name.
    pub(super) file: Option<(String, Vec<u8>)>,
}

impl Form {
    /// Receives a form with at most one file of `bytes_max` bytes.
    pub(super) async fn receive(
        headers: &HeaderMap,
        body: LimitedBody,
        received: &mut ReceivedBytes,
        bytes_max: u64,
    ) -> Result<Self, Fault> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary = multer::parse_boundary(content_type.unwrap_or_default()).map_err(|error| {
            let message = "The body is not a form: send `multipart/form-data` with the document as a file.";
            Fault::new(Kind::Invalid, "multipart_invalid", message).with_detail(error)
        })?;
        let quota = body.quota();
        let mut parts = Multipart::with_constraints(body, boundary, Constraints::new());
        let (mut form, mut fields_bytes, mut file_bytes) = (Self::default(), 0, 0);
        loop {
            quota.give(HEAD_BYTES_MAX);
            let Some(mut part) = parts.next_field().await.map_err(from_multer)? else { return Ok(form) };
            quota.give(u64::MAX);
            let name = part.name().unwrap_or_default();
            let is_file = part.file_name().is_some() || matches!(name, "file" | "files" | "files[]");
            if is_file && form.file.is_some() {
                let message = "The form has more than one file: send each document in a request of its own.";
                return Err(Fault::new(Kind::Invalid, "too_many_files", message));
            }
            // The name of a file's part is not kept.
            let name = if is_file { String::new() } else { name.to_owned() };
            fields_bytes += name.len();
            if !is_file && (form.fields.len() >= FIELDS_MAX || fields_bytes > FIELDS_BYTES_MAX) {
                return Err(fields_too_large());
            }
            let file_name = part.file_name().map(clean_name);
            let mut bytes = Vec::new();
            while let Some(chunk) = part.chunk().await.map_err(from_multer)? {
                let length = bytes.len() + chunk.len();
                if is_file && length as u64 > bytes_max {
                    return Err(too_large(bytes_max));
                }
                if !is_file && fields_bytes + length > FIELDS_BYTES_MAX {
                    return Err(fields_too_large());
                }
                if is_file {
                    file_bytes = length as u64;
                    received
                        .arrived(fields_memory(&form.fields, fields_bytes).saturating_add(file_bytes))
                        .await?;
                }
                bytes.extend_from_slice(&chunk);
            }
            if is_file {
                form.file = Some((file_name.unwrap_or_default(), bytes));
            } else {
                fields_bytes += bytes.len();
                form.fields.push((name, String::from_utf8_lossy(&bytes).into_owned()));
                received
                    .arrived(fields_memory(&form.fields, fields_bytes).saturating_add(file_bytes))
                    .await?;
            }
        }
    }

    /// Returns the first value of a field that is not empty.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value.trim());
        values.find(|value| !value.is_empty())
    }

    /// Returns the values of a repeated field.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.trim())
    }

    /// Takes the file.
    pub(super) fn take_file(&mut self) -> Result<(String, Vec<u8>), Fault> {
        self.file.take().ok_or_else(|| {
            let message = "The form contains no file: send the document as a part with a file name.";
            Fault::new(Kind::Invalid, "file_missing", message)
        })
    }
}

/// Returns the memory of the fields; a value may be a list in JSON.
fn fields_memory(fields: &[(String, String)], bytes: usize) -> u64 {
    let own = FIELD_MEMORY_BYTES.saturating_mul(fields.len() as u64);
    own.saturating_add(MEMORY_PER_BYTE.saturating_mul(bytes as u64))
}

fn fields_too_large() -> Fault {
    let message = format!(
        "The form has more than {FIELDS_MAX} fields, or they have more than {FIELDS_BYTES_MAX} bytes with their names: \
         send the options that you need."
    );
    Fault::new(Kind::TooLarge, "body_too_large", message)
}

/// Returns the fault of a document that is too large.
pub(super) fn too_large(bytes_max: u64) -> Fault {
    let message = format!("The document exceeds {bytes_max} bytes: send a smaller document, or split it.");
    Fault::new(Kind::TooLarge, "body_too_large", message)
}
