//! Bodies of answers that are written piece by piece, each with the memory that is reserved for it.
//!
//! A piece is written when the connection has taken the one before, on a thread where that may take its time. Its memory
//! counts for its tenant until the connection has taken it.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures::Stream;
use lector_platform::Reservation;

use crate::format::pieces::Piece;

/// Bytes that count as held until the connection has taken them.
struct Held {
    bytes: Vec<u8>,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns `text` as bytes that carry their reservation.
pub(super) fn held(text: String, reservation: Reservation) -> Bytes {
    Bytes::from_owner(Held { bytes: text.into_bytes(), _reservation: reservation })
}

/// Returns a body that is `pieces`, one after the other; of no declared length.
pub(super) fn body(pieces: impl Iterator<Item = Piece> + Send + 'static) -> Body {
    Body::from_stream(stream(pieces))
}

fn stream(
    pieces: impl Iterator<Item = Piece> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures::stream::try_unfold(pieces, async |pieces| {
        // A page of 50,000 words takes some tens of milliseconds to write; other connections shall not wait for it.
        let written = tokio::task::spawn_blocking(move || {
            let mut pieces = pieces;
            // An empty chunk would say nothing.
            let piece = pieces.find(|piece| !piece.bytes.is_empty());
            (piece, pieces)
        });
        let (piece, pieces) = written.await.map_err(io::Error::other)?;
        Ok(piece.map(|piece| (held(piece.bytes, piece.reservation), pieces)))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn pieces_come_in_order_and_empty_ones_do_not() {
        let piece = |text: &str| Piece { bytes: text.to_owned(), reservation: Reservation::default() };
        let body = body(["a", "", "bc", ""].map(piece).into_iter());
        assert_eq!(axum::body::to_bytes(body, 100).await.unwrap(), "abc");
    }
}
