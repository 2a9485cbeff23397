//! The pages of a document, passed to `assemble` one at a time.

use crate::{Error, Transcript, host};

/// The transcripts of one document, in page order, without the pages that failed.
pub struct Pages(pub(crate) host::Transcripts);

impl Pages {
    /// Makes a sequence from the guest's own transcripts, for `inner::assemble` (feature `wrapper`).
    ///
    /// # Errors
    ///
    /// `Failed` if a transcript is malformed.
    pub fn from_list(pages: Vec<Transcript>) -> Result<Self, Error> {
        host::transcripts_from_list(pages).map(Self)
    }

    /// Takes the next transcript; `None` after the last one.
    ///
    /// # Errors
    ///
    /// The error of the host.
    #[allow(clippy::should_implement_trait, reason = "an asynchronous iterator, not `Iterator`")]
    pub async fn next(&mut self) -> Result<Option<Transcript>, Error> {
        self.0.next().await
    }

    /// Takes all remaining transcripts. A document of many pages then needs memory for all of them.
    ///
    /// # Errors
    ///
    /// The error of the host.
    pub async fn collect(mut self) -> Result<Vec<Transcript>, Error> {
        let mut pages = Vec::new();
        while let Some(page) = self.next().await? {
            pages.push(page);
        }
        Ok(pages)
    }
}
