//! TLS: a server with a certificate, called by an HTTP client and by commands.

use std::path::Path;
use std::process::{Command, Output};

use lector_tests::{Gateway, paths};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority that has signed the certificate of 127.0.0.1, as files.
fn certificates(dir: &Path) -> rustls::pki_types::CertificateDer<'static> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(dir.join("server.pem"), certificate.pem()).unwrap();
    std::fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
    authority.der().clone()
}

fn lector(server: &str, ca: Option<&Path>, args: &[&str]) -> Output {
    let mut command = Command::new(paths::lector());
    command.args(args).env("LECTOR__CLIENT__SERVER", server).current_dir(paths::repo());
    if let Some(ca) = ca {
        command.env("LECTOR__CLIENT__TLS_CA_FILE", ca);
    }
    command.output().expect("lector runs")
}

#[tokio::test]
async fn clients_and_commands_speak_https() {
    let dir = tempfile::tempdir().unwrap();
    let authority = certificates(dir.path());
    let ca = dir.path().join("ca.pem");
    let gateway = Gateway::builder()
        .set("http.tls_certificate_file", dir.path().join("server.pem").display())
        .set("http.tls_key_file", dir.path().join("server.key").display())
        .trusting(authority)
        .start()
        .await;
    assert!(gateway.base.starts_with("https://"), "{}", gateway.base);
    let answer = gateway.client.get(gateway.url("/livez")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2), "negotiated");

    let output = lector(&gateway.base, Some(&ca), &["revisions"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("standard"), "{text} {output:?}");
    let output = lector(&gateway.base, Some(&ca), &["usage", "--csv"]);
    assert!(output.status.success(), "{output:?}");
    let output = lector(&gateway.base, None, &["revisions"]);
    assert_eq!(output.status.code(), Some(1), "an authority that is not trusted: {output:?}");
    let ca = ca.display().to_string();
    let output = lector("http://127.0.0.1:1", None, &["healthcheck", &gateway.base, "--ca-file", &ca]);
    assert!(output.status.success(), "{output:?}");

    // Plain HTTP is refused before it is a request.
    let plain = gateway.base.replace("https://", "http://");
    let sent =
        lector_tests::http_client().no_proxy().build().unwrap().get(format!("{plain}/livez")).send().await;
    assert!(sent.is_err(), "{sent:?}");
}
