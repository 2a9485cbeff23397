//! Tokenizes Rust source to names and punctuation; comments, literals and lifetimes are skipped.

/// A name (keywords included), or one other character that is not white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Name(String),
    Sign(char),
}

impl Token {
    /// Returns the name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Sign(_) => None,
        }
    }
}

/// Returns the tokens of a source text that compiles.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let begins = |start: &str| rest.starts_with(start);
        let skip = if begins("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if begins("/*") {
            block_comment(rest)
        } else if first == '"' {
            quoted(rest)
        } else if first == '\'' {
            character_or_lifetime(rest)
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            match literal(name, after) {
                Some(length) => end + length,
                None => {
                    if !first.is_ascii_digit() {
                        out.push(Token::Name(name.to_owned()));
                    }
                    end
                }
            }
        } else {
            if !first.is_whitespace() {
                out.push(Token::Sign(first));
            }
            first.len_utf8()
        };
        rest = rest.get(skip..).unwrap_or_default();
    }
    out
}

/// Returns the length of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let step = if rest.starts_with("/*") {
            depth += 1;
            2
        } else if rest.starts_with("*/") {
            depth -= 1;
            2
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Returns the length of a quoted text with its quotes.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns the length of `'x'`, `'\n'`, or of a lifetime with its quote.
fn character_or_lifetime(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) => {
            text.get(3..).and_then(|rest| rest.find('\'')).map_or(text.len(), |at| at + 4)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1 + text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len() - 1),
    }
}

/// Returns the length of the literal that begins with this prefix (`b`, `r`, `br#`, ...), without the letters of the
/// prefix.
fn literal(prefix: &str, after: &str) -> Option<usize> {
    match prefix {
        "b" | "c" if after.starts_with('"') => Some(quoted(after)),
        "b" if after.starts_with('\'') => Some(character_or_lifetime(after)),
        "r" | "br" | "cr" => {
            let hashes = after.len() - after.trim_start_matches('#').len();
            let body = after.get(hashes..)?.strip_prefix('"')?;
            let end = format!("\"{}", "#".repeat(hashes));
            Some(hashes + 1 + body.find(&end).map_or(body.len(), |at| at + end.len()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn names_and_signs_are_what_is_left() {
        let text =
            r##"a::b /* x /* y */ z */ "no \" one" r#"not "this""# b'\'' 'x' '\n' &'life c 12.5 // end"##;
        let found: Vec<String> = tokens(text)
            .into_iter()
            .map(|token| match token {
                Token::Name(name) => name,
                Token::Sign(sign) => sign.to_string(),
            })
            .collect();
        assert_eq!(found, ["a", ":", ":", "b", "&", "c", "."]);
    }
}
