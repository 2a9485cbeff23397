//! The environment, read once and by this module only.

use std::path::PathBuf;

use super::error::ConfigError;

/// Prefix of a key: `LECTOR__HTTP__LISTEN` is `http.listen`.
const PREFIX: &str = "LECTOR__";

/// The relevant variables.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `LECTOR_CONFIG`: path of the file if no flag sets one.
    pub(super) config_file: Option<PathBuf>,
    /// `LECTOR__…`: (variable, value), sorted by name.
    pub(super) keys: Vec<(String, String)>,
    /// `LECTOR_CONTEXT`: the context of commands that call a server, if no flag names one.
    pub(super) context: Option<String>,
    /// The file of contexts; `None`: the folder of the user is not known.
    pub(super) contexts_file: Option<PathBuf>,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn of_process() -> Self {
        let mut keys: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            // A value that is not UTF-8 is converted with replacement characters, so that its key is not silently
            // ignored.
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        keys.sort();
        Self {
            config_file: path_of("LECTOR_CONFIG"),
            keys,
            context: variable("LECTOR_CONTEXT"),
            contexts_file: contexts_file(),
        }
    }
}

/// Returns the key of a variable: `LECTOR__HTTP__BODY_BYTES_MAX` -> `http.body_bytes_max`.
pub(super) fn key_of(variable: &str) -> String {
    variable.trim_start_matches(PREFIX).to_lowercase().replace("__", ".")
}

/// Returns the folder of downloaded libraries and compiled guests: `LECTOR_CACHE`, else `lector` in `XDG_CACHE_HOME`,
/// else in `~/.cache`.
pub fn cache_root() -> Result<PathBuf, ConfigError> {
    path_of("LECTOR_CACHE")
        .or_else(|| path_of("XDG_CACHE_HOME").map(|dir| dir.join("lector")))
        .or_else(|| path_of("HOME").map(|dir| dir.join(".cache/lector")))
        .ok_or(ConfigError::NoCacheRoot)
}

/// Returns the file of contexts: `lector/contexts.toml` in `XDG_CONFIG_HOME`, else in `~/.config`.
pub(super) fn contexts_file() -> Option<PathBuf> {
    path_of("XDG_CONFIG_HOME")
        .or_else(|| path_of("HOME").map(|dir| dir.join(".config")))
        .map(|dir| dir.join("lector/contexts.toml"))
}

/// Returns the value of a variable that a user names, such as the one that has a key; `None` if it is empty.
pub(super) fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
    Some(value.to_string_lossy().into_owned())
}

/// Returns the default data folder: `lector` in `XDG_DATA_HOME`, else in `~/.local/share`.
pub fn data_root() -> Result<PathBuf, ConfigError> {
    path_of("XDG_DATA_HOME")
        .or_else(|| path_of("HOME").map(|dir| dir.join(".local/share")))
        .map(|dir| dir.join("lector"))
        .ok_or(ConfigError::NoDataRoot)
}

/// The variables of the command `tesseract`, whose callers cannot give it options. Those of the server have the names of
/// the OCRmyPDF plugin's.
#[derive(Clone, Debug, Default)]
pub struct TesseractVariables {
    /// `LECTOR_URL`: address of the server that reads.
    pub url: Option<String>,
    /// `LECTOR_KEY`: key for the server.
    pub key: Option<String>,
    /// `LECTOR_DEPLOYMENT`: deployment that reads.
    pub deployment: Option<String>,
    /// `LECTOR_TIMEOUT`: longest time for a document, in seconds, as given.
    pub timeout: Option<String>,
    /// `LECTOR_LANGUAGES`: languages that the deployment reads beside those of the shared models, joined by `+` or `,`.
    pub languages: Vec<String>,
}

impl TesseractVariables {
    /// Reads the environment of this process.
    pub fn of_process() -> Self {
        let text = |name| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            value.map(|value| value.to_string_lossy().into_owned())
        };
        Self {
            url: text("LECTOR_URL"),
            key: text("LECTOR_KEY"),
            deployment: text("LECTOR_DEPLOYMENT"),
            timeout: text("LECTOR_TIMEOUT"),
            languages: names(&text("LECTOR_LANGUAGES").unwrap_or_default()),
        }
    }
}

fn path_of(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Returns the names of a list that is joined by `+`, as Tesseract's `-l`, or by commas, as `languages` of a request.
fn names(list: &str) -> Vec<String> {
    list.split(['+', ',']).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_joined_by_plus_or_comma() {
        assert_eq!(names("rus+ukr"), ["rus", "ukr"]);
        assert_eq!(names("rus, ukr,+kor,"), ["rus", "ukr", "kor"]);
        assert!(names("").is_empty() && names(" , ").is_empty());
    }
}
