//! `[compat]`: the APIs of other software that the server speaks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lector_core::DeploymentName;

/// An API of other software.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// Mistral OCR.
    Mistral,
    /// The external loader of Open WebUI.
    OpenWebUi,
    /// docling-serve.
    Docling,
    /// Azure Document Intelligence.
    Azure,
    /// PaddleOCR: PaddleX serving and the Job API.
    PaddleOcr,
    /// Open Inference Protocol v2: the raw models.
    OpenInference,
    /// Model Context Protocol: tools for agents.
    Mcp,
}

impl Dialect {
    /// Returns the name in configuration keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mistral => "mistral",
            Self::OpenWebUi => "openwebui",
            Self::Docling => "docling",
            Self::Azure => "azure",
            Self::PaddleOcr => "paddleocr",
            Self::OpenInference => "openinference",
            Self::Mcp => "mcp",
        }
    }
}

/// The APIs of other software.
#[derive(Clone, Debug)]
pub struct CompatConfig {
    /// The dialects that are served.
    pub enabled: BTreeSet<Dialect>,
    /// Deployments by dialect and the client's name of a model.
    pub models: BTreeMap<(Dialect, String), DeploymentName>,
    /// Address of the server in the URLs of responses, without a trailing slash; `None`: that of the request.
    pub public_url: Option<String>,
    /// Time for which uploaded files and results of asynchronous calls are kept.
    pub ttl: Duration,
    /// Maximum bytes of a tenant's uploaded files.
    pub tenant_files_bytes_max: u64,
}

impl Default for CompatConfig {
    fn default() -> Self {
        use Dialect::{Azure, Docling, Mcp, Mistral, OpenInference, OpenWebUi, PaddleOcr};
        Self {
            enabled: [Mistral, OpenWebUi, Docling, Azure, PaddleOcr, OpenInference, Mcp].into(),
            models: BTreeMap::new(),
            public_url: None,
            ttl: Duration::from_secs(3600),
            tenant_files_bytes_max: 128 << 20,
        }
    }
}
