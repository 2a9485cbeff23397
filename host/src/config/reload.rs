//! The reload of the configuration of a running server: which keys it takes over, and what has changed.
//!
//! The sources are read, merged and validated as at a start. A key of [`RELOADABLE`] is taken over; every other changed
//! key keeps the value of the start, and is listed. The configuration that results is validated as well, because rules
//! join keys of both kinds. Applying it is the business of `crate::reload`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value as Json;
use toml::{Table, Value};
use utoipa::ToSchema;

use super::env::Environment;
use super::error::ConfigError;
use super::layers::{Effective, Sources, table_of};
use super::{Config, validate};

/// The keys that a running server takes over. Those of TLS only where the server has TLS and keeps it.
pub const RELOADABLE: &[&str] = &[
    "compat.azure",
    "compat.docling",
    "compat.mistral",
    "compat.models",
    "compat.openinference",
    "compat.openwebui",
    "compat.paddleocr",
    "compat.public_url",
    "http.allow_insecure_public",
    "http.batch_files_max",
    "http.body_bytes_max",
    "http.body_idle_timeout_s",
    "http.connections_max",
    "http.connections_per_address_max",
    "http.drain_timeout_s",
    "http.header_timeout_s",
    "http.private_operations",
    "http.request_timeout_s",
    "http.tls_certificate_file",
    "http.tls_client_ca_file",
    "http.tls_key_file",
    "http.transfer_bytes_per_s_min",
    "http.transfer_window_s",
    "http.trusted_proxies",
    "jobs.attempts_max",
    "jobs.lease_s",
    "jobs.pages_per_document_max",
    "jobs.pages_per_turn",
    "jobs.retention_max_s",
    "jobs.retention_s",
    "jobs.tenant_bytes_max",
    "jobs.tenant_jobs_max",
    "jobs.tenant_running_max",
    "jobs.turn_timeout_s",
    "jobs.webhook_addresses",
    "jobs.webhook_attempts_max",
    "jobs.webhook_timeout_s",
    "log.filter",
    "platform.default_deployment",
    "platform.document_result_bytes_max",
    "platform.documents_max",
    "platform.engine_idle_ttl_s",
    "platform.held_bytes_max",
    "platform.pages_per_document_max",
    "platform.tenant_held_bytes_max",
    "platform.tenant_images_bytes_max",
    "platform.tenant_revisions_max",
    "platform.tenant_stored_bytes_max",
    "platform.tenant_uploads_max",
    "platform.wait_max_s",
];

/// Keys of commands that call a server, which a server does not read.
const CLIENT: &str = "client.";
/// Keys of the files of the server's TLS.
const TLS: &str = "http.tls_";
/// Tables whose keys are names of other software or of the catalog: compared as one value.
const WHOLE: [&str; 2] = ["compat.models", "engines.model_providers"];

/// A key whose value differs from the one in force.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = ConfigChange)]
pub struct ConfigChange {
    /// The dotted key.
    pub key: String,
    /// The value that was in force.
    pub from: Json,
    /// The value of the sources now.
    pub to: Json,
    /// The source of the value: `file …`, `environment …`, `flag …` or `default`.
    pub source: String,
}

/// The result of reading the sources again.
#[derive(Clone, Debug)]
pub struct Reload {
    /// The configuration to apply.
    pub config: Config,
    /// Its values, for the next reload.
    pub effective: Effective,
    /// The changed keys that the server takes over.
    pub applied: Vec<ConfigChange>,
    /// The changed keys that only a restart takes over.
    pub needs_restart: Vec<ConfigChange>,
    /// The number of keys that have the value in force.
    pub unchanged: usize,
}

impl Effective {
    /// Reads all sources again, and compares them with these values, which are in force. Fails where the sources are
    /// invalid, with the place.
    pub fn reload(&self, sources: &Sources) -> Result<Reload, ConfigError> {
        self.compare(Self::gather(sources, Environment::of_process())?)
    }

    /// Compares the values in force with new ones.
    pub(super) fn compare(&self, new: Self) -> Result<Reload, ConfigError> {
        validate::raise(&new)?;
        let (running, wanted) = (table_of(&self.raw)?, table_of(&new.raw)?);
        let keep_tls =
            self.raw.http.tls_certificate_file.is_empty() == new.raw.http.tls_certificate_file.is_empty();
        let without_tls = new.raw.http.tls_certificate_file.is_empty();
        let (running_values, wanted_values) = (values(&running), values(&wanted));
        let keys: BTreeSet<&String> = running_values.keys().chain(wanted_values.keys()).collect();
        let (mut applied, mut needs_restart, mut unchanged) = (Vec::new(), Vec::new(), 0);
        let mut table = running.clone();
        for key in keys.into_iter().filter(|key| !key.starts_with(CLIENT)) {
            let (from, to) = (running_values.get(key), wanted_values.get(key));
            if from == to {
                unchanged += 1;
                continue;
            }
            let source = new.origin(key).to_string();
            let change = ConfigChange { key: key.clone(), from: json(from), to: json(to), source };
            let tls = key.starts_with(TLS);
            if RELOADABLE.contains(&key.as_str()) && (!tls || (keep_tls && !without_tls)) {
                set(&mut table, key, to.copied().cloned());
                applied.push(change);
            } else {
                needs_restart.push(change);
            }
        }
        let raw = Value::Table(table)
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError::Shape(error.message().to_owned()))?;
        let effective = Self { raw, ..new };
        // Rules join keys of both kinds.
        let config =
            validate::raise(&effective).map_err(|error| ConfigError::NeedsRestart(Box::new(error)))?;
        Ok(Reload { config, effective, applied, needs_restart, unchanged })
    }
}

