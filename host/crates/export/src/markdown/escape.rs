//! Escapes of running text, and the text that readers take from it.
//!
//! A reader of GitHub's Markdown finds URLs and e-mail addresses in the text as it stands, before it resolves escapes
//! ([autolinks](https://github.github.com/gfm/#autolinks-extension-)): a backslash in one is a part of the link. So they have
//! escapes only where a reader without this extension would lose a character otherwise; what follows a link up to the next
//! white space has entities, which the extension does not count to the link.

use std::ops::Range;

/// Characters that have a meaning anywhere in a line, with their entities; HTML has none for `~`.
const SPECIAL: [(char, &str); 11] = [
    ('\\', "&bsol;"),
    ('`', "&grave;"),
    ('*', "&ast;"),
    ('_', "&lowbar;"),
    ('[', "&lsqb;"),
    (']', "&rsqb;"),
    ('<', "&lt;"),
    ('>', "&gt;"),
    ('|', "&verbar;"),
    ('&', "&amp;"),
    ('~', ""),
];

/// Most bytes of the domain of a URL (RFC 1035).
const DOMAIN_BYTES_MAX: usize = 253;

/// Escapes a text on one line so that Markdown readers interpret it as plain text; in a heading, number signs as well,
/// because a reader drops them at its end.
pub(super) fn escape(text: &str, in_heading: bool) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    let mut links = links(text).into_iter().peekable();
    let (mut rest, mut before) = (text, None);
    while let Some(c) = rest.chars().next() {
        let at = text.len() - rest.len();
        while links.next_if(|link| link.end <= at).is_some() {}
        let place = links.peek().map_or(Place::Text, |link| link.place(at));
        let after = match c {
            '*' | '_' | '~' => rest.trim_start_matches(c),
            _ => rest.strip_prefix(c).unwrap_or_default(),
        };
        let next = after.chars().next();
        let is_plain = match (c, place) {
            ('*' | '_' | '~', _) => closes_nothing(c, place, before, next),
            ('#', Place::Text) => !in_heading,
            ('&', Place::Link | Place::After) => !begins_entity(after),
            // At the beginning of a line, where it has a meaning, there is no link.
            ('>', Place::Link) => true,
            ('[', Place::Link) => next != Some('^'),
            (']', Place::Link) => next != Some('('),
            _ => !SPECIAL.iter().any(|(special, _)| *special == c),
        };
        let entity = SPECIAL.iter().find(|(special, _)| *special == c).map_or("", |(_, entity)| entity);
        let has_entity = place == Place::After || (c == '&' && place == Place::Link);
        for _ in 0..rest.len().saturating_sub(after.len()) / c.len_utf8() {
            match (is_plain, has_entity && !entity.is_empty()) {
                (true, _) => out.push(c),
                (false, true) => out.push_str(entity),
                (false, false) => out.extend(['\\', c]),
            }
        }
        (rest, before) = (after, Some(c));
    }
    out
}

/// Returns the first character of Markdown as readers take it, and its length.
pub(super) fn unescaped(markdown: &str) -> Option<(char, usize)> {
    let mut chars = markdown.chars();
    let first = chars.next()?;
    match (first, chars.next()) {
        ('\\', Some(next)) if next.is_ascii_punctuation() => Some((next, 2)),
        ('&', _) => {
            let entity = |(c, entity): &(char, &str)| {
                (!entity.is_empty() && markdown.starts_with(entity)).then_some((*c, entity.len()))
            };
            SPECIAL.iter().find_map(entity).or(Some(('&', 1)))
        }
        _ => Some((first, first.len_utf8())),
    }
}

/// Returns whether a run of emphasis characters ends no emphasis: where none ends, none begins. Inside of a word, `_` does
/// neither. In a link, a run before a letter does not end one if no letter precedes it.
fn closes_nothing(c: char, place: Place, before: Option<char>, next: Option<char>) -> bool {
    // The circled letters are letters and symbols, and readers differ.
    let is_word =
        |c: char| c.is_alphanumeric() && !matches!(c, '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f189}');
    let opens = before.is_none_or(|c| c.is_whitespace() || c.is_ascii_punctuation());
    let is_inside = c == '_' && before.is_some_and(is_word);
    next.is_some_and(is_word) && (is_inside || (opens && place != Place::Text))
}

