//! Response bodies that are written piece by piece, each piece with its memory reservation.
//!
//! A piece is serialized on a blocking thread when the connection has accepted the previous one. Its memory counts
//! against its tenant until the connection has accepted it.

use std::io;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use lector_control::{Held, Reservation};
use lector_core::Transcript;
use lector_serving::SearchablePdf;

/// A piece of output with its memory reservation.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    pub(super) reservation: Reservation,
}

/// Counts the bytes as memory of the page that they are made of.
impl From<lector_export::Piece<Held<Transcript>>> for Piece {
    fn from(piece: lector_export::Piece<Held<Transcript>>) -> Self {
        let bytes_len = piece.bytes.len() as u64;
        let reservation = piece.page.map(|page| page.reservation().another(bytes_len)).unwrap_or_default();
        Self { bytes: piece.bytes, reservation }
    }
}

/// Output without a reservation.
impl From<String> for Piece {
    fn from(text: String) -> Self {
        Self { bytes: text.into_bytes(), reservation: Reservation::default() }
    }
}

/// Bytes with a reservation, which ends when the connection has accepted them.
struct HeldBytes {
    bytes: Vec<u8>,
    _reservation: Reservation,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns `text` as bytes that hold their reservation.
pub(super) fn held(text: impl Into<Vec<u8>>, reservation: Reservation) -> Bytes {
    Bytes::from_owner(HeldBytes { bytes: text.into(), _reservation: reservation })
}

/// Bytes with the reservations of their parts, which end when the connection has accepted them.
struct Whole {
    bytes: Vec<u8>,
    _reservations: Vec<Reservation>,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns a body of all `pieces` at once, with a declared length.
///
/// # Errors
///
/// The first error of a piece.
pub(super) fn whole<E>(pieces: impl Iterator<Item = Result<Piece, E>>) -> Result<Body, E> {
    let (mut bytes, mut reservations) = (Vec::new(), Vec::new());
    for piece in pieces {
        let piece = piece?;
        bytes.extend_from_slice(&piece.bytes);
        reservations.push(piece.reservation);
    }
    Ok(Body::from(Bytes::from_owner(Whole { bytes, _reservations: reservations })))
}

/// Returns a body of `pieces` in their order, without a declared length. An error ends the response early.
pub(super) fn body(pieces: impl Iterator<Item = io::Result<Piece>> + Send + 'static) -> Body {
    Body::from_stream(stream(pieces))
}

/// Returns the response of a composed file, in chunks and with its length.
pub(super) fn file(file: SearchablePdf) -> Response {
    let length = [(header::CONTENT_LENGTH, file.bytes())];
    // The file itself holds the reservation.
    let piece = |bytes: Vec<u8>| Piece { bytes, reservation: Reservation::default() };
    (length, body(file.map(move |chunk: io::Result<Vec<u8>>| chunk.map(piece)))).into_response()
}

fn stream(
    pieces: impl Iterator<Item = io::Result<Piece>> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures::stream::try_unfold(pieces, async |pieces| {
        // Serializing a page of 50,000 words takes tens of milliseconds and must not block other connections.
        let written = tokio::task::spawn_blocking(move || {
            let mut pieces = pieces;
            // Empty chunks are skipped.
            let piece = pieces.find(|piece| !matches!(piece, Ok(piece) if piece.bytes.is_empty()));
            (piece.transpose(), pieces)
        });
        let (piece, pieces) = written.await.map_err(io::Error::other)?;
        Ok(piece?.map(|piece| (held(piece.bytes, piece.reservation), pieces)))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn pieces_are_in_order_without_empty_ones() {
        let piece = |text: &str| Ok(Piece::from(text.to_owned()));
        let body = body(["a", "", "bc", ""].map(piece).into_iter());
        assert_eq!(axum::body::to_bytes(body, 100).await.unwrap(), "abc");
    }
}
