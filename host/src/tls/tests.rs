#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;

/// An authority, and files of certificates that it has signed.
struct Authority {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes `NAME.pem` and `NAME.key` for a host name.
    fn sign(&self, name: &str, host: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn server(&self, client_ca: bool) -> ServerTlsFiles {
        ServerTlsFiles {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: client_ca.then(|| self.path("ca.pem")),
        }
    }

    fn client(&self, identity: Option<&str>) -> ClientTls {
        let files = |name: &str| (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        ClientTls { ca_file: Some(self.path("ca.pem")), identity: identity.map(files) }
    }
}

/// Sends bytes through a connection; returns those that the server answered.
async fn exchange(server: &ServerTls, client: &ClientTls, host: &str) -> std::io::Result<Vec<u8>> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let acceptor = server.acceptor();
    let serving = tokio::spawn(async move {
        let mut stream = acceptor.accept(far).await?;
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await?;
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    });
    let connector = TlsConnector::from(Arc::new(client_config(client).unwrap()));
    let mut stream = connector.connect(ServerName::try_from(host.to_owned()).unwrap(), near).await?;
    stream.write_all(b"ping").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    serving.await.unwrap()?;
    Ok(answer)
}

#[tokio::test]
async fn a_changed_certificate_is_used_and_a_broken_one_is_not() {
    let authority = Authority::new();
    authority.sign("server", "one.example");
    let server = ServerTls::load(authority.server(false)).unwrap();
    let client = authority.client(None);
    assert_eq!(exchange(&server, &client, "one.example").await.unwrap(), b"ping");
    assert!(exchange(&server, &client, "two.example").await.is_err(), "not its name");
    assert!(!server.reload_if_changed().unwrap(), "nothing has changed");

    authority.sign("server", "two.example");
    assert!(server.reload_if_changed().unwrap());
    assert_eq!(exchange(&server, &client, "two.example").await.unwrap(), b"ping");

    // A key of another certificate, as between the two steps of a renewal.
    authority.sign("other", "three.example");
    std::fs::copy(authority.path("other.key"), authority.path("server.key")).unwrap();
    let error = format!("{:#}", server.reload_if_changed().unwrap_err());
    assert!(error.contains("server.key"), "{error}");
    assert!(!server.reload_if_changed().unwrap(), "reported once");
    assert_eq!(exchange(&server, &client, "two.example").await.unwrap(), b"ping", "the old one serves");
    std::fs::copy(authority.path("other.pem"), authority.path("server.pem")).unwrap();
    assert!(server.reload_if_changed().unwrap());
    assert_eq!(exchange(&server, &client, "three.example").await.unwrap(), b"ping");
}

#[tokio::test]
async fn mutual_tls_admits_only_clients_of_the_authority() {
    let authority = Authority::new();
    authority.sign("server", "one.example");
    authority.sign("client", "client.example");
    let server = ServerTls::load(authority.server(true)).unwrap();
    let known = authority.client(Some("client"));
    assert_eq!(exchange(&server, &known, "one.example").await.unwrap(), b"ping");
    assert!(
        exchange(&server, &authority.client(None), "one.example").await.is_err(),
        "without a certificate"
    );
    let other = Authority::new();
    other.sign("client", "client.example");
    let stranger = ClientTls {
        ca_file: Some(authority.path("ca.pem")),
        identity: Some((other.path("client.pem"), other.path("client.key"))),
    };
    assert!(exchange(&server, &stranger, "one.example").await.is_err(), "of another authority");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    authority.sign("server", "one.example");
    let mut files = authority.server(false);
    files.certificate = authority.path("missing.pem");
    let error = format!("{:#}", ServerTls::load(files.clone()).unwrap_err());
    assert!(error.contains("missing.pem"), "{error}");
    std::fs::write(authority.path("missing.pem"), "no certificate").unwrap();
    let error = format!("{:#}", ServerTls::load(files).unwrap_err());
    assert!(error.contains("must be a PEM file"), "{error}");
}
