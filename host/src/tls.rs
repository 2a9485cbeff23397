//! TLS, by rustls with ring: of the server, of webhooks, and of the commands that call a server.
//!
//! Owns certificates and keys. The only module that makes TLS configurations; `http::listen`, `webhooks` and `cli` use them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::{ClientTls, ServerTlsFiles};

/// Interval of the look at the files of the server. A renewal is a rare event, with weeks until the old certificate expires.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Protocols that server and commands offer, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Returns a configuration of connections to other servers: with the certificates of the system, and with the files of
/// `tls`.
pub fn client_config(tls: &ClientTls) -> anyhow::Result<ClientConfig> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    if let Some(file) = &tls.ca_file {
        add_roots(&mut roots, file)?;
    } else if added == 0 {
        // Only a connection by https fails then, and its error names the reason.
        tracing::debug!(errors = ?loaded.errors, "the system has no certificates: no connection by https is trusted");
    }
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = versions.context("selecting the versions of TLS")?.with_root_certificates(roots);
    match &tls.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => builder
            .with_client_auth_cert(chain_of(certificate)?, key_of(key)?)
            .with_context(|| format!("using the certificate {}", certificate.display())),
    }
}

/// Returns such a configuration for an HTTP client that speaks both versions.
pub fn http_client_config(tls: &ClientTls) -> anyhow::Result<ClientConfig> {
    let mut config = client_config(tls)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

fn chain_of(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || -> Result<Vec<_>, rustls::pki_types::pem::Error> {
        CertificateDer::pem_file_iter(file)?.collect()
    };
    let chain = read().map_err(|error| anyhow!("{error}"));
    let chain = chain.with_context(|| format!("reading the certificate {}", file.display()))?;
    match chain.is_empty() {
        true => Err(anyhow!("{} has no certificate: it must be a PEM file", file.display())),
        false => Ok(chain),
    }
}

fn key_of(file: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let key = PrivateKeyDer::from_pem_file(file).map_err(|error| anyhow!("{error}"));
    key.with_context(|| format!("reading the private key {}", file.display()))
}

fn add_roots(roots: &mut RootCertStore, file: &Path) -> anyhow::Result<()> {
    for certificate in chain_of(file)? {
        roots.add(certificate).with_context(|| format!("using the authority {}", file.display()))?;
    }
    Ok(())
}

/// The TLS of the server. Its certificate is replaced while connections exist: those keep the one that they began with.
#[derive(Debug)]
pub struct ServerTls {
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    files: ServerTlsFiles,
    config: Arc<ServerConfig>,
    /// The files that `config` was made of, or that could not be used.
    seen: Vec<Option<Stamp>>,
}

/// Changes with the content of a file, also where a link is pointed to another file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl ServerTls {
    /// Reads the files.
    pub fn load(files: ServerTlsFiles) -> anyhow::Result<Arc<Self>> {
        let seen = stamps(&files);
        let config = server_config(&files)?;
        Ok(Arc::new(Self { state: Mutex::new(State { files, config, seen }) }))
    }

    /// Takes over the files and the certificate of another one, for new connections.
    pub fn adopt(&self, other: &Self) {
        let state = other.lock().clone();
        *self.lock() = state;
    }

    /// Returns the acceptor of a new connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.lock().config.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files again if one has changed; returns whether new connections get another configuration. Files that
    /// cannot be used are an error once, and the server keeps what it has.
    pub fn reload_if_changed(&self) -> anyhow::Result<bool> {
        // Before the content: a change between the two is seen the next time.
        let (files, seen) = {
            let state = self.lock();
            (state.files.clone(), state.seen.clone())
        };
        let now = stamps(&files);
        if seen == now {
            return Ok(false);
        }
        let config = server_config(&files);
        let mut state = self.lock();
        if state.files != files {
            // A reload of the configuration has named other files meanwhile.
            return Ok(false);
        }
        state.seen = now;
        state.config = config?;
        Ok(true)
    }

    /// Looks at the files until `stop` is cancelled.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(LOOK_INTERVAL);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            match self.reload_if_changed() {
                Ok(true) => {
                    let certificate = self.lock().files.certificate.clone();
                    tracing::info!(certificate = %certificate.display(), "new connections use the new certificate")
                }
                Ok(false) => {}
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "the changed certificate cannot be used: the server keeps the one that it has"
                ),
            }
        }
    }
}

fn stamps(files: &ServerTlsFiles) -> Vec<Option<Stamp>> {
    let stamp = |file: &PathBuf| {
        let meta = std::fs::metadata(file).ok()?;
        Some(Stamp { inode: meta.ino(), bytes: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()) })
    };
    [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()]
        .into_iter()
        .flatten()
        .map(stamp)
        .collect()
}

fn server_config(files: &ServerTlsFiles) -> anyhow::Result<Arc<ServerConfig>> {
    let versions = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = versions.context("selecting the versions of TLS")?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            add_roots(&mut roots, file)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            builder.with_client_cert_verifier(verifier.context("checking certificates of clients")?)
        }
    };
    let (chain, key) = (chain_of(&files.certificate)?, key_of(&files.key)?);
    let mut config = builder.with_single_cert(chain, key).with_context(|| {
        format!("using the certificate {} with the key {}", files.certificate.display(), files.key.display())
    })?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
