//! What both kinds of recognizer do around their runs: end in time, and join the pieces of a line. Called by
//! `recognition.rs` and `transcriber.rs`.

use std::cell::RefCell;

use lector_sdk::{Error, ErrorKind};
use lector_vision::crop::Piece;
use lector_vision::ctc::{self, Part, Reading};

/// Runs until one is refused because the time of the page is nearly over; no further run is begun.
#[derive(Default)]
pub(crate) struct RunsInTime(RefCell<Option<Error>>);

impl RunsInTime {
    /// Returns the refusal, if there was one.
    pub(crate) fn late(&self) -> Option<Error> {
        self.0.borrow().clone()
    }

    /// Awaits a run; `None` where the time of the page does not suffice.
    pub(crate) async fn run<T>(
        &self,
        run: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, Error> {
        if self.0.borrow().is_some() {
            return Ok(None);
        }
        match run.await {
            Err(error) if error.kind == ErrorKind::Deadline => {
                self.0.replace(Some(error));
                Ok(None)
            }
            outcome => outcome.map(Some),
        }
    }
}

/// Joins the readings of pieces, in the order of `pieces`, to those of `lines` lines. A line without one of its pieces would
/// be cut without a word: it is `None`.
pub(crate) fn joined(
    lines: usize,
    pieces: &[Piece],
    readings: impl IntoIterator<Item = Option<Reading>>,
) -> Vec<Option<Reading>> {
    let mut parts: Vec<Option<Vec<Part>>> = vec![Some(Vec::new()); lines];
    for (piece, reading) in pieces.iter().zip(readings) {
        let Some(place) = parts.get_mut(piece.line) else { continue };
        match (reading, place.as_mut()) {
            (Some(reading), Some(line)) => line.push(Part { reading, from: piece.from, to: piece.to }),
            _ => *place = None,
        }
    }
    parts.iter().map(|line| line.as_ref().map(|line| ctc::join(line))).collect()
}
