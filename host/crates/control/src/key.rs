//! Keys: creation, stored form, verification.
//!
//! A key reads `lk_<id>_<secret>` (tenant) or `lka_<id>_<secret>` (administrator); the prefix lets scanners of source
//! code find a leaked key. The secret has 256 bits from the system's random generator. Only its SHA-256 is stored,
//! which is enough for a secret that cannot be guessed (slow hashes are for passwords). The key is shown once, when it
//! is created.

use std::fmt;

use base16ct::lower::encode_string;
use lector_core::TenantName;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// Prefix of tenant keys.
const TENANT_PREFIX: &str = "lk_";
/// Prefix of administrator keys.
const ADMIN_PREFIX: &str = "lka_";
/// Bytes of a key id, which is not secret.
const ID_BYTES: usize = 8;
/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// The id of a key in lists and logs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for KeyId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rights that a key gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One tenant: reading, deploying, the tenant's keys.
    Tenant(TenantName),
    /// The whole server.
    Admin,
}

impl Scope {
    /// Returns the tenant of a tenant key.
    pub fn tenant(&self) -> Option<&TenantName> {
        match self {
            Self::Tenant(name) => Some(name),
            Self::Admin => None,
        }
    }
}

/// The stored form of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The id part of the key.
    pub id: KeyId,
    /// The rights of the key.
    pub scope: Scope,
    /// A label from its owner.
    pub label: String,
    /// SHA-256 of the secret, hexadecimal.
    pub hash: String,
    /// Creation time, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Time after which the key is rejected, milliseconds since 1970; `None`: valid until revoked.
    pub expires_at_ms: Option<u64>,
    /// Revocation time, milliseconds since 1970.
    pub revoked_at_ms: Option<u64>,
}

impl KeyRecord {
    /// Returns whether the key is valid at `now_ms`.
    pub fn is_active(&self, now_ms: u64) -> bool {
        self.revoked_at_ms.is_none() && self.expires_at_ms.is_none_or(|at| now_ms < at)
    }

    /// Compares `secret` with the key's own, in constant time.
    pub(crate) fn has_secret(&self, secret: &str) -> bool {
        hash(secret).as_bytes().ct_eq(self.hash.as_bytes()).into()
    }
}

/// A new key: the record to store, and the text to show once.
pub(crate) struct NewKey {
    pub(crate) record: KeyRecord,
    pub(crate) text: KeyText,
}

/// The text of a key. Its `Debug` output does not contain the secret.
#[derive(Clone)]
pub struct KeyText(String);

impl KeyText {
    /// Returns the whole key. Show it once and do not store it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(…)")
    }
}

/// Creates a key. Fails only if the system's random generator does.
pub(crate) fn make(scope: Scope, label: String, now_ms: u64) -> Result<NewKey, getrandom::Error> {
    let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut secret)?;
    let (id, secret) = (encode_string(&id), encode_string(&secret));
    let prefix = if scope == Scope::Admin { ADMIN_PREFIX } else { TENANT_PREFIX };
    let text = KeyText(format!("{prefix}{id}_{secret}"));
    let record = KeyRecord {
        id: KeyId(id),
        scope,
        label,
        hash: hash(&secret),
        created_at_ms: now_ms,
        expires_at_ms: None,
        revoked_at_ms: None,
    };
    Ok(NewKey { record, text })
}

/// Splits a text in the form of a key into id and secret.
pub(crate) fn parts(text: &str) -> Option<(KeyId, &str)> {
    let rest = text.strip_prefix(ADMIN_PREFIX).or_else(|| text.strip_prefix(TENANT_PREFIX))?;
    let (id, secret) = rest.split_once('_')?;
    let digits = |text: &str, bytes: usize| {
        text.len() == bytes * 2 && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    };
    (digits(id, ID_BYTES) && digits(secret, SECRET_BYTES)).then(|| (KeyId(id.to_owned()), secret))
}

fn hash(secret: &str) -> String {
    encode_string(&Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_key_matches_its_own_record_only() {
        let one = make(Scope::Tenant("acme".into()), "ci".into(), 5).unwrap();
        let two = make(Scope::Admin, String::new(), 5).unwrap();
        assert!(one.text.reveal().starts_with("lk_") && two.text.reveal().starts_with("lka_"));
        let (id, secret) = parts(one.text.reveal()).unwrap();
        assert_eq!(id, one.record.id);
        assert!(one.record.has_secret(secret) && !two.record.has_secret(secret));
        assert!(!serde_json::to_string(&one.record).unwrap().contains(secret), "the secret is not kept");
        assert!(!format!("{:?}", one.text).contains(secret), "and not printed");
        assert_eq!(secret.len(), 64);
    }

    #[test]
    fn malformed_keys_are_rejected() {
        let good = make(Scope::Admin, String::new(), 0).unwrap().text.reveal().to_owned();
        assert!(parts(&good).is_some());
        for bad in ["", "lk_", "lk__", "Bearer x", &good[1..], &good[..good.len() - 1], &good.to_uppercase()]
        {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn keys_end() {
        let mut record = make(Scope::Admin, String::new(), 0).unwrap().record;
        assert!(record.is_active(u64::MAX));
        record.expires_at_ms = Some(10);
        assert!(record.is_active(9) && !record.is_active(10));
        record.revoked_at_ms = Some(3);
        assert!(!record.is_active(9));
    }
}
