//! The languages of the settings, and who reads them: PP-OCR has Latin letters, Han and kana; the others are the host's
//! line recognizer's, whose labels are the names of Tesseract's language data.

/// Most languages of one line, a limit of the host's recognizer.
pub(crate) const TOGETHER_MAX: usize = 4;

/// A language that PP-OCR does not read, or reads badly: its tag, and the name of its data. Vietnamese and Greek are here
/// by measurement: on clean pages PP-OCRv6 errs in .164 and .444 of the characters, the other recognizer in .000 and .016.
const OTHER: [(&str, &str); 52] = [
    ("am", "amh"),
    ("ar", "ara"),
    ("as", "asm"),
    ("be", "bel"),
    ("bg", "bul"),
    ("bn", "ben"),
    ("bo", "bod"),
    ("chr", "chr"),
    ("dv", "div"),
    ("dz", "dzo"),
    ("el", "ell"),
    ("fa", "fas"),
    ("grc", "grc"),
    ("gu", "guj"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hy", "hye"),
    ("iu", "iku"),
    ("ka", "kat"),
    ("kk", "kaz"),
    ("km", "khm"),
    ("kn", "kan"),
    ("ko", "kor"),
    ("ky", "kir"),
    ("lo", "lao"),
    ("mk", "mkd"),
    ("ml", "mal"),
    ("mn", "mon"),
    ("mr", "mar"),
    ("my", "mya"),
    ("ne", "nep"),
    ("or", "ori"),
    ("pa", "pan"),
    ("ps", "pus"),
    ("ru", "rus"),
    ("sa", "san"),
    ("sd", "snd"),
    ("si", "sin"),
    ("sr", "srp"),
    ("syr", "syr"),
    ("ta", "tam"),
    ("te", "tel"),
    ("tg", "tgk"),
    ("th", "tha"),
    ("ti", "tir"),
    ("ug", "uig"),
    ("uk", "ukr"),
    ("ur", "urd"),
    ("az-cyrl", "aze_cyrl"),
    ("uz-cyrl", "uzb_cyrl"),
    ("vi", "vie"),
    ("yi", "yid"),
];

/// A language that PP-OCR reads, for pages on which it is mixed with one of the others.
const MIXED: [(&str, &str); 25] = [
    ("cs", "ces"),
    ("da", "dan"),
    ("de", "deu"),
    ("en", "eng"),
    ("es", "spa"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("hr", "hrv"),
    ("hu", "hun"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("la", "lat"),
    ("nb", "nor"),
    ("nl", "nld"),
    ("no", "nor"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ro", "ron"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("sr-latn", "srp_latn"),
    ("sv", "swe"),
    ("tr", "tur"),
    ("zh", "chi_sim"),
    ("zh-hant", "chi_tra"),
];

/// Returns the names of the data of these languages, in their order, where PP-OCR does not read one of them; else none.
pub(crate) fn of_other_scripts(languages: &[String]) -> Vec<&'static str> {
    let found: Vec<(&'static str, Reader)> = languages.iter().filter_map(|tag| find(tag)).collect();
    if found.iter().all(|(_, reader)| *reader == Reader::PpOcr) {
        return Vec::new();
    }
    let mut names: Vec<&'static str> = Vec::new();
    for (name, _) in found {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Returns the tags that name no language which a recognizer reads.
pub(crate) fn unknown(languages: &[String]) -> impl Iterator<Item = &str> {
    languages.iter().map(String::as_str).filter(|tag| find(tag).is_none())
}

/// Who reads a language best.
#[derive(Clone, Copy, PartialEq)]
enum Reader {
    PpOcr,
    Other,
}

/// Finds a language by its tag (`ru`, `sr-Latn`, `pt-BR`, also written `pt_BR`) or by the name of its data (`rus`, `chi_sim`).
fn find(tag: &str) -> Option<(&'static str, Reader)> {
    let name = tag.to_ascii_lowercase();
    let tag = name.replace('_', "-");
    let tables = [(&OTHER[..], Reader::Other), (&MIXED[..], Reader::PpOcr)];
    let known = |key: &str| {
        tables.into_iter().find_map(|(table, reader)| {
            let (_, name) = table.iter().find(|(own, name)| *own == key || *name == key)?;
            Some((*name, reader))
        })
    };
    // Longer tags first (RFC 4647, section 3.4): the script may be another one than that of the language alone.
    let mut shorter = Some(tag.as_str());
    let tags = std::iter::from_fn(|| {
        let key = shorter?;
        shorter = key.rsplit_once('-').map(|(front, _)| front);
        Some(key)
    });
    known(&name).or_else(|| tags.into_iter().find_map(known))
}

/// Returns the package of the data of a language in Debian.
pub(crate) fn package(name: &str) -> String {
    format!("tesseract-ocr-{}", name.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tags: &[&str]) -> Vec<&'static str> {
        of_other_scripts(&tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn languages_of_pp_ocr_need_no_other_recognizer() {
        for tags in
            [&[][..], &["en"], &["de", "fr"], &["zh-Hant", "ja", "en"], &["sr-Latn"], &["pt-BR"], &["tlh"]]
        {
            assert!(names(tags).is_empty(), "{tags:?}");
        }
    }

    #[test]
    fn others_are_read_together_with_those_they_are_mixed_with() {
        for (tags, wanted) in [
            (&["ru"][..], &["rus"][..]),
            (&["rus"], &["rus"]),
            (&["ru-RU", "en"], &["rus", "eng"]),
            (&["en", "ko", "zh-Hant"], &["eng", "kor", "chi_tra"]),
            (&["sr"], &["srp"]),
            (&["sr-Cyrl", "sr", "sr-Latn"], &["srp", "srp_latn"]),
            (&["uz-Cyrl"], &["uzb_cyrl"]),
            (&["ru_RU"], &["rus"]),
            (&["ko", "zh_Hant", "chi_sim"], &["kor", "chi_tra", "chi_sim"]),
            (&["ko", "zh-Hant-TW", "sr_Latn_RS"], &["kor", "chi_tra", "srp_latn"]),
            (&["UZB_CYRL", "az_Cyrl"], &["uzb_cyrl", "aze_cyrl"]),
            (&["vi"], &["vie"]),
        ] {
            assert_eq!(names(tags), wanted, "{tags:?}");
        }
        assert_eq!(package("srp_latn"), "tesseract-ocr-srp-latn");
        let tags = ["ru", "tlh", "pt-BR", "pt_BR", "zh_Hant_HK"].map(str::to_owned);
        assert_eq!(unknown(&tags).collect::<Vec<_>>(), ["tlh"]);
    }
}
