//! Errors of documents, and their faults.
//!
//! A worker answers with a [`Refusal`] (plain data, because the host does not trust messages of a worker); only this
//! file converts one to a `Fault` with its stable code. Used by `open`, `pool` and `worker`.

use lector_core::{Blame, Fault, Kind};
use serde::{Deserialize, Serialize};

/// Reason why a document or page cannot be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    Empty,
    UnsupportedType,
    ContentTypeMismatch {
        declared: String,
        found: String,
    },
    PdfInvalid {
        detail: String,
    },
    PdfPasswordRequired,
    PdfPasswordWrong,
    PdfEncryption {
        detail: String,
    },
    PdfNoPages,
    ImageInvalid {
        detail: String,
    },
    /// The format is supported, this variant of it is not.
    ImageUnsupported {
        detail: String,
    },
    ImageTooLarge {
        width: u32,
        height: u32,
        pixels_max: u64,
    },
    ImageTooLong {
        width: u32,
        height: u32,
        side_max: u32,
    },
    TooManyPages {
        pages: u32,
        pages_max: u32,
    },
    PageOutOfRange {
        index: u32,
        pages: u32,
    },
    PageInvalid {
        index: u32,
        detail: String,
    },
    /// Too many pixels, or a side that is too long.
    PageTooManyPixels {
        width: u64,
        height: u64,
        pixels_max: u64,
        dpi_max: f32,
    },
    PageTooMuchText {
        characters: u32,
        characters_max: u32,
    },
    PageTooManyWords {
        words_max: u32,
    },
    DpiInvalid {
        dpi: f32,
    },
    /// The document permits no searchable PDF.
    NotComposable {
        reason: String,
    },
    MemoryExceeded {
        detail: String,
    },
    /// The worker cannot do its work; a defect or a broken installation.
    Internal {
        detail: String,
    },
}

/// Limits the length of a detail and removes control characters: it comes from a process that reads hostile bytes.
fn clean(detail: &str) -> String {
    detail.chars().filter(|c| !c.is_control()).take(500).collect()
}