/// Returns whether the text after `&` makes it an entity.
fn begins_entity(text: &str) -> bool {
    let name = text.strip_prefix('#').unwrap_or(text);
    let rest = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    rest.len() < name.len() && rest.starts_with(';')
}

/// A URL or an e-mail address.
#[derive(Debug)]
struct Link {
    range: Range<usize>,
    /// The end of what follows without white space, for a URL.
    end: usize,
}

/// A place in relation to the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Text,
    Link,
    After,
}

impl Link {
    fn place(&self, at: usize) -> Place {
        match (self.range.contains(&at), (self.range.end..self.end).contains(&at)) {
            (true, _) => Place::Link,
            (_, true) => Place::After,
            _ => Place::Text,
        }
    }
}

/// Returns the links of a text, in order.
fn links(text: &str) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for (at, c) in text.char_indices() {
        let from = links.last().map_or(0, |link| link.end);
        let link = match c {
            'h' | 'H' | 'f' | 'F' | 'w' | 'W' if at >= from => url(text, at),
            '@' if at >= from => email(text, from, at),
            _ => None,
        };
        links.extend(link);
    }
    links
}

/// Returns the URL that begins at a place.
fn url(text: &str, at: usize) -> Option<Link> {
    let (head, rest) = text.split_at_checked(at)?;
    let begins = |prefix: &&str| rest.get(..prefix.len()).is_some_and(|own| own.eq_ignore_ascii_case(prefix));
    let prefix = ["http://", "https://", "ftp://", "www."].iter().find(|prefix| begins(prefix))?;
    let before = head.chars().next_back();
    let is_www = *prefix == "www.";
    let may_begin = match is_www {
        true => before.is_none_or(|c| c.is_whitespace() || "*_~(".contains(c)),
        false => before.is_none_or(|c| !c.is_ascii_alphabetic()),
    };
    // With `www.` it is a part of the domain.
    let domain = if is_www { rest } else { rest.get(prefix.len()..)? };
    if !may_begin || !is_domain(domain) {
        return None;
    }
    let run = rest.split(|c: char| c.is_whitespace() || c == '<').next()?;
    // GitHub counts the bracket after a URL in brackets to it; an entity in its place is not counted.
    let bracketed = match before {
        Some('<') => run.split('>').next()?,
        Some('[') => run.split(']').next()?,
        _ => run,
    };
    // `<` and all up to white space follow the link.
    let tail = rest.split(char::is_whitespace).next()?;
    Some(Link { range: at..at + trimmed(bracketed).len(), end: at + tail.len() })
}

/// Returns whether a text begins with a domain: not empty, and without an underscore in the last two parts.
fn is_domain(text: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let text = text.get(..text.floor_char_boundary(DOMAIN_BYTES_MAX)).unwrap_or(text);
    let domain = text.split(|c| !allowed(c)).next().unwrap_or_default();
    domain.chars().next().is_some_and(char::is_alphanumeric)
        && !domain.rsplit('.').take(2).any(|part| part.contains('_'))
}

/// Returns a URL without the punctuation after it, as GitHub's Markdown does.
fn trimmed(mut url: &str) -> &str {
    let open = url.matches('(').count();
    let mut close = url.matches(')').count();
    loop {
        if let Some(rest) = url.strip_suffix(['?', '!', '.', ',', ':', '*', '_', '~', '\'', '"']) {
            url = rest;
        } else if let Some(rest) = url.strip_suffix(')').filter(|_| close > open) {
            (url, close) = (rest, close - 1);
        } else if let Some(rest) = url.strip_suffix(';') {
            // An entity, or a semicolon.
            let name = rest.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            url = name.strip_suffix('&').filter(|_| name.len() < rest.len()).unwrap_or(rest);
        } else {
            return url;
        }
    }
}

