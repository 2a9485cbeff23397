//! Responses read line by line: the events of a batch, and the audit events of a server.

use anyhow::{Context, bail};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use reqwest::Response;

/// Longest line: a page with words takes some megabytes.
const LINE_BYTES_MAX: usize = 64 << 20;

/// The lines of a body that arrives in chunks.
pub(super) struct Lines<S> {
    chunks: S,
    waiting: Vec<u8>,
}

impl Lines<BoxStream<'static, anyhow::Result<bytes::Bytes>>> {
    /// Returns the lines of a response body.
    pub(super) fn of(answer: Response) -> Self {
        Self { chunks: answer.bytes_stream().map_err(anyhow::Error::from).boxed(), waiting: Vec::new() }
    }
}

impl<S, B> Lines<S>
where
    S: Stream<Item = anyhow::Result<B>> + Unpin,
    B: AsRef<[u8]>,
{
    /// Returns the next line without its line end. Cancel-safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.waiting.iter().skip(searched).position(|byte| *byte == b'\n') {
                let rest = self.waiting.split_off(searched + at + 1);
                let mut line = std::mem::replace(&mut self.waiting, rest);
                line.pop();
                return Ok(Some(line));
            }
            searched = self.waiting.len();
            if searched > LINE_BYTES_MAX {
                bail!("the server sent an event of more than {LINE_BYTES_MAX} bytes");
            }
            match self.chunks.next().await {
                Some(chunk) => {
                    self.waiting.extend_from_slice(chunk.context("receiving the response")?.as_ref())
                }
                None if self.waiting.is_empty() => return Ok(None),
                None => return Ok(Some(std::mem::take(&mut self.waiting))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn lines_from_chunks() {
        let chunks = ["a\nb", "", "c\n\nd", "e"].map(|chunk| anyhow::Ok(chunk.as_bytes()));
        let mut lines = Lines { chunks: futures::stream::iter(chunks), waiting: Vec::new() };
        let mut got = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            got.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(got, ["a", "bc", "", "de"]);
    }
}
