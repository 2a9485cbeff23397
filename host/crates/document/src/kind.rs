//! Detects the kind of a file by its magic number, and compares it with the declared type.
//!
//! The host reads no other bytes of a document. Called by `open`.

use serde::{Deserialize, Serialize};

use crate::faults::Refusal;

/// A kind of file that the workers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Kind {
    Pdf,
    Png,
    Jpeg,
    Tiff,
    Webp,
    Bmp,
    Gif,
}

/// Largest offset of a PDF header in bytes; pdfium and other readers accept leading junk.
const PDF_HEADER_WITHIN_BYTES: usize = 1024;

/// Sizes of the DIB header that follows a BMP file header, little-endian at offset 14.
const BMP_HEADER_SIZES: [u32; 8] = [12, 16, 40, 52, 56, 64, 108, 124];

impl Kind {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Kind::Pdf => "application/pdf",
            Kind::Png => "image/png",
            Kind::Jpeg => "image/jpeg",
            Kind::Tiff => "image/tiff",
            Kind::Webp => "image/webp",
            Kind::Bmp => "image/bmp",
            Kind::Gif => "image/gif",
        }
    }

    /// Returns the kind according to the magic number.
    fn sniff(bytes: &[u8]) -> Option<Kind> {
        let starts = |magic: &[u8]| bytes.starts_with(magic);
        if starts(b"\x89PNG\r\n\x1a\n") {
            Some(Kind::Png)
        } else if starts(b"\xff\xd8\xff") {
            Some(Kind::Jpeg)
        } else if starts(b"II*\0") || starts(b"MM\0*") || starts(b"II+\0") || starts(b"MM\0+") {
            Some(Kind::Tiff)
        } else if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(Kind::Webp)
        } else if starts(b"GIF87a") || starts(b"GIF89a") {
            Some(Kind::Gif)
        } else if starts(b"BM") && bmp_header(bytes) {
            Some(Kind::Bmp)
        } else {
            let head = bytes.get(..PDF_HEADER_WITHIN_BYTES).unwrap_or(bytes);
            head.windows(5).any(|window| window == b"%PDF-").then_some(Kind::Pdf)
        }
    }

    /// Returns the kind of `bytes`, or an error if the client's content type clearly contradicts it.
    ///
    /// Clearly means another family of media (a PDF against a picture, a video, an HTML page). A wrong picture type is
    /// common, harmless and accepted, and so is every unspecific type (`application/octet-stream`, a form's default,
    /// none).
    pub(crate) fn of(bytes: &[u8], content_type: Option<&str>) -> Result<Kind, Refusal> {
        if bytes.is_empty() {
            return Err(Refusal::Empty);
        }
        let declared = content_type.map(essence).unwrap_or_default();
        let family = Family::declared(&declared);
        let Some(kind) = Kind::sniff(bytes) else {
            return Err(match family {
                Some(Family::Pdf) => Refusal::PdfInvalid { detail: "no %PDF- header".into() },
                Some(Family::Picture) if readable_picture(&declared) => {
                    Refusal::ImageInvalid { detail: format!("not the bytes of {declared}") }
                }
                _ => Refusal::UnsupportedType,
            });
        };
        match (family, kind) {
            (None | Some(Family::Pdf), Kind::Pdf) => Ok(kind),
            (None | Some(Family::Picture), kind) if kind != Kind::Pdf => Ok(kind),
            _ => Err(Refusal::ContentTypeMismatch { declared, found: kind.content_type().into() }),
        }
    }
}

fn bmp_header(bytes: &[u8]) -> bool {
    let size = bytes.get(14..18).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    size.is_some_and(|size| BMP_HEADER_SIZES.contains(&size))
}

/// Returns type and subtype in lower case, without parameters; bounded, because messages contain it.
fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.chars().take(100).collect::<String>().to_ascii_lowercase()
}

fn readable_picture(essence: &str) -> bool {
    const NAMES: [&str; 12] =
        ["png", "x-png", "jpeg", "jpg", "pjpeg", "tiff", "tif", "webp", "bmp", "x-bmp", "x-ms-bmp", "gif"];
    essence.strip_prefix("image/").is_some_and(|name| NAMES.contains(&name))
}

/// Families of media; a declared family that differs from the real one is an error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Pdf,
    Picture,
    Other,
}

impl Family {
    fn declared(essence: &str) -> Option<Family> {
        let (top, sub) = essence.split_once('/')?;
        match (top, sub) {
            ("application", "pdf" | "x-pdf") => Some(Family::Pdf),
            ("image", _) => Some(Family::Picture),
            ("audio" | "video" | "font" | "model", _) => Some(Family::Other),
            ("text", "html" | "css" | "csv" | "xml") => Some(Family::Other),
            ("application", "json" | "xml" | "zip" | "gzip" | "wasm") => Some(Family::Other),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn check(bytes: &[u8], declared: Option<&str>, expect: Result<Kind, &str>) {
        let found = Kind::of(bytes, declared).map_err(|refusal| refusal.code());
        assert_eq!(found, expect, "{:?} as {declared:?}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn bytes_decide_and_contradictions_are_refused() {
        const PNG: &[u8] = b"\x89PNG\r\n\x1a\n....";
        check(b"", None, Err("document_empty"));
        check(b"%PDF-1.7", None, Ok(Kind::Pdf));
        check(b"\n\njunk %PDF-1.7", Some("application/octet-stream"), Ok(Kind::Pdf));
        check(b"%PDF-1.7", Some("Application/PDF; v=1"), Ok(Kind::Pdf));
        check(b"%PDF-1.7", Some("application/x-www-form-urlencoded"), Ok(Kind::Pdf));
        check(b"%PDF-1.7", Some("image/png"), Err("content_type_mismatch"));
        check(b"%PDF-1.7", Some("text/html"), Err("content_type_mismatch"));
        check(PNG, Some("image/png"), Ok(Kind::Png));
        check(PNG, Some("image/jpeg"), Ok(Kind::Png));
        check(PNG, Some("application/pdf"), Err("content_type_mismatch"));
        check(PNG, Some("video/mp4"), Err("content_type_mismatch"));
        check(b"hello", None, Err("document_unsupported_type"));
        check(b"hello", Some("text/plain"), Err("document_unsupported_type"));
        check(b"hello", Some("application/pdf"), Err("pdf_invalid"));
        check(b"hello", Some("image/jpeg"), Err("image_invalid"));
        check(b"hello", Some("image/jp2"), Err("document_unsupported_type"));
        check(b"II*\0", None, Ok(Kind::Tiff));
        check(b"RIFF....WEBPVP8 ", None, Ok(Kind::Webp));
        check(b"GIF89a", None, Ok(Kind::Gif));
        check(b"BM............\x28\0\0\0", None, Ok(Kind::Bmp));
        check(b"BMW is a make of cars", None, Err("document_unsupported_type"));
        check(b"\xff\xd8\xff\xe0", None, Ok(Kind::Jpeg));
    }
}
