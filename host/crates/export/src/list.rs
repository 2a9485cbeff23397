//! The marker of a list item, as it is printed at the beginning of its text.

/// A marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// A bullet, or nothing.
    Bullet,
    /// A number with `.` or `)`.
    Number(u32),
}

/// Divides the text of a list item into its marker and the rest. A letter stays in the text, because neither HTML nor
/// Markdown keeps it otherwise.
pub(crate) fn split(text: &str) -> (Marker, &str) {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if (1..=9).contains(&digits)
        && let Some((number, rest)) = text.split_at_checked(digits)
        && let Some(rest) = rest.strip_prefix(['.', ')'])
        && rest.starts_with(' ')
        && let Ok(number) = number.parse()
    {
        return (Marker::Number(number), rest.trim_start());
    }
    let bullet = text.strip_prefix(['•', '◦', '▪', '■', '●', '○', '‣', '·', '–', '-', '*']);
    match bullet.filter(|rest| rest.starts_with(' ')) {
        Some(rest) => (Marker::Bullet, rest.trim_start()),
        None => (Marker::Bullet, text),
    }
}
