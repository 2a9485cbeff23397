//! SHA-256 of files, without reading them into memory as a whole.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;

use sha2::Digest;

/// Bytes hashed at a time.
const PIECE_BYTES: usize = 256 << 10;

/// A SHA-256 digest, as 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sha256(String);

impl Sha256 {
    /// Parses the digits; `None` where they are not 64 lower-case hexadecimal ones.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (text.len() == 64 && digits).then(|| Self(text.to_owned()))
    }

    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        of_bytes(bytes)
    }

    /// Returns the digest of a file, read in pieces.
    pub fn of_file(path: &Path) -> std::io::Result<Self> {
        of_file(path)
    }

    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn finish(hasher: sha2::Sha256) -> Self {
        Self(base16ct::lower::encode_string(&hasher.finalize()))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn of_bytes(bytes: &[u8]) -> Sha256 {
    let mut hasher = sha2::Sha256::new();
    hasher.update(bytes);
    Sha256::finish(hasher)
}

pub(super) fn of_file(path: &Path) -> std::io::Result<Sha256> {
    while_copying(&mut std::fs::File::open(path)?, &mut std::io::sink())
}

/// Copies in pieces, and returns the digest of the copied bytes.
pub(super) fn while_copying(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<Sha256> {
    let mut hasher = sha2::Sha256::new();
    let mut piece = vec![0u8; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece)?;
        match piece.get(..read) {
            Some([]) | None => return Ok(Sha256::finish(hasher)),
            Some(bytes) => {
                hasher.update(bytes);
                to.write_all(bytes)?;
            }
        }
    }
}