/// Returns the e-mail address around `@`, which begins at `from` or later.
fn email(text: &str, from: usize, at: usize) -> Option<Link> {
    let is_local = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    let head = text.get(from..at)?;
    let local = head.len() - head.trim_end_matches(is_local).len();
    let is_domain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let domain = text.get(at + 1..)?.split(|c| !is_domain(c)).next()?.trim_end_matches('.');
    let is_email =
        local > 0 && domain.contains('.') && !domain.ends_with(['-', '_']) && !domain.starts_with('.');
    let end = at + 1 + domain.len();
    is_email.then_some(Link { range: at - local..end, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_as_by_github() {
        let check = |text: &str, expect: &[&str]| {
            let found: Vec<&str> = links(text).iter().map(|link| &text[link.range.clone()]).collect();
            assert_eq!(found, expect, "{text}");
        };
        check("see https://x.org/a_b?c=1&d=2.", &["https://x.org/a_b?c=1&d=2"]);
        check("(www.commonmark.org/a_(b)) www.x.org/a(b", &["www.commonmark.org/a_(b)", "www.x.org/a(b"]);
        check("www.google.com/search?q=(business))+ok", &["www.google.com/search?q=(business))+ok"]);
        check("www.google.com/search?q=commonmark&hl; x", &["www.google.com/search?q=commonmark"]);
        check("https://x.org/a&b;c;", &["https://x.org/a&b;c"]);
        check("www.commonmark.org/he<lp", &["www.commonmark.org/he"]);
        check(
            "HTTP://X.ORG FTP://foo.bar.baz **https://x.org**",
            &["HTTP://X.ORG", "FTP://foo.bar.baz", "https://x.org"],
        );
        check("[https://x.org/a], <https://x.org/b>.", &["https://x.org/a", "https://x.org/b"]);
        check("xhttps://x.org xwww.x.org https:// http://_ www.a_b.c http://a.b_c", &[]);
        check("a.b-c_d@a.b. a@b hello@mail+xyz.example a.b-c_d@a.b-", &["a.b-c_d@a.b"]);
        check("foo@bar.baz, +@b.c/", &["foo@bar.baz", "+@b.c"]);
    }

    #[test]
    fn links_are_left_as_they_are() {
        let check = |text: &str, expect: &str| assert_eq!(escape(text, false), expect, "{text}");
        for plain in [
            "https://x.org/a_b?c=1&d=2",
            "https://x.org/~user/_static/a__b?x[]=1&copy=2#_top",
            "www.x.org/a_b, first_last@my-host.org snake_case",
            "_x.y_z@x.org",
        ] {
            check(plain, plain);
        }
        check("<https://x.org/a_b>.", "\\<https://x.org/a_b&gt;.");
        check("[https://x.org/a_b]", "\\[https://x.org/a_b&rsqb;");
        check("**https://x.org/a_b**", "\\*\\*https://x.org/a_b&ast;&ast;");
        check("https://x.org/a<b>", "https://x.org/a&lt;b&gt;");
        check("https://x.org/?a&copy;=1 &copy;", "https://x.org/?a&amp;copy;=1 \\&copy;");
        check("https://x.org/*a* _b_ a*b", "https://x.org/*a&ast; \\_b\\_ a\\*b");
        check("R&D a_ _b", "R\\&D a\\_ \\_b");
        assert_eq!(escape("#1 https://x.org/#a #", true), "\\#1 https://x.org/#a \\#");
    }

    #[test]
    fn what_is_escaped_is_read_again() {
        let text = "\\ a_b `*_[]<>|&~ &amp; [https://x.org/a]*_ <www.b.c>`\\|& é";
        let (markdown, mut read, mut at) = (escape(text, true), String::new(), 0);
        while let Some((c, length)) = unescaped(&markdown[at..]) {
            read.push(c);
            at += length;
        }
        assert_eq!(read, text);
    }
}
