//! Signatures of webhooks, as the Standard Webhooks specification 1.0 defines them: HMAC-SHA-256 over
//! `id.timestamp.body`, in base64 behind `v1,`; several signatures, separated by spaces, while a secret changes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Text before the base64 of a secret.
const PREFIX: &str = "whsec_";
/// Bytes of a new secret.
const SECRET_BYTES: usize = 32;

/// Makes a new secret. `None`: the system has no randomness.
pub(crate) fn new_secret() -> Option<String> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(format!("{PREFIX}{}", BASE64_STANDARD.encode(bytes)))
}

fn mac(secret: &str, id: &str, timestamp_s: u64, body: &[u8]) -> Option<Hmac<Sha256>> {
    let key = BASE64_STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp_s}.").as_bytes());
    mac.update(body);
    Some(mac)
}

/// Returns the header `webhook-signature` of a message, with a signature for each valid secret.
pub fn sign(secrets: &[String], id: &str, timestamp_s: u64, body: &[u8]) -> String {
    let macs = secrets.iter().filter_map(|secret| mac(secret, id, timestamp_s, body));
    let signatures: Vec<String> =
        macs.map(|mac| format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))).collect();
    signatures.join(" ")
}

/// Returns whether one of the signatures in the header is that of `secret`, in constant time.
pub fn verify(secret: &str, id: &str, timestamp_s: u64, body: &[u8], header: &str) -> bool {
    header.split(' ').filter_map(|one| one.strip_prefix("v1,")).any(|one| {
        let given = BASE64_STANDARD.decode(one).ok();
        given
            .zip(mac(secret, id, timestamp_s, body))
            .is_some_and(|(given, mac)| mac.verify_slice(&given).is_ok())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// The example of the specification.
    #[test]
    fn the_published_example_verifies() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        let signed = sign(std::slice::from_ref(&secret), id, at, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(verify(&secret, id, at, body, &signed));
        assert!(!verify(&secret, id, at + 1, body, &signed));
        assert!(!verify(&secret, id, at, b"{}", &signed));
        assert!(!verify(&secret, id, at, body, "v1, v2,x v1,AAAA"));
    }

    #[test]
    fn both_secrets_sign_while_one_replaces_the_other() {
        let secrets = [new_secret().unwrap(), new_secret().unwrap()];
        let header = sign(&secrets, "msg_1", 7, b"x");
        assert!(secrets.iter().all(|secret| verify(secret, "msg_1", 7, b"x", &header)));
        assert!(!verify(&new_secret().unwrap(), "msg_1", 7, b"x", &header));
    }
}