impl Refusal {
    /// Returns the stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Refusal::Empty => "document_empty",
            Refusal::UnsupportedType => "document_unsupported_type",
            Refusal::ContentTypeMismatch { .. } => "content_type_mismatch",
            Refusal::PdfInvalid { .. } => "pdf_invalid",
            Refusal::PdfPasswordRequired => "pdf_password_required",
            Refusal::PdfPasswordWrong => "pdf_password_wrong",
            Refusal::PdfEncryption { .. } => "pdf_encryption_unsupported",
            Refusal::PdfNoPages => "pdf_no_pages",
            Refusal::ImageInvalid { .. } => "image_invalid",
            Refusal::ImageUnsupported { .. } => "image_unsupported",
            Refusal::ImageTooLarge { .. } | Refusal::ImageTooLong { .. } => "image_too_large",
            Refusal::TooManyPages { .. } => "document_too_many_pages",
            Refusal::PageOutOfRange { .. } => "page_out_of_range",
            Refusal::PageInvalid { .. } => "page_invalid",
            Refusal::PageTooManyPixels { .. } => "page_too_many_pixels",
            Refusal::PageTooMuchText { .. } | Refusal::PageTooManyWords { .. } => "page_too_much_text",
            Refusal::DpiInvalid { .. } => "dpi_invalid",
            Refusal::NotComposable { .. } => "document_not_composable",
            Refusal::MemoryExceeded { .. } => "document_memory_exceeded",
            Refusal::Internal { .. } => "document_worker_failed",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Refusal::ImageTooLarge { .. }
            | Refusal::ImageTooLong { .. }
            | Refusal::TooManyPages { .. }
            | Refusal::PageTooManyPixels { .. }
            | Refusal::PageTooMuchText { .. }
            | Refusal::PageTooManyWords { .. }
            | Refusal::MemoryExceeded { .. } => Kind::TooLarge,
            Refusal::Internal { .. } => Kind::Bug,
            _ => Kind::Invalid,
        }
    }

    fn message(&self) -> String {
        match self {
            Refusal::Empty => "The document is empty: it has no bytes. Send the bytes of a file.".into(),
            Refusal::UnsupportedType => {
                "The bytes are not a document of a supported type; send a PDF, PNG, JPEG, TIFF, WebP, BMP or GIF."
                    .into()
            }
            Refusal::ContentTypeMismatch { declared, found } => format!(
                "The document was declared as {}, but its bytes are {}; send the matching Content-Type, or none.",
                clean(declared),
                clean(found)
            ),
            Refusal::PdfInvalid { .. } => {
                "The PDF is damaged or cut off and cannot be opened; check that it was sent completely."
                    .into()
            }
            Refusal::PdfPasswordRequired => {
                "The PDF is encrypted; send its password with the request.".into()
            }
            Refusal::PdfPasswordWrong => "The password does not open this PDF; check it.".into(),
            Refusal::PdfEncryption { .. } => {
                "The PDF is encrypted in a way that is not supported; send it decrypted.".into()
            }
            Refusal::PdfNoPages => "The PDF has no pages.".into(),
            Refusal::ImageInvalid { .. } => {
                "The picture is damaged or cut off and cannot be decoded; check that it was sent completely."
                    .into()
            }
            Refusal::ImageUnsupported { .. } => {
                "The picture uses a variant of its format that is not supported; convert it to PNG.".into()
            }
            Refusal::ImageTooLarge { width, height, pixels_max } => format!(
                "The picture has {width} x {height} pixels; at most {pixels_max} pixels are accepted. Scale it down."
            ),
            Refusal::ImageTooLong { width, height, side_max } => format!(
                "The picture has {width} x {height} pixels; a side may have at most {side_max}. Cut it into parts."
            ),
            Refusal::TooManyPages { pages, pages_max } => {
                format!("The document has {pages} pages; at most {pages_max} are accepted. Split it.")
            }
            Refusal::PageOutOfRange { index, pages } => {
                format!("Page {} does not exist; the last page is {pages}.", u64::from(*index) + 1)
            }
            Refusal::PageInvalid { index, .. } => {
                format!("Page {} is damaged and cannot be read.", u64::from(*index) + 1)
            }
            Refusal::PageTooManyPixels { width, height, pixels_max, dpi_max } => format!(
                "The page would have {width} x {height} pixels; at most {pixels_max} are allowed. Request {dpi_max} \
                 dpi or less."
            ),
            Refusal::PageTooMuchText { characters, characters_max } => {
                format!(
                    "The page has {characters} characters of embedded text; at most {characters_max} are read. \
                     Request text_layer=never to read the page from its pixels."
                )
            }
            Refusal::PageTooManyWords { words_max } => format!(
                "The page has more than {words_max} words of embedded text, which is the limit. \
                 Request text_layer=never to read the page from its pixels."
            ),
            Refusal::DpiInvalid { dpi } => {
                format!("{dpi} dpi is not a valid resolution; request a number above 0.")
            }
            Refusal::NotComposable { reason } => format!(
                "The PDF cannot get a text layer: {}. Request another format.",
                clean(reason)
            ),
            Refusal::MemoryExceeded { .. } => {
                "Reading the document needs more memory than the limit allows; it may be damaged or hostile."
                    .into()
            }
            Refusal::Internal { .. } => "The document worker failed because of an internal error.".into(),
        }
    }

    fn detail(&self) -> Option<&str> {
        match self {
            Refusal::PdfInvalid { detail }
            | Refusal::PdfEncryption { detail }
            | Refusal::ImageInvalid { detail }
            | Refusal::ImageUnsupported { detail }
            | Refusal::PageInvalid { detail, .. }
            | Refusal::MemoryExceeded { detail }
            | Refusal::Internal { detail } => Some(detail),
            _ => None,
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let fault = Fault::new(refusal.kind(), refusal.code(), refusal.message());
        match refusal.detail() {
            Some(detail) => fault.with_detail(clean(detail)),
            None => fault,
        }
    }
}

/// Operation of a worker request; decides the code of a crash or a timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Open,
    Page,
    Text,
    Render,
    Compose,
}

