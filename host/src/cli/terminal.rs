//! Standard output for results, standard error for everything else.

use std::fmt;
use std::io::{self, Write};

/// Error of a closed standard output (`lector ocr … | head`). It ends the program, and is not a failure.
#[derive(Debug)]
pub(super) struct Satisfied;

impl fmt::Display for Satisfied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl std::error::Error for Satisfied {}

/// Writes to standard output.
pub(super) fn print(text: &(impl AsRef<[u8]> + ?Sized)) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Satisfied.into()),
        Err(error) => Err(anyhow::Error::from(error).context("writing to standard output")),
    }
}

/// Writes one line to standard error, prefixed with the program's name.
pub(super) fn print_error(text: &str) {
    // If standard error is closed, the message cannot be shown.
    let _ = writeln!(io::stderr().lock(), "lector: {text}");
}
