//! The messages between an engine and its worker: a length in four bytes, and as many bytes. A worker first sends one
//! [`Ready`], then a [`Reading`] for each line that it gets.

use std::io::{self, Read, Write};

use lector_sandbox::SandboxReport;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Most bytes of a message: beyond the largest line that a run may have.
const BYTES_MAX: usize = 32 << 20;

/// The first message of a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ready {
    /// It reads lines now.
    Yes {
        /// State of its sandbox.
        sandbox: SandboxReport,
    },
    /// It cannot, and ends.
    No {
        /// The cause.
        why: String,
    },
}

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Word {
    pub(super) text: String,
    /// 0 to 1.
    pub(super) confidence: f32,
    /// Left, top, right and bottom edge, pixels of the line's image.
    pub(super) area: [i32; 4],
}

/// What a worker has read on a line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Reading {
    /// The text; more than one element where the picture shows several lines.
    pub(super) lines: Vec<String>,
    /// Its words in reading order.
    pub(super) words: Vec<Word>,
}

pub(super) fn send(to: &mut impl Write, parts: &[&[u8]]) -> io::Result<()> {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= BYTES_MAX).ok_or_else(too_long)?;
    to.write_all(&length.to_le_bytes())?;
    parts.iter().try_for_each(|part| to.write_all(part))?;
    to.flush()
}

/// Reads a message; `None`: the other end has gone.
pub(super) fn receive(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let bytes = u32::from_le_bytes(length) as usize;
    if bytes > BYTES_MAX {
        return Err(too_long());
    }
    let mut message = vec![0; bytes];
    from.read_exact(&mut message)?;
    Ok(Some(message))
}

pub(super) fn send_json(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    send(to, &[&serde_json::to_vec(message)?])
}

pub(super) fn receive_json<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    Ok(receive(from)?.map(|message| serde_json::from_slice(&message)).transpose()?)
}

/// Sends a line: its extents, and its gray pixels.
pub(super) fn send_line(to: &mut impl Write, width: u32, height: u32, gray: &[u8]) -> io::Result<()> {
    send(to, &[&width.to_le_bytes(), &height.to_le_bytes(), gray])
}

/// Splits a message of [`send_line`] into width, height and pixels.
pub(super) fn line(message: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (width, rest) = message.split_first_chunk::<4>()?;
    let (height, gray) = rest.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*width) as usize, u32::from_le_bytes(*height) as usize, gray))
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message is longer than a line can be")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn messages_arrive_as_sent_and_an_end_is_no_error() {
        let mut pipe = Vec::new();
        send_line(&mut pipe, 3, 2, &[1, 2, 3, 4, 5, 6]).unwrap();
        let word = Word { text: "слово".into(), confidence: 0.5, area: [1, 2, 3, 4] };
        let reading = Reading { lines: vec!["слово".into()], words: vec![word] };
        send_json(&mut pipe, &reading).unwrap();
        let mut from = pipe.as_slice();
        let message = receive(&mut from).unwrap().unwrap();
        assert_eq!(line(&message), Some((3, 2, &[1, 2, 3, 4, 5, 6][..])));
        assert_eq!(receive_json::<Reading>(&mut from).unwrap(), Some(reading));
        assert_eq!(receive(&mut from).unwrap(), None);
    }

    #[test]
    fn a_length_beyond_the_limit_and_a_cut_message_are_errors() {
        assert!(receive(&mut &u32::MAX.to_le_bytes()[..]).is_err());
        assert!(receive(&mut &[9, 0, 0, 0, 1][..]).is_err());
    }
}
