//! Tesseract's names of languages, as far as the shared models read them: Latin, Han and kana.
//!
//! A language is in the list if the recognizer (`models/pp-ocrv6-small-rec`) has all of its letters. Of Greek it has the
//! letters without accents and no final sigma; of Vietnamese and Yoruba it lacks most vowels with two marks.

use std::fmt::Write;

use anyhow::bail;

/// Languages, by the name of their data files.
const LANGUAGES: &[&str] = &[
    "afr",
    "bos",
    "bre",
    "cat",
    "ceb",
    "ces",
    "chi_sim",
    "chi_sim_vert",
    "chi_tra",
    "chi_tra_vert",
    "cos",
    "cym",
    "dan",
    "deu",
    "eng",
    "epo",
    "est",
    "eus",
    "fao",
    "fil",
    "fin",
    "fra",
    "fry",
    "gla",
    "gle",
    "glg",
    "hat",
    "hrv",
    "hun",
    "ind",
    "isl",
    "ita",
    "jav",
    "jpn",
    "jpn_vert",
    "kmr",
    "lat",
    "lav",
    "lit",
    "ltz",
    "mlt",
    "mri",
    "msa",
    "nld",
    "nor",
    "oci",
    "osd",
    "pol",
    "por",
    "que",
    "ron",
    "slk",
    "slv",
    "spa",
    "sqi",
    "srp_latn",
    "sun",
    "swa",
    "swe",
    "tur",
];

/// Scripts, by the name of their data files in the folder `script`.
const SCRIPTS: &[&str] = &["HanS", "HanS_vert", "HanT", "HanT_vert", "Japanese", "Japanese_vert", "Latin"];

/// Returns the output of `--list-langs`; `more` are languages that the user's own deployment reads.
pub(super) fn list(more: &[String]) -> String {
    let mut names: Vec<&str> = LANGUAGES.iter().copied().chain(more.iter().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let mut text = format!("List of available languages in \"lector\" ({}):\n", names.len());
    for name in names {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{name}");
    }
    text
}

/// Checks that each language can be read. An unknown one is an error although others are known: its text would come
/// out in the wrong alphabet.
pub(super) fn check(wanted: &[String], more: &[String]) -> anyhow::Result<()> {
    let known = |name: &String| {
        let script = name.strip_prefix("script/").unwrap_or(name);
        SCRIPTS.contains(&script) || LANGUAGES.contains(&name.as_str()) || more.contains(name)
    };
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        // The first words are those of tesseract: callers look for them.
        bail!(
            "Failed loading language '{unknown}': Lector's models do not read its script. If the deployment does, name \
             the language in LECTOR_LANGUAGES"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_list_has_a_header_and_one_name_a_line() {
        let text = list(&["rus".to_owned(), "eng".to_owned()]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("List of available languages"), "{text}");
        assert_eq!(lines.len(), LANGUAGES.len() + 2);
        for name in ["osd", "eng", "deu", "rus"] {
            assert_eq!(lines.iter().filter(|line| **line == name).count(), 1, "{name}");
        }
        assert!(LANGUAGES.is_sorted());
    }

    #[test]
    fn every_language_must_be_known() {
        let check = |names: &[&str], more: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            super::check(&own(names), &own(more)).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["eng", "deu", "script/Latin", "Latin"], &[]), Ok(()));
        assert!(check(&["eng", "rus"], &[]).unwrap_err().starts_with("Failed loading language 'rus'"));
        assert_eq!(check(&["rus"], &["rus"]), Ok(()));
        assert!(check(&["script/Cyrillic"], &[]).is_err());
    }
}
