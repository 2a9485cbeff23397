#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::env::Environment;
use super::example::EXAMPLE;
use super::layers::{budget_keys, leaves, table_of};
use super::raw::RawConfig;
use super::*;

/// Loads `text` as the file, so that no `lector.toml` of the working directory is read.
pub(super) fn load(
    text: &str,
    env: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<(Config, Effective), ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let environment = Environment {
        config_file: Some(file.path().to_owned()),
        keys: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Environment::default()
    };
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned(), "--set")).collect();
    let effective = Effective::gather(&Sources { flags, ..Sources::default() }, environment)?;
    Ok((validate::raise(&effective)?, effective))
}

fn error_of(text: &str, env: &[(&str, &str)]) -> String {
    load(text, env, &[]).unwrap_err().to_string()
}

#[test]
fn the_container_for_gpus_sets_keys_that_exist() {
    let file = include_str!("../../../deploy/Containerfile.gpu");
    let env = file.lines().filter_map(|line| {
        let (name, value) = line.trim_start_matches("ENV ").trim().trim_end_matches(" \\").split_once('=')?;
        Some((name, value.trim_matches('\'')))
    });
    let env: Vec<(&str, &str)> = env.filter(|(name, _)| name.starts_with("LECTOR__")).collect();
    assert!(env.len() > 3, "{env:?}");
    let (_, effective) = load("", &env, &[]).unwrap();
    let raw = &effective.raw;
    assert_eq!(raw.engines.providers, ["tensorrt:0/f16", "tensorrt:0/f32", "cuda:0", "cpu"]);
    assert_eq!(raw.platform.data_dir, "/var/lib/lector/data");
}

#[test]
fn containers_set_keys_that_exist() {
    let image = include_str!("../../../deploy/Containerfile");
    let compose = include_str!("../../../deploy/compose.yaml");
    let of_image = image.lines().filter_map(|line| {
        let (name, value) = line.trim_start_matches("ENV ").trim().trim_end_matches(" \\").split_once('=')?;
        name.starts_with("LECTOR__").then_some((name, value))
    });
    let of_compose = compose.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once(": ")?;
        name.starts_with("LECTOR__").then_some((name, value.trim_matches('"')))
    });
    let env: Vec<(&str, &str)> = of_image.chain(of_compose).collect();
    let (config, _) = load("", &env, &[]).unwrap();
    assert_eq!(config.http.listen.to_string(), "0.0.0.0:8080");
    assert!(config.admin_key_file.is_some(), "an address for others needs keys");
    assert_eq!(config.http.metrics_listen.unwrap().to_string(), "0.0.0.0:9090");
}

#[test]
fn the_chart_sets_keys_that_exist() {
    let chart = include_str!("../../../deploy/helm/lector/templates/deployment.yaml");
    let keys = leaves("", &table_of(&RawConfig::default()).unwrap());
    let named: Vec<String> = chart
        .split("name: LECTOR__")
        .skip(1)
        .map(|rest| rest.split([',', '\n']).next().unwrap_or_default().trim())
        .map(|name| name.to_lowercase().replace("__", "."))
        .collect();
    assert!(named.len() > 10, "{named:?}");
    for key in named {
        assert!(keys.contains(&key), "deploy/helm/lector sets `{key}`, which does not exist");
    }
}

#[test]
fn tls_files_come_in_pairs() {
    for (text, expect) in [
        ("[http]\ntls_certificate_file = \"a\"\n", "http.tls_key_file"),
        ("[http]\ntls_key_file = \"a\"\n", "http.tls_certificate_file"),
        ("[http]\ntls_client_ca_file = \"a\"\n", "http.tls_certificate_file"),
        ("[client]\ntls_key_file = \"a\"\n", "client.tls_certificate_file"),
        ("[http]\ntrusted_proxies = [\"10.0.0.0/64\"]\n", "no address or range"),
        ("[http]\nprivate_operations = true\n", "http.metrics_listen"),
    ] {
        let error = error_of(text, &[]);
        assert!(error.contains(expect), "{text}: {error}");
    }
}

#[test]
fn the_annotated_example_is_the_defaults_and_names_every_key() {
    let (_, effective) = load(EXAMPLE, &[], &[]).unwrap();
    assert_eq!(effective.raw, RawConfig::default());
    let example: toml::Table = EXAMPLE.parse().unwrap();
    for key in leaves("", &table_of(&RawConfig::default()).unwrap()) {
        assert!(leaves("", &example).contains(&key), "deploy/lector.toml lacks `{key}`");
        assert!(matches!(effective.origin(&key), Origin::File(_)), "{key}");
    }
    let budget = example["deployments"][0]["budget"].as_table().unwrap();
    for key in budget_keys() {
        assert!(budget.contains_key(&key), "deploy/lector.toml lacks `{key}` of a deployment's budget");
    }
}