impl Stage {
    fn verb(self) -> &'static str {
        match self {
            Stage::Open => "opening the document",
            Stage::Page => "reading the page",
            Stage::Text => "reading the text of the page",
            Stage::Render => "rendering the page",
            Stage::Compose => "composing the searchable PDF",
        }
    }

    /// Returns the fault of a request whose worker died.
    pub(crate) fn crashed(self, detail: impl std::fmt::Display) -> Fault {
        let code = match self {
            Stage::Open => "document_open_crashed",
            Stage::Page => "page_crashed",
            Stage::Text => "page_text_crashed",
            Stage::Render => "page_render_crashed",
            Stage::Compose => "document_compose_crashed",
        };
        let message =
            format!("The worker crashed while {}; the file may be damaged or hostile.", self.verb());
        Fault::new(Kind::Invalid, code, message).with_detail(detail)
    }

    /// Returns the fault of a request that exceeded its time limit.
    pub(crate) fn timed_out(self, limit: std::time::Duration) -> Fault {
        let code = match self {
            Stage::Open => "document_open_timeout",
            Stage::Page => "page_timeout",
            Stage::Text => "page_text_timeout",
            Stage::Render => "page_render_timeout",
            Stage::Compose => "document_compose_timeout",
        };
        let message = format!(
            "Time ran out while {} ({} s are allowed); the file may be damaged or hostile.",
            self.verb(),
            limit.as_secs_f32()
        );
        Fault::new(Kind::Deadline, code, message).blaming(Blame::Client)
    }

    /// Returns the fault of a request that exceeded its limit of computing time.
    pub(crate) fn cpu_exceeded(self, limit: std::time::Duration) -> Fault {
        let code = match self {
            Stage::Open => "document_open_cpu_exceeded",
            Stage::Page | Stage::Text | Stage::Render => "page_cpu_exceeded",
            Stage::Compose => "document_compose_cpu_exceeded",
        };
        let message = format!(
            "The computing time of {} exceeded the limit of {} s; the file may be damaged or hostile. Simplify it, or \
             send the pages as pictures.",
            self.verb(),
            limit.as_secs_f32()
        );
        Fault::new(Kind::Deadline, code, message).blaming(Blame::Client)
    }
}

/// Returns the fault of a document that has crashed too many workers; the rest of it is not read.
pub(crate) fn given_up(crashes: u32) -> Fault {
    let message = format!(
        "Reading this document made {crashes} workers crash or time out, and the rest of it is not read; the file \
         may be damaged or hostile."
    );
    Fault::new(Kind::Invalid, "document_abandoned", message)
}

/// Returns the fault of a full queue.
pub(crate) fn busy() -> Fault {
    Fault::new(Kind::Busy, "documents_busy", "The document workers are busy; try again in a moment.")
        .retry_after(std::time::Duration::from_secs(1))
}

/// Returns the fault of missing workers (the pool is stopping, or no worker starts).
pub(crate) fn unavailable(detail: impl std::fmt::Display) -> Fault {
    Fault::new(Kind::Unavailable, "documents_unavailable", "Documents cannot be read now; try again later.")
        .with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document that cannot be read is the client's: only a defect of the worker is a server error.
    #[test]
    fn a_document_is_to_blame_for_all_its_faults() {
        let detail = || "x".to_owned();
        let refusals = [
            Refusal::Empty,
            Refusal::UnsupportedType,
            Refusal::ContentTypeMismatch { declared: detail(), found: detail() },
            Refusal::PdfInvalid { detail: detail() },
            Refusal::PdfPasswordRequired,
            Refusal::PdfPasswordWrong,
            Refusal::PdfEncryption { detail: detail() },
            Refusal::PdfNoPages,
            Refusal::ImageInvalid { detail: detail() },
            Refusal::ImageUnsupported { detail: detail() },
            Refusal::ImageTooLarge { width: 1, height: 1, pixels_max: 0 },
            Refusal::ImageTooLong { width: 1, height: 100_000_000, side_max: 1 },
            Refusal::TooManyPages { pages: 2, pages_max: 1 },
            Refusal::PageOutOfRange { index: 1, pages: 1 },
            Refusal::PageInvalid { index: 0, detail: detail() },
            Refusal::PageTooManyPixels { width: 1, height: 1, pixels_max: 0, dpi_max: 0.0 },
            Refusal::PageTooMuchText { characters: 2, characters_max: 1 },
            Refusal::PageTooManyWords { words_max: 1 },
            Refusal::DpiInvalid { dpi: 0.0 },
            Refusal::NotComposable { reason: detail() },
            Refusal::MemoryExceeded { detail: detail() },
        ];
        let refused = refusals.into_iter().map(Fault::from);
        let stages = [Stage::Open, Stage::Page, Stage::Text, Stage::Render, Stage::Compose];
        let crashed = stages.into_iter().map(|stage| stage.crashed("signal 11"));
        for fault in refused.chain(crashed).chain([given_up(3)]) {
            assert_eq!(fault.blame, Blame::Client, "{fault}");
            assert!(matches!(fault.kind, Kind::Invalid | Kind::TooLarge), "{fault}");
        }
        let late = stages.map(|stage| stage.timed_out(std::time::Duration::from_secs(1)));
        // `http/problem.rs` gives these codes their status.
        let codes = late.each_ref().map(|fault| (fault.code, fault.blame));
        let expect = [
            "document_open_timeout",
            "page_timeout",
            "page_text_timeout",
            "page_render_timeout",
            "document_compose_timeout",
        ];
        assert_eq!(codes, expect.map(|code| (code, Blame::Client)));
        assert_eq!(Fault::from(Refusal::Internal { detail: detail() }).kind, Kind::Bug);
    }
}
