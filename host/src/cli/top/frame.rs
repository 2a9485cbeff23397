//! A picture of text: lines of styled pieces, written plain or with the control sequences of a terminal (ECMA-48).

use std::fmt::Write as _;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Bold,
    Good,
    Alarm,
    Selected,
}

impl Style {
    /// Returns the parameters of the sequence that selects it.
    fn sequence(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Bold => "1",
            Self::Good => "32",
            Self::Alarm => "1;31",
            Self::Selected => "1;36",
        }
    }
}

/// Lines of pieces.
#[derive(Debug, Default)]
pub(super) struct Frame(Vec<Vec<(Style, String)>>);

impl Frame {
    /// Adds a line.
    pub(super) fn line(&mut self, pieces: impl IntoIterator<Item = (Style, String)>) {
        self.0.push(pieces.into_iter().map(|(style, text)| (style, printable(&text))).collect());
    }

    /// Adds a plain line.
    pub(super) fn text(&mut self, text: impl Into<String>) {
        self.line([(Style::Plain, text.into())]);
    }

    /// Returns the number of lines.
    pub(super) fn height(&self) -> usize {
        self.0.len()
    }

    /// Returns the lines as text.
    pub(super) fn plain(&self) -> String {
        let mut all = String::new();
        for line in &self.0 {
            let text: String = line.iter().map(|(_, text)| text.as_str()).collect();
            all.push_str(text.trim_end());
            all.push('\n');
        }
        all
    }

    /// Returns the bytes that show the frame in the upper left of a terminal of this size, cut where it ends, and clear the
    /// rest.
    pub(super) fn drawn(&self, width: usize, height: usize) -> String {
        // To the first column of the first line. Lines are cleared as they are written, so that nothing flickers.
        let mut out = String::from("\x1b[H");
        for (number, line) in self.0.iter().take(height).enumerate() {
            if number > 0 {
                out.push_str("\r\n");
            }
            let mut left = width;
            for (style, text) in line {
                let cut: String = text.chars().take(left).collect();
                left -= cut.chars().count();
                // Writing to a string does not fail.
                let _ = write!(out, "\x1b[{}m{cut}\x1b[0m", style.sequence());
            }
            out.push_str("\x1b[K");
        }
        out.push_str("\x1b[J");
        out
    }
}

/// Replaces characters that a terminal would act on: the text is partly from other machines.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_at_the_edges_of_the_terminal() {
        let mut frame = Frame::default();
        frame.line([(Style::Bold, "lector".to_owned()), (Style::Plain, " at work ".to_owned())]);
        frame.text("second");
        frame.text("third");
        assert_eq!(frame.plain(), "lector at work\nsecond\nthird\n");
        let expected =
            "\x1b[H\x1b[1mlector\x1b[0m\x1b[0m at\x1b[0m\x1b[K\r\n\x1b[0msecond\x1b[0m\x1b[K\x1b[J";
        assert_eq!(frame.drawn(9, 2), expected);
        assert_eq!(frame.drawn(0, 0), "\x1b[H\x1b[J");
    }

    #[test]
    fn no_text_controls_the_terminal() {
        let mut frame = Frame::default();
        frame.text("a\x1b[2Jb\r\nc\u{9b}d");
        assert_eq!(frame.plain(), "a?[2Jb??c?d\n");
    }
}
