//! Response bodies that are written piece by piece, each piece with its memory reservation.
//!
//! A piece is serialized on a blocking thread when the connection has accepted the previous one. Its memory counts
//! against its tenant until the connection has accepted it.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures::Stream;
use lector_control::Reservation;

use crate::format::pieces::Piece;

/// Bytes with a reservation, which ends when the connection has accepted them.
struct Held {
    bytes: Vec<u8>,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns `text` as bytes that hold their reservation.
pub(super) fn held(text: String, reservation: Reservation) -> Bytes {
    Bytes::from_owner(Held { bytes: text.into_bytes(), _reservation: reservation })
}

/// A text with the reservations of its parts, which end when the connection has accepted it.
struct Whole {
    text: String,
    _reservations: Vec<Reservation>,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Returns a body of all `pieces` at once, with a declared length.
pub(super) fn whole(pieces: impl Iterator<Item = Piece>) -> Body {
    let (mut text, mut reservations) = (String::new(), Vec::new());
    for piece in pieces {
        text.push_str(&piece.bytes);
        reservations.push(piece.reservation);
    }
    Body::from(Bytes::from_owner(Whole { text, _reservations: reservations }))
}

/// Returns a body of `pieces` in their order, without a declared length.
pub(super) fn body(pieces: impl Iterator<Item = Piece> + Send + 'static) -> Body {
    Body::from_stream(stream(pieces))
}

fn stream(
    pieces: impl Iterator<Item = Piece> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures::stream::try_unfold(pieces, async |pieces| {
        // Serializing a page of 50,000 words takes tens of milliseconds and must not block other connections.
        let written = tokio::task::spawn_blocking(move || {
            let mut pieces = pieces;
            // Empty chunks are skipped.
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
    async fn pieces_are_in_order_without_empty_ones() {
        let piece = |text: &str| Piece { bytes: text.to_owned(), reservation: Reservation::default() };
        let body = body(["a", "", "bc", ""].map(piece).into_iter());
        assert_eq!(axum::body::to_bytes(body, 100).await.unwrap(), "abc");
    }
}
