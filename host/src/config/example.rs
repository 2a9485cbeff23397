//! The annotated configuration as a start for a new one: every key with its default, as a comment.

/// The annotated example; a test compares it with the defaults.
pub(super) const EXAMPLE: &str = include_str!("../../../deploy/lector.toml");

/// Returns the example with all keys as comments but those of `set`: (section, key, text).
pub fn example_with(set: &[(&str, &str, &str)]) -> String {
    let (mut out, mut section, mut lists) = (String::new(), String::new(), false);
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            // A list in a file replaces the built-in deployments: all of it stays a comment.
            lists |= name.starts_with('[');
            name.trim_end_matches(']').clone_into(&mut section);
        }
        let key = line.split(" = ").next().unwrap_or_default();
        let given = set.iter().find(|(of, name, _)| !lists && *of == section && *name == key);
        let is_comment = line.is_empty() || line.starts_with('#');
        match given {
            Some((_, key, text)) => out.push_str(&format!("{key} = {}\n", toml::Value::from(*text))),
            None if is_comment || (line.starts_with('[') && !lists) => out.push_str(&format!("{line}\n")),
            None => out.push_str(&format!("#{line}\n")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::raw::RawConfig;
    use super::super::tests::load;
    use super::*;

    #[test]
    fn a_new_configuration_sets_what_was_asked_and_nothing_else() {
        let text = example_with(&[("http", "listen", "[::1]:9"), ("platform", "data_dir", "/a \"b\"")]);
        let (_, effective) = load(&text, &[], &[]).unwrap();
        let mut expect = RawConfig::default();
        "[::1]:9".clone_into(&mut expect.http.listen);
        "/a \"b\"".clone_into(&mut expect.platform.data_dir);
        assert_eq!(effective.raw, expect);
        let set: Vec<&str> =
            text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])).collect();
        assert_eq!(set.len(), 2, "{set:?}");
        assert!(text.contains("\n#drain_timeout_s = 30\n"), "the others are there as comments");
    }
}
