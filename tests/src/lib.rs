//! The harness of the integration tests: a real gateway as a child process, real clients, real files.
//!
//! [`Gateway`] starts `target/release/lector serve` on an ephemeral loopback port with a temporary folder. Dropping it
//! stops the server and asserts that none of its processes is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

pub mod answer;
pub mod collector;
pub mod gateway;
pub mod paths;
pub mod pdf;
pub mod process;
pub mod quantile;

/// Timeout of every wait, long enough for a busy machine. No test passes or fails by the duration of something.
pub const HANG: std::time::Duration = std::time::Duration::from_secs(600);

/// Returns the builder of an HTTP client. The clients of these tests speak plain HTTP; a client that reqwest makes on its own
/// reads the certificates of the system, and fails where there are none.
pub fn http_client() -> reqwest::ClientBuilder {
    http_client_trusting(&[])
}

/// Returns the builder of an HTTP client that trusts these authorities.
pub fn http_client_trusting(
    authorities: &[rustls::pki_types::CertificateDer<'static>],
) -> reqwest::ClientBuilder {
    let mut roots = rustls::RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).expect("an authority");
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has all versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    // The client offers what this configuration offers.
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    reqwest::Client::builder().tls_backend_preconfigured(tls)
}

pub use answer::Answer;
pub use gateway::{Gateway, GatewayBuilder};
pub use quantile::quantile;
