//! The keys of a terminal: bytes that it sends, as commands of the view.

/// A command of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Next,
    Previous,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
}

/// Returns the keys in bytes that were read at once; a terminal sends the sequence of a key in one piece. Bytes that mean
/// nothing here are skipped.
pub(super) fn keys(bytes: &[u8]) -> Vec<Key> {
    let (mut keys, mut rest) = (Vec::new(), bytes);
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let key = match first {
            b'q' | b'Q' | 0x03 => Some(Key::Quit),
            b'\t' => Some(Key::Next),
            0x1b => match after.split_first() {
                // The key Escape alone.
                None => Some(Key::Quit),
                // In the mode of applications, terminals send SS3 (`O`) in place of CSI (`[`).
                Some((b'[' | b'O', sequence)) => {
                    let length = sequence.iter().take_while(|byte| !(0x40..=0x7e).contains(*byte)).count();
                    let (parameters, last) = sequence.split_at(length);
                    rest = last.get(1..).unwrap_or_default();
                    of_sequence(parameters, last.first().copied())
                }
                // Another key with Alt.
                Some((_, after)) => {
                    rest = after;
                    None
                }
            },
            _ => None,
        };
        keys.extend(key);
    }
    keys
}

fn of_sequence(parameters: &[u8], last: Option<u8>) -> Option<Key> {
    match (parameters, last?) {
        (_, b'A') => Some(Key::Up),
        (_, b'B') => Some(Key::Down),
        (_, b'C') => Some(Key::Next),
        (_, b'D' | b'Z') => Some(Key::Previous),
        (_, b'H') | (b"1" | b"7", b'~') => Some(Key::Home),
        (b"5", b'~') => Some(Key::PageUp),
        (b"6", b'~') => Some(Key::PageDown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_by_their_sequences() {
        for (bytes, expected) in [
            (&b"q"[..], vec![Key::Quit]),
            (b"\x03", vec![Key::Quit]),
            (b"\x1b", vec![Key::Quit]),
            (b"\t", vec![Key::Next]),
            (b"\x1b[A\x1b[B", vec![Key::Up, Key::Down]),
            (b"\x1bOA\x1bOB", vec![Key::Up, Key::Down]),
            (b"\x1b[C\x1b[D\x1b[Z", vec![Key::Next, Key::Previous, Key::Previous]),
            (b"\x1b[5~\x1b[6~\x1b[H\x1b[1~", vec![Key::PageUp, Key::PageDown, Key::Home, Key::Home]),
            // Other keys, one with Alt, a position of the mouse, an unfinished sequence, bytes that are no text.
            (b"xyz\x1bq\x1b[3~\x1b[<0;1;2M\x1b[12", vec![]),
            (b"\xff\x00q", vec![Key::Quit]),
        ] {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
    }
}
