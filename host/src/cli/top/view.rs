//! The terminal of the view: its own screen without echo while this exists, and as before afterwards.

use std::io::{self, Write};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::frame::Frame;

/// Another screen, whose content goes with it, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Size of a terminal that does not tell its own.
const SIZE: (usize, usize) = (80, 24);

/// The terminal on standard output and input.
pub(super) struct View {
    before: Termios,
}

impl View {
    /// Takes the terminal over.
    pub(super) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        let view = Self { before };
        write(ENTER)?;
        Ok(view)
    }

    /// Shows what `frame` returns for the size of the terminal, which is asked each time.
    pub(super) fn show(&self, frame: impl FnOnce(usize, usize) -> Frame) -> io::Result<()> {
        let (width, height) = size();
        write(&frame(width, height).drawn(width, height))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // Nothing is left to do where the terminal has gone.
        let _ = write(LEAVE);
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// Returns columns and lines.
fn size() -> (usize, usize) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => SIZE,
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
