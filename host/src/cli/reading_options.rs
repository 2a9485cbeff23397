//! The options of a reading that `lector ocr` and `lector jobs submit` have in common.
//!
//! Owns their flags and their names in the HTTP API. Whether a deployment takes them is checked where it reads.

use lector_core::{DeploymentName, Fault, TextLayerPolicy};
use lector_serving::{PageSelection, languages};

use super::guest_options::{self, GuestOptions};

/// The flags.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct ReadingOptions {
    /// Pages, counted from 1: `1-3,7`, `5-`
    #[arg(long)]
    pages: Option<String>,
    /// Resolution of the rendered pages, in dots per inch
    #[arg(long, value_parser = dpi)]
    pub(super) dpi: Option<f32>,
    /// Use of the text layer of a PDF
    #[arg(long, value_enum)]
    text_layer: Option<TextLayer>,
    /// Include the words of each line
    #[arg(long)]
    pub(super) words: bool,
    /// Languages of the documents, at most 4 tags such as `ru,en` (default: those of the deployment)
    #[arg(long, value_name = "TAG,..")]
    languages: Option<String>,
    #[command(flatten)]
    pub(super) guest_options: GuestOptions,
    /// Deployment that reads the documents
    #[arg(long)]
    deployment: Option<String>,
    /// Password of encrypted PDFs
    #[arg(long, env = "LECTOR_PASSWORD", hide_env_values = true)]
    pub(super) password: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum TextLayer {
    /// Use embedded text where it is reliable, and read the rest from pixels
    Auto,
    /// Read everything from pixels
    Never,
    /// Use embedded text only
    Only,
}

impl ReadingOptions {
    pub(super) fn pages(&self) -> Result<PageSelection, Fault> {
        self.pages.as_deref().map_or(Ok(PageSelection::All), PageSelection::parse)
    }

    pub(super) fn languages(&self) -> Result<Vec<String>, Fault> {
        self.languages.as_deref().map_or_else(|| Ok(Vec::new()), languages)
    }

    pub(super) fn text_layer(&self) -> Option<TextLayerPolicy> {
        self.text_layer.map(|policy| match policy {
            TextLayer::Auto => TextLayerPolicy::Auto,
            TextLayer::Never => TextLayerPolicy::Never,
            TextLayer::Only => TextLayerPolicy::Only,
        })
    }

    pub(super) fn deployment(&self) -> Option<DeploymentName> {
        self.deployment.as_deref().map(DeploymentName::from)
    }

    /// Returns the query of a request to a server. The password is a header ([`PASSWORD`]).
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let text_layer = self.text_layer.map(|policy| match policy {
            TextLayer::Auto => "auto",
            TextLayer::Never => "never",
            TextLayer::Only => "only",
        });
        let options = [
            ("pages", self.pages.clone()),
            ("dpi", self.dpi.map(|dpi| dpi.to_string())),
            ("text_layer", text_layer.map(str::to_owned)),
            ("words", self.words.then(|| "true".to_owned())),
            ("languages", self.languages.clone()),
            ("guest_options", guest_options::query(&self.guest_options.object())),
            ("deployment", self.deployment.clone()),
        ];
        options.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// The header of a request with the password of its documents.
pub(super) const PASSWORD: &str = "x-document-password";

fn dpi(text: &str) -> Result<f32, String> {
    // The same bounds as in the HTTP API.
    text.parse::<f32>()
        .ok()
        .filter(|dpi| (18.0..=2400.0).contains(dpi))
        .ok_or_else(|| "must be a number from 18 to 2400".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use clap::Parser as _;

    use crate::cli::{Cli, Command, jobs};

    const FLAGS: &str = "--pages 1-3 --dpi 200 --text-layer never --words --languages ru,en --guest-option a=1 --deployment d a.pdf";

    #[test]
    fn a_job_takes_the_options_of_a_reading() {
        let line = |command: &str| {
            Cli::try_parse_from(format!("lector {command} {FLAGS}").split(' ')).unwrap().command
        };
        let Command::Jobs(group) = line("jobs submit") else { panic!() };
        let jobs::Command::Submit(submit) = group.command else { panic!() };
        let expect = [
            ("pages", "1-3"),
            ("dpi", "200"),
            ("text_layer", "never"),
            ("words", "true"),
            ("languages", "ru,en"),
            ("guest_options", "{\"a\":1}"),
            ("deployment", "d"),
        ];
        let found = submit.reading.query();
        assert_eq!(found.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>(), expect);
        assert!(matches!(line("ocr"), Command::Ocr(_)));
    }
}
