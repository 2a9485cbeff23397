//! Standard output for results, standard error for everything else.

use std::fmt;
use std::io::{self, Write};

/// The reader of standard output has had enough (`lector ocr … | head`). It ends the program, and is no failure.
#[derive(Debug)]
pub(super) struct Satisfied;

impl fmt::Display for Satisfied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads standard output any more")
    }
}

impl std::error::Error for Satisfied {}

/// Writes to standard output.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Satisfied.into()),
        Err(error) => Err(anyhow::Error::from(error).context("writing to standard output")),
    }
}

/// One line on standard error, with the program's name before it.
pub(super) fn complain(text: &str) {
    // If standard error is gone there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "lector: {text}");
}
