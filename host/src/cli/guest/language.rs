//! Languages of guest projects: how a project is recognized, and what it is created from.

use std::path::Path;

/// The language of a guest project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Language {
    /// Built by cargo; contains the SDK and the standard steps
    #[default]
    Rust,
    /// Built by componentize-py; wraps another deployment
    Python,
    /// Built by clang; wraps another deployment
    C,
    /// Built by componentize-qjs; wraps another deployment
    Typescript,
}

impl Language {
    /// All languages.
    pub(super) const ALL: [Self; 4] = [Self::Rust, Self::Python, Self::C, Self::Typescript];

    /// Returns the file that names a project of this language.
    pub(super) fn manifest(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "pyproject.toml",
            Self::C => "guest.toml",
            Self::Typescript => "package.json",
        }
    }

    /// Returns the names of all manifests, for an error.
    pub(super) fn manifests() -> String {
        Self::ALL.map(Self::manifest).join(", ")
    }

    /// Returns the project's name in the text of its manifest.
    pub(super) fn name_in(self, manifest: &str) -> anyhow::Result<Option<String>> {
        let table = match self {
            Self::Rust => "package",
            Self::Python => "project",
            Self::C => "guest",
            Self::Typescript => {
                let manifest: serde_json::Value = serde_json::from_str(manifest)?;
                // Without the scope of an npm package: the name becomes that of a file.
                let name = manifest["name"].as_str().and_then(|name| name.rsplit('/').next());
                return Ok(name.filter(|name| !name.is_empty()).map(str::to_owned));
            }
        };
        let manifest: toml::Table = manifest.parse()?;
        let name = manifest.get(table).and_then(|table| table.get("name")).and_then(toml::Value::as_str);
        Ok(name.map(str::to_owned))
    }

    /// Returns the folder of this repository that a new project is copied from.
    pub(super) fn template(self) -> &'static str {
        match self {
            Self::Rust => "guest/template/",
            Self::Python => "guest/examples/python/",
            Self::C => "guest/examples/c/",
            Self::Typescript => "guest/examples/typescript/",
        }
    }

    /// Returns what a project of this language lacks if its component exports no pipeline.
    pub(super) fn how_to_export(self) -> &'static str {
        match self {
            Self::Rust => {
                "write `lector_sdk::export!(YourPipeline);` once at the top level of src/lib.rs, where `YourPipeline` implements \
                 `lector_sdk::Pipeline`"
            }
            Self::Python => "app.py must define the class `Pipeline(exports.Pipeline)`",
            Self::C => {
                "define the functions `exports_lector_ocr_pipeline_..` that target/bindings/wrapper.h declares"
            }
            Self::Typescript => "src/app.ts must export `pipeline`",
        }
    }

    /// Returns the language of the project in `dir`.
    pub(super) fn of(dir: &Path) -> Option<Self> {
        Self::ALL.into_iter().find(|language| dir.join(language.manifest()).is_file())
    }

    /// Returns whether a project contains this file of the repository beside its template: the contract in every language, the
    /// SDK and the steps in Rust.
    pub(super) fn carries(self, path: &str) -> bool {
        let template = Self::ALL.iter().any(|language| path.starts_with(language.template()));
        !template && (self == Self::Rust || path.starts_with("wit/"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_project_is_recognized_by_its_manifest() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Language::of(home.path()), None);
        std::fs::write(home.path().join("package.json"), "").unwrap();
        assert_eq!(Language::of(home.path()), Some(Language::Typescript));
        std::fs::write(home.path().join("guest.toml"), "").unwrap();
        assert_eq!(Language::of(home.path()), Some(Language::C));
        std::fs::write(home.path().join("pyproject.toml"), "").unwrap();
        assert_eq!(Language::of(home.path()), Some(Language::Python));
        std::fs::write(home.path().join("Cargo.toml"), "").unwrap();
        assert_eq!(Language::of(home.path()), Some(Language::Rust), "a Python tool beside a crate");
        assert!(
            Language::Rust.carries("guest/sdk/src/lib.rs")
                && !Language::Python.carries("guest/sdk/src/lib.rs")
        );
        assert!(
            Language::Python.carries("wit/world.wit")
                && !Language::Rust.carries("guest/examples/python/app.py")
        );
    }
    #[test]
    fn a_manifest_tells_the_name() {
        for (language, manifest, name) in [
            (Language::Rust, "[package]\nname = \"a\"", Some("a")),
            (Language::Rust, "[workspace]", None),
            (Language::Python, "[project]\nname = \"a\"", Some("a")),
            (Language::C, "[guest]\nname = \"a\"", Some("a")),
            (Language::Typescript, r#"{"name": "a"}"#, Some("a")),
            (Language::Typescript, r#"{"name": "@team/a"}"#, Some("a")),
            (Language::Typescript, "{}", None),
        ] {
            assert_eq!(language.name_in(manifest).unwrap().as_deref(), name, "{manifest}");
        }
        assert!(Language::Typescript.name_in("[guest]").is_err() && Language::C.name_in("{").is_err());
    }
}