fn json(value: Option<&&Value>) -> Json {
    value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
}

/// Returns the values by dotted key.
fn values(table: &Table) -> BTreeMap<String, &Value> {
    fn visit<'a>(at: &str, table: &'a Table, found: &mut BTreeMap<String, &'a Value>) {
        for (name, value) in table {
            let key = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            match value {
                Value::Table(table) if !WHOLE.contains(&key.as_str()) => visit(&key, table, found),
                value => _ = found.insert(key, value),
            }
        }
    }
    let mut found = BTreeMap::new();
    visit("", table, &mut found);
    found
}

fn set(table: &mut Table, key: &str, value: Option<Value>) {
    match key.split_once('.') {
        Some((section, rest)) => {
            if let Some(Value::Table(section)) = table.get_mut(section) {
                set(section, rest, value);
            }
        }
        None => match value {
            Some(value) => _ = table.insert(key.to_owned(), value),
            None => _ = table.remove(key),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::raw::RawConfig;
    use super::super::tests::load;
    use super::*;

    fn reload(before: &str, after: &str) -> Result<Reload, String> {
        let (_, running) = load(before, &[], &[]).unwrap();
        let (_, wanted) = load(after, &[], &[]).map_err(|error| error.to_string())?;
        running.compare(wanted).map_err(|error| error.to_string())
    }

    fn keys(changes: &[ConfigChange]) -> Vec<&str> {
        changes.iter().map(|change| change.key.as_str()).collect()
    }

    #[test]
    fn reloadable_keys_exist_and_are_sorted() {
        let defaults = table_of(&RawConfig::default()).unwrap();
        let known = values(&defaults);
        for key in RELOADABLE {
            assert!(known.contains_key(*key), "{key}");
        }
        assert!(RELOADABLE.is_sorted());
    }

    /// The operator's guide lists them by section.
    #[test]
    fn the_guide_names_every_reloadable_key() {
        let guide = include_str!("../../../deploy/README.md");
        let list = guide.split("## Reloading the configuration").nth(1).expect("the chapter");
        let list = list.split("\n## ").next().unwrap();
        for key in RELOADABLE {
            let (_, name) = key.split_once('.').unwrap();
            assert!(list.contains(&format!("`{name}`")), "{key} is not in the chapter");
        }
    }

    #[test]
    fn changes_are_sorted_into_what_applies_and_what_needs_a_restart() {
        let after = "[platform]\ndocuments_max = 5\npages_in_flight_max = 3\n[log]\nfilter = \"debug\"\n[client]\nserver = \"http://x\"";
        let found = reload("", after).unwrap();
        assert_eq!(keys(&found.applied), ["log.filter", "platform.documents_max"]);
        assert_eq!(keys(&found.needs_restart), ["platform.pages_in_flight_max"]);
        assert!(found.unchanged > 100, "{}", found.unchanged);
        assert_eq!((&found.applied[1].from, &found.applied[1].to), (&Json::from(64), &Json::from(5)));
        assert!(found.applied[1].source.starts_with("file "), "{:?}", found.applied[1]);
        assert_eq!(found.config.serving.documents_max, 5);
        assert_ne!(found.config.serving.pages_in_flight_max, 3, "of the start");
        // The next reload compares with what is in force.
        let (_, wanted) = load(after, &[], &[]).unwrap();
        let again = found.effective.compare(wanted).unwrap();
        assert_eq!(
            (again.applied.len(), keys(&again.needs_restart)),
            (0, vec!["platform.pages_in_flight_max"])
        );
    }

    #[test]
    fn tables_with_free_keys_are_one_value() {
        let found = reload(
            "[compat.models.mistral]\n\"a.b\" = \"standard\"",
            "[compat.models.mistral]\n\"c.d\" = \"standard-tiny\"\n[engines.model_providers]\nx = [\"cpu\"]",
        );
        let found = found.unwrap();
        assert_eq!(keys(&found.applied), ["compat.models"]);
        assert_eq!(keys(&found.needs_restart), ["engines.model_providers"]);
        let names: Vec<&String> = found.config.http.compat.models.keys().map(|(_, name)| name).collect();
        assert_eq!(names, ["c.d"]);
    }

    #[test]
    fn tls_is_not_switched_on_or_off() {
        let with = |name: &str| {
            format!("[http]\ntls_certificate_file = \"{name}.pem\"\ntls_key_file = \"{name}.key\"")
        };
        let both = ["http.tls_certificate_file", "http.tls_key_file"];
        assert_eq!(keys(&reload(&with("a"), &with("b")).unwrap().applied), both);
        assert_eq!(keys(&reload("", &with("a")).unwrap().needs_restart), both);
        assert_eq!(keys(&reload(&with("a"), "").unwrap().needs_restart), both);
    }

    #[test]
    fn invalid_sources_are_an_error_with_the_place() {
        let wrong = reload("", "[platform]\ndocuments_max = 0").unwrap_err();
        assert!(wrong.contains("platform.documents_max") && wrong.contains("file "), "{wrong}");
        let parse = load("[platform\n", &[], &[]).unwrap_err();
        let parse = format!("{:#}", anyhow::Error::from(parse));
        assert!(parse.contains("line 1"), "{parse}");
    }

    #[test]
    fn new_values_must_go_with_those_that_stay() {
        let deployment = "[[deployments]]\nname = \"new\"\ncomponent = \"c.wasm\"";
        let after = format!("[platform]\ndefault_deployment = \"new\"\n{deployment}");
        let error = reload("", &after).unwrap_err();
        assert!(error.contains("restart") && error.contains("default_deployment"), "{error}");
    }
}