#[test]
fn each_source_lies_over_the_one_before_and_is_named() {
    let file = "[http]\nconnections_max = 5\nbatch_files_max = 6\nbody_bytes_max = 7\n";
    let env = [("LECTOR__HTTP__BATCH_FILES_MAX", "60"), ("LECTOR__HTTP__BODY_BYTES_MAX", "70")];
    let (config, effective) = load(file, &env, &[("http.body_bytes_max", "700")]).unwrap();
    assert_eq!(
        (config.http.connections_max, config.http.batch_files_max, config.http.body_bytes_max),
        (5, 60, 700)
    );
    assert_eq!(effective.origin("http.body_bytes_max"), Origin::Flag("--set"));
    let printed = effective.to_toml().unwrap();
    let origin_of = |key: &str| {
        let line = printed.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_once('#').unwrap().1.trim().split(' ').next().unwrap().to_owned()
    };
    assert_eq!(origin_of("connections_max"), "file");
    assert_eq!(origin_of("batch_files_max"), "environment");
    assert_eq!(origin_of("body_bytes_max"), "flag");
    assert_eq!(origin_of("drain_timeout_s"), "default");
    // The output is a valid configuration.
    let (_, again) = load(&printed, &[], &[]).unwrap();
    assert_eq!(again.raw, effective.raw);
}

#[test]
fn unknown_keys_are_named_with_the_closest_known_one() {
    let text = error_of("[http]\nlisten_on = \"x\"\n", &[]);
    assert!(text.contains("`http.listen_on`") && text.contains("did you mean `http.listen`"), "{text}");
    let text = error_of("", &[("LECTOR__HTTP__CONECTIONS_MAX", "1")]);
    assert!(
        text.contains("LECTOR__HTTP__CONECTIONS_MAX") && text.contains("`http.connections_max`"),
        "{text}"
    );
    let text = error_of("[[deployments]]\nname = \"a\"\ncomponent = \"b\"\nbugdet = {}\n", &[]);
    assert!(text.contains("did you mean `deployments[0].budget`"), "{text}");
    let text = error_of("[[deployments]]\nname = \"a\"\ncomponent = \"b\"\nbudget = { wall = 3 }\n", &[]);
    assert!(text.contains("unknown key `deployments[0].budget.wall`"), "{text}");
    assert!(error_of("[zebra]\n", &[]).contains("unknown key `zebra`"));
}

#[test]
fn wrong_values_are_named_with_their_key_and_origin() {
    for (file, expect) in [
        ("[http]\nconnections_max = \"many\"\n", "`http.connections_max` takes a whole number"),
        ("[http]\nconnections_max = 0\n", "`http.connections_max` must be 1 or more"),
        ("[http]\nconnections_max = -1\n", "invalid value"),
        ("http = 3\n", "`http` takes a table"),
        ("[http]\nlisten = \"localhost\"\n", "`http.listen` is not an address"),
        ("[platform]\ndefault_deployment = \"x\"\n", "the deployments are: redact, standard, standard-tiny"),
        ("[log]\nfilter = \"a=b=c\"\n", "`log.filter` is not a filter"),
        ("[traces]\nendpoint = \"collector:4318\"\n", "`traces.endpoint` is not the URL of a collector"),
        ("[traces]\nsample_ratio = 1.5\n", "`traces.sample_ratio` is not a part"),
        ("[guests]\ninstances_max = 1\n", "`guests.instances_max` is 1"),
        ("[[deployments]]\nname = \"Up\"\ncomponent = \"b\"\n", "use 1 to 63 of"),
        ("[[deployments]]\nname = \"up\"\n", "has no `component`"),
        ("[[deployments]]\nname = \"up\"\ncomponent = \"b\"\ngrants = { a = 1 }\n", "takes a text"),
        ("[compat.models.mistral]\nmodel = 3\n", "`compat.models.mistral.model` takes a text"),
        ("[compat.models.mistral]\nmodel = \"A b\"\n", "use the name of a deployment"),
        ("[compat.models]\nother = {}\n", "unknown key `compat.models.other`"),
        ("[compat]\npublic_url = \"ocr.example.org\"\n", "`compat.public_url` is not the address"),
        ("oops", "parsing the configuration file"),
    ] {
        let text = error_of(file, &[]);
        assert!(text.contains(expect), "{file}: {text}");
    }
    assert!(error_of("", &[("LECTOR__HTTP__CONNECTIONS_MAX", "a b")]).contains("takes a whole number"));
}

#[test]
fn a_list_of_deployments_replaces_the_built_in_ones() {
    let file = "[platform]\ndefault_deployment = \"mine\"\n[[deployments]]\nname = \"mine\"\ncomponent = \"/x.wasm\"\n\
                settings = { tier = \"tiny\", list = [1, 2] }\ngrants = { detection = \"d\" }\nbudget = { wall_ms = 5 }\n";
    let (config, _) = load(file, &[], &[]).unwrap();
    assert_eq!(config.control.deployments.len(), 1);
    let mine = &config.control.deployments[0];
    assert_eq!(mine.settings, serde_json::json!({ "tier": "tiny", "list": [1, 2] }));
    assert_eq!(mine.budget.wall, Duration::from_millis(5));
    assert_eq!(mine.budget.handles, lector_core::Budget::default().handles);
}
